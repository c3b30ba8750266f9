"""Hands that were labelled by fitting, accepted and rejected ones: what was seen, and the fit."""

import io

import numpy as np
import torch
from PIL import Image

from hand_pipeline.data.photos.pseudo_labels import ACCEPTED, PseudoLabels
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.viz.overlay import SIDE_COLOURS, DrawnHand, draw_hands, draw_skeleton
from hand_pipeline.viz.sheet import Layout, sheet

_LAYOUT = Layout(columns=4, between=14, header=4, caption=18)


def pseudo_label_sheet(
    labels: PseudoLabels,
    shards: ShardReader,
    mano: ManoHand,
    count: int,
    seed: int,
    tile: int = 160,
) -> Image.Image:
    """Some hands at random: first accepted ones, then rejected ones with their reason.

    Left the landmarks that the looks agree on, right the fitted hand; the crop alone where there is
    none.

    Args:
        labels: all of them.
        shards: the crops.
        mano: the hand that was fitted.
        count: hands; half of them rejected ones, if there are as many.
        seed: of the choice.
        tile: side of an image, px.
    """
    good = (labels.table["outcome"] == ACCEPTED).to_numpy()
    order = np.random.default_rng(seed).permutation(len(good))
    rejected = order[~good[order]][: count // 2]
    chosen = [*order[good[order]][: count - len(rejected)].tolist(), *rejected.tolist()]
    strips, captions = [], []
    for row in chosen:
        with Image.open(io.BytesIO(shards.image(row))) as image:
            crop = image.convert("RGB")
        zoom = tile / crop.width
        crop = crop.resize((tile, tile))
        strips.append([_seen(labels, row, crop, zoom), _fitted(labels, row, crop, zoom, mano)])
        about = labels.table.iloc[row]
        captions.append(
            f"{about['set']}: {about['outcome']}, {about['residual_2d']:.2f} 2D,"
            f" {about['residual_3d']:.2f} 3D"
        )
    return sheet(strips, captions, _LAYOUT)


def _seen(labels: PseudoLabels, row: int, crop: Image.Image, zoom: float) -> Image.Image:
    drawn = crop.copy()
    if labels.looks.looks[row]:
        draw_skeleton(drawn, labels.looks.points[row] * zoom)
    return drawn


def _fitted(
    labels: PseudoLabels, row: int, crop: Image.Image, zoom: float, mano: ManoHand
) -> Image.Image:
    vertices = labels.fits.vertices[row]
    if not vertices.any():
        return crop
    camera = torch.tensor([zoom, zoom, 1.0])[:, None] * labels.intrinsics[row]
    hand = DrawnHand(vertices, mano.faces, torch.zeros(21, 2), SIDE_COLOURS["right"])
    return Image.fromarray(draw_hands(np.array(crop), [hand], camera, skeleton=False))
