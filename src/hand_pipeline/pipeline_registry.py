"""The registered pipelines: a module or package of `pipelines/` each, loaded when asked for."""

import importlib
import pkgutil
from collections.abc import Iterator, MutableMapping

from kedro.pipeline import Pipeline

from hand_pipeline import pipelines as package

STAGES = (
    "synthesize", "collect", "pretrain", "finetune", "evaluate", "export", "report",
    "detect", "tokenizer", "maskhand", "generation", "s2hand", "s2hand_photos",
)  # fmt: skip
"""In order of running. `make demo` asks DVC for `report` and what it needs, `dvc repro` for all.
Others run by their names alone: sweeps, what only they need, `claims`, `probe` and
`photo_probes`."""


class LazyPipelines(MutableMapping[str, Pipeline]):
    """Pipelines by name. What a pipeline imports (torch, mostly) is loaded when it is asked for."""

    def __init__(self) -> None:
        names = sorted(m.name for m in pkgutil.iter_modules(package.__path__))
        self._found: dict[str, Pipeline | None] = dict.fromkeys([*names, "__default__"])

    def __getitem__(self, name: str) -> Pipeline:
        if (found := self._found[name]) is None:
            found = self._found[name] = self._load(name)
        return found

    def _load(self, name: str) -> Pipeline:
        if name == "__default__":
            return sum((self[stage] for stage in STAGES), Pipeline([]))
        made = importlib.import_module(f"{package.__name__}.{name}").create_pipeline()
        assert isinstance(made, Pipeline)
        return made

    def __setitem__(self, name: str, pipeline: Pipeline) -> None:
        self._found[name] = pipeline

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def register_pipelines() -> MutableMapping[str, Pipeline]:
    """Every pipeline by name; `__default__` runs the stages in order."""
    return LazyPipelines()
