"""Several possible hands of each photo against the truth: how wrong, and how sure the model was.

MaskHand (arXiv 2412.13393) draws hypotheses and ranks them by confidence. Here every one of them is
scored, so that `evaluation.calibration` can say what the confidence is worth.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from tqdm import tqdm

from hand_pipeline.data.batch import HandBatch, HandHypotheses, Keypoints
from hand_pipeline.evaluation.calibration import (
    LIMIT_MM,
    NUM_BINS,
    BestOfK,
    ConfidenceReport,
    best_of_k,
    confidence_report,
)
from hand_pipeline.evaluation.joint_error import MM_PER_METRE, joint_errors, mesh_errors
from hand_pipeline.evaluation.metrics import CHUNK
from hand_pipeline.evaluation.predict import (
    PredictedHands,
    check_labelled,
    load_arrays,
    save_arrays,
)
from hand_pipeline.models.token_sampling import SamplingConfig


@runtime_checkable
class Hypothesize(Protocol):
    """What makes several hands of each picture."""

    def __call__(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        ids: tuple[str, ...],
        keypoints: Keypoints | None = None,
        sampling: SamplingConfig | None = None,
        generator: torch.Generator | None = None,
    ) -> HandHypotheses:
        """Hands in the pictures' cameras, the surest of each first."""
        ...


@dataclass(frozen=True)
class ScoredHypotheses:
    """Errors and confidences of all hypotheses of some photos, the surest of each first.

    Attributes:
        ids: of the photos.
        confidence: of each hypothesis, 0 to 1.
        joint_confidence: of its joints, 0 to 1.
        pa_mpjpe_mm: mean error of its joints after the Procrustes alignment.
        pa_mpvpe_mm: the same of its vertices, aligned by themselves.
        joint_errors_mm: of each joint after the joints' alignment.
    """

    ids: tuple[str, ...]
    confidence: Float[np.ndarray, "photos hypotheses"]
    joint_confidence: Float[np.ndarray, "photos hypotheses 21"]
    pa_mpjpe_mm: Float[np.ndarray, "photos hypotheses"]
    pa_mpvpe_mm: Float[np.ndarray, "photos hypotheses"]
    joint_errors_mm: Float[np.ndarray, "photos hypotheses 21"]

    def __len__(self) -> int:
        return len(self.ids)


class HypothesesRun(NamedTuple):
    """The outcome of a run over a set.

    Attributes:
        scores: of all hypotheses.
        surest: the hand that a user gets: the first hypothesis of each photo, with the truth.
    """

    scores: ScoredHypotheses
    surest: PredictedHands


class ConfidenceFigures(NamedTuple):
    """What the confidences of a run are worth.

    Attributes:
        hands: each photo's surest hand, its confidence and its PA-MPJPE.
        joints: the joints of these hands, their confidence and error.
        best_of_k: what choosing the surest hypothesis gains, by PA-MPJPE.
    """

    hands: ConfidenceReport
    joints: ConfidenceReport
    best_of_k: BestOfK

    def summary(self) -> dict[str, dict[str, float]]:
        """The numbers by name."""
        return {
            "hands": self.hands.summary(),
            "joints": self.joints.summary(),
            "hypotheses": self.best_of_k._asdict(),
        }


def confidence_figures(
    scores: ScoredHypotheses, limit_mm: float = LIMIT_MM, num_bins: int = NUM_BINS
) -> ConfidenceFigures:
    """How confidence and error of hands, joints and hypotheses belong together.

    Args:
        scores: of at least two photos.
        limit_mm: largest error that is good.
        num_bins: of the calibration curves.

    Raises:
        ValueError: fewer than two photos, or a value that is not finite.
    """
    return ConfidenceFigures(
        confidence_report(scores.confidence[:, 0], scores.pa_mpjpe_mm[:, 0], limit_mm, num_bins),
        confidence_report(
            scores.joint_confidence[:, 0], scores.joint_errors_mm[:, 0], limit_mm, num_bins
        ),
        best_of_k(scores.confidence, scores.pa_mpjpe_mm),
    )


def save_hypotheses(path: Path | str, scores: ScoredHypotheses) -> None:
    """Write scores to one npz, whole or not at all."""
    save_arrays(path, scores)


