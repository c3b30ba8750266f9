"""Numbers that show whether self-distillation has collapsed; nothing here has a gradient."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def target_health(
    name: str,
    targets: Float[Tensor, "rows logits"],
    weights: Float[Tensor, " rows"] | None,
    log_center: Float[Tensor, " logits"],
) -> dict[str, Tensor]:
    """Entropy of the teacher's targets, and divergence of their mean from two distributions.

    Args:
        name: prefix of the monitors' names.
        targets: teacher probabilities.
        weights: share of each row, summing to 1; None: all alike.
        log_center: log softmax of the centre at the teacher's temperature.

    Returns:
        `{name}_entropy`, mean over the targets, nats: near 0 every target is one-hot.
        `{name}_kl_uniform`: towards log(logits), one logit wins for all images.
        `{name}_kl_center`: how far the targets have left what the centre already takes away.
    """
    if weights is None:
        weights = targets.new_full(targets.shape[:1], 1 / len(targets))
    entropy = (weights * torch.special.entr(targets).sum(-1)).sum()
    mean = (weights[:, None] * targets).sum(0)
    negative_entropy = -torch.special.entr(mean).sum()
    return {
        f"{name}_entropy": entropy,
        f"{name}_kl_uniform": negative_entropy + math.log(targets.shape[-1]),
        f"{name}_kl_center": negative_entropy - (mean * log_center).sum(),
    }


@torch.no_grad()
def feature_spread(features: Float[Tensor, "batch width"]) -> Float[Tensor, ""]:
    """Spread of unit-length features over the batch: 1 when isotropic, 0 when all are alike."""
    unit = F.normalize(features.float(), dim=-1)
    return unit.std(0, correction=0).square().mean().sqrt() * math.sqrt(features.shape[-1])
