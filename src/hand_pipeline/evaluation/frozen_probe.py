"""What a pretraining taught: joints read off its frozen features, and off a random start's."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.hand_augmentation import HandAugmentation, HandAugmentationConfig
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.evaluation.backbone_probes import restore_encoder
from hand_pipeline.evaluation.photo_probe import fit_ridge
from hand_pipeline.models.image_encoder import ImageEncoder
from hand_pipeline.training.checkpoint import Checkpoint

_SEED = 0  # of the hands drawn


class FrozenProbeConfig(Config):
    """How many hands the probe sees; all our choice."""

    training: int = Field(2000, gt=1, description="hands that it is fitted to")
    validation: int = Field(1000, gt=0, description="hands that it is scored on")
    penalties: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0), min_length=1, description="of the weights' squares, to try"
    )
    seed: int = Field(0, ge=0, description="of the random start")
    batch_size: int = Field(64, gt=0, description="hands at once")


def probe_backbone(
    pretrained: Checkpoint, hands: Any, cfg: FrozenProbeConfig, machine: MachineConfig
) -> dict[str, Any]:
    """Ridge regression of the 21 joints' places in the crop from class token and mean patch token.

    The penalty is chosen on a fifth of the training hands, and errors are those of the validation
    hands (`labels.validation`), which no training learns from. The same network, drawn at random,
    is probed alike: a pretraining that taught nothing is no better.

    Args:
        pretrained: as `pretrain` leaves it.
        hands: a set with `held_out()`; hands without all 2D joints are left out.
        cfg: how many hands.
        machine: where they are encoded.

    Returns:
        `pretrained_percent`, `random_percent`, `mean_place_percent`: mean distance of a joint, % of
        the crop's side, by either network and by the mean training hand; `ratio`: the first by the
        second, below 1 if something was taught; counts; `start_left`, `images_seen`,
        `pretrained_by` of the backbone.

    Raises:
        ValueError: no hands are held out, or too few have 2D joints.
    """
    held_out = hands.held_out()
    if held_out is None:
        raise ValueError("the probe needs hands to validate on: set labels.validation above 0")
    errors: dict[str, float] = {}
    for name, seed in (("pretrained", None), ("random", cfg.seed)):
        encoder, size = restore_encoder(pretrained, "the pretrained backbone", seed)
        encoder.to(machine.device).eval()
        x, y = _encode(encoder, size, hands, cfg.training, cfg, machine)
        x_new, y_new = _encode(encoder, size, held_out, cfg.validation, cfg, machine)
        errors[f"{name}_percent"] = 100 * _error(_told(x, y, x_new, cfg.penalties), y_new)
    told = ("pretrained_by", "start_left", "images_seen")
    return {
        **errors,
        "ratio": errors["pretrained_percent"] / errors["random_percent"],
        "mean_place_percent": 100 * _error(y.mean(0).expand_as(y_new), y_new),
        "training_hands": len(y),
        "validation_hands": len(y_new),
        **{key: pretrained.metadata[key] for key in told if key in pretrained.metadata},
    }


@torch.no_grad()
def _encode(
    encoder: ImageEncoder,
    size: int,
    hands: Any,
    most: int,
    cfg: FrozenProbeConfig,
    machine: MachineConfig,
) -> tuple[Float[Tensor, "hands features"], Float[Tensor, "hands 42"]]:
    """Features, and places of the joints as shares of the crop's side, of hands drawn once."""
    order = np.random.default_rng(_SEED).permutation(len(hands))[:most]
    rows: Sequence[int] = sorted(order.tolist())
    look = HandAugmentation(HandAugmentationConfig(image_size=size))
    features, places = [], []
    for batch in batches_in_order(hands, cfg.batch_size, machine.num_workers, rows):
        assert isinstance(batch, HandBatch)  # a set of labelled hands
        batch = batch.rows(batch.has_joints_2d.all(1).nonzero()[:, 0].tolist())
        batch = batch.to(machine.device)
        seen = encoder(look.network_input(batch.images, batch.intrinsics).images)
        features.append(torch.cat([seen.cls, seen.patches.mean(1)], dim=1).cpu().double())
        places.append(batch.joints_2d.flatten(1).cpu().double() / batch.images.shape[-1])
    if sum(map(len, places)) < 2:
        raise ValueError(
            f"of {len(rows)} hands fewer than 2 have all 2D joints; probe on a set that has them"
        )
    return torch.cat(features), torch.cat(places)


def _told(x: Tensor, y: Tensor, x_new: Tensor, penalties: Sequence[float]) -> Tensor:
    """Places of new hands by the penalty that does best on every fifth of the known ones."""
    check = torch.arange(len(x)) % 5 == 0
    tried = [_error(_fit(x[~check], y[~check], x[check], p), y[check]) for p in penalties]
    return _fit(x, y, x_new, penalties[int(np.argmin(tried))])


def _fit(x: Tensor, y: Tensor, x_new: Tensor, penalty: float) -> Tensor:
    mean, std = x.mean(0), x.std(0, correction=0).clamp(min=1e-6)
    weights = fit_ridge((x - mean) / std, y, penalty)
    return (x_new - mean) / std @ weights[:-1] + weights[-1]


def _error(told: Tensor, truth: Tensor) -> float:
    return float((told - truth).unflatten(1, (21, 2)).norm(dim=-1).mean())
