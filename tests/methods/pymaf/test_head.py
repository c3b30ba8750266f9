"""The PyMAF head: shapes, sampling, projection, detached state, variants."""

import pytest
import torch

from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.methods.pymaf.head import PyMAFHead, sample_at
from hand_pipeline.models.crop_camera import camera_of
from hand_pipeline.models.feature_pyramid import FeaturePyramid

SIZE = 64


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand()


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(2, 16, 24, generator=generator)
    intrinsics = torch.tensor([[150.0, 0, 30], [0, 150, 34], [0, 0, 1]]).expand(2, 3, 3)
    return patches, intrinsics


def small(**changes) -> PyMAFConfig:
    return PyMAFConfig(pyramid_channels=16, regressor_width=32, **changes)


def head_of(cfg: PyMAFConfig, mano: ManoHand) -> PyMAFHead:
    torch.manual_seed(0)
    return PyMAFHead(cfg, embed_dim=24, image_size=SIZE, mano=mano).eval()


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_each_map_is_twice_as_fine_as_the_one_before(norm):
    pyramid = FeaturePyramid(24, channels=16, num_maps=3, norm=norm)
    shapes = [tuple(m.shape) for m in pyramid(torch.randn(2, 16, 24))]
    assert shapes == [(2, 16, 4, 4), (2, 16, 8, 8), (2, 16, 16, 16)]


def test_patches_that_are_no_square_grid_are_refused():
    with pytest.raises(ValueError, match="square grid"):
        FeaturePyramid(24)(torch.randn(2, 15, 24))


def test_sampling_finds_the_pixel_it_points_at():
    feature_map = torch.arange(20.0).reshape(1, 1, 4, 5)
    # pixel column 3, row 1 of a map 5 wide and 4 high, at its centre
    point = torch.tensor([[[3.5 / 5 * 2 - 1, 1.5 / 4 * 2 - 1]]])
    assert sample_at(feature_map, point).item() == pytest.approx(8, abs=1e-5)


@pytest.mark.parametrize("changes", [{}, {"iterations": 1}, {"weight_own_joints_2d": 1.0}], ids=str)
def test_every_iteration_gives_a_hand_in_the_camera(mano, inputs, changes):
    patches, intrinsics = inputs
    cfg = small(**changes)
    estimates = head_of(cfg, mano)(patches, intrinsics, mano).hands
    assert len(estimates) == cfg.iterations
    for hand in estimates:
        torch.testing.assert_close(project(hand.joints, intrinsics), hand.joints_2d)
        assert (hand.vertices[..., 2] > 0).all()


def test_the_first_hand_is_almost_the_mean_hand_in_the_middle_of_the_crop(mano, inputs):
    patches, intrinsics = inputs
    head = head_of(small(), mano)
    hand = head(patches, intrinsics, mano).hands[0]
    mean = mano.full_pose(torch.zeros(2, 48), flat_hand_mean=False)
    assert (hand.mano_pose - mean).abs().max() < 0.1
    assert (hand.joints_2d[:, 9] - SIZE / 2).abs().max() < 3


def test_an_iteration_does_not_train_the_one_before_it(mano, inputs):
    patches, intrinsics = inputs
    head = head_of(small(), mano)
    head(patches, intrinsics, mano).hands[-1].joints.sum().backward()
    gradients = [
        sum(p.grad.abs().sum().item() for p in r.parameters() if p.grad is not None)
        for r in head.rectifiers
    ]
    assert gradients[:2] == [0, 0]
    assert gradients[2] > 0


def test_the_camera_of_a_hand_places_it_where_it_is(mano, inputs):
    _, intrinsics = inputs
    head = head_of(small(), mano)
    state = head.initial_state.repeat(2, 1)
    state[:, -3:] = torch.tensor([[0.6, 0.3, -0.2], [1.1, -0.1, 0.4]])
    hand = head.pose_hand(state, intrinsics, mano)
    torch.testing.assert_close(
        camera_of(hand.joints, intrinsics, head.image_size, head.camera_joint), hand.camera
    )


def test_a_negative_scale_leaves_the_hand_in_front_of_the_camera(mano, inputs):
    _, intrinsics = inputs
    head = head_of(small(), mano)
    state = head.initial_state.repeat(2, 1)
    state[:, -3] = -1.0
    hand = head.pose_hand(state, intrinsics, mano)
    assert (hand.joints[..., 2] > 0).all()
    assert torch.isfinite(hand.joints_2d).all()


def test_a_huge_scale_still_projects_to_finite_pixels(mano, inputs):
    _, intrinsics = inputs
    head = head_of(small(), mano)
    state = head.initial_state.repeat(2, 1).requires_grad_()
    moved = state + torch.cat([torch.zeros(106), torch.tensor([1e3, 0, 0])])
    hand = head.pose_hand(moved, intrinsics, mano)
    hand.joints_2d.sum().backward()
    assert torch.isfinite(hand.joints_2d).all()
    assert torch.isfinite(state.grad).all()


def test_the_hand_model_stays_out_of_the_state_dict(mano):
    keys = head_of(small(), mano).state_dict().keys()
    assert not [key for key in keys if "template" in key or "mano" in key]


def test_each_correction_is_told_how_far_the_joints_lie_from_those_found(mano, inputs, monkeypatch):
    """Heat maps with one sure cell a joint: the places are those of the cells."""
    patches, intrinsics = inputs
    head = head_of(small(weight_own_joints_2d=1.0), mano)
    cells = torch.arange(21) * 12
    logits = torch.full((2, 21, 256), -100.0)
    logits[:, torch.arange(21), cells] = 100.0
    maps = torch.nn.Identity()
    monkeypatch.setattr(maps, "forward", lambda features: logits.mT)
    head.keypoint_head.maps = maps
    seen, sampled = [], []
    for rectifier in head.rectifiers:
        rectifier.register_forward_pre_hook(lambda _, given: seen.append(given[2]))
        rectifier.extractor.register_forward_pre_hook(lambda _, given: sampled.append(given[0]))
    hands, own = head(patches, intrinsics, mano)
    places = torch.stack([cells % 16 + 0.5, cells // 16 + 0.5], dim=-1) / 8 - 1
    torch.testing.assert_close(own.points, places.expand(2, 21, 2))
    assert [part.shape[1] for part in sampled] == [21 * 21 + 21, 195, 195]
    for given, hand in zip(seen[1:], hands):
        away = places - (hand.joints_2d * 2 / SIZE - 1)
        torch.testing.assert_close(given[:, :42].detach(), away.detach().flatten(1))
        assert (given[:, 42:] == 1).all()
        assert not given.requires_grad
