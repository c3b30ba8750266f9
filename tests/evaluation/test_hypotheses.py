"""Hypotheses with known errors and confidences give known figures; nothing is lost on the way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hand_pipeline.data.batch import HandBatch, HandHypotheses, Keypoints
from hand_pipeline.evaluation.hypotheses import (
    ScoredHypotheses,
    confidence_figures,
    load_hypotheses,
    run_hypotheses,
    save_hypotheses,
)
from hand_pipeline.evaluation.metrics import evaluate_hands
from hand_pipeline.models.token_sampling import SamplingConfig

PHOTOS, HYPOTHESES, TOKENS = 6, 4, 5  # the photos of the batch in conftest.py


def part(batch: HandBatch, rows: slice) -> HandBatch:
    assert batch.keypoints is not None
    tensors = {
        name: value[rows] for name, value in vars(batch).items() if isinstance(value, torch.Tensor)
    }
    known = Keypoints(*(value[rows] for value in batch.keypoints))
    return replace(batch, ids=batch.ids[rows], keypoints=known, **tensors)


class Noisy:
    """The truth with noise that grows from hypothesis to hypothesis and from photo to photo."""

    def __init__(self, truth: HandBatch) -> None:
        self.truth = truth
        self.calls: list[tuple] = []
        generator = torch.Generator().manual_seed(1)
        level = torch.arange(1, HYPOTHESES + 1) + 0.1 * torch.arange(PHOTOS)[:, None]
        self.level = 0.002 * level[..., None, None]
        self.joint_noise = torch.randn(PHOTOS, HYPOTHESES, 21, 3, generator=generator)
        self.noise = torch.randn(PHOTOS, HYPOTHESES, 778, 3, generator=generator)

    def __call__(self, images, intrinsics, ids, keypoints=None, sampling=None, generator=None):
        self.calls.append((ids, keypoints, sampling, generator))
        rows = [self.truth.ids.index(name) for name in ids]
        count = len(rows)
        return HandHypotheses(
            ids=ids,
            intrinsics=intrinsics,
            joints_2d=torch.zeros(count, HYPOTHESES, 21, 2),
            joints_3d=(self.truth.joints_3d[:, None] + self.level * self.joint_noise)[rows],
            vertices=(self.truth.vertices[:, None] + self.level * self.noise)[rows],
            mano_pose=self.truth.mano_pose[rows][:, None].expand(-1, HYPOTHESES, -1, -1, -1),
            betas=self.truth.betas[rows],
            confidence=(-100 * self.level[..., 0, 0]).exp()[rows],
            joint_confidence=(-self.joint_noise.norm(dim=-1) * self.level[..., 0]).exp()[rows],
            tokens=torch.zeros(count, HYPOTHESES, TOKENS, dtype=torch.int64),
            token_probability=torch.ones(count, HYPOTHESES, TOKENS),
        )


def run(batch: HandBatch, size: int = 4, **options):
    fake = Noisy(batch)
    batches = [part(batch, slice(i, i + size)) for i in range(0, PHOTOS, size)]
    return run_hypotheses(fake, batches, progress=False, **options), fake


def test_each_hypothesis_has_the_errors_that_the_scorer_gives_it(batch: HandBatch) -> None:
    (scores, _), fake = run(batch)
    for k in range(HYPOTHESES):
        joints = (batch.joints_3d + fake.level[:, k] * fake.joint_noise[:, k]).numpy()
        vertices = (batch.vertices + fake.level[:, k] * fake.noise[:, k]).numpy()
        expected = evaluate_hands(
            joints, vertices, batch.joints_3d.numpy(), batch.vertices.numpy(), batch.ids
        ).per_sample
        np.testing.assert_allclose(scores.pa_mpjpe_mm[:, k], expected["pa_mpjpe_mm"], rtol=1e-6)
        np.testing.assert_allclose(scores.pa_mpvpe_mm[:, k], expected["pa_mpvpe_mm"], rtol=1e-6)
    np.testing.assert_allclose(scores.joint_errors_mm.mean(-1), scores.pa_mpjpe_mm, rtol=1e-5)


def test_batches_and_chunks_change_nothing(batch: HandBatch, monkeypatch) -> None:
    (once, hands_once), _ = run(batch, size=PHOTOS)
    monkeypatch.setattr("hand_pipeline.evaluation.hypotheses.CHUNK", 3)
    (parted, hands_parted), _ = run(batch, size=1)
    assert once.ids == parted.ids == hands_parted.ids == batch.ids
    for name in ("confidence", "joint_confidence", "pa_mpjpe_mm", "pa_mpvpe_mm", "joint_errors_mm"):
        np.testing.assert_allclose(getattr(once, name), getattr(parted, name), rtol=1e-6)
    np.testing.assert_array_equal(hands_once.vertices, hands_parted.vertices)


def test_the_surest_hand_is_kept_whole_with_its_truth(batch: HandBatch) -> None:
    (_, hands), fake = run(batch)
    first = batch.vertices + fake.level[:, 0] * fake.noise[:, 0]
    np.testing.assert_allclose(hands.vertices, first.numpy(), atol=1e-7)
    np.testing.assert_array_equal(hands.gt_vertices, batch.vertices.numpy())
    np.testing.assert_array_equal(hands.betas, batch.betas.numpy())


def test_the_model_gets_keypoints_sampling_and_generator(batch: HandBatch) -> None:
    sampling, generator = SamplingConfig(iterations=3), torch.Generator()
    _, fake = run(batch, sampling=sampling, generator=generator)
    assert [len(call[0]) for call in fake.calls] == [4, 2]
    assert all(call[1] is not None and call[1].confidence.all() for call in fake.calls)
    assert all(call[2] is sampling and call[3] is generator for call in fake.calls)


def test_known_confidences_give_known_figures() -> None:
    """Sure hands are good hands, and the first hypothesis of each photo is its best."""
    errors = np.array([[4.0, 8.0], [6.0, 10.0], [12.0, 20.0]])
    joints = np.repeat(errors[..., None], 21, axis=-1)
    joints[0, 0, :] = np.linspace(1, 7, 21)
    scores = ScoredHypotheses(
        ids=("a", "b", "c"), confidence=np.exp(-errors / 10), joint_confidence=1 / joints,
        pa_mpjpe_mm=errors, pa_mpvpe_mm=errors, joint_errors_mm=joints,
    )  # fmt: skip
    figures = confidence_figures(scores, limit_mm=10.0, num_bins=3)
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
    scores = ScoredHypotheses(("a", "b", "c"), errors / 100, joints / 100, errors, errors, joints)
    figures = confidence_figures(scores)
    assert figures.hands.spearman == pytest.approx(1)
    assert figures.best_of_k.chosen_mm > figures.best_of_k.mean_mm


def test_scores_come_back_from_their_file(batch: HandBatch, tmp_path) -> None:
    (scores, _), _ = run(batch)
    save_hypotheses(tmp_path / "scores.npz", scores)
    found = load_hypotheses(tmp_path / "scores.npz")
    assert found.ids == scores.ids
    np.testing.assert_array_equal(found.joint_errors_mm, scores.joint_errors_mm)
    np.testing.assert_array_equal(found.confidence, scores.confidence)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npz"]


def test_no_photos_and_missing_labels_are_refused(batch: HandBatch) -> None:
    with pytest.raises(ValueError, match="evaluation set is empty"):
        run_hypotheses(Noisy(batch), [], progress=False)
    unlabelled = replace(batch, has_vertices=torch.zeros(PHOTOS, dtype=torch.bool))
    with pytest.raises(ValueError, match="photo 0"):
        run_hypotheses(Noisy(batch), [unlabelled], progress=False)
