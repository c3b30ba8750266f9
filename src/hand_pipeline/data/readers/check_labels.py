"""Whether the labels of a hand agree with each other, with the image and with a hand's size."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.manifest import HandManifest
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import HandMesh, ManoHand, mirror_points

MEDIAN_PX = 2.0
"""3D joints, projected, from the 2D ones: rounding is 0.5 px, a wrong camera far more."""
FAR_PX, FAR_SHARE = 20.0, 0.01
"""Lens distortion and single bad fits are allowed, a hundredth of the joints is not."""
BENT_PX: Mapping[str, float] = MappingProxyType({"mtc": 40.0})
"""Medians allowed where 2D labels are seen through a bent lens, which K does not describe."""
PALM_MM = (40.0, 160.0)
"""From the wrist to the middle finger's base: 60 in a child, 110 in a large man."""
MESH_MM = (80.0, 400.0)
"""Diagonal of the box around a hand's mesh, from a fist to a long flat hand."""
MANO_VERTICES_MM = 2.0
MANO_JOINTS_MM = 12.0
"""Looser: some sets regress their joints otherwise (InterHand2.6M: about 5 mm)."""
NOT_OPEN_MM = 40.0
"""Farther off than MANO's hand is from the open one: not for want of a MANO file."""
ROOT_MM = 10.0
ODD_SHARE = 0.02
"""Hands whose box is not in the image, or whose size no hand has, that a sound set may have."""


class Spread(NamedTuple):
    """How far two things are apart.

    Attributes:
        median, worst: of all points compared; the unit is the caller's.
        where: the hand that has the worst one.
        hands: how many were compared.
    """

    median: float
    worst: float
    where: str
    hands: int


class LabelCheck(NamedTuple):
    """Figures of a split's labels; None where it lacks what is compared.

    Attributes:
        projection_px: 3D joints through the camera, from the 2D joints.
        palm_mm: wrist to the middle finger's base.
        mano_vertices_mm, mano_joints_mm: MANO's numbers through the hand model, from the labels.
        inside: share of hands with the middle of their box in the image.
        faults: what is wrong, in words.
        notes: what could not be checked, or is odd but no fault.
    """

    projection_px: Spread | None
    palm_mm: Spread | None
    mano_vertices_mm: Spread | None
    mano_joints_mm: Spread | None
    inside: float | None
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def check_labels(
    manifest: HandManifest,
    mano: ManoHand,
    mano_is_given: bool,
    sizes: Mapping[str, tuple[int, int]],
    rows: Int[np.ndarray, " chosen"],
) -> LabelCheck:
    """Compare the labels of a split among themselves.

    Args:
        manifest: the labels.
        mano: the right hand, with the set's fingertips.
        mano_is_given: whether `mano` is a licensed model rather than the open hand. The open hand
            does not describe the labels of real sets: then a difference is no fault.
        sizes: width and height, px, of the photos that were opened.
        rows: hands whose MANO numbers are tried; the rest is compared for all.
    """
    faults: list[str] = []
    notes: list[str] = []
    projection = _projection(manifest, faults)
    palm = _palm(manifest, faults, notes)
    _mesh_size(manifest, faults)
    chosen = rows[manifest.has_mano[rows]]
    vertices, joints = _mano(manifest.select(chosen), mano) if chosen.size else (None, None)
    _judge_mano(vertices, joints, mano_is_given, faults, notes)
    _judge_root(manifest, faults)
    inside = _inside(manifest, sizes, faults, notes)
    return LabelCheck(
        projection, palm, vertices, joints, inside, tuple(faults), tuple(notes)
    )  # fmt: skip


def right_meshes(manifest: HandManifest, mano: ManoHand) -> HandMesh:
    """The meshes of MANO's numbers where the hands are, camera frame; left hands are mirrored.

    Args:
        manifest: hands that all have MANO numbers.
        mano: the right hand.
    """
    without = replace(manifest, vertices=None)
    batch = HandImages(without, mano).labels(np.arange(len(manifest)), None)
    return mano(
        batch.mano_pose, batch.betas, _as_right(manifest, manifest.translation[:, None])[:, 0]
    )


