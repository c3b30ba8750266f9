"""Reconstructed hands beside their photos and their truth."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hand_pipeline.geometry.rasterizer import render

PREDICTED = (0.36, 0.60, 0.92)  # blue: what a model says
TRUE = (0.93, 0.68, 0.42)  # orange: what is so
SIDE_TURN = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.0))
"""Rotation of a mesh that is seen from the side: 90 degrees about the vertical."""
COLUMNS = ("photo", "prediction", "truth", "prediction, side", "truth, side")

_HEADER, _CAPTION, _GAP = 22, 18, 4
_PAPER, _INK = (255, 255, 255), (40, 44, 52)
_VIEW_MARGIN = 1.15  # free space around the larger hand of a side view
_VIEW_DISTANCE = 6.0  # side views: camera distance in hand radii; far, so that it hardly distorts


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
        size: side of each picture, pixels.

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
    pictures = [
        photos,
        over(photos, vertices, faces, camera, PREDICTED),
        over(photos, true_vertices, faces, camera, TRUE),
        over(paper, predicted_side, faces, side_camera, PREDICTED),
        over(paper, true_side, faces, side_camera, TRUE),
    ]
    return _sheet(dict(zip(COLUMNS, pictures, strict=True)), list(captions), size)


def comparison_grid(
    images: Mapping[str, UInt8[Tensor, "hands 3 height width"]],
    intrinsics: Float[Tensor, "hands 3 3"],
    vertices: Mapping[str, Float[Tensor, "hands vertices 3"]],
    true_vertices: Float[Tensor, "hands vertices 3"],
    faces: Int[Tensor, "faces 3"],
    captions: Sequence[str],
    size: int = 160,
) -> Image.Image:
    """One row a hand: its pictures, then each model's mesh and the true one over the first picture.

    Args:
        images: pictures of the hands by heading, 0 to 255, square, of one camera.
        intrinsics: cameras of the pictures.
        vertices: predicted by each model, camera frame, metres.
        true_vertices: labelled, camera frame, metres.
        faces: triangles of the mesh.
        captions: under each row, for example its errors.
        size: side of each picture, pixels.

    Raises:
        ValueError: no pictures or no hands, or captions of another number.
    """
    if not images or len(true_vertices) == 0:
        raise ValueError("expected at least one picture of at least one hand to draw, got none")
    if len(captions) != len(true_vertices):
        raise ValueError(f"expected {len(true_vertices)} captions, got {len(captions)}")
    camera = camera_at(size, intrinsics, next(iter(images.values())))
    columns = {name: resized(pictures, size) for name, pictures in images.items()}
    first = next(iter(columns.values()))
    for name, mesh in vertices.items():
        columns[name] = over(first, mesh, faces, camera, PREDICTED)
    columns["truth"] = over(first, true_vertices, faces, camera, TRUE)
    return _sheet(columns, list(captions), size)


def over(
    pictures: Float[Tensor, "hands 3 height width"],
    vertices: Float[Tensor, "hands vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "hands 3 3"],
    colour: tuple[float, float, float],
) -> Float[Tensor, "hands 3 height width"]:
    """Shaded meshes of one colour over pictures, 0 to 1."""
    colours = vertices.new_tensor(colour).expand_as(vertices)
    height, width = pictures.shape[-2:]
    drawn, alpha = render(vertices, faces, intrinsics, (height, width), colours)
    return drawn + (1 - alpha[:, None]) * pictures


def side_views(
    meshes: Sequence[Float[Tensor, "hands vertices 3"]], size: int
) -> tuple[list[Float[Tensor, "hands vertices 3"]], Float[Tensor, "hands 3 3"]]:
    """Meshes of the same hands turned by `SIDE_TURN`, each about its own centre, and their camera.

    The camera stands so far that the largest mesh of a hand fits pictures of `size` px.
    """
    turn = meshes[0].new_tensor(SIDE_TURN)
    centred = [mesh - _centre(mesh) for mesh in meshes]
    radius = torch.stack([mesh.norm(dim=-1).amax(1) for mesh in centred]).amax(0)
    distance = radius * _VIEW_DISTANCE
    focal = size / 2 * (_VIEW_DISTANCE - 1) / _VIEW_MARGIN
    row = turn.new_tensor([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    away = torch.zeros_like(meshes[0][:, :1])
    away[..., 2] = distance[:, None]
    return [mesh @ turn.mT + away for mesh in centred], row.expand(len(distance), 3, 3)


def _centre(mesh: Tensor) -> Tensor:
    return (mesh.amax(1, keepdim=True) + mesh.amin(1, keepdim=True)) / 2


def resized(images: Tensor, size: int) -> Float[Tensor, "hands 3 size size"]:
    """Square photos of bytes as pictures of `size` px, 0 to 1."""
    return torch.nn.functional.interpolate(
        images.float() / 255, size=(size, size), mode="bilinear", antialias=True
    )


def camera_at(size: int, intrinsics: Tensor, images: Tensor) -> Float[Tensor, "hands 3 3"]:
    """Of the pictures once they are `size` px wide and high."""
    camera = intrinsics.clone()
    camera[:, 0] *= size / images.shape[-1]
    camera[:, 1] *= size / images.shape[-2]
    return camera


def as_bytes(pictures: Tensor) -> np.ndarray:
    """Pictures from 0 to 1 as PIL takes them: height, width, channels."""
    array = (pictures.clamp(0, 1) * 255).round().to(torch.uint8)
    return array.permute(0, 2, 3, 1).cpu().numpy()


def _sheet(
    columns: Mapping[str, Float[Tensor, "hands 3 size size"]], captions: list[str], size: int
) -> Image.Image:
    """Paste pictures into a table with a heading a column and a caption a row."""
    row_height = size + _GAP + (_CAPTION if captions else 0)
    width = len(columns) * (size + _GAP) + _GAP
    rows = len(next(iter(columns.values())))
    sheet = Image.new("RGB", (width, _HEADER + rows * row_height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    heading, small = ImageFont.load_default(13), ImageFont.load_default(11)
    for j, (name, pictures) in enumerate(columns.items()):
        left = _GAP + j * (size + _GAP)
        draw.text((left + size / 2, _HEADER / 2), name, _INK, heading, anchor="mm")
        for i, picture in enumerate(as_bytes(pictures)):
            sheet.paste(Image.fromarray(picture), (left, _HEADER + i * row_height))
    for i, caption in enumerate(captions):
        top = _HEADER + i * row_height + size + 3
        draw.text((_GAP, top), caption, _INK, small)
    return sheet
