"""The right arm of MakeHuman's base mesh: the part of the source that the hand is made from."""

from dataclasses import dataclass, field
from importlib.resources.abc import Traversable

import numpy as np
from jaxtyping import Bool, Float, Int

from scripts.build_open_hand.assets import BASE_MESH, ObjMesh, read_mesh, read_target, read_weights
from scripts.build_open_hand.layout import MAKEHUMAN_FINGER, NUM_JOINTS, joints_of

WEIGHTS = "rigs/standard/weights.default.json"
JOINT_MARKER = "joint-r-"  # groups of small cubes whose centres are the joints of the right side
SKIN_BONES = ("finger", "meta", "wrist", "lowerarm")
WRIST_BONES = (
    "wrist.R", "lowerarm02.R", "lowerarm01.R", "upperarm02.R", "upperarm01.R",
    "metacarpal1.R", "metacarpal2.R", "metacarpal3.R", "metacarpal4.R",
)  # fmt: skip
"""Bones that MANO does not have; its wrist joint carries what they carry."""


@dataclass(frozen=True)
class Arm:
    """Skin of the right forearm and hand, and the cubes that mark its joints.

    Vertices are numbered within the arm; faces and markers use these numbers.

    Attributes:
        root: where MakeHuman's files are.
        num_source_vertices: size of the whole body mesh.
        vertex_ids: each vertex's number in the body mesh, ascending.
        positions: the unmorphed body, MakeHuman's frame, decimetres.
        weights: skinning weights on MANO's 16 joints, rows sum to 1.
        is_skin: forearm or hand, and not a marker.
        markers: vertices of each joint's cube, by MakeHuman's joint name.
        faces, uv_faces: triangles and quads of the skin, and their texture coordinates.
        uvs: texture coordinates in [0, 1].
    """

    root: Traversable
    num_source_vertices: int
    vertex_ids: Int[np.ndarray, " arm"]
    positions: Float[np.ndarray, "arm 3"]
    weights: Float[np.ndarray, "arm 16"]
    is_skin: Bool[np.ndarray, " arm"]
    markers: dict[str, Int[np.ndarray, " cube"]]
    faces: list[tuple[int, ...]]
    uv_faces: list[tuple[int, ...]]
    uvs: Float[np.ndarray, "uvs 2"]
    _targets: dict[str, Float[np.ndarray, "arm 3"]] = field(default_factory=dict)

    def target(self, name: str) -> Float[np.ndarray, "arm 3"]:
        """Offsets of a morph target, decimetres; parsed once and kept."""
        if name not in self._targets:
            file = self.root / "targets" / f"{name}.target.gz"
            self._targets[name] = read_target(file, self.num_source_vertices)[self.vertex_ids]
        return self._targets[name]


def load_arm(root: Traversable) -> Arm:
    """Read the body mesh and its skinning weights, and keep the right arm of them."""
    mesh = read_mesh(root / BASE_MESH)
    bones = read_weights(root / WEIGHTS, len(mesh.vertices))
    skin_bones = [b for b in bones if b.endswith(".R") and any(name in b for name in SKIN_BONES)]
    on_skin = np.sum([bones[bone] for bone in skin_bones], axis=0) > 0.5
    markers = _joint_markers(mesh)
    vertex_ids = np.union1d(np.flatnonzero(on_skin), np.concatenate(list(markers.values())))
    local = np.full(len(mesh.vertices), -1)
    local[vertex_ids] = np.arange(len(vertex_ids))
    kept = [
        index
        for index, (face, group) in enumerate(zip(mesh.faces, mesh.groups))
        if group == "body" and on_skin[list(face)].all()
    ]
    return Arm(
        root=root,
        num_source_vertices=len(mesh.vertices),
        vertex_ids=vertex_ids,
        positions=mesh.vertices[vertex_ids],
        weights=_joint_weights(bones)[vertex_ids],
        is_skin=on_skin[vertex_ids],
        markers={name: local[ids] for name, ids in markers.items()},
        faces=[tuple(local[list(mesh.faces[index])].tolist()) for index in kept],
        uv_faces=[mesh.uv_faces[index] for index in kept],
        uvs=mesh.uvs,
    )


def _joint_markers(mesh: ObjMesh) -> dict[str, Int[np.ndarray, " cube"]]:
    """Vertices of the right side's joint cubes, in the body's numbers."""
    cubes: dict[str, set[int]] = {}
    for face, group in zip(mesh.faces, mesh.groups):
        if group.startswith(JOINT_MARKER):
            cubes.setdefault(group.removeprefix(JOINT_MARKER), set()).update(face)
    return {name: np.array(sorted(cube)) for name, cube in cubes.items()}


def _joint_weights(bones: dict[str, np.ndarray]) -> Float[np.ndarray, "vertices 16"]:
    """MakeHuman's bone weights summed onto MANO's joints; rows sum to 1 (0 away from the arm)."""
    weights = np.zeros((len(bones["wrist.R"]), NUM_JOINTS))
    weights[:, 0] = np.sum([bones[bone] for bone in WRIST_BONES], axis=0)
    for finger, number in MAKEHUMAN_FINGER.items():
        for segment, joint in enumerate(joints_of(finger), start=1):
            weights[:, joint] = bones[f"finger{number}-{segment}.R"]
    return weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-9)
