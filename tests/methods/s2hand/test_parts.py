"""S2HAND's networks: shapes, sizes and starts as its tables and code have them; its geometry."""

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hand_pipeline.data.synthetic.camera import place, random_orientation
from hand_pipeline.data.synthetic.config import Turns
from hand_pipeline.data.synthetic.poses import sample_hands, skeleton_of
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix
from hand_pipeline.losses.keypoint import heatmap_loss
from hand_pipeline.methods.s2hand.efficientnet_encoder import (
    EfficientNetConfig,
    EfficientNetEncoder,
)
from hand_pipeline.methods.s2hand.geometry import FOCAL_SIDES, depth_of_crop, pose_hand
from hand_pipeline.methods.s2hand.heads import FIRST_LIGHT, AppearanceHeads, GeometryHeads, HandCode
from hand_pipeline.methods.s2hand.hourglass import (
    HourglassConfig,
    StackedHourglass,
    integral_joints,
)
from hand_pipeline.methods.s2hand.renderer import HandRenderer
from hand_pipeline.models.state import CheckpointMismatchError

UPRIGHT = Turns(side_views=0, yaw=30, tilt_std=15, roll_std=20, any_roll=0)
SMALL = EfficientNetConfig(name="mobilenetv2_035", image_size=64)


def num_parameters(network) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


# ---- encoder


@pytest.mark.parametrize(("name", "features", "low"), [("b0", 1280, 24), ("b3", 1536, 32)])
def test_the_encoder_has_the_widths_of_its_size(name, features, low):
    encoder = EfficientNetEncoder(EfficientNetConfig(name=f"efficientnet_{name}"))
    assert (encoder.num_features, encoder.num_low) == (features, low)
    with torch.no_grad():
        encoded = encoder.eval()(torch.rand(1, 3, 64, 64))
    assert encoded.features.shape == (1, features, 2, 2)
    assert encoded.low.shape == (1, low, 16, 16)