def _as_right(manifest: HandManifest, points: np.ndarray) -> torch.Tensor:
    """Points (hands, any, 3), those of left hands mirrored."""
    given = torch.from_numpy(points)
    left = torch.from_numpy(~manifest.is_right)[:, None, None]
    return torch.where(left, mirror_points(given), given)


def _spread(
    values: Float[np.ndarray, "hands points"], valid: np.ndarray, ids: tuple[str, ...]
) -> Spread | None:
    if not valid.any():
        return None
    worst = np.where(valid, values, -np.inf).max(1)
    row = int(worst.argmax())
    return Spread(
        float(np.median(values[valid])), float(worst[row]), ids[row], int(valid.any(1).sum())
    )


def _projection(manifest: HandManifest, faults: list[str]) -> Spread | None:
    deep = manifest.has_joints_3d & manifest.has_intrinsics[:, None]
    depth = manifest.joints_3d[..., 2]
    behind = np.flatnonzero((deep & (depth <= 0)).any(1))
    if behind.size:
        faults.append(
            f"{behind.size} hands have joints behind the camera, the first is "
            f"{manifest.ids[behind[0]]}: the labels may be in OpenGL's frame (y and z negated)"
        )
    both = deep & manifest.has_joints_2d & (depth > 0)
    points = np.where(both[..., None], manifest.joints_3d, np.array([0, 0, 1], np.float32))
    pixels = project(torch.from_numpy(points), torch.from_numpy(manifest.intrinsics)).numpy()
    away = np.where(both, np.linalg.norm(pixels - manifest.joints_2d, axis=-1), 0)
    spread = _spread(away, both, manifest.ids)
    if spread is None:
        return None
    far = float((away[both] > FAR_PX).mean())
    bent = BENT_PX.get(manifest.dataset)
    if spread.median > (bent or MEDIAN_PX) or (far > FAR_SHARE and bent is None):
        faults.append(
            f"3D joints do not project onto the 2D ones: median {spread.median:.1f} px, "
            f"{far:.1%} of the joints farther than {FAR_PX:.0f} px, worst {spread.where}; look at "
            "the cameras, the joint order and the units"
        )
    return spread


def _palm(manifest: HandManifest, faults: list[str], notes: list[str]) -> Spread | None:
    ends = manifest.has_joints_3d[:, 0] & manifest.has_joints_3d[:, 9]
    length = 1000 * np.linalg.norm(manifest.joints_3d[:, 9] - manifest.joints_3d[:, 0], axis=-1)
    spread = _spread(length[:, None], ends[:, None], manifest.ids)
    if spread is None:
        return None
    odd = np.flatnonzero(ends & ((length < PALM_MM[0]) | (length > PALM_MM[1])))
    if odd.size:
        said = (
            f"{odd.size} hands measure less than {PALM_MM[0]:.0f} or more than {PALM_MM[1]:.0f} mm "
            f"from the wrist to the middle finger's base (median of all: {spread.median:.3g} mm), "
            f"the first is {manifest.ids[odd[0]]}"
        )
        wrong = odd.size > ODD_SHARE * ends.sum()
        (faults if wrong else notes).append(said + (_unit(spread.median, 90.0) if wrong else ""))
    return spread


