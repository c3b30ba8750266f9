"""Meshes of hands over their images, beside the truth, from the side, and many on one sheet."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor

from hand_pipeline.geometry.rasterizer import render
from hand_pipeline.viz.sheet import Layout, sheet, tiles

PREDICTED = (0.36, 0.60, 0.92)  # blue
TRUE = (0.93, 0.68, 0.42)  # orange
SIDE_TURN = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))
"""Rotation of a mesh that is seen from the side: 90 degrees about the vertical."""
COLUMNS = ("photo", "prediction", "truth", "prediction, side", "truth, side")

_GRID = Layout(header=22, caption=18, drop=3, foot=4)
_SHEET = Layout(caption=16, drop=1, centred=True)
_DISTANCE = 6.0  # camera from the hand, in hand radii: far, so that it hardly distorts
_SIDE_MARGIN, _SHEET_MARGIN = 1.15, 1.05  # free space around the largest hand
_AT_ONCE = 64  # hands of a sheet drawn together

Colour = tuple[float, float, float]


def qualitative_grid(
    images: UInt8[Tensor, "hands 3 height width"],
    intrinsics: Float[Tensor, "hands 3 3"],
    vertices: Float[Tensor, "hands vertices 3"],
    true_vertices: Float[Tensor, "hands vertices 3"],
    faces: Int[Tensor, "faces 3"],
    captions: Sequence[str] = (),
    size: int = 160,
) -> Image.Image:
    """One row a hand: photo, both meshes over it, and both seen from the side at one scale.

    Side views show each hand about its own centre, so they compare pose and shape, not place.

    Args:
        images: the photos, 0 to 255, square.
        intrinsics: cameras of the photos.
        vertices: predicted, camera frame, metres.
        true_vertices: labelled, camera frame, metres.
        faces: triangles of the mesh.
        captions: under each row, for example its error.
        size: side of each tile, px.

    Raises:
        ValueError: no hands, or captions of another number.
    """
    if len(images) == 0:
        raise ValueError("expected at least one hand to draw, got none")
    if captions and len(captions) != len(images):
        raise ValueError(f"expected {len(images)} captions, got {len(captions)}")
    photos = resized(images, size)
    camera = camera_at(size, intrinsics, images)
    (predicted_side, true_side), side_camera = side_views([vertices, true_vertices], size)
    paper = torch.ones_like(photos)
    drawn = [
        photos,
        over(photos, vertices, faces, camera, PREDICTED),
        over(photos, true_vertices, faces, camera, TRUE),
        over(paper, predicted_side, faces, side_camera, PREDICTED),
        over(paper, true_side, faces, side_camera, TRUE),
    ]
    return _grid(dict(zip(COLUMNS, drawn, strict=True)), captions)


def comparison_grid(
    images: Mapping[str, UInt8[Tensor, "hands 3 height width"]],
    intrinsics: Float[Tensor, "hands 3 3"],
    vertices: Mapping[str, Float[Tensor, "hands vertices 3"]],
    true_vertices: Float[Tensor, "hands vertices 3"],
    faces: Int[Tensor, "faces 3"],
    captions: Sequence[str],
    size: int = 160,
) -> Image.Image:
    """One row a hand: its images, then each model's mesh and the true one over the first image.

    Args:
        images: of the hands by heading, 0 to 255, square, of one camera.
        intrinsics: cameras of the images.
        vertices: predicted by each model, camera frame, metres.
        true_vertices: labelled, camera frame, metres.
        faces: triangles of the mesh.
        captions: under each row, for example its errors.
        size: side of each tile, px.

    Raises:
        ValueError: no images or no hands, or captions of another number.
    """
    if not images or len(true_vertices) == 0:
        raise ValueError("expected at least one image of at least one hand to draw, got none")
    if len(captions) != len(true_vertices):
        raise ValueError(f"expected {len(true_vertices)} captions, got {len(captions)}")
    camera = camera_at(size, intrinsics, next(iter(images.values())))
    columns = {name: resized(each, size) for name, each in images.items()}
    first = next(iter(columns.values()))
    for name, mesh in vertices.items():
        columns[name] = over(first, mesh, faces, camera, PREDICTED)
    columns["truth"] = over(first, true_vertices, faces, camera, TRUE)
    return _grid(columns, captions)


def hand_sheet(
    vertices: Float[Tensor, "hands vertices 3"],
    faces: Int[Tensor, "faces 3"],
    captions: Sequence[str],
    colours: Sequence[Colour],
    columns: int,
    size: int = 128,
) -> Image.Image:
    """Hands row by row, all at one scale, seen along +z (the camera frame).

    Args:
        vertices: metres; each hand is shown about its own middle.
        faces: triangles of the mesh.
        captions: one a hand.
        colours: one a hand, RGB from 0 to 1.
        columns: hands a row.
        size: side of each tile, px.

    Raises:
        ValueError: no hands, or captions or colours of another number.
    """
    if not len(vertices) or not len(vertices) == len(captions) == len(colours):
        raise ValueError(
            f"expected a caption and a colour for each of {len(vertices)} hands, at least one; got "
            f"{len(captions)} and {len(colours)}"
        )
    centred = vertices - middle(vertices)
    away, camera = view_camera(centred.abs().amax()[None], size, _SHEET_MARGIN)
    placed = centred + away
    strips: list[list[Image.Image]] = []
    for start in range(0, len(placed), _AT_ONCE):
        part, theirs = placed[start : start + _AT_ONCE], colours[start : start + _AT_ONCE]
        drawn = part.new_ones(len(part), 3, size, size)
        for colour in sorted(set(theirs)):
            rows = [row for row in range(len(part)) if theirs[row] == colour]
            cameras = camera.expand(len(rows), 3, 3)
            drawn[rows] = over(drawn[rows], part[rows], faces, cameras, colour)
        strips += [[tile] for tile in tiles(drawn)]
    return sheet(strips, captions, _SHEET._replace(columns=columns))


def over(
    images: Float[Tensor, "hands 3 height width"],
    vertices: Float[Tensor, "hands vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "hands 3 3"],
    colour: Colour,
) -> Float[Tensor, "hands 3 height width"]:
    """Shaded meshes of one colour over images, 0 to 1."""
    colours = vertices.new_tensor(colour).expand_as(vertices)
    height, width = images.shape[-2:]
    drawn, alpha = render(vertices, faces, intrinsics, (height, width), colours)
    return drawn + (1 - alpha[:, None]) * images


def side_views(
    meshes: Sequence[Float[Tensor, "hands vertices 3"]], size: int
) -> tuple[list[Float[Tensor, "hands vertices 3"]], Float[Tensor, "hands 3 3"]]:
    """Meshes of the same hands turned by `SIDE_TURN`, each about its own centre, and their camera.

    The camera is so far away that the largest mesh of a hand fits images of `size` px.
    """
    turn = meshes[0].new_tensor(SIDE_TURN)
    centred = [mesh - middle(mesh) for mesh in meshes]
    radius = torch.stack([mesh.norm(dim=-1).amax(1) for mesh in centred]).amax(0)
    away, camera = view_camera(radius, size, _SIDE_MARGIN)
    return [mesh @ turn.mT + away for mesh in centred], camera.expand(len(radius), 3, 3)


def middle(mesh: Float[Tensor, "hands vertices 3"]) -> Float[Tensor, "hands 1 3"]:
    """Of the box around each hand."""
    return (mesh.amax(1, keepdim=True) + mesh.amin(1, keepdim=True)) / 2


def resized(images: Tensor, size: int) -> Float[Tensor, "hands 3 size size"]:
    """Square images of bytes at `size` px, 0 to 1."""
    return torch.nn.functional.interpolate(
        images.float() / 255, size=(size, size), mode="bilinear", antialias=True
    )


def camera_at(size: int, intrinsics: Tensor, images: Tensor) -> Float[Tensor, "hands 3 3"]:
    """Of the images once they are `size` px wide and high."""
    camera = intrinsics.clone()
    camera[:, 0] *= size / images.shape[-1]
    camera[:, 1] *= size / images.shape[-2]
    return camera


def view_camera(
    radius: Float[Tensor, " hands"], size: int, margin: float
) -> tuple[Float[Tensor, "hands 1 3"], Float[Tensor, "3 3"]]:
    """Where hands of these radii are moved to, and the camera of `size` px that they then fill."""
    away = radius.new_zeros(len(radius), 1, 3)
    away[:, 0, 2] = radius * _DISTANCE
    focal = size / 2 * (_DISTANCE - 1) / margin
    return away, radius.new_tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])


def _grid(
    columns: Mapping[str, Float[Tensor, "hands 3 size size"]], captions: Sequence[str]
) -> Image.Image:
    """A heading a column, a caption a row."""
    strips = list(zip(*(tiles(column) for column in columns.values())))
    layout = _GRID if captions else _GRID._replace(caption=0)
    return sheet(strips, captions, layout, list(columns))
