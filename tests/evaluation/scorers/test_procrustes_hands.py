"""FreiHAND's and HO-3D's keys, and what their scorer refuses."""

import json
import zipfile

import numpy as np
import pytest

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.evaluation.scorers.benchmarks import score_files

MESH = ["mesh_mean3d", "mesh_auc3d", "mesh_al_mean3d", "mesh_al_auc3d"]
MESH += ["f_score_5", "f_al_score_5", "f_score_15", "f_al_score_15"]
FREIHAND = ["xyz_mean3d", "xyz_auc3d", "xyz_al_mean3d", "xyz_al_auc3d", *MESH]
HO3D = ["xyz_mean3d", "xyz_auc3d", "xyz_procrustes_al_mean3d", "xyz_procrustes_al_auc3d"]
HO3D += ["xyz_scale_trans_al_mean3d", "xyz_scale_trans_al_auc3d", *MESH]


def test_freihand_has_the_official_keys_in_centimetres_and_ours_in_millimetres(
    few, files, tmp_path
):
    values = score_files("freihand", tmp_path, files(tmp_path, few)).values
    assert [key for key in values if key in {*FREIHAND, *HO3D}] == FREIHAND
    inside = evaluate_hands(**few).summary
    assert values["xyz_al_mean3d"] == pytest.approx(inside["pa_mpjpe_mm"] / 10, abs=1e-9)
    assert values["mesh_mean3d"] == pytest.approx(inside["mpvpe_mm"] / 10, abs=1e-9)
    for key, value in inside.items():
        assert values[key] == pytest.approx(value, abs=1e-9), key
    assert values["num_samples"] == 4


def test_ho3d_scores_its_own_order_and_axes_as_the_pipeline_scores_ours(few, files, tmp_path):
    score = score_files("ho3d_v3", tmp_path, files(tmp_path, few, ho3d=True))
    assert [key for key in score.values if key in {*FREIHAND, *HO3D}] == HO3D
    inside = evaluate_hands(**few).summary
    assert score.values["xyz_scale_trans_al_mean3d"] == pytest.approx(inside["st_mpjpe_mm"] / 10)
    assert score.values["xyz_procrustes_al_auc3d"] == pytest.approx(inside["auc_pa_joints"])
    assert score.warnings == ()


def test_reflections_are_official_and_can_be_refused(few, files, tmp_path):
    mirrored = few | {
        "pred_joints": few["gt_joints"] * [-1, 1, 1],
        "pred_vertices": few["gt_vertices"] * [-1, 1, 1],
    }
    path = files(tmp_path, mirrored)
    official = score_files("freihand", tmp_path, path)
    honest = score_files("freihand", tmp_path, path, allow_reflection=False)
    assert official.values["xyz_al_mean3d"] < 1e-4 < 0.5 < honest.values["xyz_al_mean3d"]
    assert official.values["f_al_score_5"] == 1 > honest.values["f_al_score_5"]
    assert official.values["pa_mpjpe_no_reflection_mm"] == honest.values["pa_mpjpe_mm"]
    assert [w.partition(":")[0] for w in official.warnings] == ["mirrored"]


def test_an_exact_copy_meets_the_cap_of_the_aligned_area(few, files, tmp_path):
    copy = few | {"pred_joints": few["gt_joints"], "pred_vertices": few["gt_vertices"]}
    values = score_files("freihand", tmp_path, files(tmp_path, copy)).values
    assert values["xyz_auc3d"] == values["mesh_auc3d"] == pytest.approx(1, abs=1e-12)
    assert values["xyz_al_auc3d"] == pytest.approx(0.994949, abs=1e-6)
    assert values["mesh_al_auc3d"] == pytest.approx(0.994949, abs=1e-6)


def test_a_mesh_of_other_vertices_gets_the_official_minus_one(few, files, tmp_path):
    other = few | {"pred_vertices": few["pred_vertices"][:, :100]}
    score = score_files("ho3d_v2", tmp_path, files(tmp_path, other, ho3d=True))
    assert score.values["mesh_auc3d"] == score.values["mesh_al_auc3d"] == -1
    assert score.values["mesh_mean3d"] == -100  # -1 in centimetres, as scores.txt has it
    assert "mpvpe_mm" not in score.values
    assert any("100 vertices" in note for note in score.notes)


