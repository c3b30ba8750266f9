"""Pictures of HandMIM's pretraining: what it rebuilds, and its pseudo key points."""

import torch
from jaxtyping import Bool, Float
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from hand_pipeline.data.colour import imagenet_denormalize
from hand_pipeline.data.views import ViewPair
from hand_pipeline.methods.self_distillation.pose_alignment import Coordinates, to_pixels
from hand_pipeline.viz.figure import COLOURS, to_image
from hand_pipeline.viz.sheet import Layout, sheet, tiles

_SIDE = 128  # px of a tile
_GREY = 0.5
_HEADINGS = ("photo", "view: the target", "what is seen", "rebuilt")


def draw_rebuilt(
    photos: Float[Tensor, "batch 3 height width"],
    views: ViewPair,
    hidden: Bool[Tensor, "views 1 side side"],
    rebuilt: Float[Tensor, "views 3 side side"],
) -> Image.Image:
    """A row a photo, its first view: the photo, the view, what the student sees of it, and with the
    hidden patches as rebuilt. The caption has L_recon of that view: mean absolute difference of
    hidden pixels, in standard deviations of ImageNet.

    Args:
        photos: 0 to 1.
        views: of them.
        hidden: True where the student sees nothing; first views first.
        rebuilt: the decoder's output, normalised, of whole views.
    """
    count = len(photos)
    target, hidden, rebuilt = views.images[0], hidden[:count], rebuilt[:count]
    counted = hidden & views.inside[0]
    error = (rebuilt - target).abs().mean(1, keepdim=True) * counted
    losses = error.sum((1, 2, 3)) / counted.sum((1, 2, 3)).clamp(min=1)
    shown = imagenet_denormalize(target).clamp(0, 1)
    columns = [
        photos,
        shown,
        torch.where(hidden, _GREY, shown),
        torch.where(hidden, imagenet_denormalize(rebuilt).clamp(0, 1), shown),
    ]
    side = (_SIDE, _SIDE)
    scaled = [tiles(F.interpolate(each.cpu(), size=side, mode="bilinear")) for each in columns]
    captions = [f"L_recon {loss:.2f}" for loss in losses.tolist()]
    layout = Layout(columns=2, between=16, header=22, caption=18)
    return sheet(list(zip(*scaled)), captions, layout, _HEADINGS)


def draw_key_points(
    photos: Float[Tensor, "batch 3 height width"],
    latents: Float[Tensor, "views latent"],
    coordinates: Coordinates,
) -> Image.Image:
    """The teacher's pseudo key points of both views, mapped back to each photo by the alignment.

    Were it perfectly equivariant, both views' points would fall together. The title compares how
    far they lie apart with how far those of different photos do.

    Args:
        photos: 0 to 1.
        latents: aligned; first views first.
        coordinates: their units.
    """
    height, width = photos.shape[-2:]
    first, second = to_pixels(latents, (height, width), coordinates).cpu().chunk(2)
    same = float((first - second).norm(dim=-1).mean())
    other = float((first - second.roll(1, 0)).norm(dim=-1).mean())
    columns = min(4, len(photos))
    rows = -(-len(photos) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.6 * rows + 0.5), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, photo, a, b in zip(panels, photos.cpu(), first, second):
        axes.imshow(photo.permute(1, 2, 0), extent=(0, width, height, 0), alpha=0.6)
        for points, colour in ((a, COLOURS[2]), (b, COLOURS[1])):
            axes.scatter(points[:, 0], points[:, 1], 6, color=colour, linewidths=0)
        axes.plot(
            torch.stack([a[:, 0], b[:, 0]]), torch.stack([a[:, 1], b[:, 1]]), color="k", alpha=0.2,
            linewidth=0.5,
        )  # fmt: skip
    for axes in panels:
        axes.set_axis_off()
    figure.suptitle(
        f"Key points of two views (blue, orange): {same / width:.1%} of the photo apart; "
        f"of different photos {other / width:.1%}", fontsize=9,
    )  # fmt: skip
    return to_image(figure)
