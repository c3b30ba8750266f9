"""The registered pipelines. Each is one DVC stage; `dvc.yaml` is generated from this list."""

from kedro.framework.project import find_pipelines
from kedro.pipeline import Pipeline

STAGES = (
    "synthesize", "collect", "pretrain", "finetune", "evaluate", "export", "report",
    "detect", "tokenizer", "maskhand", "generation", "s2hand", "s2hand_photos",
)  # fmt: skip
"""In order of running. `make demo` asks DVC for `report` and what it needs, `dvc repro` for all.
Others run by their names alone: sweeps, what only they need, `claims`, `probe` and
`photo_probes`."""


def register_pipelines() -> dict[str, Pipeline]:
    """Every pipeline by name; `__default__` runs the stages in order."""
    pipelines = find_pipelines(raise_errors=True)
    # Kedro loads only the requested pipelines, so a stage may be absent here.
    pipelines["__default__"] = sum((pipelines[s] for s in STAGES if s in pipelines), Pipeline([]))
    return pipelines
