"""Detected joints are drawn where they are, and only those that were found."""

from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.freihand import write_freihand

from hand_pipeline.data.detected_keypoints import DetectedKeypoints
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.viz.keypoints import SeenHand, keypoints_sheet, seen_hands


def black_hand(found: bool, labelled: bool) -> SeenHand:
    points = np.full((21, 2), 16.0)
    points[20] = 48
    return SeenHand(
        "a hand", np.zeros((64, 64, 3), np.uint8), points, np.full(21, found),
        points[::-1].copy(), np.full(21, labelled),
    )  # fmt: skip


def hand_tile(hand: SeenHand) -> np.ndarray:
    sheet = np.asarray(keypoints_sheet([hand], tile=128))
    return sheet[4:132, 4:132]


def test_what_was_not_found_is_not_drawn() -> None:
    assert hand_tile(black_hand(False, False)).max() == 0


def test_detected_joints_are_coloured_and_labelled_ones_white_rings() -> None:
    detected, labelled = hand_tile(black_hand(True, False)), hand_tile(black_hand(False, True))
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


def test_hands_are_drawn_by_their_names_without_those_that_cannot_be_read(tmp_path: Path) -> None:
    write_freihand(tmp_path, "evaluation", count=4)
    mano = ManoHand(tips="freihand")
    pictures = HandImages(read_hands("freihand", tmp_path, "evaluation", mano), mano)
    ids = tuple(pictures.ids[1:])  # the first was not looked at
    keypoints = DetectedKeypoints(ids, np.ones((3, 21, 2)), np.ones((3, 21)), pictures.crop_size)
    truth, labelled = np.arange(3.0).repeat(42).reshape(3, 21, 2), np.ones((3, 21), bool)
    (tmp_path / "evaluation/rgb" / f"{ids[2].rpartition('/')[2]}.jpg").write_bytes(b"")
    errors = np.array([0.125, np.nan, 0.5])
    found = seen_hands(pictures, keypoints, truth, labelled, errors, 3, seed=0)
    assert [hand.caption for hand in found] == [
        f"{ids[0]}: 12.5 % off",
        f"{ids[1]}: no joint found",
    ]
    assert [hand.truth[0, 0] for hand in found] == [0, 1]
    np.testing.assert_array_equal(found[1].image, pictures.source(2).load())
