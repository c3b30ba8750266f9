"""Each loss of S2HAND against a plain statement of its formula, sample by sample, in float64.

`pytest -s` of this file prints the largest relative difference.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from hand_pipeline.data.batch import Keypoints
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.losses.keypoint import heatmap_loss, joint_3d_square_loss
from hand_pipeline.methods.s2hand.config import S2HandConfig
from hand_pipeline.methods.s2hand.hand_prior import scale_loss, shape_loss, texture_loss
from hand_pipeline.methods.s2hand.hourglass import integral_joints
from hand_pipeline.methods.s2hand.joint_limits import joint_axes, joint_limit_loss, limit_table
from hand_pipeline.methods.s2hand.laplacian import laplacian_loss
from hand_pipeline.methods.s2hand.photometric import (
    mean_colour_loss,
    pixel_loss,
    sample_confidence,
    ssim_loss,
)
from hand_pipeline.methods.s2hand.terms import branch_loss, spatial_terms
from hand_pipeline.methods.s2hand.weighted_keypoint import (
    bone_direction_loss,
    consistency_loss,
    joint_location_loss,
    joint_weights,
)

BATCH = 4


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def joints(rng):
    """Projected joints, detections from below to far above the knee of 5 px, confidences."""
    detected = rng.uniform(0, 224, (BATCH, 21, 2))
    projected = detected + rng.normal(size=(BATCH, 21, 2)) * rng.uniform(0, 12, (BATCH, 21, 1))
    confidence = rng.random((BATCH, 21)) * (rng.random((BATCH, 21)) > 0.2)
    return projected, detected, confidence


def t(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array)


def smooth(first, second) -> float:
    d = math.dist(first, second)
    return d * d / 10 if d < 5 else d - 2.5


_DIFFERENCES: list[float] = []


@pytest.fixture(scope="module", autouse=True)
def largest_difference():
    _DIFFERENCES.clear()
    yield
    if _DIFFERENCES:  # none if every chosen test stopped early
        print(
            "\nS2HAND's losses against the formulas: largest relative difference "
            f"{max(_DIFFERENCES):.1e} of {len(_DIFFERENCES)} comparisons"
        )


def same(ours: Tensor, theirs: float) -> None:
    _DIFFERENCES.append(abs(ours.item() / theirs - 1))
    assert ours.dtype == torch.float64
    assert ours.item() == pytest.approx(theirs, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("weighted", [True, False])
def test_joint_location(joints, weighted):
    projected, detected, confidence = joints
    above = below = 0.0
    for b in range(BATCH):
        for j in range(21):
            k = {0: 2, 4: 1.5, 8: 1.5, 12: 1.5, 16: 1.5, 20: 1.5}.get(j, 1) if weighted else 1
            weight = (k * confidence[b, j]) ** 2
            above += smooth(projected[b, j], detected[b, j]) * weight
            below += weight
    weights = joint_weights(t(projected)) if weighted else None
    same(joint_location_loss(t(projected), t(detected), t(confidence), weights), above / below)


def test_bone_directions(joints):
    projected, detected, confidence = joints
    parents = [0, 1, 2, 3, 0, 5, 6, 7, 0, 9, 10, 11, 0, 13, 14, 15, 0, 17, 18, 19]

    def unit(v):
        return v / (np.linalg.norm(v) + 1e-4)

    total = 0.0
    for b in range(BATCH):
        for child, parent in zip(range(1, 21), parents):
            u = unit(detected[b, child] - detected[b, parent])
            p = unit(projected[b, child] - projected[b, parent])
            total += confidence[b, child] * confidence[b, parent] * ((u - p) ** 2).sum()
    ours = bone_direction_loss(t(projected), t(detected), t(confidence))
    same(ours, total / (BATCH * 20))


def test_the_branch_of_two_stacks(rng, joints):
    first, detected, confidence = joints
    second = detected + rng.normal(size=detected.shape) * 6
    total = 0.0
    for stack in (first, second):
        each = [
            smooth(stack[b, j], detected[b, j]) * confidence[b, j] ** 2
            for b in range(BATCH)
            for j in range(21)
        ]
        total += sum(each) / (confidence**2).sum()
    target = Keypoints(t(detected), t(confidence))
    same(branch_loss([t(first), t(second)], target), total)


def test_consistency(joints):
    projected, detected, _ = joints
    pairs = zip(projected.reshape(-1, 2), detected.reshape(-1, 2))
    same(consistency_loss(t(detected), t(projected)), np.mean([smooth(a, b) for a, b in pairs]))


def test_integral_joints_of_a_plain_expectation(rng):
    maps = rng.normal(size=(2, 3, 5, 4)) * 3
    height, width = 20, 16
    ours = integral_joints(t(maps), (height, width))
    for b in range(2):
        for j in range(3):
            logits = np.empty((height, width))
            for y in range(height):
                for x in range(width):
                    v, u = y * 4 / (height - 1), x * 3 / (width - 1)  # corner onto corner
                    y0, x0 = min(int(v), 3), min(int(u), 2)
                    fy, fx = v - y0, u - x0
                    patch = maps[b, j, y0 : y0 + 2, x0 : x0 + 2]
                    logits[y, x] = np.array([1 - fy, fy]) @ patch @ np.array([1 - fx, fx])
            share = np.exp(logits - logits.max())
            share /= share.sum()
            x = (share.sum(0) * np.arange(width)).sum() + 0.5
            y = (share.sum(1) * np.arange(height)).sum() + 0.5
            np.testing.assert_allclose(ours[b, j].numpy(), [x, y], rtol=1e-6)


def test_heat_maps_against_gaussians(rng):
    maps, confidence = rng.normal(size=(2, 3, 5, 4)), rng.random((2, 3))
    points = rng.uniform(0, 4, (2, 3, 2))
    points[1, 2] = [4.5, 1.0]  # outside: columns are 4
    above = below = 0.0
    for b in range(2):
        for j in range(3):
            if points[b, j, 0] > 4 or points[b, j, 1] > 5:
                continue
            share = np.exp(maps[b, j]) / np.exp(maps[b, j]).sum()
            wanted = np.empty((5, 4))
            for y in range(5):
                for x in range(4):
                    wanted[y, x] = math.exp(-(math.dist((x + 0.5, y + 0.5), points[b, j]) ** 2) / 2)
            wanted /= wanted.sum()
            above += confidence[b, j] ** 2 * (wanted * np.log(wanted / share)).sum()
            below += confidence[b, j] ** 2
    same(heatmap_loss(t(maps), t(points), t(confidence)), above / below)


@pytest.fixture
def pictures(rng):
    rendered, photo = rng.random((2, BATCH, 3, 14, 17))
    region = rng.random((BATCH, 14, 17)) < 0.3
    return rendered, photo, region, np.array([0.9, 0.0, 0.4, 0.7])


def test_pixels_of_the_region(pictures):
    rendered, photo, region, confidence = pictures
    each = [np.abs(a[:, r] - b[:, r]).mean() for a, b, r in zip(rendered, photo, region)]
    expected = (confidence**2 * each).sum() / (confidence**2).sum()
    same(pixel_loss(t(rendered), t(photo), t(region), t(confidence)), expected)


def test_mean_colour(pictures):
    rendered, photo, region, confidence = pictures
    each = [abs(a[:, r].mean() - b[:, r].mean()) for a, b, r in zip(rendered, photo, region)]
    expected = (confidence**2 * each).sum() / (confidence**2).sum()
    same(mean_colour_loss(t(rendered), t(photo), t(region), t(confidence)), expected)


def test_structural_similarity(rng):
    first, second = rng.random((2, 2, 3, 13, 15))
    taps = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    taps /= taps.sum()
    window = np.outer(taps, taps)

    def blurred(picture):
        padded = np.pad(picture, 5)
        return np.array(
            [
                [(padded[y : y + 11, x : x + 11] * window).sum() for x in range(picture.shape[1])]
                for y in range(picture.shape[0])
            ]
        )

    values = []
    for a, b in zip(first.reshape(-1, 13, 15), second.reshape(-1, 13, 15)):
        mean_a, mean_b = blurred(a), blurred(b)
        var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
        shared = blurred(a * b) - mean_a * mean_b
        top = (2 * mean_a * mean_b + 1e-4) * (2 * shared + 9e-4)
        values.append(top / ((mean_a**2 + mean_b**2 + 1e-4) * (var_a + var_b + 9e-4)))
    same(ssim_loss(t(first), t(second)), 1 - np.mean(values))


@pytest.mark.parametrize("least", [0.1, None])
def test_confidence_of_an_image(rng, least):
    confidence = rng.uniform(0.11, 1, (3, 21))
    confidence[1, 7] = 0.1
    expected = [row.mean() if least is None or row.min() > least else 0 for row in confidence]
    np.testing.assert_allclose(sample_confidence(t(confidence), least), expected)


def test_shape_and_scale(rng):
    betas, joints = rng.normal(size=(BATCH, 10)), rng.normal(size=(BATCH, 21, 3)) * 0.03
    same(shape_loss(t(betas)), (betas**2).sum() / (BATCH * 10))
    lengths = [np.linalg.norm(hand[9] - hand[10]) for hand in joints]
    same(scale_loss(t(joints), 0.0282), np.mean([abs(length - 0.0282) for length in lengths]))


def test_texture(rng):
    colours = rng.standard_t(3, (BATCH, 40, 3))
    confidence = np.array([0.9, 0.0, 0.4, 0.7])
    total = 0.0
    for b in range(BATCH):
        found = []
        for channel in range(3):
            values = colours[b, :, channel]
            mean, deviation = values.mean(), values.std(ddof=1)
            found += [abs(a - mean) if abs(a - mean) > 2 * deviation else 0.0 for a in values]
        total += confidence[b] ** 2 * np.mean(found)
    same(texture_loss(t(colours), t(confidence)), total / (confidence**2).sum())


def test_joint_limits_in_manos_own_axes(rng):
    rotations = rng.normal(size=(BATCH, 15, 3))
    finger = {"mcp": [(-5, 5), (-10, 10), (-10, 100)], "hinge": [(-5, 5), (-5, 5), (-10, 100)]}
    pinky = [(-20, 5), (-10, 20), (-10, 100)]
    thumb = [
        [(0, 90), (-22.5, 33.75), (-22.5, 22.5)],
        [(-5, 5), (-5, 5), (-22.5, 22.5)],
        [(-5, 5), (-5, 5), (-20, 100)],
    ]
    rows = []  # MANO's order: index, middle, pinky, ring, thumb
    for first in (finger["mcp"], finger["mcp"], pinky, finger["mcp"]):
        rows += [first, finger["hinge"], finger["hinge"]]
    rows += thumb
    total = 0.0
    for hand in rotations:
        for vector, ranges in zip(hand, rows):
            for axis in range(3):
                low, high = np.deg2rad(ranges[axis])
                excess = max(low - vector[axis], 0) + max(vector[axis] - high, 0)
                total += excess * (2 if axis == 2 else 1)
    axes = joint_axes(torch.zeros(0, 3), torch.zeros(0, 3)).double()
    ours = joint_limit_loss(t(rotations), limit_table().double(), axes)
    same(ours, total / (BATCH * 16 * 3))


def test_full_supervision(rng):
    joints, target = rng.normal(size=(2, BATCH, 21, 3))
    valid = rng.random((BATCH, 21)) < 0.6
    same(
        joint_3d_square_loss(t(joints), t(target), t(valid)), ((joints - target)[valid] ** 2).mean()
    )
    total, count, depths = 0.0, 0, []
    for b in range(BATCH):
        if not valid[b, 0]:  # a hand without its wrist has no place
            continue
        depths.append(abs(joints[b, 0, 2] - target[b, 0, 2]))
        for j in range(21):
            if valid[b, j]:
                off = (joints[b, j] - joints[b, 0]) - (target[b, j] - target[b, 0])
                total, count = total + np.abs(off).mean(), count + 1
    terms = spatial_terms(t(joints), t(target), t(valid))
    same(terms["wrist_relative"], total / count)
    same(terms["root_depth"], np.mean(depths))


def test_the_cotangent_laplacian_as_a_dense_matrix(rng):
    mano = ManoHand()
    faces = mano.faces.numpy()
    vertices = mano.template.double().numpy() + rng.normal(size=(2, 778, 3)) * 1e-3
    matrix = np.zeros((778, 778))
    for face in faces:
        for corner in range(3):
            at, one, other = np.roll(face, -corner)
            a, b = vertices[0, one] - vertices[0, at], vertices[0, other] - vertices[0, at]
            half = (a @ b) / np.linalg.norm(np.cross(a, b)) / 2
            matrix[one, other] -= half
            matrix[other, one] -= half
            matrix[one, one] += half
            matrix[other, other] += half
    expected = np.mean([np.linalg.norm(matrix @ hand, axis=1).mean() for hand in vertices])
    same(laplacian_loss(t(vertices), mano.faces), expected)


def test_the_total_is_the_papers_sum_with_its_eleven_weights(rng):
    """L = w_3D (w_geo E_geo + w_photo E_photo + w_regu E_regu) + w_2D E_2D + w_con E_con."""
    names = [
        "w_3d", "w_2d", "w_con", "w_geo", "w_photo", "w_regu", "w_bone", "w_ssim", "w_tex", "w_s",
        "w_j",
    ]  # fmt: skip
    w = dict(zip(names, rng.uniform(0.1, 2, len(names))))
    cfg = S2HandConfig(**w, w_heatmap=0)
    terms = dict(zip(cfg.active_terms(), rng.uniform(0.1, 2, 10)))
    assert len(terms) == 10
    e_geo = terms["joint_location"] + w["w_bone"] * terms["bone_direction"]
    e_photo = terms["pixel"] + w["w_ssim"] * terms["ssim"]
    e_regu = terms["shape"] + w["w_tex"] * terms["texture"]
    e_regu += w["w_s"] * terms["scale"] + w["w_j"] * terms["joint_limits"]
    e_3d = w["w_geo"] * e_geo + w["w_photo"] * e_photo + w["w_regu"] * e_regu
    total = w["w_3d"] * e_3d + w["w_2d"] * terms["keypoint_2d"] + w["w_con"] * terms["consistency"]
    ours = sum(weight * terms[name] for name, weight in cfg.active_terms().items())
    same(torch.tensor(ours, dtype=torch.float64), total)
