"""What every node of MaskHand's evaluation needs: its settings, the held-out hands, keypoints."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from hand_pipeline.data.batch import HandBatch, Keypoints, true_keypoints
from hand_pipeline.data.detected_keypoints import WithKeypoints, read_keypoints
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.predict import ScoringConfig
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.training.method import Reconstructor

Source = Literal["detected", "true", "none"]
"""Whose 2D keypoints a model is given."""


class MaskHandEvaluationConfig(ScoringConfig):
    """How MaskHand is scored; hands at once are photos times hypotheses."""

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


def open_held_out(hands: Path, keypoints: Path, model: Reconstructor) -> WithKeypoints:
    """The held-out hands with what the detector saw in them."""
    held_out = open_labelled_hands(hands, "evaluation", model.mano)
    return WithKeypoints(held_out, read_keypoints(keypoints, "evaluation"))


def given(batch: HandBatch, source: Source) -> HandBatch:
    """The same hands with the keypoints of that source."""
    known: dict[Source, Callable[[], Keypoints | None]] = {
        "detected": lambda: batch.keypoints,
        "true": lambda: true_keypoints(batch),
        "none": lambda: None,
    }
    return replace(batch, keypoints=known[source]())
