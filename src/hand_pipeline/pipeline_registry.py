"""The registered pipelines: the modules and packages of `pipelines/`, and the declared sweeps."""

from collections.abc import Iterator, MutableMapping
from pathlib import Path

from kedro.pipeline import Pipeline
from kedro.utils import find_kedro_project

from hand_pipeline.sweeps.declaration import declared_sweeps
from hand_pipeline.sweeps.project import load_pipeline, pipeline_names

STAGES = (
    "synthesize", "collect", "pretrain", "finetune", "evaluate", "shipped", "export", "report",
    "detect", "tokenizer", "maskhand", "generation", "s2hand", "s2hand_photos", "pseudo_label",
)  # fmt: skip
"""In order of running. `make demo` runs `report` and what it needs, `dvc repro` all of them. Others
run only by name: sweeps, what only they need, `claims`, `lifter`, `probe`, `photo_probes` and
`photo_scores`."""
OPEN_STAGES = (
    "synthesize", "detect", "collect", "pseudo_label", "lifter", "pretrain", "finetune",
    "tokenizer", "maskhand", "s2hand", "s2hand_photos",
)  # fmt: skip
"""What trains the models that are shipped, in the profile `open`: `dvc repro open/dvc.yaml`."""


class LazyPipelines(MutableMapping[str, Pipeline]):
    """Pipelines by name, each imported (with torch) only when it is accessed.

    Args:
        conf: the folder of profiles, whose YAML declares sweeps; read only for names that are not
            modules.
    """

    def __init__(self, conf: Path) -> None:
        self._conf = conf
        self._loaded: dict[str, Pipeline] = {}

    def __getitem__(self, name: str) -> Pipeline:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> Pipeline:
        if name == "__default__":
            return sum((self[stage] for stage in STAGES), Pipeline([]))
        if name in pipeline_names():
            return load_pipeline(name)
        draws = declared_sweeps(self._conf)[name]
        from hand_pipeline.sweeps.pipeline import sweep_pipeline  # imports torch and matplotlib

        return sweep_pipeline(name, draws)

    def _names(self) -> list[str]:
        modules, sweeps = pipeline_names(), declared_sweeps(self._conf)
        if both := sorted(set(modules) & set(sweeps)):
            raise ValueError(f"sweeps are named as pipelines are: {both}; rename these sweeps")
        return [*modules, *sweeps, "__default__"]

    def __setitem__(self, name: str, pipeline: Pipeline) -> None:
        self._loaded[name] = pipeline

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._names(), *self._loaded]))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def register_pipelines() -> MutableMapping[str, Pipeline]:
    """Every pipeline by name; `__default__` runs the stages in order."""
    root = find_kedro_project(Path.cwd()) or Path(__file__).parents[2]
    return LazyPipelines(Path(root) / "conf")
