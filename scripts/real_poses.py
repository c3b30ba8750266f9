"""Fit anatomical angles to landmarks of real hands, and keep those that fit well.

    python -m scripts.real_poses --letters asl_letters.npz --photos photos.npz --out real_poses.npz

`--letters`: npz with `landmarks` (hands, 21, 3): image x and y as shares of an image of unknown
aspect, z relative to the wrist, in units near x's, too shallow (how long x's and z's
units are in y's is fitted, one of each for all: 1.80, so 16:9, and 2.7). `--photos`: npz
with `world` (hands, 2, 21, 3): MediaPipe's world landmarks of a right hand and of its mirrored
photo, metres, camera axes; where the two disagree the hand is left out.

All hands are fitted at once by Adam: 21 angles, shape, rotation and size of the open hand's
skeleton (tips ride rigidly on their bones), with a penalty beyond the joints' limits.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from hand_pipeline.data.synthetic.gestures import HIGH, LOW, SPREADS
from hand_pipeline.data.synthetic.poses import REAL_SOURCES, Skeleton, finger_matrices, skeleton_of
from hand_pipeline.files import atomic_write
from hand_pipeline.geometry.joints import MANO_PARENTS, TIPS, permutation
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import matrix_to_rotation_6d, rotation_6d_to_matrix

STEPS, RATE = 180, 0.07
MAX_DISAGREEMENT = 0.2  # of the palm's size, between a photo and its mirror image
_START = np.array([20.0, 30, 15, 0] * 4 + [5, 5, 10, 10, 10])
_KNUCKLES = [0, 4, 8, 12]  # their flexions, among the angles
_PALM = [0, 5, 9, 13, 17]
# wrist and thumb's root are defined differently by MediaPipe and the open hand
_JOINT_WEIGHT = torch.tensor([0.3, 0.3, 0.7] + [1.0] * 18)


class Fit(NamedTuple):
    """Angles in degrees, and the mean distance of joints left over, of the palm's size."""

    angles: Float[np.ndarray, "hands 21"]
    residual: Float[np.ndarray, " hands"]


class _Bones:
    """Joints of shaped, posed skeletons, wrist at its place."""

    def __init__(self, mano: ManoHand) -> None:
        self.skeleton: Skeleton = skeleton_of(mano)
        flat = torch.eye(3).expand(11, 16, 3, 3)
        shapes = torch.cat([torch.zeros(1, 10), torch.eye(10)])
        rest = torch.cat([mano.rest_joints(shapes), mano(flat, shapes).joints[:, list(TIPS)]], 1)
        self.mean, self.shape = rest[0], (rest[1:] - rest[0]).permute(1, 2, 0)
        self.order = list(permutation("mano", "openpose"))

    def __call__(
        self, angles: Float[Tensor, "n 21"], betas: Float[Tensor, "n 10"]
    ) -> Float[Tensor, "n 21 3"]:
        """In OpenPose order."""
        rest = self.mean + torch.einsum("jkb,nb->njk", self.shape, betas)
        local = finger_matrices(angles, self.skeleton)
        place, turn = [rest[:, 0]], [torch.eye(3).expand(len(angles), 3, 3)]
        for joint in range(1, 16):
            parent = MANO_PARENTS[joint]
            offset = (rest[:, joint] - rest[:, parent])[..., None]
            place.append(place[parent] + (turn[parent] @ offset)[..., 0])
            turn.append(turn[parent] @ local[:, joint - 1])
        for tip, last in zip(range(16, 21), (15, 3, 6, 12, 9)):
            offset = (rest[:, tip] - rest[:, last])[..., None]
            place.append(place[last] + (turn[last] @ offset)[..., 0])
        return torch.stack(place, 1)[:, self.order]


def fit(
    points: Float[Tensor, "n 21 3"], bones: _Bones, depth_weight: float, free_units: bool
) -> tuple[Fit, tuple[float, float]]:
    """Fit all hands at once.

    Args:
        points: OpenPose order, camera axes (x right, y down, z forward), any unit.
        depth_weight: of z's residual, of x's and y's.
        free_units: whether x and z are each in another unit than y, the same for all hands.

    Returns:
        The fit, and the units of x and z in those of y (1 if they are not free).
    """
    count = len(points)
    angles = torch.tensor(_START).float().repeat(count, 1).div(30).requires_grad_()
    betas = torch.zeros(count, 10, requires_grad=True)
    units = torch.zeros(2, requires_grad=True)  # logarithms
    turned = matrix_to_rotation_6d(_palm_rotation(bones, points)).requires_grad_()
    scale = torch.zeros(count, requires_grad=True)
    free = [angles, betas, turned, scale] + ([units] if free_units else [])
    optimizer = torch.optim.Adam(free, lr=RATE)
    axes = torch.tensor([1.0, 1.0, depth_weight])
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, 2 * (1 - step / STEPS)) + 1e-4
        degrees = angles * 30
        wide = points * torch.stack([units[0], torch.zeros(()), units[1]]).exp()
        target = _normalised(wide)
        joints = bones(degrees, betas) @ rotation_6d_to_matrix(turned).mT
        model = _normalised(joints) * scale.exp()[:, None, None]
        offset = (model - target) * axes
        middle = (offset * _JOINT_WEIGHT[:, None]).sum(1, keepdim=True) / _JOINT_WEIGHT.sum()
        offset = offset - middle
        data = F.smooth_l1_loss(offset, torch.zeros_like(offset), beta=0.05, reduction="none")
        fits = 10 * (data.sum(2) * _JOINT_WEIGHT).mean(1)
        optimizer.zero_grad()
        (fits + _implausible(degrees, betas)).sum().backward()
        optimizer.step()
    residual = (offset.norm(dim=2) * _JOINT_WEIGHT).sum(1) / _JOINT_WEIGHT.sum()
    across, deep = units.detach().exp().tolist()
    return Fit(degrees.detach().numpy(), residual.detach().numpy()), (across, deep)


