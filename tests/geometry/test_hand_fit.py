"""Hands whose pose is known come back from their landmarks."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.hand_fit import (
    REFINEMENT,
    FittedHands,
    HandFitConfig,
    HandStart,
    Landmarks,
    fit_hands,
)
from hand_pipeline.geometry.mano import HandMesh, ManoHand
from hand_pipeline.geometry.procrustes import procrustes_align
from hand_pipeline.geometry.rotation import axis_angle_to_matrix, random_rotation

COUNT = 12
CFG = HandFitConfig()


class Known(NamedTuple):
    """True hands and what a faultless detector sees of them."""

    mano: ManoHand
    pose: Tensor
    betas: Tensor
    mesh: HandMesh
    seen: Landmarks
    intrinsics: Tensor


@pytest.fixture(scope="module")
def known() -> Known:
    torch.manual_seed(3)
    mano = ManoHand(tips="freihand")
    # bent by the open hand's own example poses' spread, turned any way
    fingers = mano.hands_mean + 0.35 * torch.randn(COUNT, 15, 1) * mano.flex_axes
    pose = axis_angle_to_matrix(torch.cat([torch.zeros(COUNT, 1, 3), fingers], dim=1))
    pose[:, 0] = random_rotation(COUNT, "cpu")
    betas = torch.randn(COUNT, 10).clamp(-1.5, 1.5)
    places = torch.tensor([0.05, -0.04, 0.5]) + torch.rand(COUNT, 3) * torch.tensor([0.1, 0.1, 2.0])
    mesh = mano(pose, betas)
    mesh = HandMesh(mesh.vertices + places[:, None], mesh.joints + places[:, None])
    intrinsics = torch.tensor([[500.0, 0, 90], [0, 480, 130], [0, 0, 1]]).expand(COUNT, 3, 3)
    centred = mesh.joints - mesh.joints.mean(1, keepdim=True)
    seen = Landmarks(project(mesh.joints, intrinsics), torch.ones(COUNT, 21), centred)
    return Known(mano, pose, betas, mesh, seen, intrinsics)


@pytest.fixture(scope="module")
def fitted(known: Known) -> FittedHands:
    return fit_hands(known.mano, known.seen, known.intrinsics, CFG)


def millimetres(found: Tensor, truth: Tensor) -> Tensor:
    return 1000 * (procrustes_align(found, truth) - truth).norm(dim=-1).mean(1)


def pixels(fit: FittedHands, known: Known) -> Tensor:
    """Mean 2D error over the longer side of each hand."""
    truth = project(known.mesh.joints, known.intrinsics)
    side = (truth.amax(1) - truth.amin(1)).amax(1)
    return (project(fit.joints, known.intrinsics) - truth).norm(dim=-1).mean(1) / side


def test_known_hands_come_back(known: Known, fitted: FittedHands) -> None:
    assert millimetres(fitted.joints, known.mesh.joints).max() < 2
    assert millimetres(fitted.vertices, known.mesh.vertices).max() < 5
    assert pixels(fitted, known).max() < 0.01
    assert fitted.residual_2d.max() < 0.02
    assert fitted.residual_3d.max() < 0.02


def test_parameters_and_mesh_belong_together(known: Known, fitted: FittedHands) -> None:
    mesh = known.mano(fitted.mano_pose, fitted.betas)
    shift = fitted.joints[:, :1] - mesh.joints[:, :1]
    torch.testing.assert_close(fitted.vertices, mesh.vertices + shift, rtol=0, atol=1e-5)
    assert not fitted.vertices.requires_grad


def test_a_joint_without_confidence_does_no_harm(known: Known, fitted: FittedHands) -> None:
    points, sure = known.seen.points.clone(), known.seen.confidence.clone()
    deep = known.seen.points_3d.clone()  # type: ignore[union-attr]
    points[:, 8], deep[:, 8], sure[:, 8] = 9000.0, 5.0, 0.0
    fit = fit_hands(known.mano, Landmarks(points, sure, deep), known.intrinsics, CFG)
    assert millimetres(fit.joints, known.mesh.joints).mean() < 3  # the tip itself is guessed
    others = [joint for joint in range(21) if joint != 8]
    assert millimetres(fit.joints[:, others], known.mesh.joints[:, others]).max() < 2


def test_a_hand_does_not_depend_on_its_neighbours(known: Known, fitted: FittedHands) -> None:
    some = [7, 2]
    seen = Landmarks(*(value[some] for value in known.seen if value is not None))
    seen.points[1] += 300
    alone = fit_hands(known.mano, seen, known.intrinsics[some], CFG)
    torch.testing.assert_close(alone.vertices[0], fitted.vertices[7], rtol=0, atol=1e-4)


def test_without_3d_joints_the_hand_still_lies_on_the_2d_ones(known: Known) -> None:
    flat = known.seen._replace(points_3d=None)
    fit = fit_hands(known.mano, flat, known.intrinsics, CFG)
    assert pixels(fit, known).median() < 0.02
    assert (fit.residual_3d == 0).all()
    zeros = known.seen._replace(points_3d=torch.zeros(COUNT, 21, 3))
    again = fit_hands(known.mano, zeros, known.intrinsics, CFG)
    torch.testing.assert_close(again.vertices, fit.vertices)


def test_a_hand_of_which_nothing_was_seen_is_the_mean_hand(known: Known) -> None:
    nothing = Landmarks(torch.full((1, 21, 2), 77.0), torch.zeros(1, 21), torch.zeros(1, 21, 3))
    fit = fit_hands(known.mano, nothing, known.intrinsics[:1], CFG)
    assert all(value.isfinite().all() for value in fit)
    mean = known.mano.full_pose(torch.zeros(1, 48), flat_hand_mean=False)
    torch.testing.assert_close(fit.mano_pose, mean, rtol=0, atol=1e-5)
    assert fit.joints[..., 2].min() > 0.3
    assert fit.residual_2d == 0


def test_refinement_moves_a_start_onto_the_2d_joints_and_stays_near(known: Known) -> None:
    """A network's hand that is a little wrong; the detector's pixels are right."""
    torch.manual_seed(5)
    turn = axis_angle_to_matrix(0.12 * torch.randn(COUNT, 16, 3))
    pose = known.pose @ turn
    rel = known.mano(pose, known.betas).joints
    joints = rel - rel[:, 9:10] + known.mesh.joints[:, 9:10] * 1.03
    start = HandStart(pose, known.betas, joints)
    fit = fit_hands(known.mano, known.seen, known.intrinsics, REFINEMENT, start)
    before = FittedHands(pose, known.betas, joints, joints, *[torch.zeros(COUNT)] * 2)
    assert pixels(fit, known).mean() < 0.3 * pixels(before, known).mean()
    assert millimetres(fit.joints, known.mesh.joints).mean() < 0.9 * (
        millimetres(joints, known.mesh.joints).mean()
    )
    assert torch.equal(fit.betas, known.betas)


def test_it_fits_inside_inference_mode(known: Known) -> None:
    with torch.inference_mode():
        seen = Landmarks(*(value[:2].clone() for value in known.seen if value is not None))
        fit = fit_hands(known.mano, seen, known.intrinsics[:2].clone(), CFG)
    assert millimetres(fit.joints, known.mesh.joints[:2]).max() < 2
