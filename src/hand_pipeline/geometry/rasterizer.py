"""A differentiable mesh renderer: visibility first, then gradients only where something is seen.

`rasterize` finds the face behind each pixel without gradient. `interpolate` then recomputes, for
those pixels only, the perspective-correct barycentric coordinates of that one face, so colours and
depths are differentiable in the vertices and in their attributes. What this misses, the motion of
the outline, `silhouette` adds: a linear ramp across the edges where the mesh ends, in the manner
of Liu et al., Soft Rasterizer, ICCV 2019, but for the outline only. `render` draws for overlays;
for a loss on colours see `textured.py`, which puts colours and ramp together.

Deviation: S2HAND renders with the Neural 3D Mesh Renderer (Kato et al., CVPR 2018), whose gradient
is hand-made; here colours have their exact gradient inside and the edge ramp at the outline.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from hand_pipeline.geometry.outline import nearest_outline, outline_alpha
from hand_pipeline.geometry.topology import EdgeFaces, vertex_normals
from hand_pipeline.geometry.visibility import (
    NEAR,
    Backend,
    cross_2d,
    lists_are_cheap,
    pixel_centres,
    rasterize,
    to_pixels,
)

__all__ = [
    "Backend",
    "at_corners",
    "interpolate",
    "interpolate_corners",
    "rasterize",
    "render",
    "silhouette",
]

_SPARE_ROWS = 1024  # where nothing is seen; many, so that their gradients do not queue at one place


class SeenPixels(NamedTuple):
    """Where listing is cheap the pixels that see a face, elsewhere all pixels.

    Attributes:
        pixel: flat index (image, row, column).
        covered: whether it sees a face.
        values: attributes; 0 where no face is seen.
        depth: metres; 0 where no face is seen.
    """

    pixel: Int[Tensor, " pixels"]
    covered: Bool[Tensor, " pixels"]
    values: Float[Tensor, "pixels channels"]
    depth: Float[Tensor, " pixels"]


def interpolate(
    face_index: Int[Tensor, "batch height width"],
    vertices: Float[Tensor, "batch vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    attributes: Float[Tensor, "batch vertices channels"],
) -> tuple[Float[Tensor, "batch channels height width"], Float[Tensor, "batch height width"]]:
    """Attributes and depth (metres) at every pixel, perspective-correct; 0 where there is no face.

    Differentiable in vertices, intrinsics and attributes, with visibility held fixed. On the CPU
    only covered pixels are computed; elsewhere all are, because listing them would stall the
    device. On CUDA the sum over pixels in the backward pass has no fixed order.
    """
    batch, height, width = face_index.shape
    points = to_pixels(vertices, intrinsics)
    seen = interpolate_corners(
        face_index, at_corners(points, faces), at_corners(vertices, faces)[..., 2],
        at_corners(attributes, faces),
    )  # fmt: skip
    channels = attributes.shape[-1]
    empty = seen.values.new_zeros(face_index.numel(), channels)
    picture = empty.index_copy(0, seen.pixel, seen.values)
    depth = empty.new_zeros(face_index.numel()).index_copy(0, seen.pixel, seen.depth)
    return (
        picture.view(batch, height, width, channels).permute(0, 3, 1, 2),
        depth.view(batch, height, width),
    )


def at_corners(
    values: Float[Tensor, "batch vertices channels"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "batch faces 3 channels"]:
    """What is given at vertices, at the three corners of every face."""
    return values.index_select(1, faces.flatten()).unflatten(1, (-1, 3))


def interpolate_corners(
    face_index: Int[Tensor, "batch height width"],
    points: Float[Tensor, "batch faces 3 2"],
    depths: Float[Tensor, "batch faces 3"],
    attributes: Float[Tensor, "batch faces 3 channels"],
) -> SeenPixels:
    """What `interpolate` computes, from attributes given at the corners of each face.

    Args:
        points: corners of the faces, pixels. depths: metres.
    """
    _, height, width = face_index.shape
    flat = face_index.flatten()
    pixel = torch.arange(flat.numel(), device=flat.device)
    table = torch.cat([points.flatten(2), depths.clamp(min=NEAR), attributes.flatten(2)], -1)
    table = table.flatten(0, 1)
    image = torch.div(pixel, height * width, rounding_mode="floor")
    row = flat + image * points.shape[1]
    if lists_are_cheap(flat.device):
        pixel = (flat >= 0).nonzero()[:, 0]
        row = row[pixel]
    else:
        row = torch.where(flat >= 0, row, len(table) + pixel % _SPARE_ROWS)
        table = torch.cat([table, table.new_ones(_SPARE_ROWS, table.shape[1])])
    covered = flat[pixel] >= 0
    centre = pixel_centres(pixel, face_index.shape).to(points)
    corners = table.index_select(0, row)
    offset = corners[:, :6].unflatten(1, (3, 2)) - centre[:, None]
    cross = cross_2d(offset[:, [1, 2, 0]], offset[:, [2, 0, 1]])
    weight = cross / corners[:, 6:9]
    total = torch.where(covered, weight.sum(-1), 1.0)
    weight = weight / total[:, None]
    depth = torch.where(covered, cross.sum(-1) / total, 0.0)
    values = (corners[:, 9:].unflatten(1, (3, -1)) * weight[..., None]).sum(1)
    return SeenPixels(pixel, covered, torch.where(covered[:, None], values, 0.0), depth)


def silhouette(
    face_index: Int[Tensor, "batch height width"],
    vertices: Float[Tensor, "batch vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    topology: EdgeFaces,
) -> Float[Tensor, "batch height width"]:
    """Coverage of every pixel: 1 inside, 0 outside, a linear ramp of +-1 pixel across the outline.

    Differentiable in the vertices of the outline. Waits for the device once (`nearest_outline`).

    Args:
        topology: `edge_faces(faces)`, computed once a mesh.
    """
    mask = face_index >= 0
    points = to_pixels(vertices, intrinsics)
    near = nearest_outline(mask, points, vertices[..., 2], faces.long(), topology)
    ramp, _ = outline_alpha(near, mask, points, topology)
    alpha = mask.to(points.dtype).flatten().index_copy(0, near.pixel, ramp)
    return alpha.view(mask.shape)


def render(
    vertices: Float[Tensor, "batch vertices 3"],
    faces: Int[Tensor, "faces 3"],
    intrinsics: Float[Tensor, "batch 3 3"],
    image_size: tuple[int, int],
    colors: Float[Tensor, "batch vertices 3"],
    supersampling: int = 2,
    light: tuple[float, float, float] = (-0.4, -0.6, -1.0),
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch height width"]]:
    """Image and alpha of a mesh under one lamp and ambient light; for overlays and reports.

    The image is premultiplied: over a photo it is `rgb + (1 - alpha) * photo`.

    Args:
        colors: of the vertices, 0 to 1.
        supersampling: the image is drawn this many times larger and averaged.
        light: direction towards the lamp, camera frame.
    """
    scale = intrinsics.new_tensor([supersampling, supersampling, 1.0])[:, None]
    larger = scale * intrinsics
    size = (image_size[0] * supersampling, image_size[1] * supersampling)
    face_index = rasterize(vertices, faces, larger, size)
    normals = vertex_normals(vertices, faces.long())
    attributes = torch.cat([colors, normals], -1)
    values, _ = interpolate(face_index, vertices, faces, larger, attributes)
    towards = functional.normalize(vertices.new_tensor(light), dim=0)
    normal = functional.normalize(values[:, 3:], dim=1)
    lit = torch.einsum("bchw,c->bhw", normal, towards).clamp(min=0)
    picture = (values[:, :3] * (0.4 + 0.7 * lit)[:, None]).clamp(0, 1)
    alpha = (face_index >= 0).to(picture.dtype)
    return (
        functional.avg_pool2d(picture, supersampling),
        functional.avg_pool2d(alpha[:, None], supersampling)[:, 0],
    )
