"""MaskHand's evaluation on real files with small models that have learnt nothing."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.fixtures.freihand import write_freihand

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.detected_keypoints import DetectedKeypoints, write_keypoints
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.calibration import ScoredHypotheses
from hand_pipeline.evaluation.predict import load_predictions
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.maskhand import evaluation
from hand_pipeline.methods.maskhand.config import (
    MaskHandConfig,
    PoseTokenizerConfig,
    ShapeCameraHeadConfig,
)
from hand_pipeline.methods.maskhand.evaluation import MaskHandEvaluationConfig, calibrate
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.pipelines.maskhand import (
    PAGE,
    check_sampling,
    draw_hypotheses,
    draw_sampling,
    predict_held_out,
    score,
    study_occlusion,
)
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint, pack_method

HANDS = 3
CFG = MaskHandEvaluationConfig(
    batch_size=8,
    iterations=(1, 3),
    sampled=SamplingConfig(iterations=3, temperature=1, hypotheses=4),
    occlusion=(0.8,),
    occluded_hands=2,
    shown=2,
    shown_hypotheses=3,
)


@dataclass(frozen=True)
class World:
    hands: Path
    keypoints: Path
    maskhand: Checkpoint
    handmim: Checkpoint
    machine: MachineConfig


def tiny_maskhand(readout: str = "expectation") -> Checkpoint:
    torch.manual_seed(0)
    configs = {
        "cfg": MaskHandConfig(
            width=32, heads=2, layers=1, feedforward_width=32, readout=readout,
            head=ShapeCameraHeadConfig(
                width=32, depth=1, heads=2, head_width=16, feedforward_width=32
            ),
            tokenizer=PoseTokenizerConfig(num_tokens=16, num_codes=24, code_dim=8, width=16),
        ),
        "vit": VitConfig(
            name="vit_tiny_patch16_224", image_size=32, patch_size=8, depth=1, embed_dim=32,
            num_heads=2,
        ),
        "augmentation": HandAugmentationConfig(image_size=32),
    }  # fmt: skip
    return pack_method("maskhand", MaskHand(**configs).state_dict(), **configs)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, untrained: Path) -> World:
    root = tmp_path_factory.mktemp("maskhand")
    for split in ("training", "evaluation"):
        write_freihand(root / "hands", split, HANDS)
    held_out = open_labelled_hands(root / "hands", "evaluation", ManoHand(tips="freihand"))
    labels = held_out.labels(np.arange(HANDS), None)
    confidence = np.ones((HANDS, 21), np.float32)
    confidence[0] = 0  # no hand was found
    keypoints = DetectedKeypoints(tuple(held_out.ids), labels.joints_2d.numpy(), confidence, 224)
    write_keypoints(root / "keypoints", "evaluation", keypoints)
    machine = MachineConfig(accelerator="cpu", workspace=root / "work")
    return World(
        root / "hands", root / "keypoints", tiny_maskhand(), load_checkpoint(untrained), machine
    )


@pytest.fixture(scope="module")
def predicted(world: World) -> Path:
    return predict_held_out(
        world.hands, world.keypoints, world.maskhand, world.handmim, CFG, world.machine
    )


@pytest.mark.slow
def test_every_row_of_the_table_is_scored_on_the_same_hands(predicted: Path) -> None:
    metrics, table, samples, study = score(predicted, CFG)
    assert table["model"].tolist() == [
        "mean hand", "HandMIM, then fine-tuned", "MaskHand, T = 1", "MaskHand, T = 3",
        "MaskHand, T = 1, likeliest codes", "MaskHand, T = 3, likeliest codes",
        "MaskHand, T = 3, surest of 4 drawn",
    ]  # fmt: skip
    assert table["num_samples"].eq(HANDS).all()
    assert table.notna().all(axis=None)
    assert samples.groupby("model").size().eq(HANDS).all()
    assert study["keypoints"].tolist() == ["true", "detected", "none"]
    assert metrics["maskhand_t3"]["pa_mpjpe_mm"] == table["pa_mpjpe_mm"][3]
    assert study["pa_mpjpe_mm"][1] == table["pa_mpjpe_mm"][3]


@pytest.mark.slow
def test_keypoints_reach_the_model_only_where_they_should(predicted: Path) -> None:
    true, found, none = (
        load_predictions(predicted / f"maskhand_{name}.npz").joints
        for name in ("true", "t3", "none")
    )
    np.testing.assert_allclose(found[0], none[0], atol=1e-6)  # no hand was found in the first photo
    np.testing.assert_allclose(found[1:], true[1:], atol=1e-6)  # the file holds the truth
    assert np.abs(true - none).max(axis=(1, 2)).min() > 1e-5


@pytest.mark.slow
def test_confidence_is_reported_of_hands_joints_and_hypotheses(predicted: Path) -> None:
    metrics, table, bins, picture = calibrate(predicted, CFG)
    assert set(metrics) == {"maskhand_t3", "maskhand_sampled"}
    assert "hypotheses" not in metrics["maskhand_t3"]
    best = metrics["maskhand_sampled"]["hypotheses"]
    assert best["oracle_mm"] <= best["chosen_mm"]
    assert bins.groupby("of")["count"].sum().to_dict() == {"hands": HANDS, "joints": HANDS * 21}
    assert table["hypotheses"].tolist() == ["likeliest tokens, T = 3", "surest of 4 drawn"]
    scores = load_predictions(predicted / "maskhand_sampled.npz")
    assert scores.confidence.shape == (HANDS, 4)
    assert (np.diff(scores.confidence, axis=1) <= 1e-6).all()
    assert np.array(picture).std() > 0


def test_known_confidences_give_the_figures_they_must(predicted: Path, monkeypatch) -> None:
    """Ten photos, the surer the better, and of each photo the second hypothesis is the best."""
    errors = np.linspace(5, 14, 10)[:, None] + np.array([[0.0, -2.0]])
    joints = np.repeat(errors[..., None], 21, axis=-1)
    confidence = np.linspace(0.9, 0.1, 10)[:, None] + np.array([[0.05, 0.0]])
    scores = ScoredHypotheses(confidence, np.repeat(confidence[..., None], 21, -1), errors, joints)
    monkeypatch.setattr(evaluation, "score_hypotheses", lambda hands, allow_reflection: scores)
    metrics, table, _, _ = calibrate(predicted, CFG)
    for name in metrics:
        assert metrics[name]["hands"]["confidence_spearman"] == pytest.approx(-1)
        assert metrics[name]["hands"]["confidence_auroc"] == 1
        assert metrics[name]["joints"]["share_within"] == pytest.approx(0.6)
    best = metrics["maskhand_sampled"]["hypotheses"]
    assert best["chosen_mm"] == pytest.approx(9.5)
    assert best["mean_mm"] == pytest.approx(8.5)
    assert best["share_gained"] == pytest.approx(-1)
    assert table["hands confidence_spearman"].tolist() == pytest.approx([-1, -1])


@pytest.mark.slow
@pytest.mark.parametrize("readout", ["expectation", "codes"])
def test_shortcuts_of_the_sampler_change_nothing(world: World, readout: str) -> None:
    found = check_sampling(world.hands, world.keypoints, tiny_maskhand(readout), CFG, world.machine)
    assert found.pop("mask_counts") == {"pass_1": 16, "pass_2": 14, "pass_3": 8}
    assert found == {
        "caching_equal": 1.0, "seeded_sampling_repeats": 1.0, "one_pass_equals_one_shot": 1.0,
        "photos_compared": HANDS,
    }  # fmt: skip


@pytest.mark.slow
def test_a_cache_that_spoils_the_samples_is_found_out(world: World, monkeypatch) -> None:
    encode = MaskHand.encode

    def forgetful(self, batch):
        forgetful.calls += 1
        return encode(self, batch if forgetful.calls % 2 else replace(batch, keypoints=None))

    forgetful.calls = 0
    monkeypatch.setattr(MaskHand, "encode", forgetful)
    found = check_sampling(world.hands, world.keypoints, world.maskhand, CFG, world.machine)
    assert found["caching_equal"] == 0


@pytest.mark.slow
def test_the_studies_and_the_page_show_every_figure(world: World, predicted: Path) -> None:
    table, occluded = study_occlusion(
        world.hands, world.keypoints, world.maskhand, world.handmim, CFG, world.machine
    )
    assert table["black"].tolist() == [0.0] * 3 + [0.8] * 3
    assert table["num_samples"].eq(2).all()
    assert table["hidden_pck_0.1"].isna().tolist() == [True] * 3 + [False] * 3
    without, some, _ = (table["pa_mpjpe_mm"][table["model"] == name].to_numpy()
                        for name in table["model"][:3])  # fmt: skip
    assert (without != some).all()
    hypotheses = draw_hypotheses(world.hands, world.keypoints, world.maskhand, CFG, world.machine)
    assert hypotheses.width > hypotheses.height / 2 > 0
    passes, looks = draw_sampling(world.hands, world.keypoints, world.maskhand, CFG, world.machine)
    sampling = check_sampling(world.hands, world.keypoints, world.maskhand, CFG, world.machine)
    _, results, _, keypoints = score(predicted, CFG)
    _, confidence, _, calibration = calibrate(predicted, CFG)
    shown = {
        "maskhand_table": results, "maskhand_confidence_table": confidence,
        "keypoints_study_table": keypoints, "occlusion_table": table,
        "maskhand_sampling_metrics": sampling, "maskhand_hypotheses_picture": hypotheses,
        "maskhand_passes_picture": passes, "maskhand_looks_picture": looks,
        "maskhand_calibration_picture": calibration, "occlusion_picture": occluded,
        "maskhand_curves": Image.new("RGB", (9, 9)),
        "params:maskhand": {"evaluation": CFG.model_dump(mode="json")},
    }  # fmt: skip
    page = PAGE.render(**shown)
    assert len(re.findall(r'src="data:image/png;base64,', page)) == 6
    for text in ("MaskHand, T = 3, surest of 4 drawn", "pass 2", "caching equal", "open synthetic"):
        assert text in page
    assert "nan" not in re.sub(r'base64,[^"]*', "", page).lower().split("settings")[0]


def test_the_settings_refuse_hypotheses_that_are_all_the_same() -> None:
    with pytest.raises(ValueError, match="temperature 0"):
        MaskHandEvaluationConfig(sampled={"hypotheses": 5, "temperature": 0})
