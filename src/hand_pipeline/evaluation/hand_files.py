"""What `predict` leaves on disk for one photo or frame: meshes and JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from hand_pipeline.data.photos.cameras import PhotoCamera
from hand_pipeline.evaluation.reconstruct import PlacedHand
from hand_pipeline.files import atomic_write_bytes, atomic_write_text

# glTF's axes: +y up, -z forward, where OpenCV's camera has +y down, +z forward
_TO_GLTF = np.diag([1.0, -1.0, -1.0, 1.0])


class Mesh(NamedTuple):
    """Triangles, metres, camera frame.

    Attributes:
        colours: RGB of the vertices, 0 to 1, as photos store them; None: none.
    """

    vertices: Float[Tensor, "vertices 3"]
    faces: Int[Tensor, "faces 3"]
    colours: Float[Tensor, "vertices 3"] | None = None


def photo_json(
    name: str,
    size: tuple[int, int],
    hands: Sequence[PlacedHand],
    camera: PhotoCamera,
    hypotheses: Sequence[Sequence[PlacedHand]] = (),
) -> dict[str, Any]:
    """The record of a photo: its camera and its hands (`PlacedHand.as_json`).

    Args:
        name: of the file, or the number of the frame.
        size: width and height, px.
        hands: found in it.
        camera: its camera; with a guessed one distances are rough.
        hypotheses: of each hand, the surest first; they get their ranks, from 1. Empty: none.
    """
    records = [hand.as_json() for hand in hands]
    for record, ranked in zip(records, hypotheses):
        record["hypotheses"] = [
            {"rank": rank, **hypothesis.hypothesis_json()}
            for rank, hypothesis in enumerate(ranked, start=1)
        ]
    return {
        "photo": name,
        "size_px": list(size),
        "conventions": "metres; camera frame +x right, +y down, +z forward; OpenPose joint order",
        "camera": {
            "intrinsics": camera.intrinsics.double().numpy().round(4).tolist(),
            "source": camera.source,
        },
        "hands": records,
    }


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    atomic_write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def write_meshes(stem: Path, hands: Sequence[PlacedHand]) -> list[Path]:
    """Write `<stem>_hand<i>_<side>.obj` and `.glb` for each hand; metres.

    The .obj is in the camera's frame, the .glb in glTF's, which viewers show upright, and has the
    vertices' colours where the hand has any.
    """
    written = []
    for number, hand in enumerate(hands):
        name = f"{stem.name}_hand{number}_{hand.detection.handedness}"
        written += write_mesh(stem.parent / name, hand.vertices, hand.faces, hand.colours)
    return written


def write_mesh(
    stem: Path,
    vertices: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    colours: Float[Tensor, "vertices 3"] | None = None,
) -> list[Path]:
    """Write `<stem>.obj` in the camera's frame and `<stem>.glb` in glTF's; metres.

    Args:
        stem: path without its ending.
        vertices: camera frame.
        faces: outward triangles.
        colours: RGB of the vertices for the .glb, 0 to 1, as photos store them.
    """
    meshes = [Mesh(vertices, faces, colours)]
    obj, glb = stem.parent / f"{stem.name}.obj", stem.parent / f"{stem.name}.glb"
    atomic_write_text(obj, obj_of(meshes))
    atomic_write_bytes(glb, glb_of(meshes))
    return [obj, glb]


def obj_of(meshes: Sequence[Mesh]) -> str:
    """Wavefront's .obj of some meshes as one, in the camera's frame."""
    import trimesh  # and scipy and networkx, which only meshes need
    from trimesh.exchange.obj import export_obj

    parts = [trimesh.Trimesh(m.vertices.numpy(), m.faces.numpy(), process=False) for m in meshes]
    text: str = export_obj(trimesh.util.concatenate(parts), include_normals=True)
    return text


def glb_of(meshes: Sequence[Mesh]) -> bytes:
    """glTF's .glb of some meshes in one scene, in its own axes, with their colours."""
    import trimesh
    from trimesh.exchange.gltf import export_glb
    from trimesh.visual import ColorVisuals

    scene = trimesh.Scene()
    for mesh in meshes:
        shown = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
        shown.apply_transform(_TO_GLTF)
        if mesh.colours is not None:
            shown.visual = ColorVisuals(shown, vertex_colors=_linear(mesh.colours.numpy()))
        scene.add_geometry(shown)
    coloured = any(mesh.colours is not None for mesh in meshes)
    binary: bytes = export_glb(scene, tree_postprocessor=_as_skin if coloured else None)
    return binary


def _linear(colours: Float[np.ndarray, "vertices 3"]) -> UInt8[np.ndarray, "vertices 4"]:
    """glTF's colours of vertices: in proportion to light, where a photo's (sRGB) are to the eye."""
    shown = colours.clip(0, 1)
    light = np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
    opaque = np.concatenate([light, np.ones_like(light[:, :1])], axis=1)
    rgba: np.ndarray = (opaque * 255).round().astype(np.uint8)
    return rgba


def _as_skin(tree: dict[str, Any]) -> None:
    """Without a material glTF's default is metal, which shows the colours dark."""
    tree["materials"] = [{"pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.8}}]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0