def load_hypotheses(path: Path | str) -> ScoredHypotheses:
    """Read what `save_hypotheses` wrote."""
    return load_arrays(path, ScoredHypotheses)


def run_hypotheses(
    hypothesize: Hypothesize,
    batches: Iterable[HandBatch],
    sampling: SamplingConfig | None = None,
    device: torch.device | str = "cpu",
    *,
    generator: torch.Generator | None = None,
    allow_reflection: bool = True,
    total: int | None = None,
    description: str = "hypotheses",
    progress: bool = True,
) -> HypothesesRun:
    """Make hypotheses of every batch, without gradients, and score them.

    Of the meshes only the surest of each photo is kept; those of one batch are in memory at once.

    Args:
        hypothesize: a method's `hypotheses`, the module in eval mode on `device`.
        batches: photos as the model wants them, with keypoints where a detector has looked; every
            hand must have joint and vertex labels.
        sampling: how hypotheses are drawn; None: the model's own.
        device: where the batches are moved.
        generator: of that device; None: torch's global one.
        allow_reflection: whether the alignment may mirror (the official programs: yes).
        total: number of batches, for the progress bar.
        description: the progress bar's name.
        progress: whether to show the bar.

    Raises:
        ValueError: there are no batches, or a hand without a complete label.
    """
    names: list[str] = []
    scored: list[tuple[np.ndarray, ...]] = []
    kept: list[list[Tensor]] = []
    with torch.inference_mode():
        for batch in tqdm(batches, total=total, desc=description, disable=not progress):
            check_labelled(batch)
            on_device = batch.to(device)
            found = hypothesize(
                on_device.images, on_device.intrinsics, on_device.ids, on_device.keypoints,
                sampling, generator,
            )  # fmt: skip
            names += batch.ids
            sure = [found.confidence, found.joint_confidence]
            confidences = [values.float().cpu().numpy() for values in sure]
            scored.append((*confidences, *_errors_mm(found, batch, allow_reflection)))
            surest = [found.joints_3d[:, 0], found.vertices[:, 0], found.mano_pose[:, 0]]
            rows = [*surest, found.betas, batch.joints_3d, batch.vertices]
            kept.append([values.float().cpu() for values in rows])
    if not names:
        raise ValueError("no batches to predict: the evaluation set is empty")
    ids = tuple(names)
    return HypothesesRun(
        ScoredHypotheses(ids, *(np.concatenate(column) for column in zip(*scored))),
        PredictedHands(ids, *(torch.cat(column).numpy() for column in zip(*kept))),
    )


def _errors_mm(
    found: HandHypotheses, batch: HandBatch, allow_reflection: bool
) -> tuple[
    Float[np.ndarray, "photos hypotheses"],
    Float[np.ndarray, "photos hypotheses"],
    Float[np.ndarray, "photos hypotheses 21"],
]:
    """PA-MPJPE, PA-MPVPE and each joint's PA error, some hands in double precision at a time."""
    shape = found.confidence.shape
    joints, vertices = found.joints_3d.flatten(0, 1).cpu(), found.vertices.flatten(0, 1).cpu()
    photo = torch.arange(shape[0]).repeat_interleave(shape[1])
    of_joints, of_vertices = [], []
    for rows in torch.arange(len(joints)).split(CHUNK):
        predicted, mesh = joints[rows].double().numpy(), vertices[rows].double().numpy()
        truth = batch.joints_3d[photo[rows]].double().numpy()
        true_mesh = batch.vertices[photo[rows]].double().numpy()
        of_joints.append(joint_errors(predicted, truth, 0, allow_reflection)["pa_mpjpe"])
        found_mesh = mesh_errors(mesh, true_mesh, predicted[:, 0], truth[:, 0], allow_reflection)
        of_vertices.append(found_mesh.errors["pa_mpvpe"].mean(axis=1))
    each_joint = np.concatenate(of_joints).reshape(*shape, -1) * MM_PER_METRE
    meshes = np.concatenate(of_vertices).reshape(shape) * MM_PER_METRE
    return each_joint.mean(axis=-1), meshes, each_joint.astype(np.float32)
