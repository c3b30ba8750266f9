"""MANO fitted to the landmarks that a detector saw, many hands at once.

The idea is SMPLify's (Bogo et al. 2016, eq. 1): projected joints on the detected ones, and a prior
on pose and shape; here a detector's 3D joints count, too. Each hand is its own problem: the losses
are summed and Adam works on each number alone, so a hand does not depend on its neighbours.

A detector's joints are not quite MANO's. MediaPipe's wrist and its first thumb joint lie elsewhere:
seen from the side of the thumb its wrist is at the far edge of the arm, a tenth to a fifth of the
hand away from MANO's. These two joints therefore count less (`weight_base`); without that they pull
the fingers off theirs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F
from torch.optim.adam import adam

from hand_pipeline.config import Config
from hand_pipeline.geometry.camera import unproject
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.mano_joints import ManoJoints
from hand_pipeline.geometry.rotation import (
    matrix_to_rotation_6d,
    mean_rotation,
    rotation_6d_to_matrix,
)

_PALM = [0, 1, 5, 9, 13, 17]  # of a stiff part: wrist and bases of the fingers
_BASE = [0, 1]  # wrist and first thumb joint
_LEAST = 1e-6
_LEAST_DEPTH = 0.05  # metres; nearer points are projected as if they were here
_UNSEEN_DEPTH = 0.6  # metres; of a hand of which nothing was seen


class HandFitConfig(Config):
    """How hands are fitted to landmarks. All defaults are our choice."""

    steps: int = Field(150, ge=1, description="of Adam; the learning rates fall to 0 over them")
    lr_pose: float = Field(0.03, ge=0, description="of the rotations' 6D numbers")
    lr_betas: float = Field(0.03, ge=0, description="of the shape; 0: the shape stays")
    lr_place: float = Field(
        0.01, ge=0, description="of the place, sizes of the hand, and of the depth's logarithm"
    )
    weight_2d: float = Field(3.0, ge=0, description="of projected joints, sizes of the hand")
    weight_3d: float = Field(1.0, ge=0, description="of 3D joints about their centre, sizes")
    weight_base: float = Field(
        0.3, ge=0, le=1, description="of wrist and first thumb joint; the other joints have 1"
    )
    weight_pose: float = Field(0.02, ge=0, description="of the distance from the prior's pose")
    weight_betas: float = Field(0.002, ge=0, description="of the distance from the prior's shape")
    linear_from: float = Field(
        0.05, gt=0, description="sizes of the hand from which a distance counts linearly"
    )


REFINEMENT = HandFitConfig(steps=80, lr_betas=0, weight_2d=1, weight_3d=0, weight_pose=0.3)
"""For a hand that a network predicted: to the 2D joints alone, and never far from it."""


class Landmarks(NamedTuple):
    """Joints that were seen, OpenPose order; as `data.batch.Keypoints`.

    Attributes:
        points: px.
        confidence: 0 (may lie anywhere) to 1.
        points_3d: metres about any centre, in the camera's axes; zeros for a hand without. None:
            no hand has any.
    """

    points: Float[Tensor, "batch 21 2"]
    confidence: Float[Tensor, "batch 21"]
    points_3d: Float[Tensor, "batch 21 3"] | None = None


class HandStart(NamedTuple):
    """Hands to start from, which are then the prior; camera frame, metres."""

    mano_pose: Float[Tensor, "batch 16 3 3"]
    betas: Float[Tensor, "batch 10"]
    joints: Float[Tensor, "batch 21 3"]


class FittedHands(NamedTuple):
    """Hands in the camera frame of the landmarks, metres.

    Attributes:
        mano_pose: full pose.
        betas: shape coefficients, standard deviations.
        joints: OpenPose order.
        vertices: of the mesh.
        residual_2d: mean distance of projected from seen joints, weighted as in the fit, over the
            hand's size (the joints' mean distance from their centre, about a third of its longer
            side); 0 where nothing was seen.
        residual_3d: the same of the 3D joints, centred and divided by their size.
    """

    mano_pose: Float[Tensor, "batch 16 3 3"]
    betas: Float[Tensor, "batch 10"]
    joints: Float[Tensor, "batch 21 3"]
    vertices: Float[Tensor, "batch 778 3"]
    residual_2d: Float[Tensor, " batch"]
    residual_3d: Float[Tensor, " batch"]


class _Target(NamedTuple):
    """What was seen, freed of place and size."""

    flat: Float[Tensor, "batch 21 2"]
    """On the plane at depth 1, about `centre`, in units of `size`."""
    centre: Float[Tensor, "batch 1 2"]
    size: Float[Tensor, "batch 1 1"]
    deep: Float[Tensor, "batch 21 3"]
    """About their centre, in units of their size."""
    weight: Float[Tensor, "batch 21 1"]
    weight_3d: Float[Tensor, "batch 21 1"]


class _Hand(NamedTuple):
    """The numbers that are learnt: 6D rotations, shape, and where the middle knuckle is: in px
    freed of place and size as `_Target.flat`, and the logarithm of its depth."""

    six: Float[Tensor, "batch 16 6"]
    betas: Float[Tensor, "batch 10"]
    place: Float[Tensor, "batch 3"]


def fit_hands(
    mano: ManoHand,
    landmarks: Landmarks,
    intrinsics: Float[Tensor, "batch 3 3"],
    cfg: HandFitConfig,
    start: HandStart | None = None,
) -> FittedHands:
    """Fit the hand model to what was seen of right hands.

    Without `start` the palm's joints give the first orientation (Procrustes; where there are no 3D
    joints, of the 2D ones as if flat), the ratio of sizes the first depth, and the prior is the
    mean pose and shape. What nothing was seen of stays at the prior; a hand of which nothing was
    seen at all lies on the camera's axis.

    Size and depth cannot be told apart by landmarks: the mean shape decides.

    Args:
        mano: hand model, whose `tips` the landmarks' tips are compared with.
        landmarks: what was seen, finite numbers.
        intrinsics: camera of the pixels.
        cfg: steps, learning rates and weights.
        start: hands to begin with, and not to leave far.
    """
    with torch.inference_mode(False), torch.enable_grad():
        # copies: what was made in inference mode cannot be differentiated through
        landmarks = landmarks._replace(
            points=landmarks.points.clone().float(),
            confidence=landmarks.confidence.clone().float(),
            points_3d=None if landmarks.points_3d is None else landmarks.points_3d.clone().float(),
        )
        if start is not None:
            start = HandStart(*(value.clone().float() for value in start))
        target = _target(landmarks, intrinsics.clone().float(), cfg.weight_base)
        pose_joints = ManoJoints(mano)
        first = _first(target, mano, pose_joints, start)
        hand = _Hand(*(value.clone().requires_grad_() for value in first))
        prior = _prior(first, mano, start)
        rates, memory = (cfg.lr_pose, cfg.lr_betas, cfg.lr_place), [_Memory(v) for v in hand]
        for step in range(cfg.steps):
            loss = _loss(hand, target, pose_joints, prior, cfg).sum()
            _step(hand, torch.autograd.grad(loss, hand), memory, rates, 1 - step / cfg.steps)
    with torch.no_grad():
        return _fitted(_Hand(*(value.detach() for value in hand)), target, mano)


class _Memory:
    """Adam's running means of one value's gradient."""

    def __init__(self, value: Tensor) -> None:
        self.mean, self.square = torch.zeros_like(value), torch.zeros_like(value)
        self.steps = torch.zeros(())


@torch.no_grad()
def _step(
    hand: _Hand,
    gradients: Sequence[Tensor],
    memory: Sequence[_Memory],
    rates: Sequence[float],
    share: float,
) -> None:
    """Adam with a rate for each value, without `torch.optim.Adam`, which loads torch's compiler.

    That takes a second or two, in which somebody waits for one hand.
    """
    for value, gradient, past, rate in zip(hand, gradients, memory, rates):
        adam(
            [value], [gradient], [past.mean], [past.square], [], [past.steps], amsgrad=False,
            beta1=0.9, beta2=0.999, lr=rate * share, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip


def _target(landmarks: Landmarks, intrinsics: Tensor, weight_base: float) -> _Target:
    weight = landmarks.confidence[..., None]
    weight[:, _BASE] *= weight_base
    rays = unproject(landmarks.points, torch.ones_like(landmarks.confidence), intrinsics)
    flat, centre, size = _normalised(rays[..., :2], weight)
    deep = torch.zeros_like(rays) if landmarks.points_3d is None else landmarks.points_3d
    has_depth = (deep != 0).flatten(1).any(1)[:, None, None]
    weight_3d = weight * has_depth
    return _Target(flat, centre, size, _normalised(deep, weight_3d)[0], weight, weight_3d)


def _normalised(points: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Points about their weighted centre in units of their mean distance from it; both of them."""
    total = weight.sum(1, keepdim=True).clamp(min=_LEAST)
    centre = (weight * points).sum(1, keepdim=True) / total
    away = points - centre
    size = (weight * away.norm(dim=-1, keepdim=True)).sum(1, keepdim=True) / total
    size = size.clamp(min=_LEAST)
    return away / size, centre, size


