"""What frozen features tell about hands on real photos: signs, fingers, finger tips."""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.photos.probe_photos import ProbePhotos, read_probe_photos
from hand_pipeline.evaluation.photo_probe import (
    PhotoProbeConfig,
    class_probe,
    encode_photos,
    point_probe,
)
from hand_pipeline.models.image_encoder import (
    ImageEncoder,
    ResNetConfig,
    build_encoder,
    load_encoder,
)
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from hand_pipeline.training.seeding import seed_everything
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.tables import no_probes, probe_bars

logger = logging.getLogger(__name__)
RANDOM = "random"
Scores = tuple[dict[str, Any], pd.DataFrame]


class PhotoProbesConfig(Config):
    """Which photos, whose features, and how they are probed."""

    folder: Path | None = Field(
        None,
        description="photos with a manifest.csv (data/photos/probe_photos.py); null: skipped",
    )
    sets: dict[str, Literal["classes", "tips"]] = Field(
        {"sign_digits": "classes", "finger_count": "classes", "ti1k": "tips"},
        min_length=1,
        description="of the manifest, and what is told of each",
    )
    backbones: dict[str, Path] = Field(
        {}, description="further backbones by name, as `pretrain` leaves them; absent ones are told"
    )
    crop_scale: float = Field(1.75, gt=0, description="side of a crop in longer sides of the box")
    batch_size: int = Field(128, gt=0, description="photos at once")
    seed: int = Field(0, ge=0, description="of the random network")
    probe: PhotoProbeConfig = PhotoProbeConfig()


def score_probes(pretrained: Checkpoint, cfg: PhotoProbesConfig, machine: MachineConfig) -> Scores:
    """What linear probes tell from each backbone's frozen features, on photos held out by group.

    The backbones: the pretrained one, the same network untrained, and `cfg.backbones`. Metrics are
    by features and set; the table has a row a backbone. Classes: share told right (`accuracy`),
    mean over classes (`balanced`), share of the commonest class (`chance`). Tips: mean distance in
    % of the crop's side (`thumb`, `index`, both: `error`), and that of a probe that always tells
    the mean place (`mean place`). `std` is over the folds.
    """
    if cfg.folder is None or not (cfg.folder / "manifest.csv").is_file():
        told = "none was given" if cfg.folder is None else f"{cfg.folder} has no manifest.csv"
        logger.warning(
            "photo_probes is skipped: %s; give a folder of photos with a manifest.csv: "
            "kedro run --pipelines photo_probes --params photo_probes.folder=DIR", told,
        )  # fmt: skip
        return {"backbones": 0}, pd.DataFrame(columns=["features"])
    device = machine.device
    metrics: dict[str, Any] = {}
    rows = []
    for name, checkpoint in _checkpoints(pretrained, cfg).items():
        encoder, size = restore_encoder(checkpoint, name, None if name != RANDOM else cfg.seed)
        metrics[name] = {
            chosen: _score(encoder.to(device).eval(), cfg, chosen, size, device)
            for chosen in cfg.sets
        }
        flat = {f"{s} {k}": v for s, row in metrics[name].items() for k, v in row.items()}
        rows.append({"features": name, **flat})
        logger.info("%s: %s", name, metrics[name])
    return {"backbones": len(rows), **metrics}, pd.DataFrame(rows)


def draw_probes(table: pd.DataFrame, cfg: PhotoProbesConfig) -> Image.Image:
    """A panel a set: a bar a backbone, with chance or the mean place as a line."""
    if table.empty:
        return to_image(no_probes("No photos were given: nothing was probed."))
    return to_image(probe_bars(table, cfg.sets))


def restore_encoder(
    checkpoint: Checkpoint, name: str, random_seed: int | None = None
) -> tuple[ImageEncoder, int]:
    """The network of a backbone's checkpoint and the side of its input, px.

    Args:
        checkpoint: as `pretrain` leaves it.
        name: what to call it in a message.
        random_seed: leave the network untrained, drawn from this seed.

    Raises:
        CheckpointError: it is no backbone of `pretrain`.
        CheckpointMismatchError: its weights do not fit its configuration.
    """
    if "backbone" not in checkpoint.metadata:
        raise CheckpointError(
            f"{name} holds no backbone; give a pretrained_backbone.safetensors of `pretrain`"
        )
    vit = VitConfig(**{**checkpoint.metadata["backbone"], "init": "random"})
    resnet = None
    if "resnet" in checkpoint.metadata:
        resnet = ResNetConfig(**{**checkpoint.metadata["resnet"], "init": "random"})
    seed_everything(random_seed or 0)
    encoder = build_encoder(vit, resnet)
    if random_seed is None:
        load_encoder(encoder, checkpoint.tensors, name)
    return encoder, vit.image_size


def _checkpoints(pretrained: Checkpoint, cfg: PhotoProbesConfig) -> dict[str, Checkpoint]:
    """By name: the untrained network first, then the pretrained one, then what else is there."""
    found = {RANDOM: pretrained, str(pretrained.metadata.get("pretrained_by")): pretrained}
    for name, path in cfg.backbones.items():
        if name in found:
            raise ValueError(f"photo_probes.backbones: {name!r} is taken; choose another name")
        if path.is_file():
            found[name] = load_checkpoint(path)
        else:
            logger.warning("%s is left out: there is no checkpoint at %s", name, path)
    return found


def _score(
    encoder: ImageEncoder, cfg: PhotoProbesConfig, chosen: str, size: int, device: str
) -> dict[str, float]:
    assert cfg.folder is not None  # the caller has looked
    photos = read_probe_photos(cfg.folder, chosen, size, cfg.crop_scale)
    features = encode_photos(encoder, photos, cfg.batch_size, device)
    counts = {"photos": float(len(photos)), "groups": float(len(set(photos.groups)))}
    if cfg.sets[chosen] == "classes":
        return counts | _classes(features, photos, cfg.probe)
    return counts | _tips(features, photos, cfg.probe)


def _classes(features: np.ndarray, photos: ProbePhotos, cfg: PhotoProbeConfig) -> dict[str, float]:
    found = class_probe(features, photos.labels, photos.groups, cfg)
    return {
        "accuracy": found.accuracy,
        "accuracy std": float(found.fold_accuracies.std(ddof=1)),
        "balanced": found.balanced_accuracy,
        "chance": float(np.bincount(photos.labels).max() / len(photos)),
    }


def _tips(features: np.ndarray, photos: ProbePhotos, cfg: PhotoProbeConfig) -> dict[str, float]:
    found = point_probe(features, photos.tips, photos.groups, cfg)
    thumb, index = (100 * found.errors).tolist()
    return {
        "error": (thumb + index) / 2,
        "error std": float(100 * found.fold_errors.std(ddof=1)),
        "thumb": thumb,
        "index": index,
        "mean place": float(100 * found.mean_errors.mean()),
    }


def create_pipeline() -> Pipeline:
    """A pretrained backbone and a folder of labelled photos in, a table and a picture out."""
    return Pipeline(
        [
            Node(
                score_probes,
                ["pretrained_backbone", "params:photo_probes", "params:machine"],
                ["photo_probes_metrics", "photo_probes_table"],
                name="score_photo_probes",
            ),
            Node(
                draw_probes,
                ["photo_probes_table", "params:photo_probes"],
                "photo_probes_picture",
                name="draw_photo_probes",
            ),
        ]
    )