def _mesh_size(manifest: HandManifest, faults: list[str]) -> None:
    if manifest.vertices is None or not len(manifest):
        return
    low, high = manifest.vertices.min(1), manifest.vertices.max(1)
    size = 1000 * np.linalg.norm(high - low, axis=-1)
    odd = np.flatnonzero((size < MESH_MM[0]) | (size > MESH_MM[1]))
    if odd.size > ODD_SHARE * len(size):
        faults.append(
            f"the meshes of {odd.size} hands measure less than {MESH_MM[0]:.0f} or more than "
            f"{MESH_MM[1]:.0f} mm (median of all: {np.median(size):.3g} mm), the first is "
            f"{manifest.ids[odd[0]]}{_unit(float(np.median(size)), 190.0)}"
        )
    whole = manifest.has_joints_3d.all(1)
    joints = manifest.joints_3d.mean(1)
    apart = whole & ((joints < low) | (joints > high)).any(1)
    if apart.sum() > ODD_SHARE * max(whole.sum(), 1):
        faults.append(
            f"the joints of {apart.sum()} hands are not in their mesh, the first is "
            f"{manifest.ids[int(apart.argmax())]}: joints and vertices have other units or frames"
        )


def _unit(found_mm: float, usual_mm: float) -> str:
    for unit, factor in (("millimetres", 1000), ("centimetres", 100)):
        if 0.4 < found_mm / usual_mm / factor < 2.5:
            return f": these labels are in {unit}, metres are expected"
    return ""


def _mano(chosen: HandManifest, mano: ManoHand) -> tuple[Spread | None, Spread | None]:
    """Vertices and joints, mm."""
    mesh = right_meshes(chosen, mano)
    joints = 1000 * (mesh.joints - _as_right(chosen, chosen.joints_3d)).norm(dim=-1).numpy()
    of_joints = _spread(joints, chosen.has_joints_3d, chosen.ids)
    if chosen.vertices is None:
        return None, of_joints
    away = 1000 * (mesh.vertices - _as_right(chosen, chosen.vertices)).norm(dim=-1).numpy()
    return _spread(away, np.ones(away.shape, dtype=bool), chosen.ids), of_joints


def _judge_mano(
    vertices: Spread | None,
    joints: Spread | None,
    mano_is_given: bool,
    faults: list[str],
    notes: list[str],
) -> None:
    for what, spread, limit in (
        ("vertices", vertices, MANO_VERTICES_MM),
        ("3D joints", joints, MANO_JOINTS_MM),
    ):
        if spread is None or spread.median <= limit:
            continue
        if mano_is_given or spread.median > NOT_OPEN_MM:
            faults.append(
                f"MANO's numbers do not give the {what}: median {spread.median:.3g} mm, worst "
                f"{spread.worst:.3g} mm ({spread.where}); look at the mean pose, the units and "
                "the MANO file"
            )
        else:
            notes.append(
                f"MANO's numbers are not compared with the {what}: the open hand is "
                f"{spread.median:.1f} mm off, as it is no MANO. Give --mano MANO_RIGHT.npz"
            )


def _judge_root(manifest: HandManifest, faults: list[str]) -> None:
    """FreiHAND says twice where the hand is: in `xyz`, and through the camera in `mano`."""
    if "root_offset" not in manifest.flags:
        return
    away = 1000 * manifest.flags["root_offset"]
    if (away > ROOT_MM).mean() > ODD_SHARE:
        worst = int(away.argmax())
        faults.append(
            f"the middle finger's base as `mano` places it through the camera is not where `xyz` "
            f"has it: median {np.median(away):.3g} mm, worst {away[worst]:.3g} mm "
            f"({manifest.ids[worst]}); the cameras (K) are not those of the labels"
        )


def _inside(
    manifest: HandManifest,
    sizes: Mapping[str, tuple[int, int]],
    faults: list[str],
    notes: list[str],
) -> float | None:
    rows = np.array([row for row, name in enumerate(manifest.images) if name in sizes], dtype=int)
    if not rows.size:
        return None
    middle = (manifest.boxes[rows, :2] + manifest.boxes[rows, 2:]) / 2
    limits = np.array([sizes[manifest.images[row]] for row in rows.tolist()])
    out = ((middle < 0) | (middle > limits)).any(1)
    if out.any():
        said = (
            f"{out.sum()} of {len(rows)} hands have the middle of their box outside the image, "
            f"the first is {manifest.ids[rows[int(out.argmax())]]}"
        )
        (faults if out.mean() > ODD_SHARE else notes).append(said)
    return float(1 - out.mean())
