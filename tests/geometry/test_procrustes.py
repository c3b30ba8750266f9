import numpy as np
import pytest
import roma
import scipy.linalg
import torch

from hand_pipeline.geometry.procrustes import (
    align,
    align_both_ways,
    fit_similarity,
    procrustes_align,
    scale_translation_align,
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def target() -> torch.Tensor:
    points = torch.randn(8, 21, 3, generator=seeded(), dtype=torch.float64) * 0.05
    return points + torch.tensor([0.1, 0.0, 0.7], dtype=torch.float64)


def similar(points: torch.Tensor, seed: int = 1) -> torch.Tensor:
    turn = roma.random_rotmat((len(points),), dtype=points.dtype, generator=seeded(seed))
    offset = torch.tensor([0.3, -2.0, 1.0], dtype=points.dtype)
    return 1.7 * points @ turn.mT + offset


@pytest.mark.parametrize("allow_reflection", [True, False])
def test_procrustes_undoes_any_similarity(target: torch.Tensor, allow_reflection: bool) -> None:
    aligned = procrustes_align(similar(target), target, allow_reflection)
    torch.testing.assert_close(aligned, target, atol=1e-6, rtol=0)


def test_similarity_names_its_parts(target: torch.Tensor) -> None:
    turn = roma.random_rotmat((8,), dtype=torch.float64, generator=seeded(4))
    offset = torch.tensor([0.3, -2.0, 1.0], dtype=torch.float64)
    found = fit_similarity(target, 1.7 * target @ turn.mT + offset)
    torch.testing.assert_close(found.scale, torch.full((8,), 1.7).double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.rotation, turn)
    torch.testing.assert_close(found.translation, offset.expand(8, 3), atol=1e-6, rtol=0)


def test_a_mirrored_prediction_is_perfect_only_where_reflections_are_allowed(
    target: torch.Tensor,
) -> None:
    mirrored = similar(target * torch.tensor([-1.0, 1.0, 1.0]))
    official = procrustes_align(mirrored, target)
    strict = procrustes_align(mirrored, target, allow_reflection=False)
    torch.testing.assert_close(official, target, atol=1e-6, rtol=0)
    assert float((strict - target).norm(dim=-1).mean()) > 0.01
    turn = fit_similarity(mirrored, target, allow_reflection=False).rotation
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(8, dtype=torch.float64))


@pytest.mark.parametrize("allow_reflection", [True, False])
def test_no_nearby_similarity_is_better(target: torch.Tensor, allow_reflection: bool) -> None:
    noise = torch.randn(8, 21, 3, generator=seeded(5), dtype=torch.float64) * 0.02
    source = similar(target) + noise
    best = fit_similarity(source, target, allow_reflection)
    error = (align(source, best) - target).square().sum((1, 2))
    for seed in range(20):
        small = torch.randn(8, 3, generator=seeded(seed), dtype=torch.float64) * 0.01
        other = best._replace(
            rotation=roma.rotvec_to_rotmat(small) @ best.rotation,
            scale=best.scale * (1 + small[:, 0]),
            translation=best.translation + small * 0.01,
        )
        assert bool(((align(source, other) - target).square().sum((1, 2)) > error).all())


def test_points_of_no_extent_stay_finite(target: torch.Tensor) -> None:
    same = torch.ones(8, 21, 3, dtype=torch.float64)
    for source, truth in ((same, target), (target, same), (same, same)):
        for allow_reflection in (True, False):
            aligned = procrustes_align(source, truth, allow_reflection)
            assert bool(aligned.isfinite().all())
            torch.testing.assert_close(aligned.mean(1), truth.mean(1))


def test_float32_is_accurate_to_a_hundredth_of_a_millimetre(target: torch.Tensor) -> None:
    source = similar(target)
    aligned = procrustes_align(source.float(), target.float())
    torch.testing.assert_close(aligned.double(), target, atol=1e-5, rtol=0)


def test_scale_translation_matches_the_bone_and_the_root(target: torch.Tensor) -> None:
    offset = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    torch.testing.assert_close(scale_translation_align(target * 3 + offset, target), target)
    noise = torch.randn(8, 21, 3, generator=seeded(6), dtype=torch.float64) * 0.02
    aligned = scale_translation_align(target + noise, target, root=2, bone=(4, 8))
    torch.testing.assert_close(aligned[:, 2], target[:, 2])
    found = (aligned[:, 8] - aligned[:, 4]).norm(dim=-1)
    torch.testing.assert_close(found, (target[:, 8] - target[:, 4]).norm(dim=-1))


def test_scale_translation_does_not_rotate(target: torch.Tensor) -> None:
    turned = target @ torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    aligned = scale_translation_align(turned, target)
    assert float((aligned - target).norm(dim=-1).mean()) > 0.05


def test_alignment_agrees_with_the_official_formula_by_scipy(target: torch.Tensor) -> None:
    """FreiHAND's and HO-3D's evaluators, restated from their definition with scipy."""
    noise = torch.randn(8, 21, 3, generator=seeded(7), dtype=torch.float64) * 0.03
    sources = [similar(target) + noise, similar(target * torch.tensor([1, 1, -1.0])) + noise]
    for source in sources:
        expected = np.stack([_official(p, t) for p, t in zip(source.numpy(), target.numpy())])
        found = procrustes_align(source, target).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-12)


def _official(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    middle = truth.mean(0)
    truth, prediction = truth - middle, prediction - prediction.mean(0)
    extent = np.linalg.norm(truth) + 1e-8
    truth, prediction = truth / extent, prediction / (np.linalg.norm(prediction) + 1e-8)
    turn, scale = scipy.linalg.orthogonal_procrustes(truth, prediction)
    return prediction @ turn.T * scale * extent + middle


def test_a_bone_of_no_length_keeps_the_alignment_finite(target: torch.Tensor) -> None:
    collapsed = torch.full_like(target, 0.3)
    aligned = scale_translation_align(collapsed, target)
    torch.testing.assert_close(aligned, target[:, :1].expand_as(target))


def test_aligning_both_ways_differs_in_mirrored_hands_only(target: torch.Tensor) -> None:
    source = similar(target + 0.001 * torch.randn(target.shape, generator=seeded(9)).double())
    upright = align_both_ways(source, target)
    assert upright.strict is upright.official
    source[2] *= torch.tensor([-1.0, 1.0, 1.0])
    both = align_both_ways(source, target)
    others = torch.arange(8) != 2
    assert torch.equal(both.strict[others], both.official[others])
    torch.testing.assert_close(both.official, procrustes_align(source, target))
    torch.testing.assert_close(both.strict, procrustes_align(source, target, False))
    assert float((both.strict[2] - both.official[2]).norm(dim=-1).mean()) > 0.01