def _implausible(
    degrees: Float[Tensor, "n 21"], betas: Float[Tensor, "n 10"]
) -> Float[Tensor, " n"]:
    """Cost of what hands seldom do: beyond the limits above all."""
    # bent fingers cannot part: their ligaments are tight (Kapandji)
    room = torch.ones_like(degrees)
    room[:, list(SPREADS)] = 1 - 0.8 * (degrees[:, _KNUCKLES] / 90).clamp(0, 1)
    low, high = torch.tensor(LOW).float() * room, torch.tensor(HIGH).float() * room
    beyond = F.relu(low - degrees) + F.relu(degrees - high)
    # a finger's last joint follows its middle one, weakly
    ends = degrees[:, [2, 6, 10, 14]] - 0.55 * degrees[:, [1, 5, 9, 13]]
    return (
        0.02 * (beyond / 5).square().sum(1) + 0.004 * (ends / 15).square().sum(1)
        + 0.01 * betas.square().mean(1) + 0.002 * (degrees[:, 16:] / 20).square().sum(1)
    )  # fmt: skip


def _normalised(joints: Float[Tensor, "n 21 3"]) -> Float[Tensor, "n 21 3"]:
    """About the middle of the palm, in units of the palm's size.

    The size is part of what is fitted: held constant, it would let the units of x and z shrink
    all residuals by shrinking the hands.
    """
    middle = joints - joints[:, _PALM].mean(1, keepdim=True)
    return middle / middle[:, _PALM].norm(dim=2).mean(1)[:, None, None]


def _palm_rotation(bones: _Bones, points: Float[Tensor, "n 21 3"]) -> Float[Tensor, "n 3 3"]:
    """From the rest frame to each hand's, by its palm (Kabsch)."""
    rest = bones(torch.zeros(1, 21), torch.zeros(1, 10))[:, _PALM]
    rest, seen = rest - rest.mean(1, keepdim=True), points[:, _PALM]
    seen = seen - seen.mean(1, keepdim=True)
    left, _, right = torch.linalg.svd(seen.mT @ rest)
    sign = torch.linalg.det(left @ right).sign()
    left = torch.cat([left[..., :2], left[..., 2:] * sign[:, None, None]], 2)
    return left @ right


def disagreement(world: Float[Tensor, "n 2 21 3"]) -> Float[Tensor, " n"]:
    """Mean distance of a hand's two sets of landmarks after a rotation, of the palm's size."""
    one, two = (_normalised(world[:, side]) for side in (0, 1))
    left, _, right = torch.linalg.svd(one.mT @ two)
    left = torch.cat(
        [left[..., :2], left[..., 2:] * torch.linalg.det(left @ right).sign()[:, None, None]], 2
    )
    return (one - two @ (left @ right).mT).norm(dim=2).mean(1)


def main() -> None:
    """Fit both sources, drop what fits badly, and write the poses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letters", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=5, help="of the letters' frames in a row")
    parser.add_argument("--keep", type=float, default=0.85, help="share with the least residuals")
    arguments = parser.parse_args()
    bones = _Bones(ManoHand())
    with np.load(arguments.letters, allow_pickle=False) as letters:
        frames = torch.from_numpy(letters["landmarks"][:: arguments.every]).float()
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    few = [fit(points[::10], bones, 0.5, True)[0] for points in (frames, frames * mirror)]
    as_is, flipped = (float(found.residual.mean()) for found in few)
    print(f"letters: mean residual {as_is:.4f}, mirrored {flipped:.4f}")
    right = frames * mirror if flipped < as_is else frames
    letter_fit, (aspect, depth) = fit(right, bones, 0.5, True)
    print(f"letters: aspect {aspect:.3f}, depth {depth:.3f}")
    with np.load(arguments.photos, allow_pickle=False) as photos:
        world = torch.from_numpy(photos["world"]).float()
    agree = disagreement(world) < MAX_DISAGREEMENT
    print(f"photos: {int(agree.sum())} of {len(world)} agree with their mirror image")
    photo_fit, _ = fit(world[agree, 0], bones, 1.0, False)
    poses, sources = [], []
    for source, found in zip(REAL_SOURCES, (letter_fit, photo_fit), strict=True):
        good = found.residual <= np.quantile(found.residual, arguments.keep)
        poses.append(np.clip(found.angles[good], LOW, HIGH))
        sources.append(np.full(good.sum(), REAL_SOURCES.index(source), np.uint8))
        print(f"{source}: {good.sum()} of {len(good)} kept, median residual "
              f"{np.median(found.residual):.4f}")  # fmt: skip
    with atomic_write(arguments.out) as file, file.open("wb") as stream:
        np.savez_compressed(
            stream, allow_pickle=False, angles=np.concatenate(poses).astype(np.float16),
            source=np.concatenate(sources),
        )  # fmt: skip


if __name__ == "__main__":
    main()
