"""Curves show the values they are given."""

import numpy as np
import pandas as pd
import pytest

from hand_pipeline.viz.curves import calibration_figure, pck_curves, training_curves
from hand_pipeline.viz.figure import to_image

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


CURVE = pd.DataFrame({"confidence": [0.2, 0.8], "share_within": [0.25, 1.0], "count": [4, 2]})


def test_the_figure_shows_bins_and_samples():
    confidence, errors = np.linspace(0, 1, 6), np.array([30.0, 20, 15, 5, 4, 3])
    figure = calibration_figure(CURVE, confidence, errors, 10.0, "PA-MPJPE")
    left, right = figure.axes
    assert left.lines[1].get_xydata().tolist() == [[0.2, 0.25], [0.8, 1.0]]
    assert left.lines[0].get_ydata()[0] == pytest.approx(0.5)  # four and two samples together
    assert left.get_title() == "6 samples in 2 bins"
    good, wrong = (dots.get_offsets() for dots in right.collections)
    assert good[:, 1].tolist() == [5, 4, 3]
    assert wrong[:, 1].tolist() == [30, 20, 15]
    assert right.get_title() == "50% above 10 mm"
    assert np.array(to_image(figure, dpi=40)).std() > 0


def test_many_samples_are_thinned_but_counted():
    errors = np.concatenate([np.full((100, 100), 5.0), np.full((100, 100), 50.0)])
    figure = calibration_figure(CURVE, errors / 100, errors, 10.0)
    right = figure.axes[1]
    assert sum(len(dots.get_offsets()) for dots in right.collections) <= 4000
    assert right.get_title() == "50% above 10 mm"


def test_no_bins_and_unequal_samples_are_refused():
    with pytest.raises(ValueError, match="at least one bin"):
        calibration_figure(CURVE[:0], np.ones(2), np.ones(2), 10.0)
