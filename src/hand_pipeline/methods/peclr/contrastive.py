"""Contrastive loss: pull two views of a photo together, push views of other photos apart."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def nt_xent_loss(
    first: Float[Tensor, "batch latent"],
    second: Float[Tensor, "batch latent"],
    temperature: float = 0.5,
) -> Float[Tensor, ""]:
    """Normalised temperature-scaled cross entropy (SimCLR eq. 1; PeCLR eq. 1).

    With unit latents z of all 2 N views and j the other view of i's photo, the mean over i of
    -log exp(z_i . z_j / T) / sum over k != i of exp(z_i . z_k / T). If all latents are equal it is
    log(2 N - 1).

    In float32, also under autocast. With several devices, each uses the negatives of its own share
    of the batch, as PeCLR's accumulated batches do.

    Args:
        first: of the first views, any length.
        second: of the second views, same photos in the same order.
        temperature: PeCLR: 0.5.
    """
    with torch.autocast(first.device.type, enabled=False):
        similarity = pair_cosines(first, second) / temperature
        return F.cross_entropy(similarity, other_views(len(first), first.device))


def pair_cosines(
    first: Float[Tensor, "batch latent"], second: Float[Tensor, "batch latent"]
) -> Float[Tensor, "views views"]:
    """Cosines of all pairs of views, first views first; -infinity of a view with itself."""
    unit = F.normalize(torch.cat([first, second]).float(), dim=-1)
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    return (unit @ unit.T).masked_fill(itself, -torch.inf)


def other_views(batch: int, device: torch.device) -> Tensor:
    """Index of the other view of each view's photo, in the order of `pair_cosines`."""
    return torch.arange(2 * batch, device=device).roll(batch)
