"""Hands from a text and without an image: letters, a text model of their poses, and scores.

The poses of letters are written down, or predicted from photos.
"""

import logging
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.asl_poses import (
    AslPosesConfig,
    LetterPoses,
    LetterSet,
    draw_letters,
    first_of_each,
    letters_of,
    load_letters,
    save_letters,
)
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.pose_set import read_poses
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import restore_as
from hand_pipeline.methods.maskhand import generation
from hand_pipeline.methods.maskhand.config import TextMaskHandConfig
from hand_pipeline.methods.maskhand.generation import GenerationEvaluationConfig
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.pose_tokenizer import sizes_of
from hand_pipeline.methods.maskhand.text import TextMaskHand
from hand_pipeline.methods.maskhand.text_encoder import build_text_encoder
from hand_pipeline.tracking import RecordLogger
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.run import Trained, Watch, train
from hand_pipeline.viz.curves import draw_curves

LETTERS_FILE = "letters.npz"

logger = logging.getLogger(__name__)


class GenerationConfig(Config):
    """Of which letters a text model learns, and how."""

    letters: AslPosesConfig
    method: TextMaskHandConfig
    training: TrainConfig


def make_letter_poses(
    maskhand: Checkpoint, cfg: GenerationConfig, machine: MachineConfig
) -> tuple[Path, Image.Image]:
    """Hands of the letters in a folder, and a figure with one of each for a person to judge."""
    mano = ManoHand(cfg.method.mano_model)
    if cfg.letters.source == "handshapes":
        hands = draw_letters(cfg.letters, mano)
    else:
        hands = _photographed(maskhand, cfg.letters, mano, machine)
    folder = machine.workspace / "generation" / "letter_poses"
    shutil.rmtree(folder, ignore_errors=True)
    save_letters(folder / LETTERS_FILE, hands)
    return folder, generation.draw_letter_sheet(hands, mano)


def _photographed(
    maskhand: Checkpoint, cfg: AslPosesConfig, mano: ManoHand, machine: MachineConfig
) -> LetterPoses:
    """Poses of the ASL alphabet's photos: its pseudo labels, or MaskHand's predictions."""
    if cfg.photos is None:
        raise DataSetError(
            "generation.letters.source is photos, but generation.letters.photos names no folder of "
            "the ASL alphabet; give one, or set the source to handshapes"
        )
    manifest = first_of_each(
        read_hands("asl_alphabet", cfg.photos, "train", mano, cfg.partial), cfg
    )
    if manifest.has_mano.any():
        return letters_of(manifest, mano)
    method = restore_as(MaskHand, maskhand, "maskhand_method")
    logger.info("pseudo labels of %d photos by MaskHand, without keypoints", len(manifest))
    device = machine.device
    only_hands = partial(method.to(device).predict, only_hands=True)
    return generation.predict_letters(only_hands, manifest, mano, device)


def train_text_model(
    letters: Path, tokenizer: Checkpoint, cfg: GenerationConfig, machine: MachineConfig
) -> Trained:
    """Train MaskHand on texts with the frozen tokenizer; its metrics name the encoder used."""
    hands, _ = load_letters(letters / LETTERS_FILE).split(cfg.letters.held_out)
    encoder = build_text_encoder(cfg.method.text)
    prompts = cfg.method.prompts or tuple(dict.fromkeys(hands.letters))
    wanted = cfg.method.tokenizer
    method = cfg.method.model_copy(
        update={
            "prompts": prompts,
            "tokenizer": sizes_of(tokenizer.metadata["configs"]["cfg"], wanted, "tokenizer_method"),
            "feature_width": encoder.width,
            "text": cfg.method.text.model_copy(update={"encoder": encoder.name}),
        }
    )

    def build() -> TextMaskHand:
        model = TextMaskHand(method)
        model.load_tokenizer(tokenizer.tensors, "tokenizer_method")
        model.set_features(encoder.encode([method.template.format(prompt) for prompt in prompts]))
        return model

    data = LetterSet(hands, prompts)
    counts = {
        "hands": len(data), "steps": cfg.training.steps, "text_encoder": encoder.name,
        "encoder_is_fallback": int(encoder.name == "hashed"),
    }  # fmt: skip
    watch = Watch(RecordLogger("maskhand_text"))
    return train("maskhand_text", build, data, cfg.training, machine, counts, watch)


def score_text(
    letters: Path,
    model: Checkpoint,
    trained: GenerationConfig,
    cfg: GenerationEvaluationConfig,
    machine: MachineConfig,
) -> tuple[dict[str, Any], pd.DataFrame, Image.Image]:
    """Hands drawn for each letter against its held-out hands, between a floor and chance."""
    method = restore_as(TextMaskHand, model, "maskhand_text_method")
    training, held_out = load_letters(letters / LETTERS_FILE).split(trained.letters.held_out)
    return generation.score_text(method, training, held_out, cfg, machine.device)


def score_unconditional(
    hands: Path, model: Checkpoint, cfg: GenerationEvaluationConfig, machine: MachineConfig
) -> tuple[dict[str, Any], pd.DataFrame, Image.Image]:
    """Variety and self-intersection of hands that MaskHand draws without an image."""
    method = restore_as(MaskHand, model, "maskhand_method")
    training, held_out = (
        read_poses("freihand", hands, split, method.cfg.mano_model)
        for split in ("training", "evaluation")
    )
    return generation.score_unconditional(method, training, held_out, cfg, machine.device)


def create_pipeline() -> Pipeline:
    """Poses of letters, a tokenizer and MaskHand in; a text model and scores of hands out."""
    return Pipeline(
        [
            Node(
                make_letter_poses,
                ["maskhand_method", "params:generation", "params:machine"],
                ["letter_poses", "letters_picture"],
                name="make_letter_poses",
            ),
            Node(
                train_text_model,
                ["letter_poses", "tokenizer_method", "params:generation", "params:machine"],
                ["maskhand_text_method", "maskhand_text_metrics", "maskhand_text_history"],
                name="train_text_model",
            ),
            Node(
                draw_curves,
                {"MaskHand from text: masked tokens": "maskhand_text_history"},
                "maskhand_text_curves",
                name="draw_maskhand_text_curves",
            ),
            Node(
                score_text,
                [
                    "letter_poses",
                    "maskhand_text_method",
                    "params:generation",
                    "params:generation_evaluation",
                    "params:machine",
                ],
                ["text_metrics", "text_table", "text_picture"],
                name="score_text",
            ),
            Node(
                score_unconditional,
                [
                    "labelled_hands",
                    "maskhand_method",
                    "params:generation_evaluation",
                    "params:machine",
                ],
                ["generation_metrics", "generation_table", "generation_picture"],
                name="score_unconditional",
            ),
        ]
    )
