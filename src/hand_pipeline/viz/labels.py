"""Data with its labels drawn: hands of a data set, collected crops.

They show at a glance whether labels are read correctly and collecting went well.
"""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from hand_pipeline.data.manifest import HandManifest
from hand_pipeline.data.photos.cropping import cut_square, squares_around
from hand_pipeline.data.photos.files import BadPhoto, load_photo
from hand_pipeline.data.readers.check_labels import right_meshes
from hand_pipeline.data.shards.files import ShardReader
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand, mirror_faces, mirror_points
from hand_pipeline.viz.overlay import SIDE_COLOURS, DrawnHand, draw_hands, draw_skeleton
from hand_pipeline.viz.sheet import Layout, sheet

_CONTEXT = 2.0  # side of the window shown, longer sides of the hand's box
_FAR = 1e4  # px: wild points are moved this near, so that they cannot stall the drawing
_BLACK = (0, 0, 0)
_CAPTIONS = Layout(caption=14, drop=0, ink=_BLACK)
_BOX, _PROJECTED, _MISSING = "#ffe600", "#ffffff", "#bbbbbb"


class Tile(NamedTuple):
    """An image with labels drawn on it, and its caption."""

    caption: str
    image: Image.Image


def label_sheet(hands: Sequence[Tile], columns: int = 4) -> Image.Image:
    """Hands row by row, with their captions; of one too long the end is shown.

    Raises:
        ValueError: there are none.
    """
    if not hands:
        raise ValueError("no hand to draw: not one split could be read")
    longest = hands[0].image.width // 6  # characters that fit
    captions = [
        hand.caption if len(hand.caption) <= longest else f"…{hand.caption[1 - longest :]}"
        for hand in hands
    ]
    layout = _CAPTIONS._replace(columns=min(columns, len(hands)), between=8)
    return sheet([[hand.image] for hand in hands], captions, layout)


def labelled_hands(
    manifest: HandManifest, rows: Sequence[int], mano: ManoHand, tile: int = 208
) -> list[Tile]:
    """Some hands with every label they have.

    Left: the box (yellow), the 2D joints (a colour a finger), and over them the 3D joints through
    the camera (white rings; they should lie on the joints). Right: the set's own mesh, or where it
    has none that of MANO's numbers (or the vertices' pixels, as dots); right hands blue, left ones
    orange. A photo that cannot be read is a grey field that says why.

    Args:
        manifest: the labels.
        rows: hands to draw.
        mano: the right hand, with the set's fingertips.
        tile: side of each of the two looks, px.
    """
    chosen = manifest.select(rows)
    meshes = _meshes(chosen, mano)
    squares = squares_around(chosen.boxes, _CONTEXT)
    if chosen.image_side is not None and not chosen.has_joints_2d.any():
        squares[:] = [0, 0, chosen.image_side]  # the box is the whole image
    drawn = []
    for row in range(len(chosen)):
        side = "right" if chosen.is_right[row] else "left"
        caption = f"{chosen.ids[row]} ({side})"
        try:
            photo = load_photo(chosen.root / chosen.images[row])
        except BadPhoto as error:
            drawn.append(Tile(caption, _blank(tile, error)))
            continue
        left, top, extent = squares[row].tolist()
        window = cut_square(photo, left, top, extent, tile)
        scale = tile / extent
        to_tile = np.array([[scale, 0, -scale * left], [0, scale, -scale * top], [0, 0, 1]])
        looks = Image.new("RGB", (2 * tile, tile))
        looks.paste(_points(chosen, row, window, to_tile))
        looks.paste(_mesh(chosen, row, window, to_tile, meshes[row], mano), (tile, 0))
        drawn.append(Tile(caption, looks))
    return drawn


def _meshes(chosen: HandManifest, mano: ManoHand) -> list[torch.Tensor | None]:
    """Each hand's mesh where it is, of its own side; None where it has none."""
    if chosen.vertices is not None:
        return list(torch.from_numpy(chosen.vertices))
    found: list[torch.Tensor | None] = [None] * len(chosen)
    there = np.flatnonzero(chosen.has_mano)
    if there.size:
        vertices = right_meshes(chosen.select(there), mano).vertices
        for row, points in zip(there.tolist(), vertices):
            found[row] = points if chosen.is_right[row] else mirror_points(points)
    return found


def _points(
    chosen: HandManifest, row: int, window: UInt8[np.ndarray, "s s 3"], to_tile: np.ndarray
) -> Image.Image:
    image = Image.fromarray(window)
    draw = ImageDraw.Draw(image)
    corners = _moved(chosen.boxes[row].reshape(2, 2), to_tile)
    draw.rectangle([*np.sort(corners, axis=0).ravel()], outline=_BOX)
    known = chosen.has_joints_2d[row]
    draw_skeleton(image, _moved(chosen.joints_2d[row], to_tile), known)
    deep = (
        chosen.has_joints_3d[row] & chosen.has_intrinsics[row] & (chosen.joints_3d[row, :, 2] > 0)
    )
    if deep.any():
        points = torch.from_numpy(chosen.joints_3d[row][deep])
        pixels = project(points, torch.from_numpy(chosen.intrinsics[row])).numpy()
        for x, y in _moved(pixels, to_tile).tolist():
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], outline=_PROJECTED)
    return image


