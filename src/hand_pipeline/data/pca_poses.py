"""Finger poses drawn from principal components: the baseline of pose generation."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PosePCA:
    """A normal distribution of finger poses.

    MaskHand (arXiv 2412.13393) compares its generated hands with poses from MANO's principal
    components.

    Deviation: the paper says neither how many components nor how they are drawn; we fit them to
    given poses and draw each from its own normal distribution, all of them unless told otherwise.

    Attributes:
        mean: axis-angle of the 15 finger joints, MANO's order, full (relative to the flat hand),
            radians.
        components: orthonormal rows, the most varied first; the largest entry of each is positive.
        std: standard deviation of the poses along each component, radians.
    """

    mean: Float[Tensor, "45"]
    components: Float[Tensor, "components 45"]
    std: Float[Tensor, " components"]

    @classmethod
    def fit(cls, poses: Float[Tensor, "poses 45"]) -> "PosePCA":
        """Components of given poses, at most one less than there are poses.

        Args:
            poses: as `mean`.

        Raises:
            ValueError: fewer than two poses, or a pose that is not finite.
        """
        if len(poses) < 2:
            raise ValueError(f"expected at least two poses to fit components to, got {len(poses)}")
        if not poses.isfinite().all():
            raise ValueError("expected finite poses; some hold NaN or infinity")
        values = poses.detach().cpu().double()
        mean = values.mean(0)
        _, sizes, rows = torch.linalg.svd(values - mean, full_matrices=False)
        kept = min(len(poses) - 1, len(mean))
        # a component and its opposite are as good; settle on one, whatever LAPACK found
        largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
        rows = torch.where(largest < 0, -rows, rows)
        std = sizes[:kept] / math.sqrt(len(poses) - 1)
        return cls(mean.float(), rows[:kept].float(), std.float())

    def sample(
        self,
        count: int,
        generator: torch.Generator,
        num_components: int | None = None,
        truncation: float | None = None,
    ) -> Float[Tensor, "count 45"]:
        """Draw poses; the same generator state gives the same poses.

        `ManoHand.full_pose(..., flat_hand_mean=True)` takes them, with three zeros for the wrist
        in front.

        Args:
            count: how many.
            generator: on the CPU.
            num_components: the first so many vary, the others stay at the mean; None is all.
            truncation: standard deviations that no component exceeds (a truncated normal
                distribution); None is no limit.

        Raises:
            ValueError: an impossible number of components, or a limit that is not positive.
        """
        known = len(self.components)
        used = known if num_components is None else num_components
        if not 1 <= used <= known:
            raise ValueError(f"can use 1 to {known} components, not {num_components}")
        if truncation is not None and not truncation > 0:
            raise ValueError(f"truncation must be above 0 standard deviations, not {truncation}")
        if truncation is None:
            draws = torch.randn(count, used, generator=generator)
        else:
            draws = _truncated_normal((count, used), truncation, generator)
        return self.mean + (draws * self.std[:used]) @ self.components[:used]


def _truncated_normal(
    shape: tuple[int, int], limit: float, generator: torch.Generator
) -> Float[Tensor, "count components"]:
    """Standard normal draws given that they are within +-limit, by the inverse of their CDF."""
    unit = 2 * torch.rand(shape, dtype=torch.float64, generator=generator) - 1
    draws = math.sqrt(2) * torch.erfinv(unit * math.erf(limit / math.sqrt(2)))
    return draws.clamp(-limit, limit).float()
