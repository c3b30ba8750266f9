import math
import re
from pathlib import Path

import numpy as np
import pytest
import smplx
import torch
from smplx.utils import Struct

import hand_pipeline
from hand_pipeline.geometry.joints import BONES, FINGERS
from hand_pipeline.geometry.mano import (
    TIP_VERTICES,
    ManoHand,
    mirror_faces,
    mirror_points,
)
from hand_pipeline.geometry.rotation import (
    axis_angle_to_matrix,
    mirror_axis_angle,
    mirror_matrix,
)
from hand_pipeline.geometry.topology import vertex_normals

OPEN_HAND = Path(hand_pipeline.__file__).parent / "assets/open_hand/openhand_right.npz"


@pytest.fixture(scope="module")
def hand() -> ManoHand:
    return ManoHand()


@pytest.fixture(scope="module")
def left() -> ManoHand:
    return ManoHand(side="left")


@pytest.fixture
def axis_angle() -> torch.Tensor:
    return torch.randn(6, 48, generator=torch.Generator().manual_seed(0)) * 0.4


@pytest.fixture
def betas() -> torch.Tensor:
    return torch.randn(6, 10, generator=torch.Generator().manual_seed(1))


def open_arrays() -> dict[str, np.ndarray]:
    with np.load(OPEN_HAND, allow_pickle=False) as archive:
        return dict(archive)


def test_the_hand_agrees_with_smplx_that_adds_the_mean_pose(
    hand: ManoHand, axis_angle: torch.Tensor, betas: torch.Tensor
) -> None:
    """smplx.MANO (not MANOLayer) implements `flat_hand_mean` itself."""
    for flat in (True, False):
        model = smplx.MANO(
            "",
            is_rhand=True,
            data_struct=Struct(**open_arrays()),
            use_pca=False,
            flat_hand_mean=flat,
            batch_size=6,
        )
        offset = torch.tensor([[0.1, -0.2, 0.7]]).expand(6, 3)
        pose = {"global_orient": axis_angle[:, :3], "hand_pose": axis_angle[:, 3:]}
        expected = model(betas=betas, transl=offset, **pose)
        found = hand(hand.full_pose(axis_angle, flat), betas, offset)
        torch.testing.assert_close(found.vertices, expected.vertices, atol=1e-6, rtol=0)
        order = [0, 13, 14, 15, 1, 2, 3, 4, 5, 6, 10, 11, 12, 7, 8, 9]
        ours = [0, 1, 2, 3, 5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19]
        joints = expected.joints[:, order]
        torch.testing.assert_close(found.joints[:, ours], joints, atol=1e-6, rtol=0)


def test_the_mean_pose_is_added_only_where_it_was_taken_off(
    hand: ManoHand, axis_angle: torch.Tensor
) -> None:
    full = hand.full_pose(axis_angle, flat_hand_mean=True)
    torch.testing.assert_close(full[:, 0], axis_angle_to_matrix(axis_angle[:, :3]))
    relative = axis_angle.clone()
    relative[:, 3:] -= hand.hands_mean.flatten()
    torch.testing.assert_close(
        hand.full_pose(relative, flat_hand_mean=False), full, atol=1e-6, rtol=0
    )
    assert float(hand.hands_mean.norm(dim=1).max()) > 0.1
    for flat in (True, False):
        pose = hand.full_pose(axis_angle, flat)
        torch.testing.assert_close(hand.stored_pose(pose, flat), axis_angle, atol=1e-5, rtol=0)


def test_the_flat_hand_at_rest_is_the_template(hand: ManoHand) -> None:
    eye = torch.eye(3).expand(2, 16, 3, 3)
    mesh = hand(eye, torch.zeros(2, 10))
    torch.testing.assert_close(mesh.vertices[1], hand.template)
    rest = hand.rest_joints(torch.zeros(2, 10))
    torch.testing.assert_close(mesh.joints[:, 0], rest[:, 0])
    torch.testing.assert_close(mesh.joints[:, 5], rest[:, 1])  # index base: second in MANO's order
    assert 0.15 < float(mesh.vertices.amax((0, 1))[0] - mesh.vertices.amin((0, 1))[0]) < 0.25


