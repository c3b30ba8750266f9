"""Hypotheses with known errors and confidences give known figures; nothing is lost on the way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hand_pipeline.data.batch import HandBatch, HandHypotheses
from hand_pipeline.evaluation.calibration import (
    ScoredHypotheses,
    confidence_metrics,
    score_hypotheses,
)
from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.evaluation.predict import (
    PredictedHands,
    load_predictions,
    predict_hands,
    save_predictions,
)

PHOTOS, HYPOTHESES = 6, 4  # the photos of the batch in conftest.py


def part(batch: HandBatch, rows: slice) -> HandBatch:
    assert batch.keypoints is not None
    tensors = {
        name: value[rows] for name, value in vars(batch).items() if isinstance(value, torch.Tensor)
    }
    known = batch.keypoints.each(lambda value: value[rows])
    return replace(batch, ids=batch.ids[rows], keypoints=known, **tensors)


class Noisy:
    """The truth with noise that grows from hypothesis to hypothesis and from photo to photo."""

    def __init__(self, truth: HandBatch) -> None:
        self.truth = truth
        generator = torch.Generator().manual_seed(1)
        level = torch.arange(1, HYPOTHESES + 1) + 0.1 * torch.arange(PHOTOS)[:, None]
        self.level = 0.002 * level[..., None, None]
        self.joint_noise = torch.randn(PHOTOS, HYPOTHESES, 21, 3, generator=generator)
        self.noise = torch.randn(PHOTOS, HYPOTHESES, 778, 3, generator=generator)

    def __call__(self, batch: HandBatch) -> HandHypotheses:
        rows = [self.truth.ids.index(name) for name in batch.ids]
        return HandHypotheses(
            ids=batch.ids,
            intrinsics=batch.intrinsics,
            joints_2d=torch.zeros(len(rows), HYPOTHESES, 21, 2),
            joints_3d=(self.truth.joints_3d[:, None] + self.level * self.joint_noise)[rows],
            vertices=(self.truth.vertices[:, None] + self.level * self.noise)[rows],
            mano_pose=self.truth.mano_pose[rows][:, None].expand(-1, HYPOTHESES, -1, -1, -1),
            betas=self.truth.betas[rows],
            confidence=(-100 * self.level[..., 0, 0]).exp()[rows],
            joint_confidence=(-self.joint_noise.norm(dim=-1) * self.level[..., 0]).exp()[rows],
        )


def run(batch: HandBatch, size: int = 4) -> tuple[PredictedHands, Noisy]:
    fake = Noisy(batch)
    batches = [part(batch, slice(i, i + size)) for i in range(0, PHOTOS, size)]
    return predict_hands(fake, batches), fake


def test_each_hypothesis_has_the_errors_that_the_scorer_gives_it(batch: HandBatch) -> None:
    hands, fake = run(batch)
    scores = score_hypotheses(hands)
    for k in range(HYPOTHESES):
        joints = (batch.joints_3d + fake.level[:, k] * fake.joint_noise[:, k]).numpy()
        expected = evaluate_hands(
            joints, batch.vertices.numpy(), batch.joints_3d.numpy(), batch.vertices.numpy(),
            batch.ids,
        ).per_sample  # fmt: skip
        np.testing.assert_allclose(scores.pa_mpjpe_mm[:, k], expected["pa_mpjpe_mm"], rtol=1e-6)
    np.testing.assert_allclose(scores.joint_errors_mm.mean(-1), scores.pa_mpjpe_mm, rtol=1e-5)


def test_batches_and_chunks_change_nothing(batch: HandBatch, monkeypatch) -> None:
    hands_once, _ = run(batch, size=PHOTOS)
    once = score_hypotheses(hands_once)
    monkeypatch.setattr("hand_pipeline.evaluation.calibration.CHUNK", 3)
    hands_parted, _ = run(batch, size=1)
    parted = score_hypotheses(hands_parted)
    assert hands_once.ids == hands_parted.ids == batch.ids
    for name in ("confidence", "joint_confidence", "pa_mpjpe_mm", "joint_errors_mm"):
        np.testing.assert_allclose(getattr(once, name), getattr(parted, name), rtol=1e-6)
    np.testing.assert_array_equal(hands_once.vertices, hands_parted.vertices)


def test_the_surest_hand_is_kept_whole_with_its_truth(batch: HandBatch) -> None:
    hands, fake = run(batch)
    first = batch.vertices + fake.level[:, 0] * fake.noise[:, 0]
    np.testing.assert_allclose(hands.vertices, first.numpy(), atol=1e-7)
    np.testing.assert_array_equal(hands.joints, hands.hypotheses[:, 0])
    np.testing.assert_array_equal(hands.gt_vertices, batch.vertices.numpy())
    np.testing.assert_array_equal(hands.betas, batch.betas.numpy())


def test_the_model_gets_the_keypoints(batch: HandBatch) -> None:
    seen: list[HandBatch] = []
    fake = Noisy(batch)
    predict_hands(lambda part: seen.append(part) or fake(part), [part(batch, slice(0, 4)), batch])
    assert [len(each) for each in seen] == [4, 6]
    assert all(each.keypoints is not None and each.keypoints.confidence.all() for each in seen)


def test_hands_without_confidences_have_none_to_score(batch: HandBatch) -> None:
    fake = Noisy(batch)
    plain = predict_hands(
        lambda part: replace(fake(part), confidence=None, joint_confidence=None), [batch]
    )
    assert plain.hypotheses is plain.confidence is plain.joint_confidence is None
    with pytest.raises(ValueError, match="expected predictions with confidences"):
        score_hypotheses(plain)


def test_known_confidences_give_known_figures() -> None:
    """Sure hands are good hands, and the first hypothesis of each photo is its best."""
    errors = np.array([[4.0, 8.0], [6.0, 10.0], [12.0, 20.0]])
    joints = np.repeat(errors[..., None], 21, axis=-1)
    joints[0, 0, :] = np.linspace(1, 7, 21)
    scores = ScoredHypotheses(
        confidence=np.exp(-errors / 10), joint_confidence=1 / joints, pa_mpjpe_mm=errors,
        joint_errors_mm=joints,
    )  # fmt: skip
    figures = confidence_metrics(scores, limit_mm=10.0, num_bins=3)
    assert figures.hands.spearman == pytest.approx(-1)
    assert figures.hands.auroc == 1
    assert figures.hands.share_within == pytest.approx(2 / 3)
    assert figures.joints.spearman == pytest.approx(-1)
    assert figures.joints.curve["count"].sum() == 3 * 21
    assert figures.best_of_k.chosen_mm == pytest.approx(22 / 3)
    assert figures.best_of_k.mean_mm == pytest.approx(10)
    assert figures.best_of_k.oracle_mm == pytest.approx(22 / 3)
    assert figures.summary()["hypotheses"]["share_gained"] == pytest.approx(1)


def test_a_confidence_that_misleads_is_found_out() -> None:
    errors = np.array([[8.0, 4.0], [10.0, 6.0], [20.0, 12.0]])
    joints = np.repeat(errors[..., None], 21, axis=-1)
    scores = ScoredHypotheses(errors / 100, joints / 100, errors, joints)
    figures = confidence_metrics(scores)
    assert figures.hands.spearman == pytest.approx(1)
    assert figures.best_of_k.chosen_mm > figures.best_of_k.mean_mm


def test_predictions_come_back_from_their_file(batch: HandBatch, tmp_path) -> None:
    hands, _ = run(batch)
    plain = replace(hands, hypotheses=None, confidence=None, joint_confidence=None)
    for name, saved in (("drawn", hands), ("plain", plain)):
        save_predictions(tmp_path / f"{name}.npz", saved)
        found = load_predictions(tmp_path / f"{name}.npz")
        assert found.ids == saved.ids
        for field, value in vars(saved).items():
            if value is None:
                assert getattr(found, field) is None
            else:
                np.testing.assert_array_equal(getattr(found, field), value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawn.npz", "plain.npz"]


def test_no_photos_and_missing_labels_are_refused(batch: HandBatch) -> None:
    with pytest.raises(ValueError, match="evaluation set is empty"):
        predict_hands(Noisy(batch), [])
    unlabelled = replace(batch, has_vertices=torch.zeros(PHOTOS, dtype=torch.bool))
    with pytest.raises(ValueError, match="photo 0"):
        predict_hands(Noisy(batch), [unlabelled])
