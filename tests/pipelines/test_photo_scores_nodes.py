"""The pipeline photo_scores: its rows, and that it is skipped without photos."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.fixtures.freihand import write_freihand

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.detected_keypoints import DetectedKeypoints, write_keypoints
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.hand_mix import MixMember
from hand_pipeline.data.photos.detector import Detection
from hand_pipeline.data.readers.freihand import read_freihand
from hand_pipeline.evaluation.photo_scores import PhotoScoresConfig
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods.lifter import Lifter, LifterConfig
from hand_pipeline.pipelines import photo_scores
from hand_pipeline.pipelines.photo_scores import score, score_labelled
from hand_pipeline.training.checkpoint import pack_method, save_checkpoint


@pytest.fixture
def lifter(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    method = Lifter(LifterConfig(width=24, layers=1, heads=2), HandAugmentationConfig())
    path = tmp_path / "lifter.safetensors"
    save_checkpoint(path, pack_method("lifter", method.state_dict(), **method.configs))
    return path


@pytest.mark.parametrize("given", [False, True])
def test_without_photos_it_is_skipped_and_says_what_to_give(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, given: bool
) -> None:
    cfg = PhotoScoresConfig(folder=tmp_path if given else None)
    with caplog.at_level(logging.WARNING):
        metrics, table = score(cfg, MachineConfig(accelerator="cpu"))
    assert "photo_scores is skipped" in caplog.text
    assert "--params photo_scores.folder=DIR" in caplog.text
    assert metrics == {"models": 0}
    assert table.empty


def test_each_checkpoint_stands_beside_the_mean_hand_and_with_refined_hands(
    tmp_path: Path, lifter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One photo of a detector that sees an upright hand; a rule, not a model, is tested."""
    Image.new("RGB", (200, 150)).save(tmp_path / "a.png")
    (tmp_path / "manifest.csv").write_text(
        "file,set,width,height,group,label,hand_boxes,thumb_tip,index_tip\n"
        'a.png,ti1k,200,150,g,,"40,30,140,110","60,60","90,40"\n'
    )
    mano = ManoHand(tips="freihand")
    rest = mano(mano.full_pose(torch.zeros(1, 48), False), torch.zeros(1, 10)).joints[0]
    flat = (rest[:, :2] * 500).numpy() + np.array([90, 70])
    box = np.concatenate([flat.min(0), flat.max(0)])
    hand = Detection(box, flat, rest.numpy(), "right", 0.9, 1)
    monkeypatch.setattr(photo_scores, "HandDetector", lambda cfg: lambda photo: [hand])
    cfg = PhotoScoresConfig(
        folder=tmp_path, sets={"ti1k": "tips"}, models={"lifter": lifter, "gone": tmp_path / "no"}
    )
    metrics, table = score(cfg, MachineConfig(accelerator="cpu"))
    assert table["model"].tolist() == ["mean_hand", "mediapipe", "lifter", "lifter refined"]
    away = table.set_index("model")["ti1k detector_percent"]
    assert away["mediapipe"] < 3 < away["mean_hand"]
    assert away["lifter refined"] < away["lifter"]
    assert metrics["lifter"]["ti1k"]["found"] == 1


def test_the_same_models_are_scored_on_sets_with_3d_labels(tmp_path: Path, lifter: Path) -> None:
    """True 2D joints stand in for a detector's: a fit to them beats the mean hand."""
    write_freihand(tmp_path, "evaluation", count=4)
    mano = ManoHand(tips="freihand")
    hands = HandImages(read_freihand(tmp_path, "evaluation", mano), mano)
    labels = hands.labels(np.arange(4), None)
    wrist = labels.joints_3d - labels.joints_3d[:, :1]
    seen = DetectedKeypoints(
        tuple(hands.ids), labels.joints_2d.numpy(), np.ones((4, 21)), 224, {}, wrist.numpy()
    )
    write_keypoints(tmp_path, "seen", seen)
    member = MixMember(
        path=tmp_path, split="evaluation", hand_set="freihand", keypoints=tmp_path / "seen.npz"
    )
    cfg = PhotoScoresConfig(labelled={"home": member}, models={"lifter": lifter}, refined=False)
    machine = MachineConfig(accelerator="cpu", workspace=tmp_path / "work")
    metrics, table = score_labelled(cfg, machine)
    assert table["model"].tolist() == ["mean_hand", "mediapipe", "lifter"]
    assert set(table["set"]) == {"home"}
    assert metrics["home"]["mediapipe"]["pa_mpjpe_mm"] < metrics["home"]["mean_hand"]["pa_mpjpe_mm"]


def test_without_labelled_sets_their_table_is_empty(tmp_path: Path) -> None:
    metrics, table = score_labelled(PhotoScoresConfig(), MachineConfig(workspace=tmp_path))
    assert metrics == {"sets": 0}
    assert table.empty
