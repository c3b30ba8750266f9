"""DexYCB's three alignments, in millimetres, and its index."""

import json

import numpy as np
import pytest

from hand_pipeline.data.manifest import DataSetError, build_manifest
from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.evaluation.scorers import dexycb
from hand_pipeline.evaluation.scorers.benchmarks import score_files

INDICES = [3, 4, 9, 12]


def write_results(path, joints, indices=INDICES, unit=1000):
    lines = [
        ",".join(map(repr, [index, *(hand.astype(np.float64) * unit).ravel().tolist()]))
        for index, hand in zip(indices, joints, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_labels(path, joints, indices=INDICES):
    labels = {str(i): hand.astype(np.float64).tolist() for i, hand in zip(indices, joints)}
    labels["5"] = np.full((21, 3), -1.0).tolist()  # a frame without a hand
    path.write_text(json.dumps(labels))
    return path


@pytest.fixture
def paths(few, tmp_path):
    gt = write_labels(tmp_path / "gt.json", few["gt_joints"])
    return gt, write_results(tmp_path / "results.txt", few["pred_joints"])


def test_scores_are_the_pipelines_in_the_official_nesting(few, paths):
    score = score_files("dexycb", *paths)
    inside = evaluate_hands(**few).summary
    official = {name: score.values[name] for name in ("absolute", "root-relative", "procrustes")}
    for name, key in zip(official, ("mpjpe_mm", "rr_mpjpe_mm", "pa_mpjpe_mm")):
        assert official[name]["mpjpe"] == pytest.approx(inside[key], abs=1e-5)
        assert score.values[key] == official[name]["mpjpe"]
    assert official["absolute"]["auc"] == pytest.approx(inside["auc_joints"], abs=1e-6)
    assert score.per_sample["id"].tolist() == ["3", "4", "9", "12"]
    assert score.values["num_samples"] == 4
    assert score.warnings == score.notes == ()


def test_lines_in_any_order_and_for_frames_without_a_hand_change_nothing(few, paths, tmp_path):
    expected = score_files("dexycb", *paths).values
    joints = np.concatenate([few["pred_joints"], few["gt_joints"][:1]])[::-1]
    path = write_results(tmp_path / "more.txt", joints, [*INDICES, 5][::-1])
    assert score_files("dexycb", paths[0], path).values == expected


def test_missing_samples_are_named(few, paths, tmp_path):
    path = write_results(tmp_path / "few.txt", few["pred_joints"][:2], INDICES[:2])
    with pytest.raises(ValueError, match="lacks 2 of the 4 labelled samples: index 9, 12;"):
        score_files("dexycb", paths[0], path)


def test_the_last_of_two_lines_counts_and_is_noted(few, paths, tmp_path):
    joints = np.concatenate([few["gt_joints"][:1] + 1, few["pred_joints"]])
    path = write_results(tmp_path / "twice.txt", joints, [3, *INDICES])
    score = score_files("dexycb", paths[0], path)
    assert score.values == score_files("dexycb", *paths).values
    assert "1 indices stand" in score.notes[0]


def test_metres_are_told(few, paths, tmp_path):
    path = write_results(tmp_path / "metres.txt", few["pred_joints"], unit=1)
    (warning,) = score_files("dexycb", paths[0], path).warnings
    assert "metres where millimetres are expected" in warning


def test_a_nan_names_its_index(few, paths, tmp_path):
    few["pred_joints"][2, 0, 0] = np.nan
    path = write_results(tmp_path / "nan.txt", few["pred_joints"])
    with pytest.raises(ValueError, match="not finite: 9"):
        score_files("dexycb", paths[0], path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", "got 3"),
        ("\n", "lacks 4 of the 4 labelled samples"),
        ("x" + ",1" * 63, "no DexYCB result"),
        ("1" + ",1" * 63 + "\n2" + ",1" * 62, "no DexYCB result"),
        ("1.5" + ",1" * 63, r"line 1 begins with 1"),
    ],
)
def test_lines_of_another_form_are_refused(paths, tmp_path, text, message):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        score_files("dexycb", paths[0], path)


@pytest.mark.parametrize("content", ["[1]", "{", '{"1": [[0, 0, 0]]}', "{}", '{"x": 1}'])
def test_labels_of_another_form_are_refused(paths, content):
    paths[0].write_text(content)
    with pytest.raises(DataSetError, match="index: 21 x 3 metres"):
        score_files("dexycb", *paths)


def test_labels_without_any_hand_are_refused(paths):
    paths[0].write_text(json.dumps({"0": np.full((21, 3), -1).tolist()}))
    with pytest.raises(DataSetError, match="labels no sample"):
        score_files("dexycb", *paths)


def test_the_data_set_itself_gives_the_labels_by_its_own_index(few, paths, tmp_path, monkeypatch):
    asked = []
    marks = np.array([*INDICES, 13])

    def read_hands(name, root, split, mano, partial):
        asked.append((name, root, split))
        joints = np.concatenate([few["gt_joints"], np.zeros((1, 21, 3), np.float32)])
        has = np.arange(5)[:, None].repeat(21, 1) < 4
        return build_manifest(
            "dexycb", split, root, list("abcde"), list("abcde"), boxes=np.zeros((5, 4)),
            joints_3d=joints, has_joints_3d=has, flags={"index": marks},
        )  # fmt: skip

    monkeypatch.setattr(dexycb, "read_hands", read_hands)
    found = score_files("dexycb", tmp_path, paths[1], splits=["s1_test"])
    assert asked[0] == ("dexycb", tmp_path, "s1_test")
    expected = score_files("dexycb", *paths).values
    assert found.values["procrustes"]["mpjpe"] == pytest.approx(
        expected["procrustes"]["mpjpe"], abs=1e-4
    )
    marks[0] = -1
    with pytest.raises(DataSetError, match="places in its official list are not known"):
        score_files("dexycb", tmp_path, paths[1])


def test_two_splits_at_once_are_refused(paths):
    with pytest.raises(ValueError, match="one split at a time"):
        score_files("dexycb", *paths, splits=["s0_test", "s1_test"])
