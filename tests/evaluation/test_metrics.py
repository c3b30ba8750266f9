"""The whole table of numbers: what each is blind to, and what it refuses."""

import numpy as np
import pytest

from hand_pipeline.evaluation.metrics import evaluate_hands, evaluate_joints


def with_prediction(hands, joints, vertices):
    return {**hands, "pred_joints": joints, "pred_vertices": vertices}


def test_a_copy_of_the_truth_scores_perfectly(hands):
    result = evaluate_hands(**with_prediction(hands, hands["gt_joints"], hands["gt_vertices"]))
    for key, value in result.summary.items():
        if key.endswith("_mm"):
            assert value == pytest.approx(0, abs=1e-4), key
    assert result.summary["f5"] == result.summary["f15_raw"] == 1
    assert result.summary["auc_joints"] == 1


def test_every_promised_number_is_there(hands):
    summary = evaluate_hands(**hands).summary
    promised = (
        "mpjpe_mm rr_mpjpe_mm st_mpjpe_mm pa_mpjpe_mm mpvpe_mm rr_mpvpe_mm pa_mpvpe_mm auc_joints "
        "auc_pa_joints auc_vertices auc_pa_vertices f5 f15 f5_raw f15_raw num_samples"
    )
    assert set(promised.split()) <= set(summary)
    assert summary["num_samples"] == 12


def test_a_moved_hand_only_shows_in_the_raw_errors(hands):
    moved = np.array([0.1, 0, 0], dtype=np.float32)
    summary = evaluate_hands(
        **with_prediction(hands, hands["gt_joints"] + moved, hands["gt_vertices"] + moved)
    ).summary
    assert summary["mpjpe_mm"] == pytest.approx(100, abs=1e-3)
    assert summary["mpvpe_mm"] == pytest.approx(100, abs=1e-3)
    for key in ("rr_mpjpe_mm", "rr_mpvpe_mm", "st_mpjpe_mm", "pa_mpjpe_mm", "pa_mpvpe_mm"):
        assert summary[key] == pytest.approx(0, abs=1e-3), key


def test_scale_translation_forgives_size_but_root_relative_does_not(hands):
    joints, vertices = hands["gt_joints"] * 1.2, hands["gt_vertices"] * 1.2
    summary = evaluate_hands(**with_prediction(hands, joints, vertices)).summary
    assert summary["st_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert summary["rr_mpjpe_mm"] > 5


def test_a_mirrored_hand_is_perfect_officially_and_not_without_reflection(hands):
    mirror = np.array([-1, 1, 1], dtype=np.float32)
    summary = evaluate_hands(
        **with_prediction(hands, hands["gt_joints"] * mirror, hands["gt_vertices"] * mirror)
    ).summary
    assert summary["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert summary["pa_mpjpe_no_reflection_mm"] > 5
    assert summary["pa_mpvpe_no_reflection_mm"] > 5


def test_forbidding_reflection_makes_the_aligned_numbers_the_strict_ones(hands):
    mirror = np.array([-1, 1, 1], dtype=np.float32)
    mirrored = with_prediction(hands, hands["gt_joints"] * mirror, hands["gt_vertices"] * mirror)
    summary = evaluate_hands(**mirrored, allow_reflection=False).summary
    assert summary["pa_mpvpe_mm"] == summary["pa_mpvpe_no_reflection_mm"] > 5
    assert summary["f5"] < 0.9


def test_the_summary_is_the_mean_of_the_table(hands):
    ids = [f"hand{i}" for i in range(12)]
    result = evaluate_hands(**hands, ids=ids)
    assert result.per_sample["id"].tolist() == ids
    means = result.per_sample.drop(columns="id").mean()
    for key, value in means.items():
        assert result.summary[key] == pytest.approx(value)


def test_chunks_do_not_change_a_number(hands, monkeypatch):
    whole = evaluate_hands(**hands).summary
    monkeypatch.setattr("hand_pipeline.evaluation.metrics.CHUNK", 5)
    assert evaluate_hands(**hands).summary == pytest.approx(whole, rel=1e-12)


def test_a_nan_names_its_samples(hands):
    hands["pred_vertices"][3, 10, 1] = np.nan
    with pytest.raises(ValueError, match=r"predicted vertices of 1 of 12 .* h3"):
        evaluate_hands(**hands, ids=[f"h{i}" for i in range(12)])


def test_an_empty_set_is_refused(hands):
    with pytest.raises(ValueError, match="at least one"):
        evaluate_hands(**{key: value[:0] for key, value in hands.items()})


def test_a_mesh_of_other_vertices_has_f_scores_but_no_vertex_errors(hands):
    fewer = with_prediction(hands, hands["pred_joints"], hands["pred_vertices"][:, ::2])
    found = evaluate_hands(**fewer)
    assert not [key for key in found.summary if "mpvpe" in key or "vertices" in key]
    assert "vertices" not in found.curves
    assert 0 < found.summary["f15_raw"] < 1
    whole = evaluate_hands(**hands).summary
    assert found.summary["pa_mpjpe_mm"] == whole["pa_mpjpe_mm"]


def test_single_precision_is_widened_before_anything_is_computed(hands):
    wide = {key: value.astype(np.float64) for key, value in hands.items()}
    assert evaluate_hands(**hands).summary == evaluate_hands(**wide).summary


def test_joints_alone_score_as_they_do_beside_a_mesh(hands):
    whole = evaluate_hands(**hands)
    flat = np.zeros((12, 21, 2), dtype=np.float32)
    shifted = flat + np.array([3, 4], dtype=np.float32)
    alone = evaluate_joints(hands["pred_joints"], hands["gt_joints"], shifted, flat)
    shared = [key for key in whole.summary if "jpe" in key or key.endswith("_joints")]
    assert len(shared) == 7
    assert {key: alone.summary[key] for key in shared} == {k: whole.summary[k] for k in shared}
    assert alone.summary["joints_2d_px"] == pytest.approx(5)
    assert list(alone.curves.columns) == ["threshold_mm", "joints", "pa_joints"]
    assert not any("vpe" in key or key.startswith("f") for key in alone.summary)


def test_joints_that_are_not_finite_are_refused_by_name(hands):
    flat = np.zeros((12, 21, 2), dtype=np.float32)
    broken = flat.copy()
    broken[3] = np.nan
    with pytest.raises(ValueError, match=r"predicted 2D joints of 1 of 12 samples .* 3;"):
        evaluate_joints(hands["pred_joints"], hands["gt_joints"], broken, flat)
