"""S2HAND on photos of which nothing is known but what a detector saw in them.

Chen et al., CVPR 2021, sections 3 and 4: the joint stage goes on, on the crops of the collect
stage, whose only supervision is MediaPipe's landmarks and the photos themselves. No 3D truth exists
for photos, so what is measured, on photos that were held out, is how far the projected joints lie
from the detected ones, before and after learning on photos.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.photos.photo_hands import PhotoHands, PhotoHandsConfig
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.s2hand import evaluation as photo_evaluation
from hand_pipeline.methods.s2hand.evaluation import PhotoEvaluationConfig, photo_errors
from hand_pipeline.methods.s2hand.s2hand import S2Hand
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import Trained, Watch, train
from hand_pipeline.viz.curves import draw_curves
from hand_pipeline.viz.run_page import From, RunPage

logger = logging.getLogger(__name__)
ROWS = {"before": "before: S2HAND as it came from s2hand", "after": "after learning on photos"}
"""The two models compared, and what the table calls them."""


class PhotoTrainingConfig(Config):
    """From which photos S2HAND learns, and how long."""

    hands: PhotoHandsConfig
    training: TrainConfig


def train_on_photos(
    crops: Path, start: Checkpoint, cfg: PhotoTrainingConfig, machine: MachineConfig
) -> Trained:
    """The model of the joint stage, trained on photos with what its configuration says.

    Raises:
        TypeError: the checkpoint is of another method.
        ValueError: its model learns from labels, which photos lack.
        DataSetError: no photos to learn from, or none to measure on.
    """
    model = restore_as(S2Hand, start, "the checkpoint to start from")
    if model.cfg.supervision != "self":
        raise ValueError(
            f"photos have no labels, but the model to start from has supervision "
            f"{model.cfg.supervision!r}; start from s2hand_method, trained with 'self'"
        )
    reader = ShardReader(crops)
    PhotoHands(reader, cfg.hands, held_out=True)  # some are there: known before, not after training
    photos = PhotoHands(reader, cfg.hands)
    model.crop_scale.fill_(photos.crop_scale)
    counts = {
        "hands": len(photos), "hands_by_set": dict(sorted(Counter(photos.sets).items())),
        "default_camera": int(photos.guessed.sum()),
        "skipped": dict(sorted(photos.skipped.items())),
    }  # fmt: skip
    logger.info(
        "%d hands of photos, %d of them with the default camera; skipped: %s",
        len(photos), counts["default_camera"], counts["skipped"] or "none",
    )  # fmt: skip
    watch = Watch(RecordLogger("s2hand_photos"))
    return train("s2hand_photos", lambda: model, photos, cfg.training, machine, counts, watch)


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
            "camera": ["default" if guessed else "known" for guessed in photos.guessed],
        }
    )  # fmt: skip
    metrics: dict[str, Any] = {
        "held_out_hands": len(photos), "default_camera": int(photos.guessed.sum()),
        "skipped": dict(sorted(photos.skipped.items())),
    }  # fmt: skip
    for name, checkpoint in {"before": before, "after": after}.items():
        model = restore_as(S2Hand, checkpoint, f"the checkpoint {name}")
        errors = photo_errors(model, photos, evaluation.batch_size, machine)
        rows[f"{name}_px"] = errors.by_hand
        metrics[name] = errors.summary
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
    """Some held-out hands, drawn at random, with the 2D error of each before and after."""
    model = restore_as(S2Hand, after, "the checkpoint after").to(machine.device)
    reader, device = ShardReader(crops), machine.device
    return photo_evaluation.draw_photos(model, reader, samples, cfg.hands, evaluation, device)


_READING = (
    "No 3D truth exists for these photos. The 2D error is the distance of the projected joints from"
    " those a detector found, on held-out photos; a detector errs too. Frames of one video may lie"
    " on both sides. Where nobody collected photos, the collect stage has drawn them: hands,"
    " cameras and light are then synthetic."
)


def _camera(samples: pd.DataFrame) -> str:
    guessed = (samples["camera"] == "default").sum()
    return (
        "A photo whose camera is not known has the default one, whose focal length is the photo's"
        " diagonal: its depths and sizes in metres are guesses. Hands with it:"
        f" {guessed} of {len(samples)} held out."
    )


def _by_set(samples: pd.DataFrame) -> pd.DataFrame:
    errors = {"before_px": ("before_px", "mean"), "after_px": ("after_px", "mean")}
    return samples.groupby("set").agg(hands=("id", "size"), **errors).reset_index()


_SAMPLES = "s2hand_photos_samples_table"
PAGE = RunPage(
    title="S2HAND: textured hands of photos without labels",
    results="s2hand_photos_table",
    figures={
        "Photos: the hand over it, from the side, and its texture without light": (
            "s2hand_photos_picture"
        ),
        "Training on photos": "s2hand_photos_curves",
    },
    tables={"Mean 2D error by set, held-out photos": From(_SAMPLES, _by_set)},
    settings=("params:s2hand_photos",),
    notes=(_READING, From(_SAMPLES, _camera)),
)
"""The page that shows S2HAND on photos without labels."""


def create_pipeline() -> Pipeline:
    """Crops of photos and a trained S2HAND in; the same after learning on the photos out."""
    training = "params:s2hand_photos"
    settings = [training, "params:s2hand_photos_evaluation", "params:machine"]
    return Pipeline(
        [
            Node(
                train_on_photos,
                ["hand_crops", "s2hand_method", training, "params:machine"],
                ["s2hand_photos_method", "s2hand_photos_metrics", "s2hand_photos_history"],
                name="train_s2hand_photos",
            ),
            Node(
                compare_on_photos,
                ["hand_crops", "s2hand_method", "s2hand_photos_method", *settings],
                [
                    "s2hand_photos_scores_metrics",
                    "s2hand_photos_table",
                    "s2hand_photos_samples_table",
                ],
                name="compare_s2hand_photos",
            ),
            Node(
                draw_photos,
                [
                    "hand_crops",
                    "s2hand_photos_method",
                    "s2hand_photos_samples_table",
                    *settings,
                ],
                "s2hand_photos_picture",
                name="draw_s2hand_photos",
            ),
            Node(
                draw_curves,
                {"S2HAND on photos without labels": "s2hand_photos_history"},
                "s2hand_photos_curves",
                name="draw_s2hand_photos_curves",
            ),
            Node(PAGE.render, PAGE.inputs, "s2hand_photos_page", name="write_s2hand_photos_page"),
        ]
    )
