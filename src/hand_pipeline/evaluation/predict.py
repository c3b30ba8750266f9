"""Predict the hands of a labelled set and keep them, with the truth beside them, in a file."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.data.batch import HandBatch, HandHypotheses, JointPrediction
from hand_pipeline.data.loader import BatchedSet, BatchType, batches_in_order
from hand_pipeline.files import atomic_write
from hand_pipeline.geometry.camera import project

Predict = Callable[[HandBatch], HandHypotheses]
"""What makes hands of images: the `predict` of a `Reconstructor` or of the mean hand."""


class ScoringConfig(Config):
    """How a held-out set is predicted and scored."""

    batch_size: int = Field(64, gt=0, description="hands at once")
    allow_reflection: bool = Field(True, description="as the official programs align")


@dataclass(frozen=True)
class PredictedHands:
    """Predictions over a set, with the truth beside them: camera frame, metres, OpenPose order.

    Attributes:
        joints, vertices, mano_pose, betas: of the surest hypothesis, the hand that a user gets.
        hypotheses: joints of all hypotheses, the surest first; None of a model without confidence.
        confidence: of each hypothesis, 0 to 1.
        joint_confidence: of each of its joints.
    """

    ids: tuple[str, ...]
    joints: Float[np.ndarray, "samples 21 3"]
    vertices: Float[np.ndarray, "samples 778 3"]
    mano_pose: Float[np.ndarray, "samples 16 3 3"]
    betas: Float[np.ndarray, "samples 10"]
    gt_joints: Float[np.ndarray, "samples 21 3"]
    gt_vertices: Float[np.ndarray, "samples 778 3"]
    hypotheses: Float[np.ndarray, "samples hypotheses 21 3"] | None = None
    confidence: Float[np.ndarray, "samples hypotheses"] | None = None
    joint_confidence: Float[np.ndarray, "samples hypotheses 21"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def meshes(self, rows: Sequence[int]) -> Float[Tensor, "rows 778 3"]:
        """Vertices of some of the hands, to be drawn."""
        return torch.from_numpy(self.vertices[list(rows)])


@dataclass(frozen=True)
class PredictedJoints:
    """Joints over a set, with the truth beside them: camera frame, metres, OpenPose order.

    `*_2d` are pixels of the network's input; the true ones are projections of the true joints.
    """

    ids: tuple[str, ...]
    joints: Float[np.ndarray, "samples 21 3"]
    joints_2d: Float[np.ndarray, "samples 21 2"]
    gt_joints: Float[np.ndarray, "samples 21 3"]
    gt_joints_2d: Float[np.ndarray, "samples 21 2"]

    def __len__(self) -> int:
        return len(self.ids)


def predict_set(
    name: str,
    predict: Predict,
    hands: BatchedSet[HandBatch],
    folder: Path,
    cfg: ScoringConfig,
    machine: MachineConfig,
) -> None:
    """Write NAME.npz: every hand of a set as a model sees it, with the truth beside it.

    Args:
        name: of the file.
        predict: of a model in eval mode on the machine's device.
        hands: every hand must have joint and vertex labels.
        folder: where the file goes.
        cfg: hands at once.
        machine: device and loader processes.

    Raises:
        ValueError: the set is empty, or a hand of it has no 3D labels.
    """
    batches = set_batches(hands, cfg.batch_size, machine, f"predict {name}")
    save_predictions(folder / f"{name}.npz", predict_hands(predict, batches, machine.device))


def set_batches(
    hands: BatchedSet[BatchType],
    batch_size: int,
    machine: MachineConfig,
    description: str,
    most: int | None = None,
) -> Iterator[BatchType]:
    """Batches of a set in its order, with a progress bar.

    Args:
        hands: the set.
        batch_size: samples at once.
        machine: loader processes.
        description: the bar's name.
        most: only so many samples, the set's first; None: all.
    """
    rows = range(len(hands) if most is None else min(most, len(hands)))
    batches = batches_in_order(hands, batch_size, machine.num_workers, rows)
    yield from tqdm(batches, total=-(-len(rows) // batch_size), desc=description)


def draw_samples(
    hands: BatchedSet[BatchType], count: int, seed: int
) -> tuple[list[int], BatchType]:
    """Some samples of a set drawn at random: their places in the set, rising, and their batch.

    Args:
        hands: the set.
        count: samples; all of a set that has fewer.
        seed: of the draw.
    """
    count = min(count, len(hands))
    chosen = np.random.default_rng(seed).choice(len(hands), count, replace=False)
    rows: list[int] = sorted(chosen.tolist())
    return rows, hands.collate([hands[row] for row in rows])


def predict_hands(
    predict: Predict, batches: Iterable[HandBatch], device: torch.device | str = "cpu"
) -> PredictedHands:
    """Predict every batch, without gradients. Of several meshes of an image the surest is kept.

    Args:
        predict: of a model in eval mode on `device`.
        batches: images as `predict` wants them; every hand must have joint and vertex labels.
        device: where the batches are moved.

    Raises:
        ValueError: there are no batches, or a hand without a complete label.
    """
    names: list[str] = []
    rows: list[dict[str, Tensor]] = []
    with torch.inference_mode():
        for batch in batches:
            check_labelled(batch)
            found = predict(batch.to(device))
            kept = {
                "joints": found.joints_3d[:, 0], "vertices": found.vertices[:, 0],
                "mano_pose": found.mano_pose[:, 0], "betas": found.betas,
                "gt_joints": batch.joints_3d, "gt_vertices": batch.vertices,
            }  # fmt: skip
            if found.confidence is not None and found.joint_confidence is not None:
                kept |= {
                    "hypotheses": found.joints_3d, "confidence": found.confidence,
                    "joint_confidence": found.joint_confidence,
                }  # fmt: skip
            names += batch.ids
            rows.append(_on_cpu(kept))
    return PredictedHands(tuple(names), **_joined(rows))


def predict_joints(
    predict: Callable[[HandBatch], JointPrediction],
    batches: Iterable[HandBatch],
    device: torch.device | str = "cpu",
) -> PredictedJoints:
    """Predict every batch, without gradients, by a model that makes no mesh.

    Args:
        predict: is given each batch on `device`, with its labels: a hand's size may be told.
        batches: every hand must have all its 3D joints.
        device: where the batches are moved.

    Raises:
        ValueError: there are no batches, or a hand without all joints.
    """
    names: list[str] = []
    rows: list[dict[str, Tensor]] = []
    with torch.inference_mode():
        for batch in batches:
            _refuse(batch.ids, batch.has_joints_3d.all(1), "3D joints")
            on_device = batch.to(device)
            found = predict(on_device)
            kept = {
                "joints": found.joints_3d, "joints_2d": found.joints_2d,
                "gt_joints": on_device.joints_3d,
                "gt_joints_2d": project(on_device.joints_3d, found.intrinsics),
            }  # fmt: skip
            names += batch.ids
            rows.append(_on_cpu(kept))
    return PredictedJoints(tuple(names), **_joined(rows))


def check_labelled(batch: HandBatch) -> None:
    """Refuse hands that cannot be scored.

    Raises:
        ValueError: a hand without 3D joints or vertices, with its name.
    """
    _refuse(batch.ids, batch.has_vertices & batch.has_joints_3d.all(1), "3D joints or vertices")


def save_predictions(path: Path, hands: PredictedHands) -> None:
    """Write predictions to one npz, whole or not at all."""
    arrays = {name: np.asarray(value) for name, value in vars(hands).items() if value is not None}
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)


def load_predictions(path: Path) -> PredictedHands:
    """Read what `save_predictions` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    return PredictedHands(tuple(values.pop("ids").tolist()), **values)


def _refuse(ids: tuple[str, ...], complete: Tensor, what: str) -> None:
    missing = [name for name, ok in zip(ids, complete.tolist()) if not ok]
    if missing:
        raise ValueError(
            f"samples without {what} cannot be scored: {', '.join(missing[:10])}; "
            "evaluate on a split that is fully labelled"
        )


def _on_cpu(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # contiguous: else the surest hypothesis would keep the memory of all
    return {name: value.float().cpu().contiguous() for name, value in values.items()}


def _joined(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, np.ndarray]:
    if not rows:
        raise ValueError("no batches to predict: the evaluation set is empty")
    return {name: torch.cat([row[name] for row in rows]).numpy() for name in rows[0]}
