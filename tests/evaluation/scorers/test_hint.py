"""HInt's PCK: which joints count, against which size, and from which files."""

import json

import numpy as np
import pytest

from hand_pipeline.data.manifest import DataSetError, build_manifest
from hand_pipeline.evaluation.scorers import hint
from hand_pipeline.evaluation.scorers.benchmarks import score_files

PART = "TEST_newdays_img"


@pytest.fixture
def labels():
    """Four hands in boxes of 100 px; joint j of hand i is seen unless i + j is divisible by 3."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, size=(4, 21, 2))
    occluded = (np.arange(4)[:, None] + np.arange(21)) % 3 == 0
    return points, occluded


def write_npz(path, points, confidence, scale=None, **others):
    keypoints = np.concatenate([points, np.asarray(confidence, float)[..., None]], axis=-1)
    size = np.array([[100.0, 80.0]] * len(points)) if scale is None else scale
    centre = np.full((len(points), 2), 50.0)
    np.savez(path, center=centre, scale=size, hand_keypoints_2d=keypoints, **others)
    return path


def write_pred(path, points):
    path.write_text(json.dumps(points.tolist()))
    return path


def keys(scores):
    return {k: v for k, v in scores.items() if k.startswith("kpAvg")}


def test_a_joint_counts_within_a_share_of_the_longer_side(labels, tmp_path):
    points, _ = labels
    gt = write_npz(tmp_path / f"{PART}_all.npz", points, np.ones((4, 21)))
    shift = np.array([6.0, 8.0])  # 10 px of 100: on the threshold, which counts
    values = score_files("hint", gt, write_pred(tmp_path / "p.json", np.round(points) + 0)).values
    assert values[PART]["all"]["kpAvg_pck_0.05"] == 1
    gt = write_npz(tmp_path / f"{PART}_all.npz", np.round(points), np.ones((4, 21)))
    pred = write_pred(tmp_path / "p.json", np.round(points) + shift)
    values = score_files("hint", gt, pred).values
    expected = {"kpAvg_pck_0.05": 0, "kpAvg_pck_0.1": 1, "kpAvg_pck_0.15": 1}
    assert keys(values[PART]["all"]) == expected
    gt = write_npz(tmp_path / f"{PART}_all.npz", points, np.ones((4, 21)), scale=np.full(4, 50.0))
    assert score_files("hint", gt, pred).values[PART]["all"]["kpAvg_pck_0.1"] == 0


def test_joints_are_averaged_after_hands_not_pooled(labels, tmp_path):
    points, _ = labels
    confidence = np.ones((4, 21))
    confidence[1:, 0] = 0  # the wrist is labelled in one hand only, and wrong there
    wrong = points.copy()
    wrong[0, 0] += 90
    gt = write_npz(tmp_path / f"{PART}_all.npz", points, confidence)
    values = score_files("hint", gt, write_pred(tmp_path / "p.json", wrong)).values
    assert values[PART]["all"]["kpAvg_pck_0.05"] == pytest.approx(20 / 21)
    assert values[PART]["all"]["kp0_pck_0.05"] == 0


def test_visible_and_occluded_joints_are_told_by_their_files(labels, tmp_path):
    points, occluded = labels
    wrong = points + 90 * occluded[..., None]
    for ending, seen in (("all", occluded | True), ("vis", ~occluded), ("occ", occluded)):
        write_npz(tmp_path / f"{PART}_{ending}.npz", points, 0.6 * seen)
    np.savez(tmp_path / "freihand_val.npz", center=np.zeros((1, 2)))  # lies there too
    found = score_files("hint", tmp_path, write_pred(tmp_path / "p.json", wrong)).values[PART]
    assert found["visible"]["kpAvg_pck_0.15"] == 1
    assert found["occluded"]["kpAvg_pck_0.15"] == 0
    assert 0.6 < found["all"]["kpAvg_pck_0.15"] < 0.7
    assert found["all"]["num_joints"] == 84


def test_a_joint_that_is_never_labelled_makes_the_average_null(labels, tmp_path):
    points, _ = labels
    confidence = np.ones((4, 21))
    confidence[:, 7] = 0
    gt = write_npz(tmp_path / f"{PART}_all.npz", points, confidence)
    score = score_files("hint", gt, write_pred(tmp_path / "p.json", points))
    shown = score.as_json()
    assert shown[PART]["all"]["kpAvg_pck_0.05"] is None
    assert "kp7_pck_0.05" not in shown[PART]["all"]
    assert shown[PART]["all"]["kp8_pck_0.05"] == 1
    assert "joints [7]" in shown["notes"][0]
    json.dumps(shown, allow_nan=False)


def test_several_parts_are_scored_together_and_one_can_be_chosen(labels, tmp_path):
    points, _ = labels
    pred = tmp_path / "pred"
    pred.mkdir()
    for part in (PART, "TEST_epick_img"):
        write_npz(tmp_path / f"{part}_all.npz", points, np.ones((4, 21)))
        np.savez(pred / f"{part}.npz", keypoints_2d=points)
    score = score_files("hint", tmp_path, pred)
    assert score.values["num_samples"] == len(score.per_sample) == 8
    assert {PART, "TEST_epick_img"} <= score.values.keys()
    one = score_files("hint", tmp_path, pred, splits=["TEST_epick_img"]).values
    assert one["num_samples"] == 4
    assert PART not in one
    with pytest.raises(DataSetError, match="no labels of VAL_epick_img"):
        score_files("hint", tmp_path, pred, splits=["VAL_epick_img"])
    (pred / f"{PART}.npz").unlink()
    with pytest.raises(ValueError, match=rf"a folder with {PART}\.npz"):
        score_files("hint", tmp_path, pred)


def test_annotations_tell_the_joints_by_existence_and_occlusion(labels, tmp_path, monkeypatch):
    points, occluded = labels
    exists = np.arange(21) != 20
    (tmp_path / "HInt_annotation_partial" / PART).mkdir(parents=True)

    def read_hands(name, root, split, mano, partial):
        assert (name, root, split) == ("hint", tmp_path, PART)
        boxes = np.tile([0.0, 10.0, 80.0, 110.0], (4, 1))
        return build_manifest(
            "hint", split, root, [f"{split}/{i}_l" for i in range(4)], list("abcd"), boxes=boxes,
            is_right=np.zeros(4, dtype=bool), joints_2d=points,
            has_joints_2d=np.tile(exists, (4, 1)),
            flags={"existence": np.tile(exists, (4, 1)), "occluded": occluded},
        )  # fmt: skip

    monkeypatch.setattr(hint, "read_hands", read_hands)
    moved = points + np.array([9, 0])
    score = score_files("hint", tmp_path, write_pred(tmp_path / "p.json", moved))
    found = score.values[PART]
    assert [found[name]["num_joints"] for name in ("all", "visible", "occluded")] == [80, 53, 27]
    assert found["visible"]["kp1_pck_0.1"] == 1
    assert found["visible"]["kp1_pck_0.05"] == 0
    assert score.per_sample["error_px"].tolist() == pytest.approx([9.0] * 4, abs=1e-4)


def test_wrong_counts_and_values_are_refused(labels, tmp_path):
    points, _ = labels
    gt = write_npz(tmp_path / f"{PART}_all.npz", points, np.ones((4, 21)))
    with pytest.raises(ValueError, match=r"1 are missing.*index 3 \(TEST_newdays_img/00003\)"):
        score_files("hint", gt, write_pred(tmp_path / "p.json", points[:3]))
    points[1, 2, 0] = np.nan
    with pytest.raises(ValueError, match="not finite: TEST_newdays_img/00001"):
        score_files("hint", gt, write_pred(tmp_path / "p.json", points))


def test_broken_label_files_are_refused(labels, tmp_path):
    points, _ = labels
    path = tmp_path / f"{PART}_all.npz"
    pred = write_pred(tmp_path / "p.json", points)
    with pytest.raises(DataSetError, match="expected a HaMeR evaluation"):
        score_files("hint", path, pred)
    np.savez(path, center=np.zeros((4, 2)))
    with pytest.raises(DataSetError, match="lacks hand_keypoints_2d, scale"):
        score_files("hint", path, pred)
    path.write_bytes(b"PK nothing")
    with pytest.raises(DataSetError, match="no HaMeR evaluation file"):
        score_files("hint", path, pred)
    write_npz(path, points, np.ones((4, 21)), scale=np.ones((4, 3)))
    with pytest.raises(DataSetError, match=r"scale has shape \(4, 3\)"):
        score_files("hint", path, pred)
    write_npz(path, points, np.ones((4, 21)))
    write_npz(tmp_path / f"{PART}_vis.npz", points[:3], np.ones((3, 21)))
    with pytest.raises(DataSetError, match="not of the same hands"):
        score_files("hint", tmp_path, pred)
    with pytest.raises(DataSetError, match="holds neither"):
        score_files("hint", (tmp_path / "empty").mkdir() or tmp_path / "empty", pred)


def test_pickles_beside_the_labels_are_left_alone(labels, tmp_path):
    points, _ = labels
    path = tmp_path / f"{PART}_all.npz"
    write_npz(path, points, np.ones((4, 21)), extra_info=np.array([{}] * 4, dtype=object))
    assert score_files("hint", path, write_pred(tmp_path / "p.json", points)).values
