"""The hand mesh: MANO's model (Romero et al. 2017).

Runs on the open hand shipped with the package, or on a licensed MANO file converted by
`python -m hand_pipeline mano convert` (`geometry.mano_file`).

The mean pose, which decides whether metrics match: data sets store the 45 finger numbers either
relative to the model's mean pose (FreiHAND, DexYCB, InterHand; `flat_hand_mean=False` in smplx's
words) or in full, relative to the flat hand (HO-3D, H2O3D, HaMeR; `flat_hand_mean=True`). Inside
the project poses are always full, as rotation matrices; `full_pose` and `stored_pose` convert.
"""

from importlib.resources import as_file, files
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from hand_pipeline.geometry.joints import TIPS, permutation
from hand_pipeline.geometry.mano_file import ManoArrays, load_mano
from hand_pipeline.geometry.precision import full_precision
from hand_pipeline.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from hand_pipeline.geometry.skinning import pose_bones, pose_feature, skin

TIP_VERTICES: MappingProxyType[str, tuple[int, int, int, int, int]] = MappingProxyType(
    {
        "mano": (744, 320, 443, 554, 671),
        "freihand": (744, 320, 443, 555, 672),
        "ho3d": (744, 333, 444, 555, 672),
        "h2o3d": (744, 333, 444, 555, 672),
        "dexycb": (745, 317, 444, 556, 673),
        "dexycb_left": (745, 317, 445, 556, 673),
        "interhand": (745, 317, 445, 556, 673),
        "handoccnet": (728, 353, 442, 576, 694),
    }
)
"""Vertices taken as tips of thumb, index, middle, ring and pinky by each data set's own code;
"mano" is smplx's and HaMeR's choice. On the open hand, whose vertices are numbered differently,
"mano" are the true tips, the other sets up to "interhand" lie within 5 mm; "handoccnet" and the
middle tip of "dexycb_left" do not transfer."""

_OPEN_HAND = "open_hand/openhand_right.npz"


class HandMesh(NamedTuple):
    """Posed hands, metres.

    Attributes:
        vertices: in the model's vertex order.
        joints: OpenPose order; the 5 tips are vertices.
    """

    vertices: Float[Tensor, "batch 778 3"]
    joints: Float[Tensor, "batch 21 3"]


