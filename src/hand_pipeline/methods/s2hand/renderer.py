"""A textured hand under ambient and directional light, as S2HAND renders it for its losses."""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.geometry.rasterizer import interpolate, rasterize, silhouette
from hand_pipeline.geometry.textured import render_textured
from hand_pipeline.geometry.topology import EdgeFaces, edge_faces

Texture = Literal["vertex", "face"]


class Rendered(NamedTuple):
    """A picture of hands.

    Attributes:
        colours: RGB, premultiplied by alpha: over a background it is
            `colours + (1 - alpha) * background`.
        alpha: 1 on the hand, 0 beside it, a ramp across the outline.
        mask: pixels that see the hand; without gradient.
    """

    colours: Float[Tensor, "batch 3 height width"]
    alpha: Float[Tensor, "batch height width"]
    mask: Bool[Tensor, "batch height width"]

    def over(self, background: Float[Tensor, "*picture"]) -> Float[Tensor, "batch 3 height width"]:
        """The hands before a background of the pictures' size, or one that spreads to it."""
        return self.colours + (1 - self.alpha[:, None]) * background


class HandRenderer(nn.Module):
    """Draws meshes of one topology.

    A texture of vertices is drawn by `geometry.textured`: smooth light, and colours that fade
    across the outline. One of faces, as S2HAND's code has it, is lit flat by the faces' normals,
    which look to the side that is seen; its colours end at the outline.

    Args:
        faces: triangles, outward.
        texture: what the colours belong to.
    """

    faces: Int[Tensor, "faces 3"]
    _edge_edges: Tensor
    _edge_faces: Tensor
    _edge_opposite: Tensor

    def __init__(self, faces: Int[Tensor, "faces 3"], texture: Texture = "vertex") -> None:
        super().__init__()
        self.texture = texture
        self.register_buffer("faces", faces.long(), persistent=False)
        for name, value in edge_faces(faces.long())._asdict().items():
            self.register_buffer(f"_edge_{name}", value, persistent=False)

    @full_precision
    def forward(
        self,
        vertices: Float[Tensor, "batch vertices 3"],
        colours: Float[Tensor, "batch places 3"],
        light: Float[Tensor, "batch 11"],
        intrinsics: Float[Tensor, "batch 3 3"],
        image_size: tuple[int, int],
    ) -> Rendered:
        """Pictures of the hands.

        Args:
            vertices: camera frame, metres.
            colours: reflectance of vertices or faces.
            light: intensities of ambient and directional light, the colours of both, and the
                direction towards the lamp, not normalised (`s2hand_heads.LIGHT`).
            intrinsics: camera of the picture.
            image_size: height, width.
        """
        topology = EdgeFaces(self._edge_edges, self._edge_faces, self._edge_opposite)
        if self.texture == "vertex":
            picture, alpha = render_textured(
                vertices, self.faces, colours, light, intrinsics, image_size, topology
            )
            return Rendered(picture, alpha, alpha.detach() >= 0.5)  # the outline's ramp at its edge
        face_index = rasterize(vertices, self.faces, intrinsics, image_size)
        lit = colours * illumination(self._face_normals(vertices), light)
        corners = torch.arange(self.faces.numel(), device=self.faces.device).view(-1, 3)
        seen, _ = interpolate(
            face_index, vertices[:, self.faces.flatten()], corners, intrinsics,
            lit.repeat_interleave(3, dim=1),
        )  # fmt: skip
        alpha = silhouette(face_index, vertices, self.faces, intrinsics, topology)
        return Rendered(seen * alpha[:, None], alpha, face_index >= 0)

    def vertex_colours(
        self, colours: Float[Tensor, "batch places 3"], num_vertices: int
    ) -> Float[Tensor, "batch vertices 3"]:
        """Colours of the vertices; of a texture of faces, the mean of the faces around each."""
        if self.texture == "vertex":
            return colours
        corner = self.faces.flatten()
        total = colours.new_zeros(len(colours), num_vertices, 3)
        total = total.index_add(1, corner, colours.repeat_interleave(3, dim=1))
        count = torch.bincount(corner, minlength=num_vertices).clamp(min=1)
        return total / count[:, None]

    def _face_normals(
        self, vertices: Float[Tensor, "batch vertices 3"]
    ) -> Float[Tensor, "batch faces 3"]:
        first, second, third = vertices[:, self.faces.flatten()].unflatten(1, (-1, 3)).unbind(2)
        normals = torch.linalg.cross(second - first, third - first, dim=-1)
        from_behind = ((normals * first).sum(-1, keepdim=True) > 0).detach()
        return F.normalize(torch.where(from_behind, -normals, normals), dim=-1, eps=1e-20)


def illumination(
    normals: Float[Tensor, "batch places 3"], light: Float[Tensor, "batch 11"]
) -> Float[Tensor, "batch places 3"]:
    """Light that falls on a place: `I_a C_a + I_d C_d max(0, n . d)`."""
    intensity, ambient, directional, direction = light.split([2, 3, 3, 3], dim=1)
    cosine = (normals * direction[:, None]).sum(-1, keepdim=True).clamp(min=0)
    everywhere = (intensity[:, :1] * ambient)[:, None]
    return everywhere + (intensity[:, 1:] * directional)[:, None] * cosine
