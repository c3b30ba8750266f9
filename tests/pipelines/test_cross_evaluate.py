"""Models on a set other than their own: drawn, or a published one."""

from pathlib import Path

import numpy as np
import pytest
from tests.fixtures.write import write_fixture

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.synthetic.config import SyntheticConfig
from hand_pipeline.evaluation.predict import load_predictions
from hand_pipeline.pipelines.cross_evaluate import (
    CrossEvaluationConfig,
    draw_other_hands,
    predict_other_hands,
    score_other_hands,
)
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint

NOWHERE = Path("nowhere")


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    return MachineConfig(accelerator="cpu", workers=1, workspace=tmp_path / "work")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_fixture("freihand", tmp_path / "home", "training", 3)
    return tmp_path / "home"


def test_models_are_scored_on_hands_that_are_drawn_for_it(home, machine, untrained):
    config = SyntheticConfig(num_training=0, num_evaluation=3, image_size=32, seed=7)
    drawn, picture = draw_other_hands(config, machine)
    assert picture.width > 100
    model, cfg = load_checkpoint(untrained), CrossEvaluationConfig(batch_size=2)
    folder = predict_other_hands(home, drawn, model, model, cfg, machine)
    metrics, table, samples, curves = score_other_hands(folder, model, model, cfg)
    assert table["model"].tolist() == [
        "mean hand of the training set",
        "fine-tuned; from what, is not recorded",
        "fine-tuned; from what, is not recorded",
    ]
    assert {m["num_samples"] for m in metrics.values()} == {3}
    assert samples.groupby("model").size().to_dict() == dict.fromkeys(metrics, 3)
    assert curves.width > 100
    hands = load_predictions(folder / "mean_hand.npz")
    assert np.ptp(hands.joints, axis=0).max() < 1e-6  # one hand for all, of the training set
    assert np.ptp(hands.gt_joints, axis=0).max() > 0.01


def test_a_published_set_takes_the_place_of_the_drawn_hands(tmp_path, home, machine, untrained):
    written = write_fixture("ho3d_v3", tmp_path / "ho3d", "train", 3)
    model = load_checkpoint(untrained)
    other = {"hand_set": "ho3d_v3", "path": tmp_path / "ho3d", "split": "train"}
    cfg = CrossEvaluationConfig(other=other, batch_size=2)
    folder = predict_other_hands(home, NOWHERE, model, model, cfg, machine)
    metrics, _, _, _ = score_other_hands(folder, model, model, cfg)
    assert metrics["handmim"] == metrics["supervised"]
    found = load_predictions(folder / "handmim.npz")
    assert len(found) == 3
    wrists = np.sort(np.linalg.norm(written.joints_3d[:, 0], axis=1))
    truth = np.sort(np.linalg.norm(found.gt_joints[:, 0], axis=1))
    np.testing.assert_allclose(truth, wrists, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"hand_set": "ho4d"}, "unknown data set 'ho4d'"),
        ({"split": "val"}, "HO-3D v3 has no split 'val'; it has train, evaluation"),
        ({"path": NOWHERE}, "no folder nowhere"),
    ],
)
def test_a_wrong_set_is_refused_by_name(home, machine, untrained, changed, message):
    other = {"hand_set": "ho3d_v3", "path": home, "split": "train"} | changed
    model = load_checkpoint(untrained)
    with pytest.raises(DataSetError, match=message):
        predict_other_hands(
            home, NOWHERE, model, model, CrossEvaluationConfig(other=other), machine
        )


def test_what_makes_no_hands_is_refused(home, machine):
    nothing = Checkpoint({}, {"method": "another"})
    with pytest.raises(ValueError, match="the checkpoint of supervised holds 'another'"):
        predict_other_hands(home, home, nothing, nothing, CrossEvaluationConfig(), machine)
