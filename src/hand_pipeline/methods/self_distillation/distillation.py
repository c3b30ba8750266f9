"""Self-distillation: centred teacher targets and the cross entropies of DINO and iBOT.

Everything here runs in float32, also under autocast: temperatures of a few hundredths amplify
rounding errors of the logits to whole nats.
"""

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.nn import functional as F


class Center(nn.Module):
    """Running mean of the teacher's logits, subtracted before its softmax against collapse (DINO).

    Momentum 0.9 as in DINO and iBOT; the batch mean is taken over all ranks.
    """

    value: Tensor

    def __init__(self, num_logits: int, momentum: float = 0.9) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", torch.zeros(num_logits))

    def targets(
        self, logits: Float[Tensor, "*batch logits"], temperature: float
    ) -> Float[Tensor, "*batch logits"]:
        """Teacher probabilities: softmax((logits - centre) / temperature), without gradient."""
        return F.softmax((logits.detach().float() - self.value) / temperature, dim=-1)

    @torch.no_grad()
    def update(
        self,
        logits: Float[Tensor, "*batch logits"],
        weights: Float[Tensor, "*batch"] | None = None,
    ) -> None:
        """Move the centre towards the mean of these logits; call it after the loss.

        Args:
            logits: the teacher's, before centring.
            weights: 1 for rows that count, 0 for those that do not.
        """
        rows = logits.detach().float().flatten(0, -2)
        if weights is None:
            total, count = rows.sum(0), rows.new_tensor(float(rows.shape[0]))
        else:
            total, count = weights.flatten().float() @ rows, weights.sum().float()
        total, count = _over_ranks(total), _over_ranks(count)
        self.value.lerp_(total / count.clamp(min=1e-6), 1 - self.momentum)


def cross_entropy(
    targets: Float[Tensor, "*batch logits"],
    logits: Float[Tensor, "*batch logits"],
    temperature: float,
) -> Float[Tensor, "*batch"]:
    """Minus sum of p_teacher log p_student, with p_student = softmax(logits / temperature)."""
    return -(targets * F.log_softmax(logits.float() / temperature, dim=-1)).sum(-1)


def cross_view_loss(
    targets: Float[Tensor, "2 batch logits"],
    logits: Float[Tensor, "2 batch logits"],
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Each view's teacher against the other view's student, mean over both directions and batch.

    DINO's loss for two views; HandMIM's L_pose on aligned class tokens (eq. 6).

    Deviation: HandMIM's Algorithm 1 adds the two directions; we average them as iBOT does, which
    halves the value and leaves Adam's step the same up to clipping.
    """
    return cross_entropy(targets, logits.flip(0), temperature).mean()


def patch_loss(
    targets: Float[Tensor, "tokens logits"],
    logits: Float[Tensor, "tokens logits"],
    weights: Float[Tensor, " tokens"],
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Same-view cross entropy of patch tokens; iBOT's masked image modelling, HandMIM's L_patch.

    Args:
        targets: teacher probabilities of the tokens.
        logits: the student's, of the same tokens.
        weights: share of each token, summing to 1; with 1 / (images * masked tokens of its image)
            this is iBOT's mean over masked tokens, then over images. 0 leaves a token out.
        temperature: the student's.
    """
    return (cross_entropy(targets, logits, temperature) * weights).sum()


def _over_ranks(total: Tensor) -> Tensor:
    """The sum over all ranks if torch.distributed is initialised, else the tensor itself."""
    if distributed.is_available() and distributed.is_initialized():
        total = total.contiguous()
        distributed.all_reduce(total)
    return total
