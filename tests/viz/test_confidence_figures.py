"""Ranked hypotheses of a photo."""

import numpy as np
import pytest
import torch

from hand_pipeline.geometry.camera import default_intrinsics, project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.viz.hypotheses import Hypothesis, confidence_text, hypotheses_picture
from hand_pipeline.viz.overlay import DrawnHand

BLUE, RED = (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def mano():
    return ManoHand()


def hypothesis(mano, x, confidence, colour=BLUE):
    mesh = mano(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10), torch.tensor([[x, 0.0, 0.8]]))
    joints = project(mesh.joints[0], default_intrinsics(200, 160))
    return Hypothesis(DrawnHand(mesh.vertices[0], mano.faces, joints, colour), confidence)


@pytest.fixture(scope="module")
def photo():
    return np.full((160, 200, 3), 90, dtype=np.uint8)


def tiles(picture, count, strip=0, tile=60):
    pixels = np.array(picture)
    top = strip * (18 + 2 * tile + 8) + 18
    return [pixels[top : top + tile, 4 + n * (tile + 4) : 4 + n * (tile + 4) + tile]
            for n in range(count)]  # fmt: skip


def test_the_surest_hypothesis_comes_first(mano, photo):
    row = [hypothesis(mano, 0.0, 0.2, RED), hypothesis(mano, 0.0, 0.7, BLUE)]
    picture = hypotheses_picture(photo, [row], default_intrinsics(200, 160), tile=60)
    window, first, second = (tile.astype(int) for tile in tiles(picture, 3))
    assert (window == window[..., :1]).all()  # the grey photo, nothing drawn
    assert (first[..., 2] - first[..., 0]).mean() > 5
    assert (second[..., 0] - second[..., 2]).mean() > 5


def test_a_hand_is_drawn_where_it_is_in_its_window(mano, photo):
    marked = photo.copy()
    centre = hypothesis(mano, 0.0, 0.5)
    x, y = centre.hand.joints_2d.mean(0).round().int().tolist()
    marked[y - 2 : y + 3, x - 2 : x + 3] = (0, 255, 0)
    row = [centre, hypothesis(mano, 0.0, 0.4)]
    picture = hypotheses_picture(marked, [row], default_intrinsics(200, 160), tile=60)
    window, drawn, _ = (tile.astype(int) for tile in tiles(picture, 3))
    green = np.argwhere(window[..., 1] - window[..., 0] > 100).mean(0)
    blue = np.argwhere(np.abs(drawn - window).sum(-1) > 60)
    low, high = blue.min(0), blue.max(0)
    assert (low < green).all()
    assert (green < high).all()
    assert np.ptp(blue, axis=0).max() > 30  # the hand fills much of its window


def test_there_is_a_strip_a_hand_and_only_the_surest_are_drawn(mano, photo):
    rows = [[hypothesis(mano, 0.0, c) for c in (0.1, 0.2, 0.3)], [hypothesis(mano, 0.05, 0.9)]]
    picture = hypotheses_picture(photo, rows, default_intrinsics(200, 160), most=2, tile=60)
    assert picture.size == (3 * 64 + 4, 2 * (18 + 120 + 8))
    blank = tiles(picture, 3, strip=1)[2]
    assert (blank == 255).all()


def test_behind_the_first_ranks_come_the_100th_and_the_1000th(mano, photo):
    rows = [[hypothesis(mano, 0.0, 1 - n / 2000, RED if n == 99 else BLUE) for n in range(120)]]
    picture = hypotheses_picture(photo, rows, default_intrinsics(200, 160), most=2, tile=60)
    assert picture.width == 4 * 64 + 4  # photo, 1, 2, 100
    second, hundredth = (tile.astype(int) for tile in tiles(picture, 4)[2:])
    assert (second[..., 2] - second[..., 0]).mean() > 5
    assert (hundredth[..., 0] - hundredth[..., 2]).mean() > 5


def test_wild_hypotheses_do_not_shrink_the_others_to_nothing(mano, photo):
    calm = hypothesis(mano, 0.0, 0.9)
    far = replace_joints(hypothesis(mano, 0.0, 0.1), 1e9)
    camera = default_intrinsics(200, 160)
    drawn = tiles(hypotheses_picture(photo, [[calm, far]], camera, tile=60), 2)[1]
    changed = np.argwhere(drawn.astype(int).std(-1) > 20)
    assert np.ptp(changed, axis=0).max() > 12


def test_a_wild_surest_hypothesis_is_drawn_all_the_same(mano, photo):
    row = [replace_joints(hypothesis(mano, 0.0, 0.9), 1e9), hypothesis(mano, 0.0, 0.1)]
    picture = hypotheses_picture(photo, [row], default_intrinsics(200, 160), tile=60)
    assert picture.size == (3 * 64 + 4, 18 + 120 + 8)


def replace_joints(found, value):
    hand = found.hand
    joints = torch.full_like(hand.joints_2d, value)
    return Hypothesis(DrawnHand(hand.vertices, hand.faces, joints, hand.colour), found.confidence)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.764, "76 %"), (0.0518, "5.2 %"), (0.001, "0.1 %"), (0.00013, "0.013 %"), (1.0, "100 %"),
     (0.0, "0 %"), (0.0999, "10 %")],
)  # fmt: skip
def test_small_confidences_keep_two_digits(share, text):
    assert confidence_text(share) == text


def test_nothing_to_draw_and_impossible_confidences_are_refused(mano, photo):
    camera = default_intrinsics(200, 160)
    for hands in ([], [[]]):
        with pytest.raises(ValueError, match="at least one hand"):
            hypotheses_picture(photo, hands, camera)
    for confidence in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="confidence must be 0 to 1"):
            hypotheses_picture(photo, [[hypothesis(mano, 0.0, confidence)]], camera)
