"""Run a predictor over labelled batches and collect its hands as arrays."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from tqdm import tqdm

from hand_pipeline.data.batch import HandBatch, HandPrediction, Keypoints
from hand_pipeline.files import atomic_write

Bundle = TypeVar("Bundle")


@runtime_checkable
class Predict(Protocol):
    """What makes hands of pictures."""

    def __call__(
        self,
        images: Shaped[Tensor, "batch 3 height width"],
        intrinsics: Float[Tensor, "batch 3 3"],
        ids: tuple[str, ...],
        keypoints: Keypoints | None = None,
    ) -> HandPrediction:
        """Images, their cameras, names and what a detector saw in; hands in those cameras out."""
        ...


@dataclass(frozen=True)
class PredictedHands:
    """Predictions over a set, with the truth beside them: camera frame, metres, OpenPose order."""

    ids: tuple[str, ...]
    joints: Float[np.ndarray, "samples 21 3"]
    vertices: Float[np.ndarray, "samples 778 3"]
    mano_pose: Float[np.ndarray, "samples 16 3 3"]
    betas: Float[np.ndarray, "samples 10"]
    gt_joints: Float[np.ndarray, "samples 21 3"]
    gt_vertices: Float[np.ndarray, "samples 778 3"]

    def __len__(self) -> int:
        return len(self.ids)


def save_predictions(path: Path | str, hands: PredictedHands) -> None:
    """Write predictions to one npz, whole or not at all."""
    save_arrays(path, hands)


def load_predictions(path: Path | str) -> PredictedHands:
    """Read what `save_predictions` wrote."""
    return load_arrays(path, PredictedHands)


def save_arrays(path: Path | str, bundle: object) -> None:
    """Write a dataclass of arrays and `ids`, a tuple of names, to one npz, whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        arrays = {name: np.asarray(value) for name, value in vars(bundle).items()}
        np.savez(stream, allow_pickle=False, **arrays)


def load_arrays(path: Path | str, kind: Callable[..., Bundle]) -> Bundle:
    """Read what `save_arrays` wrote of a dataclass `kind`."""
    with np.load(path, allow_pickle=False) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    return kind(**{**values, "ids": tuple(values["ids"].tolist())})


def predict_hands(
    predict: Predict,
    batches: Iterable[HandBatch],
    device: torch.device | str = "cpu",
    total: int | None = None,
    description: str = "predict",
    progress: bool = True,
) -> PredictedHands:
    """Predict every batch, without gradients, and keep joints, vertices and parameters.

    Args:
        predict: usually a method's `predict`, with the module already in eval mode on `device`.
        batches: images as `predict` wants them; every hand must have joint and vertex labels.
        device: where the batches are moved.
        total: number of batches, for the progress bar.
        description: the progress bar's name.
        progress: whether to show the bar.

    Raises:
        ValueError: there are no batches, or a hand without a complete label.
    """
    rows: list[tuple[tuple[str, ...], list[Tensor]]] = []
    with torch.inference_mode():
        for batch in tqdm(batches, total=total, desc=description, disable=not progress):
            check_labelled(batch)
            on_device = batch.to(device)
            hands = predict(
                on_device.images, on_device.intrinsics, on_device.ids, on_device.keypoints
            )
            found = [hands.joints_3d, hands.vertices, hands.mano_pose, hands.betas]
            kept = [*found, batch.joints_3d, batch.vertices]
            rows.append((batch.ids, [value.float().cpu() for value in kept]))
    if not rows:
        raise ValueError("no batches to predict: the evaluation set is empty")
    ids = tuple(name for names, _ in rows for name in names)
    return PredictedHands(
        ids, *(torch.cat(column).numpy() for column in zip(*(r for _, r in rows)))
    )


def check_labelled(batch: HandBatch) -> None:
    """Refuse hands that cannot be scored.

    Raises:
        ValueError: a hand without 3D joints or vertices, with its name.
    """
    complete = batch.has_vertices & batch.has_joints_3d.all(1)
    missing = [name for name, ok in zip(batch.ids, complete.tolist()) if not ok]
    if missing:
        raise ValueError(
            f"samples without 3D joints or vertices cannot be scored: {', '.join(missing[:10])}; "
            "evaluate on a split that is fully labelled"
        )
