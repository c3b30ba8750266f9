"""Hands that MaskHand draws, with their confidences."""

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from hand_pipeline.data.batch import HandHypotheses

AT_ONCE = 512
"""Hands sampled at once: with 2048 codes 250 MB of logits."""


@dataclass(frozen=True, kw_only=True)
class DrawnHands(HandHypotheses):
    """Hands with the tokens they were decoded from.

    Attributes:
        confidence, joint_confidence: always given.
        tokens: ids of the codes.
        token_probability: the network's probability of each token.
    """

    confidence: Float[Tensor, "batch hypotheses"]
    joint_confidence: Float[Tensor, "batch hypotheses 21"]
    tokens: Int64[Tensor, "batch hypotheses tokens"]
    token_probability: Float[Tensor, "batch hypotheses tokens"]

    def ranked(self) -> "DrawnHands":
        """The same hypotheses, sorted by falling confidence within each image."""
        order = self.confidence.argsort(dim=1, descending=True, stable=True)
        sorted_: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or field.name in ("ids", "intrinsics", "betas"):
                continue
            index = order.reshape(*order.shape, *[1] * (value.ndim - 2)).expand_as(value)
            sorted_[field.name] = value.gather(1, index)
        return replace(self, **sorted_)


class GeneratedHands(NamedTuple):
    """Hands without an image, the most confident first.

    Attributes:
        mano_pose: full poses.
        confidence: of each, 0 to 1: `SampledTokens.confidence`.
    """

    mano_pose: Float[Tensor, "hands 16 3 3"]
    confidence: Float[Tensor, " hands"]

    def cpu(self) -> "GeneratedHands":
        """The same on the CPU."""
        return GeneratedHands(self.mano_pose.cpu(), self.confidence.cpu())

    def ranked(self, a_group: int) -> "GeneratedHands":
        """Sorted by falling confidence within each group of so many successive hands."""
        groups = self.confidence.unflatten(0, (-1, a_group))
        order = groups.argsort(dim=1, descending=True, stable=True)
        first = a_group * torch.arange(len(groups), device=order.device)
        order = (first[:, None] + order).flatten()
        return GeneratedHands(self.mano_pose[order], self.confidence[order])


def in_parts(count: int, most: int = AT_ONCE) -> list[int]:
    """A number of hands in parts of at most so many."""
    return [min(most, count - start) for start in range(0, count, most)]
