"""Fitting angles to landmarks gives back the angles and the units that made them."""

import numpy as np
import pytest
import torch
from scripts.real_poses import _Bones, fit

from hand_pipeline.data.synthetic.gestures import GESTURES
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import random_rotation

NAMES = ["open", "spread", "victory", "relaxed", "gun", "three", "horns", "fist"] * 3
BENDS, SPREADS = [0, 1, 4, 5, 8, 9, 12, 13], [3, 7, 11, 15]


# the noise is what MediaPipe's landmarks of the letters leave, a tenth of the palm's size (35 mm)
@pytest.mark.parametrize(("noise", "unit_error", "angle_error"), [(0, 0.02, 2), (0.0035, 0.08, 9)])
def test_landmarks_of_known_poses_give_poses_and_units_back(
    noise: float, unit_error: float, angle_error: float
) -> None:
    torch.manual_seed(0)
    bones = _Bones(ManoHand())
    angles = torch.tensor(np.stack([GESTURES[name] for name in NAMES])).float()
    count = len(NAMES)
    joints = bones(angles, 0.5 * torch.randn(count, 10)) @ random_rotation(count, "cpu").mT
    joints = joints + noise * torch.randn_like(joints)
    landmarks = 3.7 * joints / torch.tensor([16 / 9, 1.0, 2.6])
    found, (aspect, depth) = fit(landmarks, bones, 0.5, True)
    assert aspect == pytest.approx(16 / 9, rel=unit_error)
    assert depth == pytest.approx(2.6, rel=unit_error)
    wrong = np.abs(found.angles - angles.numpy())
    assert np.median(wrong[:, BENDS]) < angle_error
    assert np.median(wrong[:, SPREADS]) < angle_error
