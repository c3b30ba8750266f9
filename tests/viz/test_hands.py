"""Hands over images, from the side and on sheets: in their places and colours."""

import numpy as np
import pytest
import torch
from PIL import Image

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.viz import hands as hands_module
from hand_pipeline.viz.hands import COLUMNS, comparison_grid, hand_sheet, qualitative_grid
from hand_pipeline.viz.sheet import stacked

BLUE, RED = (0.2, 0.2, 1.0), (1.0, 0.2, 0.2)


@pytest.fixture(scope="module")
def grid() -> Image.Image:
    mano = ManoHand()
    pose = mano.full_pose(torch.zeros(2, 48), False)
    centre = mano(pose, torch.zeros(2, 10)).joints[:, 9]
    mesh = mano(pose, torch.zeros(2, 10), torch.tensor([0.0, 0.0, 0.6]) - centre).vertices
    intrinsics = torch.tensor([[240.0, 0, 50], [0, 240, 50], [0, 0, 1]]).repeat(2, 1, 1)
    photos = torch.full((2, 3, 100, 100), 30, dtype=torch.uint8)
    return qualitative_grid(
        photos, intrinsics, mesh, mesh, mano.faces, captions=["a", "b"], size=100
    )


def cell(grid: Image.Image, column: int, row: int = 0) -> np.ndarray:
    left, top = 4 + column * 104, 22 + row * (100 + 4 + 18)
    return np.asarray(grid)[top : top + 100, left : left + 100].astype(float)


def test_the_grid_has_a_column_a_view_and_leaves_the_photo_alone(grid):
    assert grid.width == len(COLUMNS) * 104 + 4
    np.testing.assert_array_equal(cell(grid, 0), 30)


def test_models_stand_side_by_side_over_the_first_picture():
    mano = ManoHand()
    pose = torch.eye(3).repeat(1, 16, 1, 1)
    mesh = mano(pose, torch.zeros(1, 10), torch.tensor([[-0.05, 0.0, 0.6]])).vertices
    away = mesh + torch.tensor([0.0, 0.0, 1.0])
    intrinsics = torch.tensor([[[240.0, 0, 50], [0, 240, 50], [0, 0, 1]]])
    grey, black = (torch.full((1, 3, 100, 100), v, dtype=torch.uint8) for v in (30, 0))
    grid = comparison_grid(
        {"photo": grey, "seen": black}, intrinsics, {"near": mesh, "far": away}, mesh, mano.faces,
        captions=["a"], size=100,
    )  # fmt: skip
    assert grid.width == 5 * 104 + 4
    np.testing.assert_array_equal(cell(grid, 0), 30)
    np.testing.assert_array_equal(cell(grid, 1), 0)
    near, far, truth = ((np.abs(cell(grid, n) - 30).max(-1) > 20) for n in (2, 3, 4))
    np.testing.assert_array_equal(near, truth)
    assert 0 < far.sum() < near.sum()
    with pytest.raises(ValueError, match="1 captions, got 0"):
        comparison_grid({"photo": grey}, intrinsics, {}, mesh, mano.faces, captions=[])


def test_stacked_pictures_keep_their_size_and_order():
    sheet = np.array(stacked([Image.new("RGB", (4, 3), "red"), Image.new("RGB", (6, 2))], gap=1))
    assert sheet.shape == (6, 6, 3)
    assert (sheet[:3, :4] == [255, 0, 0]).all()
    assert (sheet[4:] == 0).all()
    assert (sheet[3] == 255).all()
    with pytest.raises(ValueError, match="at least one image"):
        stacked([])


def test_hands_are_drawn_over_the_photo_and_from_the_side(grid):
    for column, paper in ((1, 30), (2, 30), (3, 255), (4, 255)):
        drawn = np.abs(cell(grid, column) - paper).max(-1) > 20
        assert 0.05 < drawn.mean() < 0.8, COLUMNS[column]
        rim = np.concatenate([drawn[0], drawn[-1], drawn[:, 0], drawn[:, -1]])
        if column >= 3:
            assert not rim.any(), "the whole hand fits into the side view"


def test_prediction_and_truth_have_their_own_colours(grid):
    predicted, true = cell(grid, 3), cell(grid, 4)
    hand = predicted.min(-1) < 200
    assert (predicted[hand][:, 2] > predicted[hand][:, 0]).mean() > 0.9
    assert (true[hand][:, 0] > true[hand][:, 2]).mean() > 0.9


def resting(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    mano = ManoHand()
    pose = torch.eye(3).repeat(count, 16, 1, 1)
    pose[:, 0] = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    return mano(pose, torch.zeros(count, 10)).vertices, mano.faces


def test_each_hand_has_its_place_and_colour(monkeypatch) -> None:
    monkeypatch.setattr(hands_module, "_AT_ONCE", 2)
    vertices, faces = resting(3)
    picture = hand_sheet(vertices, faces, ["a", "b", "c"], [BLUE, RED, BLUE], columns=2, size=32)
    assert picture.size == (2 * 36 + 4, 2 * 52 + 4)
    pixels = np.asarray(picture).astype(int)
    for number, (row, column) in enumerate([(0, 0), (0, 1), (1, 0)]):
        tile = pixels[4 + 52 * row : 36 + 52 * row, 4 + 36 * column : 36 + 36 * column]
        drawn = tile[tile.min(2) < 200]
        assert len(drawn) > 40
        red_over_blue = drawn[:, 0].mean() - drawn[:, 2].mean()
        assert (red_over_blue > 30) == (number == 1)
    assert (pixels[60:92, 44:] == 255).all()  # no fourth hand


def test_captions_and_colours_must_be_of_all_hands() -> None:
    vertices, faces = resting(2)
    with pytest.raises(ValueError, match="each of 2 hands"):
        hand_sheet(vertices, faces, ["a"], [BLUE, BLUE], columns=1)
    with pytest.raises(ValueError, match="at least one"):
        hand_sheet(vertices[:0], faces, [], [], columns=1)
