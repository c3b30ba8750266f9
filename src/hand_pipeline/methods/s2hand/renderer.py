"""A textured hand under ambient and directional light, as S2HAND renders it for its losses."""

from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.geometry.textured import render_textured
from hand_pipeline.geometry.topology import EdgeFaces, edge_faces


class Rendered(NamedTuple):
    """Rendered hands.

    Attributes:
        colours: RGB, premultiplied by alpha: over a background it is
            `colours + (1 - alpha) * background`.
        alpha: 1 on the hand, 0 outside, a ramp across the outline.
        mask: pixels that show the hand; without gradient.
    """

    colours: Float[Tensor, "batch 3 height width"]
    alpha: Float[Tensor, "batch height width"]
    mask: Bool[Tensor, "batch height width"]

    def over(self, background: Float[Tensor, "*image"]) -> Float[Tensor, "batch 3 height width"]:
        """The hands over a background whose shape broadcasts to theirs."""
        return self.colours + (1 - self.alpha[:, None]) * background


class HandRenderer(nn.Module):
    """Renders meshes of one topology: smooth shading, and colours that fade across the outline.

    Args:
        faces: triangles, outward.
    """

    faces: Int[Tensor, "faces 3"]
    _edge_edges: Tensor
    _edge_faces: Tensor
    _edge_opposite: Tensor

    def __init__(self, faces: Int[Tensor, "faces 3"]) -> None:
        super().__init__()
        self.register_buffer("faces", faces.long(), persistent=False)
        for name, value in edge_faces(faces.long())._asdict().items():
            self.register_buffer(f"_edge_{name}", value, persistent=False)

    @full_precision
    def forward(
        self,
        vertices: Float[Tensor, "batch vertices 3"],
        colours: Float[Tensor, "batch vertices 3"],
        light: Float[Tensor, "batch 11"],
        intrinsics: Float[Tensor, "batch 3 3"],
        image_size: tuple[int, int],
    ) -> Rendered:
        """Render the hands.

        Args:
            vertices: camera frame, metres.
            colours: reflectance of the vertices.
            light: intensities of ambient and directional light, the colours of both, and the
                direction towards the lamp, not normalised (`heads.LIGHT`).
            intrinsics: camera of the image.
            image_size: height, width.
        """
        topology = EdgeFaces(self._edge_edges, self._edge_faces, self._edge_opposite)
        image, alpha = render_textured(
            vertices, self.faces, colours, light, intrinsics, image_size, topology
        )
        return Rendered(image, alpha, alpha.detach() >= 0.5)  # 0.5 is the true outline
