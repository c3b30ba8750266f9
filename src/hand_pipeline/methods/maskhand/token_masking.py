"""Masking and corruption of pose tokens in training.

MaskHand (arXiv 2412.13393), section 3: ceil(cos(pi tau / 2) L) of the L tokens are hidden. Some of
the visible ones are corrupted, or are the network's own choices, so that sampling passes tolerate
mistakes of earlier ones.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.methods.maskhand.pose_tokenizer import PoseTokenizer
from hand_pipeline.methods.maskhand.sampling import probability_of


class MaskedTokens(NamedTuple):
    """Input tokens of the network.

    Attributes:
        ids: codes, and the mask's id where hidden.
        asked: tokens to predict: the hidden and the corrupted ones.
    """

    ids: Int64[Tensor, "batch tokens"]
    asked: Bool[Tensor, "batch tokens"]


def draw_mask(
    count: int, num_tokens: int, taus: tuple[float, float], device: torch.device | str
) -> Bool[Tensor, "batch tokens"]:
    """`random_mask` for `count` hands, each with its own tau, uniform in the range `taus`."""
    low, high = taus
    tau = low + (high - low) * torch.rand(count, device=device)
    return random_mask(tau, num_tokens)


def random_mask(
    tau: Float[Tensor, " batch"], num_tokens: int, generator: torch.Generator | None = None
) -> Bool[Tensor, "batch tokens"]:
    """Training masks, True where hidden: ceil(cos(pi tau / 2) L) random tokens, at least one.

    Args:
        tau: 0 (all hidden) to 1; MaskHand: U(0, 1), in an ablation parts of that range.
        num_tokens: L.
        generator: on the device of `tau`; None: torch's global one.
    """
    noise = torch.rand(len(tau), num_tokens, device=tau.device, generator=generator)
    rank = noise.argsort(1).argsort(1)
    hidden = (torch.cos(tau.float() * (math.pi / 2)) * num_tokens - 1e-4).ceil().clamp(min=1)
    return rank < hidden[:, None]


def tokens_nearby(
    tokenizer: PoseTokenizer, mano_pose: Float[Tensor, "batch 16 3 3"], spread: float
) -> Int64[Tensor, "batch tokens"]:
    """Tokens of a pose with randomly rotated joints, like the mistakes of an earlier pass.

    Args:
        tokenizer: the frozen tokenizer.
        mano_pose: full pose, rotation matrices.
        spread: radians; each hand's standard deviation is uniform in 0 to this.
    """
    spreads = spread * torch.rand(len(mano_pose), 1, 1, device=mano_pose.device)
    turn = axis_angle_to_matrix(spreads * torch.randn_like(mano_pose[..., 0]))
    return tokenizer.tokenize(turn @ mano_pose)


def hide_tokens(
    targets: Int64[Tensor, "batch tokens"],
    visible: Int64[Tensor, "batch tokens"],
    hidden: Bool[Tensor, "batch tokens"],
    corruption: float,
    mask_id: int,
) -> MaskedTokens:
    """Hide tokens and replace some of the others by random codes.

    Args:
        targets: the true tokens.
        visible: tokens to show where they are not hidden: the targets, or `tokens_nearby`.
        hidden: from `random_mask`.
        corruption: share of the visible tokens that become random codes.
        mask_id: id of [MASK]; the codes are the integers below it.
    """
    corrupt = torch.rand(targets.shape, device=targets.device) < corruption
    random = torch.randint_like(targets, mask_id)
    ids = torch.where(corrupt, random, visible)
    wrong = ~hidden & (ids != targets)
    return MaskedTokens(torch.where(hidden, mask_id, ids), hidden | wrong)


def keep_surest(
    logits: Float[Tensor, "batch tokens codes"],
    hidden: Int64[Tensor, " batch"],
    likeness: Float[Tensor, "codes codes"] | None,
    mask_id: int,
) -> Int64[Tensor, "batch tokens"]:
    """What a pass of the likeliest codes leaves for the next one: its surest, the rest masked.

    Args:
        logits: of the pass.
        hidden: number of tokens that stay masked.
        likeness: see `sampling.sample_tokens`.
        mask_id: id of [MASK].
    """
    ids = logits.argmax(-1)
    rank = probability_of(ids, logits, likeness).argsort(1).argsort(1)
    return torch.where(rank < hidden[:, None], mask_id, ids)
