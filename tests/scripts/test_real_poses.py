"""Fitting angles to landmarks gives back the angles that made them."""

import numpy as np
import pytest
import torch
from scripts import real_poses

from hand_pipeline.data.synthetic.gestures import GESTURES
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import random_rotation


def test_landmarks_of_known_poses_give_the_poses_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_poses, "STEPS", 120)
    torch.manual_seed(0)
    bones = real_poses._Bones(ManoHand())
    names = ["open", "spread", "victory", "relaxed", "gun", "three", "horns", "fist"]
    angles = torch.tensor(np.stack([GESTURES[name] for name in names])).float()
    joints = bones(angles, 0.5 * torch.randn(8, 10)) @ random_rotation(8, "cpu").mT
    stretched = 3.7 * joints * torch.tensor([1 / 1.4, 1.0, 1 / 1.4])
    found, aspect = real_poses.fit(stretched, bones, 1.0, True)
    assert aspect == pytest.approx(1.4, rel=0.05)
    assert np.median(found.residual) < 0.03
    bends = [0, 1, 4, 5, 8, 9, 12, 13]
    assert np.abs(found.angles - angles.numpy())[:, bends].mean() < 6
    assert np.abs(found.angles - angles.numpy())[:, [3, 7, 11, 15]].mean() < 5
