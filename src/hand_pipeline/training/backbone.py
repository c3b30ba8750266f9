"""The backbone that a pretraining exports, and whether the pretraining has taught it anything."""

import torch
from PIL import Image

from hand_pipeline.data.batch import Batch
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.method import Pretraining
from hand_pipeline.training.seeding import seed_everything

MOST_LEFT = 0.01
"""Largest share of the random start in an exported backbone (our choice)."""
_MOST_STEPS = 2**18  # up to which it is looked for how many would do


class UntaughtError(ValueError):
    """A pretraining's schedule leaves its random start in what it exports."""


def check_taught(method: Pretraining, steps: int) -> None:
    """Refuse a run whose schedule would export its own random start; call it before training.

    Raises:
        UntaughtError: more than `MOST_LEFT` of the start would be left, with what to change.
    """
    left = method.start_left(steps)
    if left <= MOST_LEFT:
        return
    enough = _steps_that_do(method, steps)
    how_long = "no number of steps would do" if enough is None else f"or train {enough} steps"
    advice = method.start_advice(steps, MOST_LEFT)
    raise UntaughtError(
        f"after {steps} steps, {100 * left:.1f} % of the backbone that {method.name} exports would "
        f"be its random start, expected at most {100 * MOST_LEFT:g} %: {advice}{how_long}"
    )


def export_backbone(method: Pretraining, training: TrainConfig, backbone: VitConfig) -> Checkpoint:
    """The weights that fine-tuning starts from, and where they come from.

    Metadata: `backbone` (configuration), `pretrained_by`, `start_left` (share of the random start,
    0 to 1), `images_seen` (with repetitions), `resnet` where the method trains one.

    Raises:
        UntaughtError: see `check_taught`.
    """
    check_taught(method, training.steps)
    metadata = {
        "backbone": backbone.model_dump(mode="json"),
        "pretrained_by": method.name,
        **origin_of(method, training),
    }
    if (resnet := getattr(method.configs["cfg"], "resnet", None)) is not None:
        metadata["resnet"] = resnet.model_dump(mode="json")
    return Checkpoint(method.backbone_state(), metadata)


def origin_of(method: Pretraining, training: TrainConfig) -> dict[str, float]:
    """`start_left` and `images_seen` of a run, known before it."""
    return {
        "start_left": method.start_left(training.steps),
        "images_seen": training.steps * training.batch_size,
    }


def _steps_that_do(method: Pretraining, steps: int) -> int | None:
    """The fewest steps, to about 1 %, after which little enough is left; None if none do."""
    below, above = steps, steps
    while method.start_left(above) > MOST_LEFT:
        below, above = above, 2 * above
        if above > _MOST_STEPS:
            return None
    while above - below > max(1, above // 100):
        middle = (below + above) // 2
        below, above = (middle, above) if method.start_left(middle) > MOST_LEFT else (below, middle)
    return above


def draw_with_seed(method: Pretraining, batch: Batch, seed: int) -> dict[str, Image.Image]:
    """A method's pictures of a batch (`Pretraining.draw`), its views and masks drawn by a seed."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        seed_everything(seed)
        return method.eval().draw(batch)
