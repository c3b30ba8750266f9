"""Nodes of the `s2hand_photos` pipeline that measure and draw on photos that were held out.

No 3D truth exists for photos, so what is measured is how far the projected joints lie from the
detected ones, before and after learning on photos.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.photos.photo_hands import PhotoHands
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.evaluation.predict import draw_samples, set_batches
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.s2hand.config import REFERENCE_SIZE
from hand_pipeline.methods.s2hand.figures import textured_sheet
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.pipelines.s2hand_photos.nodes import PhotoTrainingConfig
from hand_pipeline.training.checkpoint import Checkpoint

logger = logging.getLogger(__name__)
ROWS = {"before": "before: S2HAND as it came from s2hand", "after": "after learning on photos"}
"""The two models compared, and what the table calls them."""
WITHIN = 10.0
"""px of a 224 px crop; the table has the share of joints within it."""


class PhotoEvaluationConfig(Config):
    """What is shown of the held-out photos."""

    batch_size: int = Field(64, gt=0, description="hands at once")
    shown: int = Field(15, gt=0, description="hands in the picture")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")


def compare_on_photos(
    crops: Path,
    before: Checkpoint,
    after: Checkpoint,
    cfg: PhotoTrainingConfig,
    evaluation: PhotoEvaluationConfig,
    machine: MachineConfig,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Distance of projected from detected joints on held-out photos, before and after.

    Returns:
        Figures by model; the same as a table; and a row a hand with its `set` and `camera`:
        "default" where it was not known.
    """
    photos = PhotoHands(ShardReader(crops), cfg.hands, held_out=True)
    rows = pd.DataFrame(
        {
            "id": photos.ids, "set": photos.sets,
            "camera": np.where(photos.guessed, "default", "known"),
        }
    )  # fmt: skip
    metrics: dict[str, Any] = {
        "held_out_hands": len(photos), "default_camera": int(photos.guessed.sum()),
        "skipped": dict(sorted(photos.skipped.items())),
    }  # fmt: skip
    for name, checkpoint in {"before": before, "after": after}.items():
        distances, seen = _distances(
            restore_as(S2Hand, checkpoint, f"the checkpoint {name}"), photos, evaluation, machine
        )
        errors = (distances * seen).sum(1) / seen.sum(1)
        rows[f"{name}_px"] = errors
        metrics[name] = {
            "error_mean_px": float(errors.mean()),
            "error_median_px": float(np.median(errors)),
            "joints_near": float((distances[seen] <= WITHIN).mean()),
        }
    metrics["hands_improved"] = float((rows["after_px"] < rows["before_px"]).mean())
    table = pd.DataFrame(
        [{"model": ROWS[name], "hands": len(photos), **metrics[name]} for name in ROWS]
    )
    return metrics, table, rows


def draw_photos(
    crops: Path,
    after: Checkpoint,
    samples: pd.DataFrame,
    cfg: PhotoTrainingConfig,
    evaluation: PhotoEvaluationConfig,
    machine: MachineConfig,
) -> Image.Image:
    """Some held-out hands, drawn at random, with the 2D error of each before and after.

    Where fewer were held out than are to be shown, hands that were learnt from follow, and say so.
    """
    reader = ShardReader(crops)
    device = machine.device
    model = restore_as(S2Hand, after, "the checkpoint after").to(device)
    held_out = PhotoHands(reader, cfg.hands, held_out=True)
    chosen = draw_samples(held_out, evaluation.shown, evaluation.seed)[1]
    errors = samples.set_index("id")
    captions = [
        f"held out, {row['set']}: 2D error {row.before_px:.1f} px before, {row.after_px:.1f} after"
        for _, row in errors.loc[list(chosen.ids)].iterrows()
    ]
    parts = [chosen]
    if missing := evaluation.shown - len(captions):
        try:
            learnt = PhotoHands(reader, cfg.hands)
            parts.append(draw_samples(learnt, missing, evaluation.seed)[1])
            captions += ["learnt from"] * len(parts[-1].ids)
        except DataSetError:  # no other hand is there
            pass
    if len(captions) < evaluation.shown:
        logger.warning(
            "%d hands in the picture, not %d: %s holds no more; collect more photos",
            len(captions), evaluation.shown, crops,
        )  # fmt: skip
    shown = HandBatch.unlabelled(
        tuple(name for part in parts for name in part.ids),
        torch.cat([part.images for part in parts]),
        torch.cat([part.intrinsics for part in parts]),
    ).to(device)
    with torch.inference_mode():
        found = model.predict(shown)
    return textured_sheet(shown, found, model.mano.faces, captions)


def _distances(
    model: S2Hand, photos: PhotoHands, cfg: PhotoEvaluationConfig, machine: MachineConfig
) -> tuple[Float[np.ndarray, "hands 21"], np.ndarray]:
    """Of projected joints from the detected ones, px of a 224 px crop, and which joints count.

    Joints outside the photo do not.
    """
    device = machine.device
    model.to(device)
    unit = REFERENCE_SIZE / model.image_size
    distances, seen = [], []
    batches = set_batches(photos, cfg.batch_size, machine, "2D errors")
    with torch.inference_mode():
        for batch in (each.to(device) for each in batches):
            assert batch.keypoints is not None  # `PhotoHands` gives them with every batch
            detected = batch.keypoints.points * (REFERENCE_SIZE / batch.images.shape[-1])
            projected = model.predict(batch, only_hands=True).joints_2d[:, 0] * unit
            distances.append((projected - detected).norm(dim=-1).cpu())
            seen.append((batch.keypoints.confidence > 0).cpu())
    return torch.cat(distances).numpy(), torch.cat(seen).numpy()
