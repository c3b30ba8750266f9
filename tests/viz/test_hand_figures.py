"""Figures of hands and of curves hold what was given."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.viz.curves import pck_curves, training_curves
from hand_pipeline.viz.figure import stacked
from hand_pipeline.viz.hands import COLUMNS, comparison_grid, qualitative_grid

THRESHOLDS = np.linspace(0, 50, 100)


def curve(share: float) -> pd.DataFrame:
    return pd.DataFrame({"threshold_mm": THRESHOLDS, "pa_vertices": np.full(100, share)})


@pytest.fixture
def history() -> pd.DataFrame:
    step = np.arange(0, 50, 10)
    return pd.DataFrame(
        {"step": step, "loss.total": 10.0 - step / 10, "loss.vertices": 1.0, "learning_rate": 1e-3}
    )


def test_a_curves_legend_shows_its_area():
    figure = pck_curves({"mean hand": curve(0.25), "ours": curve(0.5)})
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["mean hand  (AUC 0.250)", "ours  (AUC 0.500)"]


def test_an_unknown_curve_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no curve 'joints'.*pa_vertices"):
        pck_curves({"ours": curve(0.5)}, column="joints")


def test_training_curves_have_a_panel_a_number_and_a_line_a_run(history):
    figure = training_curves({"supervised": history, "handmim": history})
    drawn = [axes for axes in figure.axes if axes.lines]
    assert [axes.get_title() for axes in drawn] == ["loss.total", "loss.vertices", "learning rate"]
    assert all(len(axes.lines) == 2 for axes in drawn)


def test_one_history_needs_no_name(history):
    assert len([axes for axes in training_curves(history).axes if axes.lines]) == 3


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="nothing logged"):
        training_curves(pd.DataFrame({"step": []}))


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
    with pytest.raises(ValueError, match="at least one picture"):
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
