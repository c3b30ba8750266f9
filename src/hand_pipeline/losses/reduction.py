"""How a loss averages over the samples that carry a label."""

from jaxtyping import Bool, Float
from torch import Tensor


def masked_mean(
    values: Float[Tensor, " batch *elements"], valid: Bool[Tensor, " batch *labelled"]
) -> Float[Tensor, ""]:
    """Mean of `values` over the elements whose flag is True; 0 where no flag is.

    Flags cover the leading axes of `values` (one a sample, or one a joint) and hold for everything
    behind them. Labelled elements weigh the same in whichever sample they are, so a batch that
    mixes data sets is not dominated by its poorly labelled part.

    Raises:
        ValueError: the flags' axes are not the leading axes of `values`.
    """
    if values.shape[: valid.ndim] != valid.shape:
        raise ValueError(
            f"expected flags for the leading axes of values {tuple(values.shape)}, "
            f"got {tuple(valid.shape)}"
        )
    per_flag = values.flatten(valid.ndim).mean(-1) if values.ndim > valid.ndim else values
    # where, not a product: an unlabelled element may be infinite (a joint behind the camera)
    total = per_flag.where(valid, per_flag.new_zeros(())).sum()
    return total / valid.sum().clamp(min=1)


def weighted_mean(
    values: Float[Tensor, "*elements"], weights: Float[Tensor, "*elements"]
) -> Float[Tensor, ""]:
    """Sum of weighted values over the sum of weights (none negative); 0 where all weights are 0.

    A value of weight 0 may be infinite.
    """
    counted = weights > 0
    total = (values.where(counted, values.new_zeros(())) * weights).sum()
    share = weights.sum()
    return total / share.where(share > 0, share.new_ones(()))