def mirror_points(points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
    """Points of the other hand: x negated."""
    return torch.cat([-points[..., :1], points[..., 1:]], dim=-1)


def mirror_faces(faces: Int[Tensor, "faces 3"]) -> Int[Tensor, "faces 3"]:
    """Faces of the mirrored mesh, which still look outwards."""
    return faces[:, [0, 2, 1]]


def with_tips(
    joints: Float[Tensor, "batch 21 3"], vertices: Float[Tensor, "batch 778 3"], tips: str
) -> Float[Tensor, "batch 21 3"]:
    """Joints whose five fingertips are other vertices of the same mesh.

    Args:
        joints: OpenPose order.
        vertices: of the same hands.
        tips: whose choice of vertices, a key of `TIP_VERTICES`.
    """
    moved = joints.clone()
    moved[:, list(TIPS)] = vertices[:, list(TIP_VERTICES[tips])]
    return moved


class ManoHand(nn.Module):
    """From pose and shape to vertices and joints; differentiable, batched, without parameters.

    Its buffers move with `.to()`, but do not enter a state dict: MANO's licence forbids to pass
    the model on inside checkpoints.

    Attributes:
        side: "right" or "left".
        tips: whose tip vertices, a key of `TIP_VERTICES`.
        faces: outward triangles.
        template: rest vertices of the mean shape, metres.
        hands_mean: mean finger pose, axis-angle, MANO's joint order without the wrist.
        hands_components: principal components of finger poses, one a row, orthonormal.
        hands_coeffs: example poses in these components (scans' poses for MANO, made-up ones for
            the open hand); no rows if the file has none.
        nails: of index, middle, pinky, ring and thumb (MANO's order): centre, normal, half length,
            half width as vectors in the rest pose, metres; no rows unless it is the open hand.
        flex_axes, abd_axes: axes about which each finger joint bends and spreads, unit vectors;
            no rows unless the model is the open hand.
    """

    faces: Int[Tensor, "1538 3"]
    template: Float[Tensor, "778 3"]
    hands_mean: Float[Tensor, "15 3"]
    hands_components: Float[Tensor, "45 45"]
    hands_coeffs: Float[Tensor, "poses 45"]
    nails: Float[Tensor, "nails 4 3"]
    flex_axes: Float[Tensor, "axes 3"]
    abd_axes: Float[Tensor, "axes 3"]
    shapedirs: Float[Tensor, "778 3 10"]
    posedirs: Float[Tensor, "135 2334"]
    joint_regressor: Float[Tensor, "16 778"]
    joint_template: Float[Tensor, "16 3"]
    joint_shapedirs: Float[Tensor, "16 3 10"]
    skinning_weights: Float[Tensor, "778 16"]
    _tips: Int[Tensor, "5"]
    _to_openpose: Int[Tensor, "21"]

    def __init__(
        self,
        model_path: Path | None = None,
        side: str = "right",
        tips: str = "mano",
        fix_left_shapedirs: bool = True,
    ) -> None:
        """Load the model.

        Args:
            model_path: converted MANO file; None is the open hand. A right hand's file with
                `side="left"` gives its mirror image.
            side: "right" or "left".
            tips: whose tip vertices, a key of `TIP_VERTICES`.
            fix_left_shapedirs: undo the known sign error of the official left model, whose shape
                directions have the wrong x (smplx issue 48). DexYCB's labels were made with it.

        Raises:
            ValueError: an unknown side or tip set, a left hand's file for the right side, or a
                file that is no MANO model.
        """
        super().__init__()
        if side not in ("right", "left"):
            raise ValueError(f"side must be 'right' or 'left', not {side!r}")
        if tips not in TIP_VERTICES:
            raise ValueError(f"unknown tips {tips!r}; known: {', '.join(TIP_VERTICES)}")
        self.side, self.tips = side, tips
        arrays = _load(model_path, side, fix_left_shapedirs)
        for name, value in _buffers(arrays, TIP_VERTICES[tips]).items():
            self.register_buffer(name, value, persistent=False)

    @full_precision
    def forward(
        self,
        mano_pose: Float[Tensor, "batch 16 3 3"],
        betas: Float[Tensor, "batch 10"],
        translation: Float[Tensor, "batch 3"] | None = None,
    ) -> HandMesh:
        """Pose the hand.

        Args:
            mano_pose: full pose, wrist first, MANO's joint order, each relative to its parent.
            betas: shape coefficients, standard deviations.
            translation: added to everything, metres. The wrist, not the origin, is the fixed
                point of the global rotation: at zero translation it stays where the shape puts it.
        """
        dtype = self.template.dtype
        mano_pose, betas = mano_pose.to(dtype), betas.to(dtype)
        still = self._still(betas)
        bent = torch.addmm(self._shaped(betas), pose_feature(mano_pose), self.posedirs)
        bones = pose_bones(mano_pose, still)
        vertices = skin(bent.unflatten(1, (-1, 3)), still, bones, self.skinning_weights)
        joints = torch.cat([bones.places, vertices[:, self._tips]], dim=1)[:, self._to_openpose]
        if translation is not None:
            vertices, joints = vertices + translation[:, None], joints + translation[:, None]
        return HandMesh(vertices, joints)

    @full_precision
    def rest_vertices(self, betas: Float[Tensor, "batch 10"]) -> Float[Tensor, "batch 778 3"]:
        """Vertices of the flat hand at the origin, metres."""
        return self._shaped(betas).unflatten(1, (-1, 3))

    @full_precision
    def rest_joints(self, betas: Float[Tensor, "batch 10"]) -> Float[Tensor, "batch 16 3"]:
        """Joints of the flat hand at the origin, metres, in MANO's order (no tips)."""
        return self._still(betas)

    def full_pose(
        self, axis_angle: Float[Tensor, "batch 48"], flat_hand_mean: bool
    ) -> Float[Tensor, "batch 16 3 3"]:
        """A data set's pose as the rotations `forward` takes.

        Args:
            axis_angle: wrist and 15 joints, radians, MANO's order.
            flat_hand_mean: False if the fingers are stored relative to the mean pose, which is
                then added (see the module's text).
        """
        return axis_angle_to_matrix(axis_angle.unflatten(1, (16, 3)) + self._mean(flat_hand_mean))

    def stored_pose(
        self, mano_pose: Float[Tensor, "batch 16 3 3"], flat_hand_mean: bool
    ) -> Float[Tensor, "batch 48"]:
        """The inverse of `full_pose`, for rotations below half a turn."""
        return (matrix_to_axis_angle(mano_pose) - self._mean(flat_hand_mean)).flatten(1)

    def vertex_subset(self, num: int = 195) -> Int[Tensor, " num"]:
        """Vertices spread evenly over the hand, by farthest point sampling on the template.

        Deviation: PyMAF-X samples features at 195 vertices of MeshGraphormer's down-sampling
        matrix; we choose vertices, because that matrix derives from MANO and is licensed.
        Starts at vertex 0; ties go to the lower index. Ascending.
        """
        if not 1 <= num <= len(self.template):
            raise ValueError(f"can choose 1 to {len(self.template)} vertices, not {num}")
        points = self.template.detach().cpu().double()
        nearest = torch.full((len(points),), torch.inf, dtype=points.dtype)
        chosen = [0]
        for _ in range(num - 1):
            nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(1))
            chosen.append(int(nearest.argmax()))
        return torch.tensor(sorted(chosen), device=self.template.device)

    def _shaped(self, betas: Float[Tensor, "batch 10"]) -> Float[Tensor, "batch 2334"]:
        return torch.addmm(self.template.flatten(), betas, self.shapedirs.flatten(0, 1).T)

    def _still(self, betas: Float[Tensor, "batch 10"]) -> Float[Tensor, "batch 16 3"]:
        return self.joint_template + torch.einsum("jcs,bs->bjc", self.joint_shapedirs, betas)

    def _mean(self, flat_hand_mean: bool) -> Float[Tensor, "16 3"]:
        fingers = torch.zeros_like(self.hands_mean) if flat_hand_mean else self.hands_mean
        return torch.cat([torch.zeros_like(fingers[:1]), fingers])