def _first(
    target: _Target, mano: ManoHand, pose_joints: ManoJoints, start: HandStart | None
) -> _Hand:
    """Where the fit begins."""
    count, device = len(target.flat), target.flat.device
    if start is not None:
        pose, betas, root = start.mano_pose, start.betas, start.joints[:, 9]
        depth = root[:, 2:].clamp(min=_LEAST_DEPTH)
        place = (root[:, :2] / depth - target.centre[:, 0]) / target.size[:, 0]
    else:
        still = torch.zeros(1, 48, device=device)
        pose = mano.full_pose(still, flat_hand_mean=False).float().repeat(count, 1, 1, 1)
        betas = torch.zeros(count, 10, device=device)
        pose[:, 0] = _orientation(target, pose_joints(pose, betas).float())
        joints = pose_joints(pose, betas).float()
        depth = _normalised(joints[..., :2], target.weight)[2][:, 0] / target.size[:, 0]
        seen = (target.weight > 0).any(1)
        depth = torch.where(seen, depth, torch.full_like(depth, _UNSEEN_DEPTH))
        place = torch.where(target.weight[:, 9] > 0, target.flat[:, 9], torch.zeros_like(depth))
    place = torch.cat([place, depth.log()], dim=1)
    return _Hand(matrix_to_rotation_6d(pose), betas, place)


