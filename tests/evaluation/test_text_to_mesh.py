"""Hands made for a text: distances from the right real hands, and what they are read as."""

import numpy as np
import pytest
import torch

from hand_pipeline.data.asl_poses import AslPosesConfig, draw_letters
from hand_pipeline.evaluation.generated_hands import (
    NamedHands,
    named_hands,
    pose_hands,
    score_named_hands,
    summary_of,
)
from hand_pipeline.geometry.mano import ManoHand

MANO = ManoHand()


@pytest.fixture(scope="module")
def real() -> NamedHands:
    letters = draw_letters(AslPosesConfig(letters=("A", "L", "I", "J"), samples=3), MANO)
    return named_hands(*letters, MANO)


def picked(hands: NamedHands, rows: list[int], prefix: str = "new/") -> NamedHands:
    ids = tuple(f"{prefix}{hands.ids[row]}" for row in rows)
    return NamedHands(
        ids, tuple(hands.names[row] for row in rows), hands.joints[rows], hands.vertices[rows]
    )


def test_wrists_are_at_the_origin_and_shapes_are_the_mean(real: NamedHands) -> None:
    np.testing.assert_allclose(real.joints[:, 0], 0, atol=1e-7)
    flat = torch.eye(3).repeat(1, 16, 1, 1)
    joints, vertices = pose_hands(flat, MANO)
    mesh = MANO(flat, torch.zeros(1, 10))
    np.testing.assert_allclose(joints, mesh.joints - mesh.joints[:, :1], atol=1e-7)
    np.testing.assert_allclose(vertices, mesh.vertices - mesh.joints[:, :1], atol=1e-7)


def test_a_copy_of_a_real_hand_is_at_no_distance_from_the_nearest(real: NamedHands) -> None:
    scores = score_named_hands(picked(real, [0, 4]), real, real)
    assert scores["nearest_pa_mpvpe_mm"].to_numpy() == pytest.approx(0, abs=1e-6)
    assert scores["nearest_chamfer_m2"].to_numpy() == pytest.approx(0, abs=1e-12)
    assert scores["nearest_hausdorff_m"].to_numpy() == pytest.approx(0, abs=1e-9)
    assert (scores["mean_pa_mpvpe_mm"] > 0.5).all()
    assert scores["right"].all()


def test_a_hand_is_not_compared_with_itself(real: NamedHands) -> None:
    scores = score_named_hands(picked(real, [0], prefix=""), real, real)
    assert scores["nearest_pa_mpvpe_mm"].item() > 0.5


def test_means_and_minima_are_those_of_plain_loops(real: NamedHands) -> None:
    hand = picked(real, [0])
    found = score_named_hands(hand, real, real).iloc[0]
    chamfer, hausdorff = [], []
    for truth in real.vertices[:3]:
        gaps = np.linalg.norm(hand.vertices[0][:, None] - truth[None], axis=-1).astype(float)
        there, back = gaps.min(1), gaps.min(0)
        chamfer.append((there**2).mean() + (back**2).mean())
        hausdorff.append(max(there.max(), back.max()))
    assert found["mean_chamfer_m2"] == pytest.approx(np.mean(chamfer), rel=1e-4)
    assert found["mean_hausdorff_m"] == pytest.approx(np.mean(hausdorff), rel=1e-4)
    assert found["nearest_hausdorff_m"] == pytest.approx(np.min(hausdorff), abs=1e-6)


def test_orientation_counts_for_surfaces_but_not_for_the_aligned_error(real: NamedHands) -> None:
    turned = picked(real, [0, 1, 2])
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], dtype=np.float32)
    turned = NamedHands(
        turned.ids, turned.names, turned.joints @ quarter.T, turned.vertices @ quarter.T
    )
    scores = score_named_hands(turned, real, real)
    assert scores["nearest_pa_mpvpe_mm"].to_numpy() == pytest.approx(0, abs=1e-2)
    assert (scores["nearest_hausdorff_m"] > 0.02).all()


def test_orientation_tells_letters_of_one_shape_apart() -> None:
    letters = draw_letters(AslPosesConfig(letters=("G", "Q"), samples=2), MANO)
    both = named_hands(*letters, MANO)
    assert score_named_hands(picked(both, [0, 2]), both, both)["read_as"].tolist() == ["G", "Q"]
    claimed = NamedHands(("new",), ("Q",), both.joints[:1], both.vertices[:1])
    scores = score_named_hands(claimed, both, both)
    assert not scores["right"].item()
    assert scores["nearest_pa_mpvpe_mm"].item() < 5


def test_letters_of_one_shape_count_as_each_other(real: NamedHands) -> None:
    hand = picked(real, [6])  # an I, of which J is an exact look-alike in kind
    as_j = NamedHands(hand.ids, ("J",), hand.joints, hand.vertices)
    assert not score_named_hands(as_j, real, real)["right"].item()
    assert score_named_hands(as_j, real, real, {"J": "I"})["right"].item()


def test_a_summary_is_the_mean_over_the_hands(real: NamedHands) -> None:
    scores = score_named_hands(picked(real, [0, 4, 6]), real, real)
    summary = summary_of(scores)
    assert summary["num_hands"] == 3
    assert summary["recognised"] == scores["right"].mean()
    assert summary["mean_pa_mpvpe_mm"] == pytest.approx(scores["mean_pa_mpvpe_mm"].mean())
    spread = np.std(scores["mean_pa_mpvpe_mm"])
    assert summary["mean_pa_mpvpe_mm_std"] == pytest.approx(spread)


def test_a_text_without_a_real_hand_is_named(real: NamedHands) -> None:
    hand = picked(real, [0])
    unknown = NamedHands(hand.ids, ("Q",), hand.joints, hand.vertices)
    with pytest.raises(ValueError, match="no other real hand of 'Q'"):
        score_named_hands(unknown, real, real)
    with pytest.raises(ValueError, match="got 0"):
        score_named_hands(picked(real, []), real, real)
