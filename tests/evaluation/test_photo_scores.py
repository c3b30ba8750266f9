"""Models on labelled photos: fingers counted on known gestures, tips measured where they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.data.photos.detector import Detection
from hand_pipeline.data.photos.probe_photos import read_probe_photos
from hand_pipeline.data.synthetic.gestures import GESTURES
from hand_pipeline.data.synthetic.poses import finger_rotations, skeleton_of
from hand_pipeline.evaluation.photo_probe import PhotoProbeConfig
from hand_pipeline.evaluation.photo_scores import (
    PhotoScoresConfig,
    find_hands,
    fit_photos,
    score_photos,
    stretched,
)
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix

CPU = MachineConfig(accelerator="cpu")
STRETCHED = {
    "fist": "", "thumb_up": "thumb", "point": "index", "victory": "index middle",
    "three": "index middle ring", "four": "index middle ring pinky", "six": "thumb pinky",
    "gun": "thumb index", "horns": "index pinky", "open": "thumb index middle ring pinky",
    "spread": "thumb index middle ring pinky",
}  # fmt: skip
"""What people say of these gestures."""


@pytest.mark.parametrize("name", STRETCHED)
def test_fingers_of_a_gesture_are_counted_as_people_count_them(name: str) -> None:
    mano = ManoHand(tips="freihand")
    fingers = finger_rotations(GESTURES[name][None], skeleton_of(mano))
    vectors = np.concatenate([[[[0.0, 2.0, 1.0]]], fingers], axis=1)  # turned anyhow
    pose = axis_angle_to_matrix(torch.from_numpy(vectors).float())
    joints = mano(pose, torch.zeros(1, 10)).joints.numpy()
    names = ("thumb", "index", "middle", "ring", "pinky")
    found = [finger for finger, out in zip(names, stretched(joints)[0]) if out]
    assert " ".join(found) == STRETCHED[name]


class Echo:
    """A model that puts its joints where the detector saw them."""

    def __init__(self, size: int, shift: float = 0.0) -> None:
        self.size, self.shift = size, shift

    def __call__(self, batch: HandBatch) -> HandHypotheses:
        factor, count = self.size / batch.images.shape[-1], len(batch)
        camera = torch.diag(torch.tensor([factor, factor, 1.0])) @ batch.intrinsics
        assert batch.keypoints is not None
        points = (batch.keypoints.points + self.shift) * factor
        return HandHypotheses.single(
            batch.ids, camera, points, torch.rand(count, 21, 3), torch.zeros(count, 778, 3),
            torch.eye(3).expand(count, 16, 3, 3), torch.zeros(count, 10),
        )  # fmt: skip


@pytest.mark.parametrize("side", ["left", "right"])
def test_tips_are_measured_in_the_photo(tmp_path: Path, side: str) -> None:
    joints = np.random.default_rng(0).uniform((40, 30), (140, 110), (21, 2))
    joints[0], joints[20] = (40, 30), (140, 110)
    thumb, index = joints[4], joints[8] + (3.0, 4.0)  # the index's label is 5 px off
    Image.new("RGB", (200, 150)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no photo")
    (tmp_path / "manifest.csv").write_text(
        "file,set,width,height,group,label,hand_boxes,thumb_tip,index_tip\n"
        f'a.png,ti1k,200,150,g,,"40,30,140,110","{thumb[0]},{thumb[1]}","{index[0]},{index[1]}"\n'
        'b.png,ti1k,200,150,g,,"40,30,140,110","1,1","2,2"\n'
    )
    box = np.array([40.0, 30.0, 140.0, 110.0])
    hand = Detection(box, joints, np.zeros((21, 3)), side, 0.9, 1)
    far = Detection(box + 60, joints + 60, np.zeros((21, 3)), side, 0.99, 1)
    answers = iter([[far, hand]])
    photos = read_probe_photos(tmp_path, "ti1k", 32)
    found = find_hands(photos, lambda photo: next(answers), "ti1k")
    assert found.rows == [0]
    assert found.hands[0] is hand
    cfg = PhotoScoresConfig()
    fitted = fit_photos(Echo(64), 2.0, photos, found, cfg, CPU)
    np.testing.assert_allclose(fitted.joints_2d[0], joints, atol=1e-3)
    metrics = score_photos("tips", photos, found, fitted, cfg.probe)
    assert metrics["found"] == 0.5
    assert metrics["tip_percent"] == pytest.approx((0 + 5) / 2, abs=1e-3)  # of 100 px
    assert metrics[f"tip_percent_{side}"] == metrics["tip_percent"]
    assert metrics["detector_percent"] == pytest.approx(0, abs=1e-3)
    off = fitted._replace(joints_2d=fitted.joints_2d + np.array([3.0, 4.0]))
    away = score_photos("tips", photos, found, off, cfg.probe)["detector_percent"]
    assert away == pytest.approx(5, abs=1e-3)


def test_signs_are_read_off_the_pose_of_other_people(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["file,set,width,height,group,label,hand_boxes"]
    turns = []
    for number in range(60):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,sign_digits,32,32,person{number // 10},{number % 3},")
        vectors = np.zeros((15, 3))
        vectors[3 * (number % 3), 2] = 1.2  # another finger bends
        turns.append(vectors + 0.1 * rng.normal(size=(15, 3)))
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    photos = read_probe_photos(tmp_path, "sign_digits", 8)
    hand = Detection(np.array([1.0, 1, 31, 31]), rng.uniform(1, 31, (21, 2)), np.zeros((21, 3)),
                     "right", 0.9, 1)  # fmt: skip
    found = find_hands(photos, lambda photo: [hand], "sign_digits")
    fitted = fit_photos(Echo(8), 2.0, photos, found, PhotoScoresConfig(), CPU)
    poses = axis_angle_to_matrix(torch.from_numpy(np.stack(turns)).float()).numpy()
    probe = PhotoProbeConfig(folds=3)
    told = score_photos("signs", photos, found, fitted._replace(pose=poses), probe)
    assert told["right"] > 0.95
    mixed = poses[rng.permutation(60)]
    assert score_photos("signs", photos, found, fitted._replace(pose=mixed), probe)["right"] < 0.6