def _orientation(target: _Target, joints: Tensor) -> Float[Tensor, "batch 3 3"]:
    """The rotation that brings the palm of a hand in its mean pose nearest to the seen one."""
    flat = F.pad(target.flat, (0, 1))
    seen = torch.where(target.weight_3d > 0, target.deep, flat)[:, _PALM]
    weight = target.weight[:, _PALM]
    model = joints[:, _PALM]
    total = weight.sum(1, keepdim=True).clamp(min=_LEAST)
    model = model - (weight * model).sum(1, keepdim=True) / total
    seen = seen - (weight * seen).sum(1, keepdim=True) / total
    covariance = (weight * seen).mT @ model
    upright = _LEAST * torch.eye(3, device=joints.device)  # where nothing was seen
    return mean_rotation((covariance + upright)[:, None])


def _prior(first: _Hand, mano: ManoHand, start: HandStart | None) -> tuple[_Hand, Tensor]:
    """The hand that the fit keeps near to, and how much each rotation counts in that."""
    counts = torch.ones(16, 1, device=first.six.device)
    if start is None:
        counts[0] = 0  # any orientation is as likely
    return first, counts / counts.sum()


def _place(hand: _Hand, target: _Target, joints: Tensor) -> Float[Tensor, "batch 1 3"]:
    """Translation of posed joints to where the hand is."""
    depth = hand.place[:, None, 2:].exp()
    ray = target.centre + hand.place[:, None, :2] * target.size
    return torch.cat([ray * depth, depth], dim=-1) - joints[:, 9:10]


def _off(hand: _Hand, target: _Target, joints: Tensor) -> tuple[Tensor, Tensor]:
    """Differences from what was seen, in sizes of the hand: of placed joints in 2D, and in 3D."""
    placed = joints + _place(hand, target, joints)
    rays = placed[..., :2] / placed[..., 2:].clamp(min=_LEAST_DEPTH)
    flat = (rays - target.centre) / target.size
    return flat - target.flat, _normalised(joints, target.weight_3d)[0] - target.deep


def _loss(
    hand: _Hand,
    target: _Target,
    pose_joints: ManoJoints,
    prior: tuple[_Hand, Tensor],
    cfg: HandFitConfig,
) -> Float[Tensor, " batch"]:
    """Of each hand. A joint that is half as sure counts half; the prior counts the same always."""
    joints = pose_joints(rotation_6d_to_matrix(hand.six), hand.betas)
    off_2d, off_3d = _off(hand, target, joints)
    near, counts = prior
    return (
        cfg.weight_2d * (target.weight * _robust(off_2d, cfg)).sum((1, 2)) / 21
        + cfg.weight_3d * (target.weight_3d * _robust(off_3d, cfg)).sum((1, 2)) / 21
        + cfg.weight_pose * (counts * (hand.six - near.six).square()).sum((1, 2))
        + cfg.weight_betas * (hand.betas - near.betas).square().mean(1)
    )


def _robust(off: Tensor, cfg: HandFitConfig) -> Tensor:
    return F.smooth_l1_loss(off, torch.zeros_like(off), beta=cfg.linear_from, reduction="none")


def _fitted(hand: _Hand, target: _Target, mano: ManoHand) -> FittedHands:
    pose = rotation_6d_to_matrix(hand.six)
    mesh = mano(pose, hand.betas)
    off_2d, off_3d = _off(hand, target, mesh.joints)
    shift = _place(hand, target, mesh.joints)
    return FittedHands(
        pose, hand.betas, mesh.joints + shift, mesh.vertices + shift,
        _mean(off_2d, target.weight), _mean(off_3d, target.weight_3d),
    )  # fmt: skip


def _mean(off: Tensor, weight: Tensor) -> Float[Tensor, " batch"]:
    total = weight.sum((1, 2)).clamp(min=_LEAST)
    return (weight * off.norm(dim=-1, keepdim=True)).sum((1, 2)) / total
