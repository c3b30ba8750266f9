"""What every node of MaskHand's evaluation needs: its settings, the models, the held-out hands."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.data.detected_keypoints import WithKeypoints, read_keypoints, true_keypoints
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.evaluation.reconstruct import HandModel
from hand_pipeline.methods import restore_as, restore_method
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.models.token_sampling import SamplingConfig
from hand_pipeline.training.checkpoint import Checkpoint

Source = Literal["detected", "true", "none"]
"""Whose 2D keypoints a model is given."""


class MaskHandEvaluationConfig(Config):
    """How MaskHand is scored."""

    batch_size: int = Field(64, gt=0, description="hands at once: photos times hypotheses")
    allow_reflection: bool = Field(True, description="as the official programs align")
    iterations: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1, 3, 5), min_length=1, description="passes T of the table; the last is used elsewhere"
    )
    sampled: SamplingConfig = Field(
        SamplingConfig(temperature=1.0, hypotheses=20),
        description="of the hypotheses whose ranking is scored; temperature and K are our choice",
    )
    occlusion: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.8, 0.9),
        min_length=1,
        description="shares of the hand's box that are black, besides none; MaskHand: 0.8, 0.9",
    )
    occluded_hands: int | None = Field(
        None, gt=0, description="of which that is studied, the set's first; null: all"
    )
    limit_mm: float = Field(10.0, gt=0, description="largest error of a good hand or joint")
    num_bins: int = Field(10, gt=0, description="of the calibration curves")
    shown: int = Field(4, gt=0, description="hands in pictures")
    shown_hypotheses: int = Field(6, gt=0, description="of each hand in its picture")
    seed: int = Field(0, ge=0, description="of the draws and of the choice of the hands shown")

    @property
    def final(self) -> SamplingConfig:
        """The likeliest tokens after the last of `iterations`."""
        return SamplingConfig(iterations=self.iterations[-1])


def restore_model(checkpoint: Checkpoint, device: str) -> HandModel:
    """HandMIM fine-tuned, in evaluation mode.

    Raises:
        TypeError: the method reconstructs no hands.
    """
    method = restore_method(checkpoint, "the checkpoint of handmim")
    if not isinstance(method, HandModel):
        raise TypeError(f"handmim is no model that reconstructs hands: {type(method).__name__}")
    method.to(device)
    return method


def restore_maskhand(checkpoint: Checkpoint, device: str) -> MaskHand:
    """MaskHand, in evaluation mode.

    Raises:
        TypeError: another method.
    """
    return restore_as(MaskHand, checkpoint, "the checkpoint of maskhand").to(device)


def open_held_out(hands: Path, keypoints: Path, model: HandModel) -> WithKeypoints:
    """The held-out hands with what the detector saw in them."""
    held_out = open_labelled_hands(hands, "evaluation", model.mano)
    return WithKeypoints(held_out, read_keypoints(keypoints, "evaluation"))


def held_out_batches(
    hands: Path,
    keypoints: Path,
    model: HandModel,
    cfg: MaskHandEvaluationConfig,
    machine: MachineConfig,
    hypotheses: int = 1,
    most: int | None = None,
) -> tuple[Iterator[HandBatch], int]:
    """Batches of the held-out hands, and their number.

    Args:
        hypotheses: of each photo: the more, the smaller the batches.
        most: only so many of the hands, the set's first.
    """
    held_out = open_held_out(hands, keypoints, model)
    size = max(1, cfg.batch_size // hypotheses)
    rows = range(min(most or len(held_out), len(held_out)))
    batches = batches_in_order(held_out, held_out.collate, size, machine.num_workers, rows)
    return batches, -(-len(rows) // size)


def given(batch: HandBatch, source: Source) -> HandBatch:
    """The same hands with the keypoints of that source."""
    known: dict[Source, Callable[[], Keypoints | None]] = {
        "detected": lambda: batch.keypoints,
        "true": lambda: true_keypoints(batch),
        "none": lambda: None,
    }
    return replace(batch, keypoints=known[source]())
