"""A textured, lit mesh as an image, with gradients for a loss on colours (S2HAND, CVPR 2021).

    rgb, alpha = render_textured(vertices, faces, colours, light, intrinsics, (224, 224),
                                 topology=edge_faces(faces))

vertices (B, V, 3) metres, camera frame; faces (F, 3); colours (B, V, 3) 0 to 1; light (B, 11);
intrinsics (B, 3, 3) of the image. rgb (B, 3, H, W) premultiplied: over a photo it is
`rgb + (1 - alpha[:, None]) * photo`; alpha (B, H, W). Differentiable in vertices, colours, light
and intrinsics.

Inside the mesh the gradient is that of the interpolated colours. Across the outline, the wrist's
open edge included, colour and alpha fade over +-1 pixel, so that the image changes without jumps
when the outline moves. Where one part of the hand hides another there is no ramp.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hand_pipeline.geometry.outline import NearOutline, nearest_outline, outline_alpha
from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.geometry.rasterizer import at_corners, interpolate_corners, rasterize
from hand_pipeline.geometry.topology import EdgeFaces, edge_faces, vertex_normals
from hand_pipeline.geometry.visibility import NEAR, cross_2d, to_pixels

_MAX_PIXELS = {"cpu": 2**22, "cuda": 2**24}  # of images drawn at once; about 400 bytes each


@full_precision
def render_textured(
    vertices: Float[Tensor, "batch vertices 3"],
    faces: Int[Tensor, "faces 3"],
    colours: Float[Tensor, "batch vertices 3"],
    light: Float[Tensor, "batch 11"],
    intrinsics: Float[Tensor, "batch 3 3"],
    image_size: tuple[int, int],
    topology: EdgeFaces | None = None,
) -> tuple[Float[Tensor, "batch 3 height width"], Float[Tensor, "batch height width"]]:
    """Premultiplied image and alpha of textured meshes under ambient and directional light.

    A batch of more pixels than fit is drawn in pieces, which the backward pass draws again.

    Args:
        vertices: camera frame, metres. Faces with a vertex not beyond 1 mm are left out.
        colours: reflectance of the vertices, 0 to 1 (not checked, not clamped).
        light: as `lit_corners` takes it.
        intrinsics: to pixels whose centres are at .5.
        image_size: height, width.
        topology: `edge_faces(faces)`; give it: computing it takes as long as an image.

    Raises:
        ValueError: what `rasterize` refuses.
    """
    topology = edge_faces(faces) if topology is None else topology
    budget = _MAX_PIXELS.get(vertices.device.type, 2**22)
    piece = max(1, budget // max(1, image_size[0] * image_size[1]))
    whole = (vertices, colours, light, intrinsics)
    if len(vertices) <= piece:
        return _draw(*whole, faces, image_size, topology)
    parts = [
        checkpoint(_draw, *part, faces, image_size, topology, use_reentrant=False)
        for part in zip(*(tensor.split(piece) for tensor in whole))
    ]
    rgb, alpha = (torch.cat(part) for part in zip(*parts))
    return rgb, alpha


def lit_corners(
    vertices: Float[Tensor, "batch vertices 3"],
    faces: Int[Tensor, "faces 3"],
    colours: Float[Tensor, "batch vertices 3"],
    light: Float[Tensor, "batch 11"],
) -> Float[Tensor, "batch faces 3 3"]:
    """Colour of every face's corners: `colour * (I_a C_a + I_d C_d max(0, n . d))`.

    Deviation: S2HAND's code lights per face with a normal that looks into the mesh as often as out
    of it (every face is drawn twice); here the normal looks to the side that the camera sees, so d
    points from the mesh towards the lamp, and normals are those of the vertices, interpolated.

    Args:
        colours: reflectance of the vertices.
        light: intensity of ambient light I_a, of the lamp I_d, colour of ambient light C_a (3), of
            the lamp C_d (3), direction d towards the lamp (3, camera frame, not normalised).
    """
    corners = at_corners(vertices, faces)
    first, second, third = corners.unbind(2)
    normal = torch.linalg.cross(second - first, third - first, dim=-1)
    seen_from_inside = (normal * first).sum(-1).detach() > 0
    normal = at_corners(vertex_normals(vertices, faces), faces)
    normal = torch.where(seen_from_inside[..., None, None], -normal, normal)
    intensity, ambient, lamp, direction = light.split([2, 3, 3, 3], dim=-1)
    cosine = (normal * direction[:, None, None]).sum(-1, keepdim=True).clamp(min=0)
    ambient, lamp = intensity[:, :1] * ambient, intensity[:, 1:] * lamp
    return at_corners(colours, faces) * (ambient[:, None, None] + lamp[:, None, None] * cosine)


def _draw(
    vertices: Tensor,
    colours: Tensor,
    light: Tensor,
    intrinsics: Tensor,
    faces: Tensor,
    image_size: tuple[int, int],
    topology: EdgeFaces,
) -> tuple[Tensor, Tensor]:
    face_index = rasterize(vertices, faces, intrinsics, image_size)
    mask = face_index >= 0
    points, depths = to_pixels(vertices, intrinsics), vertices[..., 2]
    lit = lit_corners(vertices, faces, colours, light)
    corner_depths = at_corners(vertices, faces)[..., 2]
    seen = interpolate_corners(face_index, at_corners(points, faces), corner_depths, lit)
    opaque = torch.cat([seen.values, seen.covered[:, None].to(seen.values)], 1)
    picture = opaque.new_zeros(mask.numel(), 4).index_copy(0, seen.pixel, opaque)

    near = nearest_outline(mask, points, depths, faces, topology)
    alpha, along = outline_alpha(near, mask, points, topology)
    outside = _edge_colours(near, points, depths, faces, topology, lit, along)
    colour = picture.index_select(0, near.pixel)[:, :3]
    colour = torch.where(mask.flatten()[near.pixel, None], colour, outside)
    faded = torch.cat([colour, torch.ones_like(alpha)[:, None]], 1) * alpha[:, None]
    picture = picture.index_copy(0, near.pixel, faded).view(*mask.shape, 4).permute(0, 3, 1, 2)
    return picture[:, :3], picture[:, 3]


def _edge_colours(
    near: NearOutline,
    points: Tensor,
    depths: Tensor,
    faces: Tensor,
    topology: EdgeFaces,
    lit: Tensor,
    along: Tensor,
) -> Float[Tensor, "pixels 3"]:
    """Colour of the point of the outline that is nearest to each pixel."""
    corner = _corners_of_edges(near, points.detach(), depths.detach(), faces, topology)[near.edge]
    ends = lit.flatten(0, 2).index_select(0, corner.flatten()).unflatten(0, (-1, 2))
    vertex = topology.edges[near.number[near.edge]]
    vertex = vertex + (near.image[near.edge] * points.shape[1])[:, None]
    inverse = 1 / depths.flatten().index_select(0, vertex.flatten()).view(-1, 2).clamp(min=NEAR)
    weight = torch.stack([1 - along, along], -1) * inverse
    weight = weight / weight.sum(-1, keepdim=True)
    return (ends * weight[..., None]).sum(1)


def _corners_of_edges(
    near: NearOutline, points: Tensor, depths: Tensor, faces: Tensor, topology: EdgeFaces
) -> Int[Tensor, "edges 2"]:
    """Flat index (image, face, corner) of both ends of each edge, on the face seen beside it.

    Where an edge has two faces on one side, that is the nearer one: its inverse depth, linear in
    the image, rises the more steeply away from the edge.
    """
    edge = topology.edges[near.number]
    opposite = topology.opposite[near.number]
    ends, others = (
        index.clamp(min=0) + (near.image * points.shape[1])[:, None] for index in (edge, opposite)
    )
    place, inverse = points.flatten(0, 1), 1 / depths.flatten().clamp(min=NEAR)
    start, direction = place[ends[:, 0]], place[ends[:, 1]] - place[ends[:, 0]]
    length = (direction**2).sum(-1).clamp(min=1e-12)
    offset = place[others] - start[:, None]
    along = (offset * direction[:, None]).sum(-1) / length[:, None]
    away = cross_2d(direction[:, None], offset).abs() / length.sqrt()[:, None]
    first, last = inverse[ends].split(1, dim=1)
    slope = (inverse[others] - (first + along * (last - first))) / away.clamp(min=1e-6)
    drawn = (depths.flatten()[others] > NEAR) & (opposite >= 0)
    side = torch.where(drawn, slope, -torch.inf).argmax(1, keepdim=True)
    face = topology.faces[near.number].gather(1, side).clamp(min=0)
    corner = (faces[face] == edge[:, :, None]).int().argmax(-1)
    return (near.image[:, None] * len(faces) + face) * 3 + corner
