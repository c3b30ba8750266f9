"""The four warnings of 3D predictions: each fires on its fault, none on poor but right ones."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hand_pipeline.evaluation.scorers.plausibility import implausible
from hand_pipeline.geometry.joints import permutation

FLIP = np.array([1.0, -1.0, -1.0])
FORMS = [("freihand", "metres"), ("ho3d", "metres"), ("dexycb", "millimetres")]


@pytest.fixture(params=FORMS, ids=lambda form: form[0])
def case(request, hands):
    """Predicted and true joints (OpenPose order) in the form a benchmark wants them."""
    order, unit = request.param
    form = (1000 if unit == "millimetres" else 1) * (FLIP if order == "ho3d" else 1)
    return hands["pred_joints"] * form, hands["gt_joints"] * form, order, unit


def keywords(joints, truth, order, unit):
    return [text.partition(":")[0] for text in implausible(joints, truth, order, unit)]


def written_in(joints, written, expected):
    """What is read if a file ought to be in `expected` order but was written in `written`."""
    in_file = joints[:, list(permutation("openpose", written))]
    return in_file[:, list(permutation(expected, "openpose"))]


def test_good_predictions_raise_no_warning(case):
    joints, truth, order, unit = case
    assert keywords(joints, truth, order, unit) == []
    assert keywords(truth, truth, order, unit) == []
    assert keywords(joints[:1], truth[:1], order, unit) == []


@pytest.mark.parametrize("spread", [0.005, 0.02, 0.05, 0.2])
def test_noise_of_any_strength_raises_no_warning(case, spread):
    _, truth, order, unit = case
    spread *= 1000 if unit == "millimetres" else 1
    noise = np.random.default_rng(0).normal(size=truth.shape) * spread
    assert keywords(truth + noise, truth, order, unit) == []


def test_poor_models_raise_no_warning(case):
    joints, truth, order, unit = case
    mean_hand = np.broadcast_to(joints.mean(axis=0), joints.shape)
    assert keywords(mean_hand, truth, order, unit) == []
    others = np.roll(joints, 1, axis=0)
    assert keywords(others, truth, order, unit) == []
    turns = Rotation.random(len(joints), random_state=0).as_matrix()
    centre = joints.mean(axis=1, keepdims=True)
    assert keywords((joints - centre) @ turns + centre, truth, order, unit) == []


def test_root_relative_predictions_raise_no_warning(case):
    joints, truth, order, unit = case
    assert keywords(joints - joints[:, :1], truth, order, unit) == []


def test_a_mirrored_prediction_is_told(case):
    joints, truth, order, unit = case
    for axis in range(3):
        mirror = np.where(np.arange(3) == axis, -1.0, 1.0)
        assert "mirrored" in keywords(joints * mirror, truth, order, unit)
    assert keywords(joints * [-1, 1, 1], truth, order, unit) == ["mirrored"]


def test_a_few_mirrored_hands_raise_no_warning(case):
    joints, truth, order, unit = case
    joints = joints.copy()
    joints[:2] *= [-1, 1, 1]
    assert keywords(joints, truth, order, unit) == []


def test_wrong_units_are_told_with_the_factor(case):
    joints, truth, order, unit = case
    factor = 1000 if unit == "metres" else 0.001
    (text,) = implausible(joints * factor, truth, order, unit)
    assert text.startswith("wrong units")
    assert f"{'milli' * (unit == 'metres')}metres where" in text
    assert "by 1000" in text
    centimetres = joints * (100 if unit == "metres" else 0.1)
    assert "centimetres" in implausible(centimetres, truth, order, unit)[0]


@pytest.mark.parametrize("written", ["openpose", "mano", "interhand", "rhd"])
def test_a_wrong_joint_order_is_told_by_its_name(case, written):
    joints, truth, order, unit = case
    found = implausible(written_in(joints, written, order), truth, order, unit)
    right = {"freihand": "openpose", "dexycb": "openpose", "ho3d": "mano"}[order]
    if written == right:
        assert found == []
    else:
        (text,) = found
        assert text.startswith("wrong joint order")
        assert f"order of {written!r}" in text


def test_wrong_axes_are_told(case):
    joints, truth, order, unit = case
    assert keywords(joints * FLIP, truth, order, unit) == ["wrong axes"]
    relative = (joints - joints[:, :1]) * FLIP
    assert keywords(relative, truth, order, unit) == ["wrong axes"]
    assert (
        "100% of the hands lie on the other side"
        in implausible(joints * FLIP, truth, order, unit)[0]
    )


def test_faults_together_are_told_together(case):
    joints, truth, order, unit = case
    joints = written_in(joints, "rhd", order) * FLIP * (1000 if unit == "metres" else 0.001)
    assert keywords(joints, truth, order, unit) == [
        "wrong units",
        "wrong joint order",
        "wrong axes",
    ]


def test_empty_predictions_are_told(case):
    _, truth, order, unit = case
    for point in (0.0, 0.3):
        (text,) = implausible(np.full_like(truth, point), truth, order, unit)
        assert "in one point" in text
