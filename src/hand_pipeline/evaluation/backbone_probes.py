"""Linear probes of a backbone's checkpoint on the sets of a folder of photos."""

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from hand_pipeline.config import Config
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
from hand_pipeline.training.checkpoint import Checkpoint, CheckpointError
from hand_pipeline.training.seeding import seed_everything


class PhotoProbesConfig(Config):
    """Which photos, whose features, and how they are probed."""

    folder: Path | None = Field(
        None,
        description="photos with a manifest.csv (data/photos/probe_photos.py); null: skipped",
    )
    sets: dict[str, Literal["classes", "tips"]] = Field(
        {"sign_digits": "classes", "finger_count": "classes", "ti1k": "tips"},
        min_length=1,
        description="of the manifest, and what is predicted in each",
    )
    backbones: dict[str, Path] = Field(
        {},
        description="further backbones by name, as `pretrain` saves them; missing: left out",
    )
    crop_scale: float = Field(1.75, gt=0, description="side of a crop in longer sides of the box")
    batch_size: int = Field(128, gt=0, description="photos at once")
    seed: int = Field(0, ge=0, description="of the random network")
    probe: PhotoProbeConfig = PhotoProbeConfig()


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


def score_set(
    encoder: ImageEncoder, size: int, folder: Path, chosen: str, cfg: PhotoProbesConfig, device: str
) -> dict[str, float]:
    """What probes tell from the features of one set of photos.

    Args:
        encoder: goes to `device`, in eval mode.
        size: side of its input, px.
        folder: of the photos.
        chosen: the set, one of `cfg.sets`.
        cfg: what is predicted in it, and how.
        device: where the photos are encoded.

    Returns:
        Photos and groups. Of classes the share predicted right (`accuracy`), mean over classes
        (`balanced`), share of the commonest class (`chance`). Of tips the mean distance in % of the
        crop's side (`thumb`, `index`, both: `error`), and that of a probe that always gives the
        mean place (`mean place`). `std` is over the folds.
    """
    encoder.to(device).eval()
    photos = read_probe_photos(folder, chosen, size, cfg.crop_scale)
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