def _load(model_path: Path | None, side: str, fix_left_shapedirs: bool) -> ManoArrays:
    if model_path is not None:
        arrays = load_mano(model_path)
    else:
        with as_file(files("hand_pipeline.assets") / _OPEN_HAND) as path:
            arrays = load_mano(path)
    found = arrays.side()
    if found == side == "left" and fix_left_shapedirs:
        arrays.shapedirs[:, 0] *= -1
    if found == "left" and side == "right":
        raise ValueError(
            f"{model_path} is a left hand, but a right one is needed. Give the right hand's "
            "file, or ask for side='left'"
        )
    return arrays if found == side else _mirror(arrays)


def _mirror(arrays: ManoArrays) -> ManoArrays:
    """The model of the other hand: `left(mirror(pose), betas) = mirror(right(pose, betas))`."""
    point, rotation = np.array([-1, 1, 1], np.float32), np.array([1, -1, -1], np.float32)
    # The pose feature is R - 1 of 15 joints, row by row; a mirrored R has these entries' signs.
    feature = np.tile(np.outer(point, point).reshape(-1), 15)
    return arrays._replace(
        v_template=arrays.v_template * point,
        f=arrays.f[:, [0, 2, 1]],
        shapedirs=arrays.shapedirs * point[:, None],
        posedirs=arrays.posedirs * point[:, None] * feature,
        hands_mean=arrays.hands_mean * np.tile(rotation, 15),
        hands_components=arrays.hands_components * np.tile(rotation, 15),
        nails=arrays.nails * point,
        flex_axes=arrays.flex_axes * rotation,
        abd_axes=arrays.abd_axes * rotation,
    )


def _buffers(arrays: ManoArrays, tips: tuple[int, ...]) -> dict[str, Tensor]:
    posedirs = np.ascontiguousarray(arrays.posedirs.reshape(-1, 135).T)
    # joints are linear in the shape: 16 of them need not be read off 778 vertices each time
    regressor, kind = arrays.J_regressor.astype(np.float64), arrays.v_template.dtype
    tensors = {
        "template": arrays.v_template,
        "faces": arrays.f,
        "shapedirs": arrays.shapedirs,
        "posedirs": posedirs,
        "joint_regressor": arrays.J_regressor,
        "joint_template": (regressor @ arrays.v_template).astype(kind),
        "joint_shapedirs": np.einsum("jv,vcs->jcs", regressor, arrays.shapedirs).astype(kind),
        "skinning_weights": arrays.weights,
        "hands_mean": arrays.hands_mean.reshape(15, 3),
        "hands_components": arrays.hands_components,
        "hands_coeffs": arrays.hands_coeffs,
        "nails": arrays.nails,
        "flex_axes": arrays.flex_axes,
        "abd_axes": arrays.abd_axes,
        "_tips": np.array(tips),
        "_to_openpose": np.array(permutation("mano", "openpose")),
    }
    return {name: torch.from_numpy(value) for name, value in tensors.items()}
