"""Detected joints are drawn where they are, labelled ones as rings over them."""

import numpy as np
import pytest

from hand_pipeline.viz.keypoints import SeenHand, keypoints_sheet


def black_hand(found: bool, labelled: bool) -> SeenHand:
    points = np.full((21, 2), 16.0)
    points[20] = 48
    return SeenHand(
        "a hand", np.zeros((64, 64, 3), np.uint8), points, np.full(21, found),
        points[::-1].copy(), np.full(21, labelled),
    )  # fmt: skip


def tile(hand: SeenHand) -> np.ndarray:
    sheet = np.asarray(keypoints_sheet([hand], tile=128))
    return sheet[4:132, 4:132]


def test_what_was_not_found_is_not_drawn() -> None:
    assert tile(black_hand(False, False)).max() == 0


def test_detected_joints_are_coloured_and_labelled_ones_white_rings() -> None:
    detected, labelled = tile(black_hand(True, False)), tile(black_hand(False, True))
    rows, columns = np.nonzero(detected.max(2))
    assert abs(rows.min() - 32) < 5
    assert abs(columns.max() - 96) < 5
    coloured = detected[detected.max(2) > 0].astype(int)
    assert (np.ptp(coloured, axis=1) > 30).any()
    assert set(np.unique(labelled)) == {0, 255}
    assert labelled[32, 32].max() == 0  # a ring, not a dot


def test_a_wild_point_does_not_stall_the_drawing() -> None:
    hand = black_hand(True, True)
    hand.points[3] = 1e9
    assert keypoints_sheet([hand] * 3, columns=2, tile=64).size[0] > 128


def test_no_hands_are_refused() -> None:
    with pytest.raises(ValueError, match="no hand to draw"):
        keypoints_sheet([])
