"""Masks of hidden patches, for a whole batch at once, on the device."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_TRIES_IN_A_ROW = 10
"""After so many rejected blocks in a row BEiT's rule is content with the mask as it is."""


class MaskSampler:
    """Samples masks for a square grid of patches, without waiting for the device.

    The ratios of a batch are stratified over their range: each is still uniform, but the batch's
    total hardly varies and has a tight upper bound.

    Args:
        ratio: bounds of the uniform share of hidden patches.
        grid_size: patches along a side.

    Raises:
        ValueError: the grid is too small for the smallest ratio to hide a patch.
    """

    def __init__(self, ratio: tuple[float, float], grid_size: int) -> None:
        if ratio[0] * grid_size**2 < 1:
            raise ValueError(
                f"a ratio of {ratio[0]} hides less than one of {grid_size}x{grid_size} "
                "patches; raise mask_ratio, or use larger images or smaller patches"
            )
        self.ratio, self.grid_size = ratio, grid_size

    def __call__(
        self, batch: int, device: torch.device | str, generator: torch.Generator | None = None
    ) -> Bool[Tensor, "batch patches"]:
        """True where a patch is hidden: at least one per image, at most its ratio of the grid."""
        ratios = self.ratios(batch, device, generator)
        return block_masks(ratios, self.grid_size, generator=generator)

    def ratios(
        self, batch: int, device: torch.device | str, generator: torch.Generator | None = None
    ) -> Float[Tensor, " batch"]:
        """Share of the patches of each image that may be hidden."""
        low, high = self.ratio
        unit = torch.rand(batch, device=device, generator=generator)
        stratum = torch.rand(batch, device=device, generator=generator).argsort()
        return low + (high - low) * ((stratum + unit) / batch)

    def most_masked(self, batch: int) -> int:
        """Upper bound of the hidden patches of a batch, as the size of static buffers."""
        patches = self.grid_size**2
        low, high = self.ratio
        # Sum of the upper ends of the strata, lo + (hi - lo) * (1 + ... + batch) / batch.
        total = patches * (batch * low + (high - low) * (batch + 1) / 2)
        return min(batch * math.floor(high * patches), math.ceil(total))


def block_masks(
    ratio: Float[Tensor, " batch"],
    grid_size: int,
    rounds: int = 40,
    generator: torch.Generator | None = None,
) -> Bool[Tensor, "batch patches"]:
    """Rectangles thrown on the grid until the ratio is reached (BEiT's rule, as in iBOT).

    A try draws an area between (grid // 3)^2 and what is left of the budget (in either order), an
    aspect log-uniform in [0.3, 1 / 0.3], rounds height and width, rejects sides that are not below
    the grid's, places the block uniformly and takes it if it hides at least one new patch and no
    more than are left. An image is done when its budget is spent or 10 tries in a row failed.

    All images try in parallel for a fixed number of rounds, without a branch on data: the
    distribution is that of the rule run image by image, cut off after `rounds` tries (of 3000 masks
    of 14x14 patches none took more than 39). An image whose tries all failed gets one random patch.

    Args:
        ratio: share of the patches that may be hidden; the budget is never exceeded.
        grid_size: patches along a side.
        rounds: tries per image.
        generator: of the device of `ratio`.
    """
    batch, device = len(ratio), ratio.device
    budget = ratio * grid_size**2
    smallest = float((grid_size // 3) ** 2)
    log_aspect = math.log(1 / 0.3)
    cells = torch.arange(grid_size, device=device)
    mask = torch.zeros(batch, grid_size, grid_size, dtype=torch.bool, device=device)
    count = torch.zeros(batch, device=device)
    failed = torch.zeros(batch, device=device)
    trying = torch.ones(batch, dtype=torch.bool, device=device)
    draws = torch.rand(rounds, 4, batch, device=device, generator=generator)
    half_aspect = ((2 * draws[:, 1] - 1) * (log_aspect / 2)).exp()  # square roots of the aspects
    for round_ in range(rounds):
        left = budget - count
        side = (smallest + (left - smallest) * draws[round_, 0]).clamp(min=0).sqrt()
        height, width = (side * half_aspect[round_]).round(), (side / half_aspect[round_]).round()
        rows = _span(height, draws[round_, 2], cells)
        columns = _span(width, draws[round_, 3], cells)
        grown = mask | (rows[:, :, None] & columns[:, None, :])
        new = grown.sum((1, 2)) - count
        taken = (height < grid_size) & (width < grid_size) & (new > 0) & (new <= left)
        taken &= trying
        mask = torch.where(taken[:, None, None], grown, mask)
        count = torch.where(taken, count + new, count)
        failed = torch.where(taken, 0, failed + 1)
        trying = (failed < _TRIES_IN_A_ROW) & (count < budget)
        if device.type == "cpu" and not trying.any():  # on a GPU this check would synchronise
            break
    lone = torch.rand(batch, grid_size**2, device=device, generator=generator).argmax(1)
    flat = mask.flatten(1)
    empty = (count == 0)[:, None]
    return flat | (empty & (torch.arange(grid_size**2, device=device) == lone[:, None]))


def _span(length: Tensor, unit: Tensor, cells: Tensor) -> Bool[Tensor, "batch cells"]:
    """Cells of a span with a uniform start that leaves room for `length`, a row per image."""
    room = (len(cells) - length + 1).clamp(min=1)
    start = (unit * room).floor()[:, None]
    return (cells >= start) & (cells < start + length[:, None])


def gather_masked(
    mask: Bool[Tensor, "batch patches"], size: int
) -> tuple[Int[Tensor, " size"], Float[Tensor, " size"]]:
    """Indices of the masked tokens of a batch, in a buffer whose size does not depend on the mask.

    `tokens.flatten(0, 1)[index]` then picks tokens without waiting for the device.

    Args:
        mask: at most `size` entries are True.
        size: length of the buffer, from `MaskSampler.most_masked`.

    Returns:
        Index into the flattened batch and patches (0 in empty slots); weight of each slot, 1 over
        the images and the masked patches of its image, so that all weights sum to 1; 0 if empty.
    """
    flat = mask.flatten()
    slot = torch.where(flat, flat.cumsum(0) - 1, size).clamp(max=size)
    index = torch.zeros(size + 1, dtype=torch.long, device=mask.device)
    index = index.scatter(0, slot, torch.arange(len(flat), device=mask.device))[:size]
    share = mask / mask.sum(1, keepdim=True).clamp(min=1) / len(mask)
    filled = torch.arange(size, device=mask.device) < flat.sum()
    index = torch.where(filled, index, 0)
    return index, torch.where(filled, share.flatten()[index], 0.0)
