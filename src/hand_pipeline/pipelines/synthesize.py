"""Render labelled synthetic hands in FreiHAND's layout."""

from pathlib import Path
from typing import Any

from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.synthetic.config import SyntheticConfig
from hand_pipeline.data.synthetic.hands import generate
from hand_pipeline.provenance import code_hash, run_key
from hand_pipeline.viz.sheet import photo_sheet


def synthesize_hands(
    config: SyntheticConfig, machine: MachineConfig
) -> tuple[Path, dict[str, Any], Image.Image]:
    """Render the training and the evaluation split; return the folder, counts and a sample."""
    key = run_key(config=config.model_dump(mode="json"), code=code_hash(__name__))
    folder = machine.workspace / "synthesize" / key
    generate(config, folder, workers=machine.workers)
    counts = {"training": config.num_training, "evaluation": config.num_evaluation}
    return folder, counts, photo_sheet(folder / "training/rgb")


def create_pipeline() -> Pipeline:
    """Labelled synthetic hands in FreiHAND's layout."""
    return Pipeline(
        [
            Node(
                synthesize_hands,
                ["params:synthesize", "params:machine"],
                ["labelled_hands", "synthesize_metrics", "synthetic_picture"],
                name="synthesize_hands",
            )
        ]
    )
