"""Figures of a tokenizer: hands before and after it, and how often each code is used."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from hand_pipeline.data.batch import PoseBatch
from hand_pipeline.methods.maskhand.vq_mano import VqMano
from hand_pipeline.viz.figure import COLOURS
from hand_pipeline.viz.hands import PREDICTED, TRUE, middle, over, view_camera
from hand_pipeline.viz.sheet import Layout, sheet, tiles

_COLUMNS = ("before", "after", "after over before")
_LAYOUT = Layout(gap=6, between=12, header=24, caption=18)
_MARGIN = 1.1  # free space around a hand


def before_and_after(
    vertices: Float[Tensor, "hands vertices 3"],
    rebuilt: Float[Tensor, "hands vertices 3"],
    faces: Int[Tensor, "faces 3"],
    captions: Sequence[str],
    size: int = 160,
    hands_a_row: int = 2,
) -> Image.Image:
    """Each hand, its reconstruction from tokens, and both in one image.

    Args:
        vertices: metres, rotated as they are to be seen; positions do not count.
        rebuilt: the same hands, decoded from their tokens.
        faces: triangles of the mesh.
        captions: one per hand.
        size: side of each tile, px.
        hands_a_row: hands side by side.

    Raises:
        ValueError: no hands, or another number of captions.
    """
    if len(vertices) == 0 or len(captions) != len(vertices):
        raise ValueError(f"expected a caption for each of {len(vertices)} hands, at least one")
    centre = middle(vertices)
    away, camera = view_camera((vertices - centre).norm(dim=-1).amax(1), size, _MARGIN)
    cameras = camera.expand(len(vertices), 3, 3)
    paper = vertices.new_ones(len(vertices), 3, size, size)
    before = over(paper, vertices - centre + away, faces, cameras, TRUE)
    after = over(paper, rebuilt - centre + away, faces, cameras, PREDICTED)
    strips = list(zip(tiles(before), tiles(after), tiles((before + after) / 2)))
    return sheet(strips, captions, _LAYOUT._replace(columns=hands_a_row), _COLUMNS)


@torch.no_grad()
def draw_tokenized(method: VqMano, batch: PoseBatch, captions: Sequence[str]) -> Image.Image:
    """Hands before and after a tokenizer, wrists at one place (`before_and_after`)."""
    rebuilt = method.tokenizer.detokenize(method.tokenizer.tokenize(batch.mano_pose))
    meshes = [method.mano(pose, batch.betas) for pose in (batch.mano_pose, rebuilt)]
    before, after = (mesh.vertices - mesh.joints[:, :1] for mesh in meshes)
    return before_and_after(before, after, method.mano.faces, captions)


def code_use(uses: Int[np.ndarray, " codes"]) -> Figure:
    """Share of the tokens that each code has, most used first, compared with uniform use.

    Raises:
        ValueError: no code is used.
    """
    if not uses.sum():
        raise ValueError("expected the uses of codes, got none")
    share = np.sort(uses)[::-1] / uses.sum()
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.fill_between(np.arange(len(share)), share * 100, step="mid", color=COLOURS[2])
    axes.axhline(100 / len(share), color=COLOURS[0], linewidth=1, label="all used alike")
    used = np.count_nonzero(uses)
    axes.set(xlabel="code, most used first", ylabel="share of the tokens, %")
    axes.set(xlim=(0, len(share)), title=f"{used} of {len(share)} codes are used")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
