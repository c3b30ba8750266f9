"""A trained model becomes a shipped one: half floats that fit, and a card with its numbers."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from scripts import ship_model

from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.methods import load_method
from hand_pipeline.methods.lifter import Lifter, LifterConfig
from hand_pipeline.training.checkpoint import pack_method, save_checkpoint

SCORES = {
    "ti1k": {"tip_percent": 4.25, "tip_median_percent": 3.5, "detector_percent": 1.5},
    "finger_count": {"right": 0.75}, "sign_digits": {"right": 0.875},
}  # fmt: skip


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lifter:
    """What the runs of a profile leave, in the present folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    method = Lifter(LifterConfig(width=24, layers=1, heads=2), HandAugmentationConfig())
    packed = pack_method("lifter", method.state_dict(), **method.configs)
    packed.metadata.update({"training": {"steps": 3600, "batch_size": 100}, "data": "abc123"})
    data, reports = tmp_path / "data/open", tmp_path / "data/open/08_reporting"
    reports.mkdir(parents=True)
    save_checkpoint(data / "06_models/lifter_method.safetensors", packed)
    history = {"step": [1200, 2400, 3600], "images_per_second": [100.0, 200.0, 50.0]}
    pd.DataFrame(history).to_csv(reports / "lifter_history.csv", index=False)
    errors = {"pa_mpjpe_mm": 8.125, "pa_mpvpe_mm": 7.0, "rr_mpjpe_mm": 20.0}
    (reports / "lifter_scores_metrics.json").write_text(json.dumps({"lifter": errors}))
    (reports / "photo_scores_metrics.json").write_text(
        json.dumps({"models": 2, "lifter": SCORES, "lifter refined": SCORES})
    )
    run = SimpleNamespace(data=SimpleNamespace(tags={"git.commit": "f00"}))
    monkeypatch.setattr(ship_model, "run_of", lambda pipeline, env: run)
    monkeypatch.setattr(sys, "argv", ["ship_model", "lifter"])
    return method


def test_it_is_loaded_again_and_its_card_has_the_numbers(trained: Lifter, tmp_path: Path) -> None:
    ship_model.main()
    path = tmp_path / ship_model.MODELS / "lifter.safetensors"
    shipped = load_method(path)
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(shipped.state_dict()[name], value, rtol=1e-3, atol=1e-3)
    card = path.with_suffix(".md").read_text()
    # 1,200 steps of 100 hands at 100, 200 and 50 a second: 1200 + 600 + 2400 s
    for told in ("| hours of steps | 1.17 |", "360,000 in 3,600 steps", "| commit | f00 |",
                 "pa_mpjpe_mm 8.12", "| lifter refined | 4.250 | 3.500 | 0.750 | 0.875 | 1.500 |",
                 "`abc123`", "## Limits"):  # fmt: skip
        assert told in card


def test_what_is_too_large_is_not_written(
    trained: Lifter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship_model, "LARGEST", 100)
    with pytest.raises(SystemExit, match=r"would have 0\.\d MB"):
        ship_model.main()
    assert not (tmp_path / ship_model.MODELS).exists()


def test_weights_that_half_floats_cannot_hold_are_refused(trained: Lifter, tmp_path: Path) -> None:
    packed = pack_method("lifter", trained.state_dict(), **trained.configs)
    packed.tensors["norm.weight"] = torch.full_like(packed.tensors["norm.weight"], 1e6)
    save_checkpoint(tmp_path / "data/open/06_models/lifter_method.safetensors", packed)
    with pytest.raises(SystemExit, match="half floats change a weight by inf"):
        ship_model.main()
