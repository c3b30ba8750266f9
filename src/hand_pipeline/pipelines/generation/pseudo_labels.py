"""The first node of the `generation` pipeline: poses of letters, written down or predicted."""

import logging
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.asl_poses import (
    AslPosesConfig,
    LetterPoses,
    draw_letters,
    letters_of,
    save_letters,
)
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.evaluation.generated_hands import pose_hands
from hand_pipeline.evaluation.predict import Predict
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.maskhand.config import TextMaskHandConfig
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.viz.hands import TRUE, hand_sheet

LETTERS_FILE = "letters.npz"
_BATCH = 64

logger = logging.getLogger(__name__)


class GenerationConfig(Config):
    """Of which letters a text model learns, and how."""

    letters: AslPosesConfig
    method: TextMaskHandConfig
    training: TrainConfig


def make_letter_poses(
    maskhand: Checkpoint, cfg: GenerationConfig, machine: MachineConfig
) -> tuple[Path, Image.Image]:
    """Hands of the letters in a folder, and a picture with one of each for a person to judge."""
    mano = ManoHand(cfg.method.mano_model)
    if cfg.letters.source == "handshapes":
        hands = draw_letters(cfg.letters, mano)
    else:
        hands = _photographed(maskhand, cfg.letters, mano, machine)
    folder = machine.workspace / "generation" / "letter_poses"
    shutil.rmtree(folder, ignore_errors=True)
    save_letters(folder / LETTERS_FILE, hands)
    shown = [hands.letters.index(letter) for letter in dict.fromkeys(hands.letters)]
    _, vertices = pose_hands(hands.mano_pose[shown], mano)
    names = [hands.letters[row] for row in shown]
    meshes = torch.from_numpy(vertices)
    return folder, hand_sheet(meshes, mano.faces, names, [TRUE] * len(shown), columns=7)


def _photographed(
    maskhand: Checkpoint, cfg: AslPosesConfig, mano: ManoHand, machine: MachineConfig
) -> LetterPoses:
    """Poses of the ASL alphabet's photos: its pseudo labels, or MaskHand's predictions."""
    if cfg.photos is None:
        raise DataSetError(
            "generation.letters.source is photos, but generation.letters.photos names no folder of "
            "the ASL alphabet; give one, or set the source to handshapes"
        )
    manifest = read_hands("asl_alphabet", cfg.photos, "train", mano, cfg.partial)
    manifest = manifest.select(_first_of_each(manifest, cfg))
    if manifest.has_mano.any():
        return letters_of(manifest, mano)
    method = restore_as(MaskHand, maskhand, "maskhand_method")
    logger.info("pseudo labels of %d photos by MaskHand, without keypoints", len(manifest))
    device = machine.device
    only_hands = partial(method.to(device).predict, only_hands=True)
    return predict_letters(only_hands, manifest, mano, device)


def predict_letters(
    predict: Predict, manifest: HandManifest, mano: ManoHand, device: str = "cpu"
) -> LetterPoses:
    """Pseudo labels: the poses that a model sees in photos of letters.

    Args:
        predict: of a model in eval mode on `device`.
        manifest: with the mark `letter`; no other label is read.
        mano: of the model.
        device: where the images go.
    """
    images = HandImages(manifest, mano)
    ids, poses = list[str](), []
    with torch.inference_mode():
        for batch in batches_in_order(images, _BATCH):
            poses.append(predict(batch.to(device)).mano_pose[:, 0].float().cpu())
            ids += batch.ids
    letters = dict(zip(manifest.ids, manifest.flags["letter"].tolist()))
    return LetterPoses(tuple(ids), tuple(letters[name] for name in ids), torch.cat(poses).clone())


def _first_of_each(manifest: HandManifest, cfg: AslPosesConfig) -> list[int]:
    """The first photos of each letter: at most as many as asked for."""
    shown = manifest.flags["letter"]
    missing = [letter for letter in cfg.letters if letter not in shown]
    if missing:
        raise DataSetError(f"no photo of {', '.join(missing)} in {manifest.root}")
    rows = [np.flatnonzero(shown == letter)[: cfg.samples] for letter in cfg.letters]
    return np.concatenate(rows).tolist()
