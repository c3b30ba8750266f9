"""Hands with the tokens that MaskHand drew them as."""

from dataclasses import dataclass, fields, replace
from typing import Any

from jaxtyping import Float, Int64
from torch import Tensor

from hand_pipeline.data.batch import HandHypotheses


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