def _mesh(
    chosen: HandManifest,
    row: int,
    window: UInt8[np.ndarray, "s s 3"],
    to_tile: np.ndarray,
    vertices: torch.Tensor | None,
    mano: ManoHand,
) -> Image.Image:
    side = "right" if chosen.is_right[row] else "left"
    if vertices is None and "vertices_px" in chosen.flags:
        return _dots(chosen.flags["vertices_px"][row, :, :2], window, to_tile, side)
    image = Image.fromarray(window)
    missing = "no mesh" if vertices is None else "" if chosen.has_intrinsics[row] else "no camera"
    if vertices is not None and not missing and bool((vertices[:, 2] <= 0).any()):
        missing = "behind the camera"
    if missing or vertices is None:
        ImageDraw.Draw(image).text((4, 4), missing, _MISSING, ImageFont.load_default(11))
        return image
    faces = mano.faces if side == "right" else mirror_faces(mano.faces)
    joints = torch.from_numpy(chosen.joints_2d[row])
    hand = DrawnHand(vertices, faces, joints, SIDE_COLOURS[side])
    camera = torch.from_numpy(to_tile).float() @ torch.from_numpy(chosen.intrinsics[row])
    return Image.fromarray(draw_hands(window, [hand], camera, skeleton=False))


def _dots(
    pixels: Float[np.ndarray, "778 2"],
    window: UInt8[np.ndarray, "s s 3"],
    to_tile: np.ndarray,
    side: str,
) -> Image.Image:
    """A mesh that is known in the photo only (YouTube3DHands): its vertices as dots."""
    image = Image.fromarray(window)
    colour = tuple(round(255 * value) for value in SIDE_COLOURS[side])
    places = [tuple(point) for point in _moved(pixels, to_tile).tolist()]
    ImageDraw.Draw(image).point(places, colour)
    return image


def _moved(
    points: Float[np.ndarray, "points 2"], to_tile: np.ndarray
) -> Float[np.ndarray, "points 2"]:
    """Photo pixels on the tile."""
    moved = points.astype(np.float64) @ to_tile[:2, :2].T + to_tile[:2, 2]
    return np.clip(moved, -_FAR, _FAR)


def _blank(tile: int, error: BadPhoto) -> Image.Image:
    image = Image.new("RGB", (2 * tile, tile), _MISSING)
    text = f"{error.reason}\n{error.detail}"[: tile // 2]
    ImageDraw.Draw(image).text((4, 4), text, "black", ImageFont.load_default(11))
    return image


def contact_sheet(
    shards: ShardReader, count: int = 60, columns: int = 10, tile: int = 128, seed: int = 0
) -> Image.Image:
    """Crops drawn at random, as many of each set as possible, with landmarks and set names.

    Args:
        shards: crops of `data.photos.collect`.
        count: crops at most.
        columns: crops a row.
        tile: side of a crop on the sheet, px.
        seed: of the choice.

    Raises:
        ValueError: there are no crops.
    """
    if not len(shards):
        raise ValueError(
            f"{shards.directory} holds no crop to show; see the collect summary for why"
        )
    strips, captions = [], []
    for index in _evenly(shards, count, seed):
        content, meta = shards.read(index)
        with Image.open(io.BytesIO(content)) as crop:
            shown = crop.convert("RGB").resize((tile, tile), Image.Resampling.BILINEAR)
            scale = tile / crop.width
        if "landmarks_2d" in meta:
            draw_skeleton(shown, np.array(meta["landmarks_2d"]) * scale)
        strips.append([shown])
        captions.append(f"{meta.get('set', '')}{' (mirrored)' if meta.get('mirrored') else ''}")
    return sheet(strips, captions, _CAPTIONS._replace(columns=columns))


def _evenly(shards: ShardReader, count: int, seed: int) -> list[int]:
    """Positions of crops, taken in turns from the sets, sets in the order of their names."""
    by_set: dict[str, list[int]] = {}
    for index in np.random.default_rng(seed).permutation(len(shards)).tolist():
        by_set.setdefault(str(shards.meta(index).get("set", "")), []).append(index)
    longest = max(map(len, by_set.values()))
    names = sorted(by_set)
    turns = [by_set[name][turn] for turn in range(longest) for name in names
             if turn < len(by_set[name])]  # fmt: skip
    return sorted(turns[:count], key=lambda index: str(shards.meta(index).get("set", "")))