def test_rest_joints_do_not_depend_on_pose(
    hand: ManoHand, axis_angle: torch.Tensor, betas: torch.Tensor
) -> None:
    eye = torch.eye(3).expand(6, 16, 3, 3)
    flat = hand(eye, betas)
    torch.testing.assert_close(hand.rest_vertices(betas), flat.vertices)
    wrist = hand(hand.full_pose(axis_angle, True), betas).joints[:, 0]
    torch.testing.assert_close(wrist, hand.rest_joints(betas)[:, 0])


def test_bones_keep_their_length_when_fingers_bend(
    hand: ManoHand, axis_angle: torch.Tensor, betas: torch.Tensor
) -> None:
    parents, children = torch.tensor([bone for bone in BONES if bone[1] % 4]).unbind(1)
    eye = torch.eye(3).expand(6, 16, 3, 3)
    lengths = [
        (mesh.joints[:, children] - mesh.joints[:, parents]).norm(dim=-1)
        for mesh in (hand(eye, betas), hand(hand.full_pose(axis_angle, True), betas))
    ]
    torch.testing.assert_close(lengths[0], lengths[1], atol=1e-6, rtol=0)


def test_joints_are_in_openpose_order(hand: ManoHand) -> None:
    joints = hand(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10)).joints[0]
    for fingers in FINGERS.values():
        distance = (joints[list(fingers)] - joints[0]).norm(dim=1)
        assert bool((distance.diff() > 0).all())
    # Thumb towards +z, pinky towards -z, tips away from the wrist along -x.
    assert bool((joints[[5, 9, 13, 17], 2].diff() < 0).all())
    assert float(joints[2, 2]) > float(joints[5, 2])
    torch.testing.assert_close(joints[[4, 8, 12, 16, 20]], hand.template[[744, 320, 443, 554, 671]])


@pytest.mark.parametrize("tips", TIP_VERTICES)
def test_tips_are_the_data_sets_vertices(tips: str, axis_angle: torch.Tensor) -> None:
    hand = ManoHand(tips=tips)
    mesh = hand(hand.full_pose(axis_angle, True), torch.zeros(6, 10))
    expected = mesh.vertices[:, list(TIP_VERTICES[tips])]
    torch.testing.assert_close(mesh.joints[:, [4, 8, 12, 16, 20]], expected)


def test_a_translation_moves_everything(hand: ManoHand, axis_angle: torch.Tensor) -> None:
    pose, betas = hand.full_pose(axis_angle, True), torch.zeros(6, 10)
    offset = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    still, moved = hand(pose, betas), hand(pose, betas, offset)
    torch.testing.assert_close(moved.vertices, still.vertices + offset[:, None])
    torch.testing.assert_close(moved.joints, still.joints + offset[:, None])


def test_the_left_hand_mirrors_the_right(
    hand: ManoHand, left: ManoHand, axis_angle: torch.Tensor, betas: torch.Tensor
) -> None:
    right_mesh = hand(hand.full_pose(axis_angle, False), betas)
    # The mean pose is mirrored too, so stored poses mirror by sign alone.
    mirrored = mirror_axis_angle(axis_angle.unflatten(1, (16, 3))).flatten(1)
    pose = left.full_pose(mirrored, False)
    torch.testing.assert_close(pose, mirror_matrix(hand.full_pose(axis_angle, False)))
    left_mesh = left(pose, betas)
    torch.testing.assert_close(left_mesh.vertices, mirror_points(right_mesh.vertices))
    torch.testing.assert_close(left_mesh.joints, mirror_points(right_mesh.joints))
    assert torch.equal(left.faces, mirror_faces(hand.faces))
    normals = vertex_normals(left_mesh.vertices, left.faces)
    expected = mirror_points(vertex_normals(right_mesh.vertices, hand.faces))
    torch.testing.assert_close(normals, expected, atol=1e-4, rtol=0)


def test_components_and_axes_of_the_left_hand_mean_the_same_pose(
    hand: ManoHand, left: ManoHand
) -> None:
    coefficients = hand.hands_coeffs[:5]
    right_pose = (coefficients @ hand.hands_components).unflatten(1, (15, 3)) + hand.hands_mean
    left_pose = (coefficients @ left.hands_components).unflatten(1, (15, 3)) + left.hands_mean
    torch.testing.assert_close(left_pose, mirror_axis_angle(right_pose))
    torch.testing.assert_close(left.flex_axes, mirror_axis_angle(hand.flex_axes))
    torch.testing.assert_close(left.nails, mirror_points(hand.nails))


