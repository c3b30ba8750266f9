"""Hands that are mostly black: what a model is shown, and what is counted of its answer."""

import numpy as np
import pytest
import torch

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.data.occlusion import OcclusionConfig, occlude, tight_boxes
from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.evaluation.occlusion import occluded_batches, score_occluded

MOST = OcclusionConfig(share=0.8)


class Shifted:
    """The truth, with some joints moved sideways, parallel to the picture."""

    def __init__(self, truth: HandBatch, moved: torch.Tensor, metres: float = 0.0) -> None:
        self.truth, self.seen = truth, []
        step = torch.tensor([metres, 0.0, 0.0])
        self.joints = truth.joints_3d + moved[..., None] * step

    def __call__(self, batch: HandBatch) -> HandHypotheses:
        self.seen.append(batch.keypoints)
        rows = [self.truth.ids.index(name) for name in batch.ids]
        truth = self.truth
        return HandHypotheses.single(
            batch.ids, batch.intrinsics, truth.joints_2d[rows], self.joints[rows],
            truth.vertices[rows], truth.mano_pose[rows], truth.betas[rows],
        )  # fmt: skip


def nothing(batch: HandBatch) -> torch.Tensor:
    return torch.zeros(len(batch), 21, dtype=torch.bool)


def test_a_model_that_knows_the_hand_is_right_however_much_is_black(batch: HandBatch) -> None:
    found = score_occluded(Shifted(batch, nothing(batch)), occluded_batches([batch], MOST))
    assert found.summary["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-3)
    assert found.summary["pa_mpvpe_mm"] == pytest.approx(0, abs=1e-3)
    assert found.summary["hidden_pck_0.05"] == found.summary["seen_pck_0.05"] == 1
    assert found.summary["hidden_share"] == pytest.approx(0.8, abs=0.15)
    assert found.per_sample["hidden_joints"].sum() == found.summary["hidden_share"] * 6 * 21


def test_only_hidden_joints_count_as_hidden(batch: HandBatch) -> None:
    hidden = occlude(batch, range(len(batch)), MOST).hidden
    boxes = tight_boxes(batch)
    pixels = float((boxes[:, 2:] - boxes[:, :2]).amax(1).max())
    metres = pixels * 0.6 / 200  # a whole box at the hands' depth
    found = score_occluded(Shifted(batch, hidden, metres), occluded_batches([batch], MOST))
    assert found.summary["hidden_pck_0.15"] == 0
    assert found.summary["seen_pck_0.05"] == 1
    assert found.summary["hidden_pa_mpjpe_mm"] > 5


def test_errors_are_those_of_the_scorer(batch: HandBatch) -> None:
    hidden = occlude(batch, range(len(batch)), MOST).hidden
    model = Shifted(batch, hidden, 0.02)
    found = score_occluded(model, occluded_batches([batch], MOST))
    expected = evaluate_hands(
        model.joints.numpy(), batch.vertices.numpy(), batch.joints_3d.numpy(),
        batch.vertices.numpy(), batch.ids,
    ).per_sample  # fmt: skip
    np.testing.assert_allclose(found.per_sample["pa_mpjpe_mm"], expected["pa_mpjpe_mm"], rtol=1e-6)
    pooled = found.summary["hidden_pa_mpjpe_mm"] * found.summary["hidden_share"]
    pooled += found.summary["seen_pa_mpjpe_mm"] * (1 - found.summary["hidden_share"])
    assert pooled == pytest.approx(found.summary["pa_mpjpe_mm"])


def test_batches_change_nothing_of_what_is_hidden(batch: HandBatch) -> None:
    whole = next(occluded_batches([batch], MOST))
    halves = [_rows(batch, slice(0, 2)), _rows(batch, slice(2, 6))]
    parted = list(occluded_batches(halves, MOST))
    torch.testing.assert_close(torch.cat([b.hidden for b in parted]), whole.hidden)
    images = torch.cat([b.batch.images for b in parted])
    torch.testing.assert_close(images, whole.batch.images)
    assert images.unique().tolist() == [0, 90]


def test_a_model_gets_no_keypoints_or_those_of_seen_joints(batch: HandBatch) -> None:
    model = Shifted(batch, nothing(batch))
    score_occluded(model, occluded_batches([batch], MOST))
    score_occluded(model, occluded_batches([batch], MOST, keep_keypoints=True))
    hidden = occlude(batch, range(len(batch)), MOST).hidden
    none, some = model.seen
    assert none is None
    assert torch.equal(some.confidence > 0, ~hidden)


def test_with_nothing_hidden_there_is_no_figure_of_hidden_joints(batch: HandBatch) -> None:
    found = score_occluded(
        Shifted(batch, nothing(batch)),
        occluded_batches([batch], OcclusionConfig(share=0)),
    )
    assert found.summary["hidden_share"] == 0
    assert not any(name.startswith(("hidden_pck", "hidden_pa")) for name in found.summary)
    assert np.isfinite(list(found.summary.values())).all()


def test_an_empty_set_is_refused(batch: HandBatch) -> None:
    with pytest.raises(ValueError, match="evaluation set is empty"):
        score_occluded(Shifted(batch, nothing(batch)), [])


def _rows(batch: HandBatch, rows: slice) -> HandBatch:
    values = {n: v[rows] for n, v in vars(batch).items() if isinstance(v, torch.Tensor)}
    return HandBatch(ids=batch.ids[rows], **values)
