"""How near S2HAND's 2D joints come: to the true ones (table 10, figure 4), and on photos.

No 3D truth exists for photos, so what is measured is how far the projected joints lie from the
detected ones.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.colour import imagenet_denormalize
from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.data.loader import BatchedSet
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.photos.photo_hands import PhotoHands, PhotoHandsConfig
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.evaluation.keypoints_2d import JointsFound, score_joints_2d
from hand_pipeline.evaluation.predict import draw_samples, set_batches
from hand_pipeline.methods.s2hand.config import REFERENCE_SIZE
from hand_pipeline.methods.s2hand.figures import textured_sheet
from hand_pipeline.methods.s2hand.photometric import picture_quality
from hand_pipeline.methods.s2hand.s2hand import S2Hand, TexturedHands

logger = logging.getLogger(__name__)
SOURCES = {
    "detected": "detected (what training sees)",
    "estimated_alone": "estimated by the 2D branch alone",
    "estimated": "estimated by the 2D branch",
    "projected_alone": "projected from the geometry alone",
    "projected": "projected from the 3D hand",
}
"""Where 2D joints come from, in the order of the table, and what it calls them."""
WITHIN = 10.0
"""px of a 224 px crop; the table has the share of joints within it."""


class PhotoEvaluationConfig(Config):
    """What is shown of the held-out photos."""

    batch_size: int = Field(64, gt=0, description="hands at once")
    shown: int = Field(15, gt=0, description="hands in the picture")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")


class PhotoErrors(NamedTuple):
    """Distance of projected from detected joints.

    Attributes:
        by_hand: mean over a hand's joints, px of a 224 px crop.
        summary: mean and median over the hands, and the share of joints within `WITHIN`.
    """

    by_hand: Float[np.ndarray, " hands"]
    summary: dict[str, float]


class Stages(NamedTuple):
    """The models of which table 10 compares the 2D joints, in eval mode on the machine's device.

    Attributes:
        branch: of the stage that trains the 2D branch alone (the paper's "w/o 2D-3D").
        geometry: of the stage that trains the geometry alone.
        joint: of the stage that trains everything ("w/ 2D-3D").
    """

    branch: S2Hand
    geometry: S2Hand
    joint: S2Hand


def compare_sources(
    models: Stages, hands: WithKeypoints, batch_size: int, machine: MachineConfig
) -> dict[str, JointsFound]:
    """How near the true 2D joints each of `SOURCES` comes.

    Args:
        models: of the three stages.
        hands: with what the detector saw.
        batch_size: hands at once.
        machine: device and loader processes.
    """
    rows: dict[str, list[torch.Tensor]] = {}
    batches = set_batches(hands, batch_size, machine, "2D joints")
    with torch.inference_mode():
        for batch in (each.to(machine.device) for each in batches):
            assert batch.keypoints is not None  # `WithKeypoints` attaches them to every batch
            stored = REFERENCE_SIZE / batch.images.shape[-1]
            used = REFERENCE_SIZE / models.joint.image_size
            values = {
                "truth": batch.joints_2d * stored,
                "labelled": batch.has_joints_2d,
                "detected": batch.keypoints.points * stored,
                "given": batch.keypoints.confidence > 0,
                "estimated_alone": models.branch.estimated_2d(batch) * used,
                "estimated": models.joint.estimated_2d(batch) * used,
                "projected_alone": _projected(models.geometry, batch) * used,
                "projected": _projected(models.joint, batch) * used,
            }
            for name, value in values.items():
                rows.setdefault(name, []).append(value.cpu())
    whole: dict[str, np.ndarray] = {name: torch.cat(part).numpy() for name, part in rows.items()}
    return {
        name: score_joints_2d(
            whole[name], whole["truth"], whole["labelled"],
            whole["given"] if name == "detected" else None,
        )
        for name in SOURCES
    }  # fmt: skip


def texture_scores(
    model: S2Hand, hands: BatchedSet[HandBatch], batch_size: int, machine: MachineConfig
) -> dict[str, float]:
    """How like the photo the hand is that a model renders: means over the hands.

    The hand is drawn over the photo, as in training. Measured where the rendered hand is, so it
    says how right its colours are in the place where the model sees it, not how right the place is.

    Args:
        model: trained with colours; in eval mode, on the machine's device.
        hands: the photos; no label is used.
        batch_size: hands at once.
        machine: device and loader processes.

    Returns:
        `texture_psnr_db` and `texture_ssim` (`photometric.picture_quality`).
    """
    size = (model.image_size, model.image_size)
    found = []
    with torch.inference_mode():
        for batch in set_batches(hands, batch_size, machine, "textures"):
            batch = batch.to(machine.device)
            photo = imagenet_denormalize(
                model.augmentation.network_input(batch.images, batch.intrinsics)[0]
            )
            hand = model.predict(batch)
            assert isinstance(hand, TexturedHands)  # asked for
            drawn = model.renderer(
                hand.vertices[:, 0], hand.colours, hand.light, hand.intrinsics, size
            )
            found.append(torch.stack(picture_quality(drawn.over(photo), photo, drawn.mask)).cpu())
    noise, similar = torch.cat(found, 1).mean(1).tolist()
    return {"texture_psnr_db": noise, "texture_ssim": similar}


def photo_errors(
    model: S2Hand, photos: PhotoHands, batch_size: int, machine: MachineConfig
) -> PhotoErrors:
    """How far projected joints lie from the detected ones.

    Args:
        model: in eval mode; it goes to the machine's device.
        photos: the hands.
        batch_size: hands at once.
        machine: device and loader processes.
    """
    distances, seen = _distances(model.to(machine.device), photos, batch_size, machine)
    errors = (distances * seen).sum(1) / seen.sum(1)
    summary = {
        "error_mean_px": float(errors.mean()),
        "error_median_px": float(np.median(errors)),
        "joints_near": float((distances[seen] <= WITHIN).mean()),
    }
    return PhotoErrors(errors, summary)


def draw_photos(
    model: S2Hand,
    reader: ShardReader,
    samples: pd.DataFrame,
    hands: PhotoHandsConfig,
    cfg: PhotoEvaluationConfig,
    device: str,
) -> Image.Image:
    """Some held-out hands, drawn at random, with the 2D error of each before and after.

    Where fewer were held out than are to be shown, hands that were learnt from follow, and say so.

    Args:
        model: after learning, in eval mode on `device`.
        reader: the crops.
        samples: `id`, `set`, `before_px` and `after_px` of each held-out hand.
        hands: which were learnt from.
        cfg: how many are shown.
        device: where the images go.
    """
    held_out = PhotoHands(reader, hands, held_out=True)
    chosen = draw_samples(held_out, cfg.shown, cfg.seed)[1]
    errors = samples.set_index("id")
    captions = [
        f"held out, {row['set']}: 2D error {row.before_px:.1f} px before, {row.after_px:.1f} after"
        for _, row in errors.loc[list(chosen.ids)].iterrows()
    ]
    parts = [chosen]
    if missing := cfg.shown - len(captions):
        try:
            learnt = PhotoHands(reader, hands)
            parts.append(draw_samples(learnt, missing, cfg.seed)[1])
            captions += ["learnt from"] * len(parts[-1].ids)
        except DataSetError:  # no other hand is there
            pass
    if len(captions) < cfg.shown:
        logger.warning(
            "%d hands in the picture, not %d: %s holds no more; collect more photos",
            len(captions), cfg.shown, reader.directory,
        )  # fmt: skip
    shown = HandBatch.unlabelled(
        tuple(name for part in parts for name in part.ids),
        torch.cat([part.images for part in parts]),
        torch.cat([part.intrinsics for part in parts]),
    ).to(device)
    return draw_hands(model, shown, captions)


def draw_hands(model: S2Hand, photos: HandBatch, captions: Sequence[str] = ()) -> Image.Image:
    """Hands with the colours that a model gives them (`figures.textured_sheet`).

    Args:
        model: in eval mode, on the device of `photos`.
        photos: square uint8 images and their cameras.
        captions: one a hand, or none.
    """
    with torch.inference_mode():
        found = model.predict(photos)
    return textured_sheet(photos, found, model.mano.faces, captions)


def _projected(model: S2Hand, batch: HandBatch) -> Float[torch.Tensor, "batch 21 2"]:
    """Joints of the 3D hand, px of the network's input."""
    return model.predict(batch, only_hands=True).joints_2d[:, 0]


def _distances(
    model: S2Hand, photos: PhotoHands, batch_size: int, machine: MachineConfig
) -> tuple[Float[np.ndarray, "hands 21"], Bool[np.ndarray, "hands 21"]]:
    """Of projected joints from the detected ones, px of a 224 px crop, and which joints count.

    Joints outside the photo do not.
    """
    unit = REFERENCE_SIZE / model.image_size
    distances, seen = [], []
    batches = set_batches(photos, batch_size, machine, "2D errors")
    with torch.inference_mode():
        for batch in (each.to(machine.device) for each in batches):
            assert batch.keypoints is not None  # `PhotoHands` gives them with every batch
            detected = batch.keypoints.points * (REFERENCE_SIZE / batch.images.shape[-1])
            projected = _projected(model, batch) * unit
            distances.append((projected - detected).norm(dim=-1).cpu())
            seen.append((batch.keypoints.confidence > 0).cpu())
    return torch.cat(distances).numpy(), torch.cat(seen).numpy()