def test_flexing_axes_bend_fingers_towards_the_palm(hand: ManoHand) -> None:
    """The palm faces -y at rest; the thumb, which opposes, is left out."""
    angles = torch.zeros(1, 16, 3)
    angles[0, 1:] = hand.flex_axes * math.radians(40)
    mesh = hand(axis_angle_to_matrix(angles), torch.zeros(1, 10))
    rest = hand(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10))
    moved = mesh.joints[0, [8, 12, 16, 20], 1] - rest.joints[0, [8, 12, 16, 20], 1]
    assert float(moved.max()) < -0.02


def test_a_left_file_gets_its_shape_directions_fixed(tmp_path: Path, betas: torch.Tensor) -> None:
    """The official left model is the mirrored right one but for the sign of its shapes' x."""
    left = ManoHand(side="left")
    arrays = open_arrays()
    broken = left.shapedirs.numpy().copy()
    broken[:, 0] *= -1
    arrays |= {
        "v_template": left.template.numpy(),
        "f": left.faces.numpy(),
        "shapedirs": broken,
        "posedirs": left.posedirs.numpy().T.reshape(778, 3, 135),
        "hands_mean": left.hands_mean.numpy().reshape(45),
        "hands_components": left.hands_components.numpy(),
    }
    path = tmp_path / "MANO_LEFT.npz"
    np.savez(path, **arrays)
    fixed = ManoHand(path, side="left")
    as_shipped = ManoHand(path, side="left", fix_left_shapedirs=False)
    expected = left.rest_vertices(betas)
    torch.testing.assert_close(fixed.rest_vertices(betas), expected)
    assert float((as_shipped.rest_vertices(betas) - expected).abs().max()) > 1e-3
    with pytest.raises(ValueError, match="is a left hand, but a right one is needed"):
        ManoHand(path, side="right")


def test_wrong_choices_are_named() -> None:
    with pytest.raises(ValueError, match="side must be 'right' or 'left', not 'both'"):
        ManoHand(side="both")
    with pytest.raises(ValueError, match=re.escape("unknown tips 'nyu'; known: mano, freihand")):
        ManoHand(tips="nyu")


def test_gradients_are_right_at_the_flat_hand() -> None:
    hand = ManoHand().double()
    index = torch.tensor([0, 320, 744, 500])

    def some(angles: torch.Tensor, betas: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
        mesh = hand(axis_angle_to_matrix(angles), betas, offset)
        return mesh.vertices[:, index] * 10 + mesh.joints[:, ::6]

    angles = torch.zeros(1, 16, 3, dtype=torch.float64, requires_grad=True)
    betas = torch.zeros(1, 10, dtype=torch.float64, requires_grad=True)
    offset = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(some, (angles, betas, offset), fast_mode=True)


def test_the_model_stays_out_of_checkpoints_and_optimisers(hand: ManoHand) -> None:
    """MANO's licence does not allow it to be passed on inside weights."""
    assert hand.state_dict() == {}
    assert list(hand.parameters()) == []
    moved = ManoHand().to(torch.float64)
    assert moved.template.dtype == torch.float64
    assert moved.faces.dtype == torch.int64


def test_autocast_does_not_coarsen_the_mesh(hand: ManoHand, axis_angle: torch.Tensor) -> None:
    pose, betas = hand.full_pose(axis_angle, True), torch.ones(6, 10)
    expected = hand(pose, betas)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = hand(pose, betas)
    assert torch.equal(found.vertices, expected.vertices)


def test_the_vertex_subset_is_even_and_always_the_same(hand: ManoHand, left: ManoHand) -> None:
    subset = hand.vertex_subset()
    assert torch.equal(subset, ManoHand().vertex_subset(195))
    assert torch.equal(subset, left.vertex_subset())
    assert len(subset.unique()) == 195
    points = hand.template
    covered = torch.cdist(points, points[subset]).min(1).values.max()
    apart = torch.cdist(points[subset], points[subset]).fill_diagonal_(1).min()
    assert float(covered) <= float(apart) + 1e-6  # a property of farthest point sampling
    chance = torch.randperm(778, generator=torch.Generator().manual_seed(0))[:195]
    assert float(covered) < 0.6 * float(torch.cdist(points, points[chance]).min(1).values.max())
    assert torch.equal(hand.vertex_subset(778), torch.arange(778))
    with pytest.raises(ValueError, match="can choose 1 to 778 vertices, not 900"):
        hand.vertex_subset(900)


def test_making_a_hand_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    ManoHand()
    assert capfd.readouterr() == ("", "")