def test_zips_and_folders_are_read_as_the_servers_read_them(few, files, tmp_path):
    path = files(tmp_path, few)
    expected = score_files("freihand", tmp_path, path).values
    handed_in = tmp_path / "res"
    handed_in.mkdir()
    with zipfile.ZipFile(handed_in / "pred.zip", "w") as archive:
        archive.write(path, "pred.json")
    assert score_files("freihand", tmp_path, handed_in / "pred.zip").values == expected
    assert score_files("freihand", tmp_path, handed_in).values == expected
    (handed_in / "mine.json").write_bytes(path.read_bytes())
    assert score_files("freihand", tmp_path, handed_in).values == expected
    (handed_in / "other.json").write_text("[]")
    with pytest.raises(ValueError, match=r"mine\.json.*other\.json"):
        score_files("freihand", tmp_path, handed_in)


def test_missing_hands_are_named_by_index_and_frame(few, files, tmp_path):
    path = files(tmp_path, few, ho3d=True)
    (tmp_path / "evaluation.txt").write_text("SM1/0000\nSM1/0001\nSB11/0003\nSB11/0004\n")
    joints, vertices = json.loads(path.read_text())
    path.write_text(json.dumps([joints[:2], vertices[:2]]))
    with pytest.raises(ValueError, match=r"2 are missing.*index 2 \(SB11/0003\) to 3 \(SB11/0004"):
        score_files("ho3d_v2", tmp_path, path)
    path.write_text(json.dumps([joints + joints, vertices + vertices]))
    with pytest.raises(ValueError, match="index 4 to 7 have no label"):
        score_files("ho3d_v2", tmp_path, path)


@pytest.mark.parametrize("name", ["pred_joints", "pred_vertices"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_name_their_samples(few, files, tmp_path, name, bad):
    few[name] = few[name].copy()
    few[name][2, 5, 1] = bad
    with pytest.raises(ValueError, match=r"1 of 4 samples are not finite: 00000002"):
        score_files("freihand", tmp_path, files(tmp_path, few))


def test_labels_that_are_missing_or_disagree_are_told(few, files, tmp_path):
    path = files(tmp_path, few)
    joints = tmp_path / "evaluation_xyz.json"
    joints.write_text(json.dumps(json.loads(joints.read_text())[:3]))
    with pytest.raises(DataSetError, match=r"3 samples.* 4"):
        score_files("freihand", tmp_path, path)
    joints.write_text(joints.read_text()[:-20])
    with pytest.raises(DataSetError, match=r"evaluation_xyz\.json"):
        score_files("freihand", tmp_path, path)
    joints.unlink()
    with pytest.raises(DataSetError, match=r"no .*evaluation_xyz\.json"):
        score_files("freihand", tmp_path, path)


def test_a_partial_set_is_noted(few, files, tmp_path):
    score = score_files("freihand", tmp_path, files(tmp_path, few))
    assert score.notes == ("4 hands scored; FreiHAND v2 has 3,960",)


def test_splits_and_unknown_benchmarks_are_refused(tmp_path):
    with pytest.raises(ValueError, match="one split"):
        score_files("freihand", tmp_path, tmp_path, splits=["training"])
    with pytest.raises(ValueError, match="unknown benchmark 'rhd'"):
        score_files("rhd", tmp_path, tmp_path)


def test_every_sample_can_be_had(few, files, tmp_path):
    score = score_files("freihand", tmp_path, files(tmp_path, few))
    score.write_per_sample(tmp_path / "samples.json")
    rows = json.loads((tmp_path / "samples.json").read_text())
    assert [row["id"] for row in rows] == [f"{i:08d}" for i in range(4)]
    mean = np.mean([row["pa_mpvpe_mm"] for row in rows])
    assert mean == pytest.approx(score.values["pa_mpvpe_mm"])
    score.write_per_sample(tmp_path / "samples.csv")
    assert (tmp_path / "samples.csv").read_text().startswith("id,mpjpe_mm,")
    with pytest.raises(ValueError, match=r"\.csv or \.json"):
        score.write_per_sample(tmp_path / "samples.xlsx")
