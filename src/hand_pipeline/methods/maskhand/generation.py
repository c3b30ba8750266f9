"""Hands that MaskHand makes up, for a text and without an image: scored and drawn."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.data.asl_poses import ALIKE, LetterPoses
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.data.manifest import HandManifest
from hand_pipeline.data.pca_poses import PosePCA
from hand_pipeline.data.pose_set import Poses
from hand_pipeline.evaluation.generated_hands import (
    NamedHands,
    average_pairwise_distance,
    named_hands,
    pose_hands,
    score_named_hands,
    self_intersection_percent,
    summary_of,
)
from hand_pipeline.evaluation.predict import Predict
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.methods.maskhand.text import TextMaskHand
from hand_pipeline.viz.hands import PREDICTED, TRUE, hand_sheet
from hand_pipeline.viz.hypotheses import confidence_text

_GREY = (0.72, 0.72, 0.74)
_BATCH = 64


class GenerationEvaluationConfig(Config):
    """What is generated to be scored."""

    per_prompt: int = Field(10, ge=1, description="hands drawn for each text")
    count: int = Field(
        500, ge=2, description="hands drawn without an image; MaskHand scores 2,000 meshes"
    )
    sampling: SamplingConfig = Field(
        SamplingConfig(temperature=1.0, top_k=100, branches=None),
        description="without an image; MaskHand draws from the 100 likeliest codes",
    )
    shown: int = Field(8, ge=1, description="hands of each source in the picture")
    seed: int = Field(0, ge=0, description="of all draws")


def draw_letter_sheet(hands: LetterPoses, mano: ManoHand) -> Image.Image:
    """The first hand of each letter, for a person to judge."""
    shown = [hands.letters.index(letter) for letter in dict.fromkeys(hands.letters)]
    _, vertices = pose_hands(hands.mano_pose[shown], mano)
    names = [hands.letters[row] for row in shown]
    meshes = torch.from_numpy(vertices)
    return hand_sheet(meshes, mano.faces, names, [TRUE] * len(shown), columns=7)


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


def score_text(
    method: TextMaskHand,
    training: LetterPoses,
    held_out: LetterPoses,
    cfg: GenerationEvaluationConfig,
    device: str,
) -> tuple[dict[str, Any], pd.DataFrame, Image.Image]:
    """Hands drawn for each letter against its held-out hands, between a floor and chance.

    The table's rows: generated hands; held-out hands against the others of their letter, which is
    how much real ones differ; the same after the tokenizer, which no token can beat; held-out
    hands that claim to be another letter.

    Args:
        method: in eval mode.
        training: hands by which drawn ones are read.
        held_out: hands to compare with.
        cfg: how many are drawn.
        device: where they are drawn.
    """
    generator = torch.Generator(device).manual_seed(cfg.seed)
    names = tuple(dict.fromkeys(held_out.letters))
    drawn = method.to(device).generate(names, cfg.per_prompt, generator=generator).cpu().mano_pose
    method.cpu()
    mano = method.mano
    real, known = (named_hands(*hands, mano) for hands in (held_out, training))
    generated = named_hands(
        [f"{name}/{number}" for name in names for number in range(cfg.per_prompt)],
        [name for name in names for _ in range(cfg.per_prompt)],
        drawn,
        mano,
    )
    tokens = method.tokenizer.detokenize(method.tokenizer.tokenize(held_out.mano_pose))
    rows = {
        "generated": generated,
        "held out, among themselves": real,
        "held out, after the tokenizer": named_hands(*held_out[:2], tokens, mano),
        "held out, named another letter": _misnamed(real, names),
    }
    scores = {name: score_named_hands(hands, real, known, ALIKE) for name, hands in rows.items()}
    summaries = {name: summary_of(found) for name, found in scores.items()}
    table = pd.DataFrame([{"hands": name, **summary} for name, summary in summaries.items()])
    metrics = {"text_encoder": method.cfg.text.encoder, **summaries["generated"]}
    metrics |= {f"real_{key}": v for key, v in summaries["held out, among themselves"].items()}
    right = scores["generated"]["right"].to_numpy().reshape(len(names), -1).mean(1)
    picture = _beside_truth(generated, real, names, right, mano)
    return metrics, table, picture


def _misnamed(real: NamedHands, names: tuple[str, ...]) -> NamedHands:
    """Held-out hands that pass for a letter in the middle between theirs and theirs again."""
    shift = max(1, len(names) // 2)
    other = {name: names[(i + shift) % len(names)] for i, name in enumerate(names)}
    claimed = tuple(other[name] for name in real.names)
    ids = tuple(f"{name} for {claim}" for name, claim in zip(real.ids, claimed))
    return NamedHands(ids, claimed, real.joints, real.vertices)


def _beside_truth(
    generated: NamedHands,
    real: NamedHands,
    names: tuple[str, ...],
    right: np.ndarray,
    mano: ManoHand,
) -> Image.Image:
    """Of each letter the first generated hand (blue) and a held-out one (orange)."""
    meshes, captions = [], []
    for name, share in zip(names, right):
        meshes += [
            generated.vertices[generated.names.index(name)], real.vertices[real.names.index(name)]
        ]  # fmt: skip
        captions += [f"{name}: {share:.0%} read as it", f"{name}, held out"]
    vertices = torch.from_numpy(np.stack(meshes))
    return hand_sheet(vertices, mano.faces, captions, [PREDICTED, TRUE] * len(names), columns=8)


def score_unconditional(
    method: MaskHand,
    training: Poses,
    held_out: Poses,
    cfg: GenerationEvaluationConfig,
    device: str,
) -> tuple[dict[str, Any], pd.DataFrame, Image.Image]:
    """Variety and self-intersection of hands that MaskHand draws without an image.

    Of them the more confident half by itself, too: what choosing by confidence gives. Beside them
    poses drawn from the principal components of MaskHand's training poses, and held-out poses.
    Wrists are not turned: principal components know fingers only.

    Args:
        method: in eval mode.
        training: poses whose principal components are taken.
        held_out: poses to compare with.
        cfg: how many hands are drawn.
        device: where they are drawn.
    """
    generator = torch.Generator(device).manual_seed(cfg.seed)
    method.to(device)
    drawn = method.generate(cfg.count, cfg.sampling, generator).cpu()
    method.cpu()
    spread = torch.linspace(0, cfg.count - 1, min(cfg.shown, cfg.count)).long()
    sources = {
        "MaskHand": drawn.mano_pose,
        "MaskHand, more confident half": drawn.mano_pose[: (cfg.count + 1) // 2],
        "principal components": _from_components(training.mano_pose, cfg),
        "held out": held_out.mano_pose[: cfg.count],
    }
    figures, meshes = {}, []
    for name, pose in sources.items():
        joints, vertices = pose_hands(_not_turned(pose), method.mano)
        figures[name] = {
            "apd_mm": average_pairwise_distance(joints),
            "self_intersection_percent": self_intersection_percent(
                vertices, method.mano.faces.numpy()
            ),
            "num_hands": float(len(pose)),
        }
        # of MaskHand's from the most to the least confident
        meshes.append(vertices[spread if name == "MaskHand" else slice(cfg.shown)])
    table = pd.DataFrame([{"hands": name, **row} for name, row in figures.items()])
    short = dict(zip(figures, ("maskhand", "confident", "pca", "held_out")))
    metrics = {f"{short[n]}_{key}": v for n, row in figures.items() for key, v in row.items()}
    sure = [confidence_text(drawn.confidence[row].item()) for row in spread.tolist()]
    return metrics, table, _sources_picture(dict(zip(figures, meshes)), sure, method.mano)


def _from_components(pose: Tensor, cfg: GenerationEvaluationConfig) -> Tensor:
    fingers = matrix_to_axis_angle(pose[:, 1:]).flatten(1)
    generator = torch.Generator().manual_seed(cfg.seed)
    drawn = PosePCA.fit(fingers).sample(cfg.count, generator).unflatten(1, (15, 3))
    return axis_angle_to_matrix(torch.cat([torch.zeros_like(drawn[:, :1]), drawn], dim=1))


def _not_turned(pose: Tensor) -> Tensor:
    """Upright and palm to the viewer, whatever the wrist did."""
    upright = pose.new_tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]).expand_as(pose[:, :1])
    return torch.cat([upright, pose[:, 1:]], dim=1)


def _sources_picture(meshes: dict[str, np.ndarray], sure: list[str], mano: ManoHand) -> Image.Image:
    """A row of hands for each source, the first with confidences."""
    columns = min(map(len, meshes.values()))
    vertices = np.concatenate([found[:columns] for found in meshes.values()])
    captions = [name if n == 0 else "" for name in meshes for n in range(columns)]
    captions[:columns] = [f"{name} {text}".strip() for name, text in zip(captions, sure)]
    colours = [colour for colour in (PREDICTED, PREDICTED, _GREY, TRUE) for _ in range(columns)]
    return hand_sheet(torch.from_numpy(vertices), mano.faces, captions, colours, columns)
