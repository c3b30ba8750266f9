"""Find the 2D joints of labelled hands, as a detector gives them."""

import logging
import shutil
from pathlib import Path
from typing import Any, Literal

from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field, model_validator

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.detected_keypoints import (
    DetectedKeypoints,
    nothing_detected,
    write_keypoints,
)
from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.hand_mix import MixMember, open_hand_set
from hand_pipeline.data.openpose_file import read_openpose
from hand_pipeline.data.photos.detect_hands import detect_keypoints
from hand_pipeline.data.photos.detection_copies import CopiesConfig
from hand_pipeline.data.photos.detector import DetectorConfig
from hand_pipeline.evaluation.keypoints_2d import crop_joints, errors_by_hand, score_keypoints
from hand_pipeline.provenance import code_hash, run_key
from hand_pipeline.viz.keypoints import SeenHand, keypoints_sheet, seen_hands

SPLITS = ("training", "evaluation")
logger = logging.getLogger(__name__)


class DetectConfig(Config):
    """Who finds the 2D joints of the labelled hands, and how."""

    source: Literal["mediapipe", "openpose"] = Field(
        "mediapipe", description="look for them, or read files of OpenPose's (`openpose`)"
    )
    openpose: dict[str, Path] = Field(
        default_factory=dict,
        description="S2HAND's files by split (training, evaluation) or name in `sets`; of what has "
        "no file nothing was found",
    )
    detector: DetectorConfig = DetectorConfig()
    copies: CopiesConfig = Field(
        CopiesConfig(), description="looked at for a confidence of each joint (source mediapipe)"
    )
    crops: HandCropConfig = Field(
        HandCropConfig(), description="as in the training that uses the joints (finetune.mix)"
    )
    sets: dict[str, MixMember] = Field(
        default_factory=dict, description="further labelled sets by name, as in finetune.mix"
    )
    shown: int = Field(24, gt=0, description="hands in the figure, half of each split")
    seed: int = Field(0, ge=0, description="of the choice of the hands shown")

    @model_validator(mode="after")
    def _files_are_of_sets(self) -> "DetectConfig":
        if unknown := set(self.openpose) - {*SPLITS, *self.sets}:
            raise ValueError(
                f"detect.openpose names {', '.join(sorted(unknown))}; expected training, "
                "evaluation or a name in detect.sets"
            )
        if clash := set(self.sets) & set(SPLITS):
            raise ValueError(f"a set in detect.sets cannot be called {', '.join(sorted(clash))}")
        if self.source == "openpose" and not self.openpose:
            raise ValueError("detect.source is openpose, but detect.openpose names no file")
        return self


def detect_hands(
    hands: Path, cfg: DetectConfig, machine: MachineConfig
) -> tuple[Path, dict[str, Any], Image.Image]:
    """The joints of every split and set; how well they agree with the labels; some of them drawn.

    Returns:
        A folder with an npz for each split and set (`data.detected_keypoints`), metrics, a figure.
    """
    members = {name: MixMember(path=hands, split=name, hand_set="freihand") for name in SPLITS}
    members |= cfg.sets
    folder = machine.workspace / "detect" / "hand_keypoints"
    shutil.rmtree(folder, ignore_errors=True)
    metrics: dict[str, Any] = {}
    drawn: list[SeenHand] = []
    for name, member in members.items():
        # The hand model only places MANO's numbers: boxes and 2D joints are the same with any.
        kind = member.hand_set or name
        pictures = open_hand_set(
            kind, member.path, member.split, crops=cfg.crops, partial=member.partial
        )
        keypoints, counts = _find(name, pictures, cfg, machine)
        write_keypoints(folder, name, keypoints)
        truth, labelled = crop_joints(pictures, keypoints.ids)
        metrics[name] = score_keypoints(keypoints, truth, labelled) | counts
        brief = {key: value for key, value in metrics[name].items() if key != "joints"}
        logger.info("%s: %s", name, brief)
        if name in SPLITS:
            errors, count = errors_by_hand(keypoints, truth, labelled), -(-cfg.shown // 2)
            drawn += seen_hands(pictures, keypoints, truth, labelled, errors, count, cfg.seed)
    return folder, metrics, keypoints_sheet(drawn)


def _find(
    name: str, pictures: HandImages, cfg: DetectConfig, machine: MachineConfig
) -> tuple[DetectedKeypoints, dict[str, int]]:
    if cfg.source == "mediapipe":
        settings = cfg.detector.model_dump(mode="json")
        copies = cfg.copies.model_dump(mode="json")
        key = run_key(
            detector=settings, copies=copies, hands=pictures.fingerprint, code=code_hash(__name__)
        )
        parts = machine.workspace / "detect" / key
        found = detect_keypoints(pictures, cfg.detector, parts, machine.workers, cfg.copies)
        return found.keypoints, found.counts
    if (path := cfg.openpose.get(name)) is not None:
        read = read_openpose(pictures, path)
        return read, {"not_in_file": len(pictures) - len(read)}
    logger.warning("detect.openpose has no file for %s: its hands have no keypoints", name)
    return nothing_detected(pictures.ids, pictures.crop_size), {}


def create_pipeline() -> Pipeline:
    """Labelled hands in, their 2D joints as a detector sees them out."""
    return Pipeline(
        [
            Node(
                detect_hands,
                ["labelled_hands", "params:detect", "params:machine"],
                ["hand_keypoints", "detect_metrics", "keypoints_picture"],
                name="detect_hands",
            )
        ]
    )