def test_the_features_are_timms():
    encoder = EfficientNetEncoder(SMALL).eval()
    images = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        encoded = encoder(images)
        features = encoder.trunk.forward_features(images)
        low = encoder.trunk.bn1(encoder.trunk.conv_stem(images))
        for block in (0, 1):
            low = encoder.trunk.blocks[block](low)
    # convolutions of another memory layout add up in another order
    torch.testing.assert_close(encoded.features, features, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(encoded.low, low, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(("stride", "side"), [(32, 2), (16, 4), (8, 8)])
def test_a_smaller_stride_keeps_a_finer_map_with_the_same_weights(stride, side):
    encoder = EfficientNetEncoder(SMALL.model_copy(update={"stride": stride})).eval()
    encoder.load_state_dict(EfficientNetEncoder(SMALL).state_dict())
    with torch.no_grad():
        encoded = encoder(torch.rand(1, 3, 64, 64))
    assert encoded.features.shape[-2:] == (encoder.side, encoder.side) == (side, side)
    assert encoded.low.shape[-2:] == (16, 16)


def test_the_encoder_starts_from_a_local_file_of_the_same_architecture(tmp_path):
    first, path = EfficientNetEncoder(SMALL), tmp_path / "weights.safetensors"
    state = {**first.trunk.state_dict(), "classifier.bias": torch.zeros(10)}
    save_file(state, path)
    second = EfficientNetEncoder(SMALL.model_copy(update={"init": str(path)}))
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    del state["conv_stem.weight"]
    save_file(state, path)
    with pytest.raises(CheckpointMismatchError, match="conv_stem"):
        EfficientNetEncoder(SMALL.model_copy(update={"init": str(path)}))


@pytest.mark.parametrize(
    ("name", "message"), [("efficientnet_b33", "near it: efficientnet"), ("resnet18", "is no Eff")]
)
def test_other_networks_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        EfficientNetEncoder(EfficientNetConfig(name=name))


# ---- heads


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_geometry_starts_at_the_codes_scale_and_the_depth_it_is_told(pooling):
    heads = GeometryHeads(1536, pooling=pooling).eval()
    heads.start_at_depth(0.65)
    code = heads(torch.randn(3, 1536, 7, 7))
    assert [tuple(part.shape[1:]) for part in code] == [(30,), (10,), (3,), (3,), (1,)]
    torch.testing.assert_close(code.scale, torch.full((3, 1), 0.95), atol=1e-3, rtol=0)
    expected = torch.tensor([0, 0, 0.65]).expand(3, 3)
    torch.testing.assert_close(code.translation, expected, atol=1e-3, rtol=0)


def test_pooling_is_what_it_says():
    features = torch.randn(2, 8, 3, 3)
    mean, most = (GeometryHeads(8, pooling=pooling).eval() for pooling in ("mean", "max"))
    most.load_state_dict(mean.state_dict())
    flat = torch.full((2, 8, 1, 1), 0.0) + features.mean((2, 3), keepdim=True)
    torch.testing.assert_close(mean(features).pose, mean(flat).pose)
    peak = features.amax((2, 3), keepdim=True)
    torch.testing.assert_close(most(features).pose, mean(peak).pose)


def test_a_grid_tells_places_apart_which_a_pool_does_not():
    features = torch.randn(2, 8, 4, 4)
    swapped = features.flip(3)
    for pooling, equal in (("mean", True), ("max", True), ("grid", False)):
        heads = GeometryHeads(8, 4, pooling=pooling).eval()
        assert torch.allclose(heads(features).pose, heads(swapped).pose, atol=1e-6) == equal


@pytest.mark.parametrize("side", [16, 24, 32, 56])
def test_colours_and_light_at_every_input_size(side):
    look = AppearanceHeads(32, 778).eval()(torch.randn(2, 32, side, side))
    skin = torch.tensor([200, 150, 150]) / 256
    torch.testing.assert_close(look.colours, skin.expand(2, 778, 3), atol=1e-3, rtol=0)
    torch.testing.assert_close(
        look.light, torch.tensor(FIRST_LIGHT).expand(2, -1), atol=1e-3, rtol=0
    )


# ---- 2D branch


def test_the_default_hourglass_has_the_codes_parameters():
    assert num_parameters(StackedHourglass(HourglassConfig())) == pytest.approx(12.6e6, rel=0.005)


@pytest.mark.parametrize("side", [64, 96, 100])
def test_joints_of_each_stack_at_any_size(side):
    branch = StackedHourglass(HourglassConfig(stacks=3, width=8, depth=3, blocks=1)).eval()
    found = branch(torch.rand(2, 3, side, side))
    assert [joints.shape for joints in found] == [(2, 21, 2)] * 3
    assert all(((joints > 0) & (joints < side + 32)).all() for joints in found)


def test_a_peak_is_read_where_it_is():
    maps = torch.full((1, 1, 16, 16), -30.0)
    maps[0, 0, 4, 10] = 200.0
    x, y = integral_joints(maps, (61, 61))[0, 0]  # one map pixel is four of the image's
    assert x.item() == pytest.approx(10 * 4 + 0.5, abs=0.01)
    assert y.item() == pytest.approx(4 * 4 + 0.5, abs=0.01)


def test_a_peak_of_8_is_read_within_a_pixel_where_logits_are_scaled_and_far_off_where_not():
    """A map of 64 x 64: 4095 cells of logit 0 outweigh exp(8) = 2981 of the peak."""
    image = torch.zeros(1, 3, 256, 256)
    off = {}
    for scale in (1.0, 10.0):
        cfg = HourglassConfig(stacks=1, width=8, depth=1, blocks=1, logit_scale=scale)
        branch = StackedHourglass(cfg).eval()
        with torch.no_grad():
            branch.maps[0].weight.zero_()
            branch.maps[0].bias.zero_()
            logits = branch.logits(image)[0]
            assert logits.shape == (1, 21, 64, 64)
            logits[0, :, 10, 50] = 8 * scale  # what the map's convolution gives, scaled
            found = branch.joints_of(logits)[0, 0]
        place = torch.tensor([50.0, 10.0]) * 255 / 63 + 0.5  # corner onto corner
        off[scale] = (found - place).norm().item()
    assert off[10.0] < 1
    assert off[1.0] > 20


def test_logits_are_the_maps_times_their_scale():
    images = torch.rand(2, 3, 64, 64)
    plain = StackedHourglass(HourglassConfig(width=8, depth=2, blocks=1)).eval()
    sharp = StackedHourglass(HourglassConfig(width=8, depth=2, blocks=1, logit_scale=10)).eval()
    sharp.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for first, second in zip(plain.logits(images), sharp.logits(images)):
            torch.testing.assert_close(second, 10 * first)


def test_the_heat_map_of_no_divergence_is_read_where_the_joint_is():
    x, y = 12.3, 5.8
    rows, columns = torch.arange(16.0)[:, None] + 0.5, torch.arange(20.0) + 0.5
    gaussian = (-((columns - x) ** 2 + (rows - y) ** 2) / 2)[None, None].requires_grad_()
    points, sure = torch.tensor([[[x, y]]]), torch.ones(1, 1)
    loss = heatmap_loss(gaussian, points, sure)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-5)
    assert gaussian.grad.abs().max() < 1e-5
    assert heatmap_loss(torch.zeros(1, 1, 16, 20), points, sure) > 2
    # cells count from 0 to 1 and are interpolated corner onto corner: up to half a cell off
    read = integral_joints(gaussian.detach(), (64, 80))[0, 0] / 4
    torch.testing.assert_close(read, points[0, 0], atol=0.5, rtol=0)


def test_joints_unseen_or_outside_teach_no_heat_map():
    points = torch.tensor([[[4.0, 4.0], [40.0, 4.0], [4.0, -1.0]]])
    logits = torch.randn(1, 3, 8, 8, requires_grad=True)
    heatmap_loss(logits, points, torch.tensor([[0.0, 1.0, 1.0]])).backward()
    assert (logits.grad == 0).all()


# ---- geometry


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand(tips="freihand")


def code_of(count: int = 3, **changes) -> HandCode:
    generator = torch.Generator().manual_seed(0)

    def draw(width, size=1.0):
        return torch.randn(count, width, generator=generator) * size

    code = HandCode(draw(30, 0.5), draw(10), draw(3), draw(3, 0.02), torch.full((count, 1), 0.95))
    code = code._replace(translation=code.translation + torch.tensor([0, 0, 0.65]))
    return code._replace(**changes)


def camera(focal: float, x: float, y: float, count: int = 3) -> torch.Tensor:
    return torch.tensor([[focal, 0.0, x], [0, focal, y], [0, 0, 1]]).repeat(count, 1, 1)


def test_the_hand_is_that_of_its_mano_parameters_up_to_scale_and_place(mano):
    code = code_of()
    hand = pose_hand(code, camera(480, 112, 112), 224, mano, "camera")
    again = mano(hand.mano_pose, hand.betas)
    mine = (hand.vertices - hand.joints[:, :1]) / 0.95
    torch.testing.assert_close(mine, again.vertices - again.joints[:, :1], atol=1e-5, rtol=0)
    torch.testing.assert_close(axis_angle_to_matrix(hand.fingers), hand.mano_pose[:, 1:])
    expected = mano.hands_mean.flatten() + code.pose @ mano.hands_components[:30]
    torch.testing.assert_close(hand.fingers.flatten(1), expected)


def test_the_hand_turns_about_the_models_origin(mano):
    """The origin of the model, after the fixed half turn, stays at t whatever the rotation."""
    zero = torch.zeros(3, 3)
    rest = pose_hand(
        code_of(rotation=zero, translation=zero), camera(480, 112, 112), 224, mano, "camera"
    )
    turned = pose_hand(code_of(translation=zero), camera(480, 112, 112), 224, mano, "camera")
    rotation = axis_angle_to_matrix(code_of().rotation)
    torch.testing.assert_close(turned.joints, rest.joints @ rotation.mT, atol=1e-6, rtol=0)
    half_turn = axis_angle_to_matrix(torch.tensor([math.pi, 0, 0]))
    torch.testing.assert_close(rest.mano_pose[:, 0], half_turn.expand(3, 3, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("turns", "fill"), [(UPRIGHT, 0.78), (Turns(), 0.65)])
def test_the_first_depth_is_that_of_the_data(mano, turns, fill):
    """Hands placed before cameras of many focal lengths, carried to the nominal camera: S2HAND's
    0.65 m is 60 % too far for hands that fill 0.78 of an image."""
    generators = [np.random.default_rng(seed) for seed in range(60)]
    hands = sample_hands(generators, skeleton_of(mano), 0.9, 2.5)
    orientations = np.stack([random_orientation(rng, turns) for rng in generators])
    root = torch.from_numpy(orientations).float()[:, None]
    pose = torch.cat([root, axis_angle_to_matrix(torch.from_numpy(hands.fingers).float())], 1)
    mesh = mano(pose, torch.from_numpy(hands.betas).float())
    depths = []
    for row, rng in enumerate(generators):
        focal = rng.uniform(1.4, 3.2) * 128
        seen = (mesh.vertices[row].double().numpy(), mesh.joints[row].double().numpy())
        placed = place(rng, *seen, orientations[row], (128.0, 128.0), focal, fill)
        depths.append(placed.joints[0, 2] * FOCAL_SIDES * 128 / focal)
    assert depth_of_crop(mano, 1 / fill) == pytest.approx(np.mean(depths), rel=0.12)


def test_a_rotation_of_zero_is_the_initial_one_and_others_follow_it(mano):
    start = (0.1, -0.2, math.pi / 2)
    seen = camera(480, 112, 112), 224, mano, "camera"
    zero = code_of(rotation=torch.zeros(3, 3))
    initial = code_of(rotation=torch.tensor([start]).repeat(3, 1))
    torch.testing.assert_close(
        pose_hand(zero, *seen, start).joints, pose_hand(initial, *seen).joints
    )
    turned = pose_hand(code_of(), *seen, start).mano_pose[:, 0]
    from_start = pose_hand(initial, *seen).mano_pose[:, 0]
    torch.testing.assert_close(turned, axis_angle_to_matrix(code_of().rotation) @ from_start)


def test_hands_start_with_their_fingers_up_a_quarter_turn_from_the_papers_start(mano):
    code = code_of(rotation=torch.zeros(3, 3), pose=torch.zeros(3, 30))
    hand = pose_hand(code, camera(480, 112, 112), 224, mano, "camera", (0.0, 0.0, math.pi / 2))
    x, y = (hand.joints_2d[:, 9] - hand.joints_2d[:, 0]).unbind(-1)  # wrist to middle knuckle
    assert (y < -5 * x.abs()).all()


def test_a_negative_scale_is_as_good_as_a_positive_one(mano):
    first, second = (
        pose_hand(code_of(scale=torch.full((3, 1), s)), camera(480, 112, 112), 224, mano, "camera")
        for s in (-0.9, 0.9)
    )
    assert torch.equal(first.vertices, second.vertices)


def test_the_nominal_camera_and_a_true_one_show_the_same_hand(mano):
    """A code shows as large a hand, at the same place of the crop, through any camera."""
    side = 64
    nominal = camera(FOCAL_SIDES * side, 32, 32)
    plain = pose_hand(code_of(), nominal, side, mano, "crop")
    paper = pose_hand(code_of(), nominal, side, mano, "camera")
    torch.testing.assert_close(plain.joints, paper.joints)
    longer = camera(5 * FOCAL_SIDES * side, -40.0, 90.0)
    far = pose_hand(code_of(), longer, side, mano, "crop")
    torch.testing.assert_close(far.joints_2d, project(far.joints, longer), atol=1e-3, rtol=0)
    middle = plain.joints_2d.mean(1), far.joints_2d.mean(1)
    torch.testing.assert_close(*middle, atol=4.0, rtol=0)
    size = [(p.amax(1) - p.amin(1)).amax(1) for p in (plain.joints_2d, far.joints_2d)]
    torch.testing.assert_close(size[1] / size[0], torch.ones(3), atol=0.2, rtol=0)
    assert (far.joints[:, 0, 2] / plain.joints[:, 0, 2] > 4).all()


# ---- renderer


def test_a_hand_of_one_colour_in_ambient_light_is_drawn_in_it(mano):
    hand = pose_hand(code_of(1), camera(140, 32, 32, 1), 64, mano, "crop")
    renderer = HandRenderer(mano.faces)
    colour = torch.tensor([0.7, 0.4, 0.2])
    light = torch.tensor([[1.0, 0, 1, 1, 1, 1, 1, 1, 0, 0, -1]])
    drawn = renderer(
        hand.vertices, colour.expand(1, 778, 3), light, camera(140, 32, 32, 1), (64, 64)
    )
    inside = drawn.alpha[0] == 1
    assert 100 < inside.sum() < 64 * 64
    torch.testing.assert_close(drawn.colours[0][:, inside].T, colour.expand(int(inside.sum()), 3))
    background = drawn.over(torch.tensor(0.25))[0][:, drawn.alpha[0] == 0]
    assert (background == 0.25).all()
