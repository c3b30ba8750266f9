"""Find the 2D joints of labelled hands, as a detector gives them."""

import logging
import shutil
from pathlib import Path
from typing import Any, Literal

import numpy as np
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field, model_validator

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.detected_keypoints import DetectedKeypoints, write_keypoints
from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.hand_mix import MixMember
from hand_pipeline.data.openpose_file import read_openpose
from hand_pipeline.data.photos.detect_hands import detect_keypoints
from hand_pipeline.data.photos.detector import DetectorConfig
from hand_pipeline.data.photos.files import BadPhoto
from hand_pipeline.data.readers.hand_sets import HAND_SETS, read_hands
from hand_pipeline.evaluation.keypoints_2d import crop_joints, errors_by_hand, score_keypoints
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.provenance import code_hash, run_key
from hand_pipeline.viz.labels import SeenHand, keypoints_sheet

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
    crops: HandCropConfig = Field(
        HandCropConfig(), description="as in the training that uses the joints (finetune.mix)"
    )
    sets: dict[str, MixMember] = Field(
        default_factory=dict, description="further labelled sets by name, as in finetune.mix"
    )
    shown: int = Field(24, gt=0, description="hands in the picture, half of each split")
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
        A folder with an npz for each split and set (`data.detected_keypoints`), figures, a picture.
    """
    members = {name: MixMember(path=hands, split=name, hand_set="freihand") for name in SPLITS}
    members |= cfg.sets
    folder = machine.workspace / "detect" / "hand_keypoints"
    shutil.rmtree(folder, ignore_errors=True)
    metrics: dict[str, Any] = {}
    drawn: list[SeenHand] = []
    for name, member in members.items():
        pictures = _open(name, member, cfg.crops)
        keypoints, counts = _find(name, pictures, cfg, machine)
        write_keypoints(folder, name, keypoints)
        rows = _rows_of(keypoints, pictures)
        truth, labelled = (values[rows] for values in crop_joints(pictures))
        metrics[name] = score_keypoints(keypoints, truth, labelled) | counts
        told = {key: value for key, value in metrics[name].items() if key != "joints"}
        logger.info("%s: %s", name, told)
        if name in SPLITS:
            drawn += _some(pictures, rows, keypoints, truth, labelled, cfg)
    return folder, metrics, keypoints_sheet(drawn)


def _open(name: str, member: MixMember, crops: HandCropConfig) -> HandImages:
    kind = member.hand_set or name
    # The hand model only places MANO's numbers: boxes and 2D joints are the same with any.
    mano = ManoHand(tips=HAND_SETS[kind].tips if kind in HAND_SETS else "mano")
    manifest = read_hands(kind, member.path, member.split, mano, member.partial)
    return HandImages(manifest, mano, crops)


def _find(
    name: str, pictures: HandImages, cfg: DetectConfig, machine: MachineConfig
) -> tuple[DetectedKeypoints, dict[str, int]]:
    if cfg.source == "mediapipe":
        settings = cfg.detector.model_dump(mode="json")
        key = run_key(detector=settings, hands=pictures.fingerprint, code=code_hash(__name__))
        parts = machine.workspace / "detect" / key
        found = detect_keypoints(pictures, cfg.detector, parts, machine.workers)
        return found.keypoints, found.counts
    if (path := cfg.openpose.get(name)) is not None:
        read = read_openpose(pictures, path)
        return read, {"not_in_file": len(pictures) - len(read)}
    logger.warning("detect.openpose has no file for %s: its hands have no keypoints", name)
    count = len(pictures)
    nothing = DetectedKeypoints(
        ids=tuple(pictures.ids),
        points=np.zeros((count, 21, 2), np.float32),
        confidence=np.zeros((count, 21), np.float32),
        image_size=pictures.crop_size,
        settings={"detector": "none"},
    )
    return nothing, {}


def _rows_of(keypoints: DetectedKeypoints, pictures: HandImages) -> np.ndarray:
    """The set's row of each of the keypoints' hands."""
    places = {name: row for row, name in enumerate(pictures.ids)}
    return np.array([places[name] for name in keypoints.ids], dtype=np.int64)


def _some(
    pictures: HandImages,
    rows: np.ndarray,
    keypoints: DetectedKeypoints,
    truth: np.ndarray,
    labelled: np.ndarray,
    cfg: DetectConfig,
) -> list[SeenHand]:
    """Some hands at random, to draw; those that cannot be read are passed over."""
    order = np.random.default_rng(cfg.seed).permutation(len(keypoints))
    errors = errors_by_hand(keypoints, truth, labelled)
    chosen: list[SeenHand] = []
    for row in sorted(order[: -(-cfg.shown // 2)].tolist()):
        try:
            image = pictures.source(rows[row]).load()
        except BadPhoto:
            continue
        error = "no joint found" if np.isnan(errors[row]) else f"{100 * errors[row]:.1f} % off"
        found = keypoints.confidence[row] > 0
        chosen.append(
            SeenHand(f"{pictures.ids[row]}: {error}", image, keypoints.points[row], found,
                     truth[row], labelled[row])
        )  # fmt: skip
    return chosen


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
