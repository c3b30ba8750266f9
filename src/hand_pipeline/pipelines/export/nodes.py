"""Nodes of the `export` pipeline."""

import shutil
from pathlib import Path
from typing import Any

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.evaluation.predict import load_predictions
from hand_pipeline.evaluation.submission import write_submission


class ExportConfig(Config):
    """What is handed in."""

    model: str = "handmim"


def export_submission(
    predicted: Path, cfg: ExportConfig, machine: MachineConfig
) -> tuple[Path, dict[str, Any]]:
    """pred.json and pred.zip in FreiHAND's submission form, read back and compared."""
    available = sorted(path.stem for path in predicted.glob("*.npz"))
    if cfg.model not in available:
        raise ValueError(f"export.model is {cfg.model!r}; predicted: {', '.join(available)}")
    folder = machine.workspace / "export" / "submission"
    shutil.rmtree(folder, ignore_errors=True)
    hands = load_predictions(predicted / f"{cfg.model}.npz")
    written = write_submission(folder, hands.joints, hands.vertices)
    return folder, {"hands": len(hands), "zip_bytes": written.zip_path.stat().st_size}
