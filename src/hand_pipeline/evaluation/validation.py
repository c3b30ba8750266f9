"""Validation during training: on samples held out of the training split, to choose settings on."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import Batch, HandBatch, PoseBatch
from hand_pipeline.data.loader import batches_in_order
from hand_pipeline.evaluation.metrics import NotFiniteError, evaluate_hands
from hand_pipeline.evaluation.predict import predict_hands
from hand_pipeline.evaluation.tokens import Tokenizer, score_tokens
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.training.loop import weighted_sum
from hand_pipeline.training.method import Method, Reconstructor
from hand_pipeline.training.run import TrainingData, ValidationConfig
from hand_pipeline.training.seeding import seed_everything

ERRORS = ("pa_mpjpe_mm", "rr_mpjpe_mm", "pa_mpvpe_mm")
"""What a reconstructor is validated by; the first chooses its best weights."""
_SEED = 0  # of the samples drawn, and of what methods draw


@runtime_checkable
class HoldsOut(Protocol):
    """A training set that keeps a part of itself for validation."""

    def held_out(self) -> Any:
        """That part; None if there is none."""


@dataclass(frozen=True)
class HeldOut:
    """Scores a method on held-out samples (a `training.run.Validator`).

    A method that reconstructs hands: `ERRORS` of the hands that are wholly labelled. A tokenizer of
    poses: the same of the poses after its tokens. Any other: its losses, `total` first, with seeds
    that are the same at each call.
    """

    data: TrainingData
    cfg: ValidationConfig
    num_workers: int = 0

    def __call__(self, method: Method) -> dict[str, float]:
        """Metrics of a method in eval mode; infinite where what it predicts is not finite.

        Raises:
            ValueError: no hand is wholly labelled.
        """
        device = next(method.parameters()).device
        tokenizer, mano = getattr(method, "tokenizer", None), getattr(method, "mano", None)
        try:
            if isinstance(method, Reconstructor):
                return self._errors(method, device)
            if isinstance(tokenizer, Tokenizer) and isinstance(mano, ManoHand):
                summary = score_tokens(tokenizer, mano, self._poses(device)).summary
                return {name: summary[name] for name in ERRORS}
        except NotFiniteError:
            return dict.fromkeys(ERRORS, math.inf)
        return self._losses(method, device)

    @property
    def rows(self) -> list[int]:
        """Which samples: drawn once."""
        count, order = min(self.cfg.samples, len(self.data)), np.random.default_rng(_SEED)
        rows: list[int] = sorted(order.permutation(len(self.data))[:count].tolist())
        return rows

    @property
    def fingerprint(self) -> str:
        """Hash of the samples and of how they are scored."""
        parts = f"{self.data.fingerprint}{self.rows}{self.cfg.batch_size}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def _batches(self) -> Iterator[Batch]:
        return batches_in_order(self.data, self.cfg.batch_size, self.num_workers, self.rows)

    def _poses(self, device: torch.device) -> Iterator[PoseBatch]:
        for batch in self._batches():
            assert isinstance(batch, PoseBatch)  # what a tokenizer learns from
            yield batch.to(device)

    def _errors(self, method: Reconstructor, device: torch.device) -> dict[str, float]:
        generator = torch.Generator(device).manual_seed(_SEED)
        labelled = (part for batch in self._batches() if len(part := _wholly_labelled(batch)))
        predict: Any = partial(method.predict, generator=generator, only_hands=True)
        hands = predict_hands(predict, labelled, device)
        found = evaluate_hands(
            hands.joints, hands.vertices, hands.gt_joints, hands.gt_vertices, hands.ids
        )
        return {name: found.summary[name] for name in ERRORS}

    def _losses(self, method: Method, device: torch.device) -> dict[str, float]:
        sums: dict[str, Tensor] = {}
        count = 0
        for number, batch in enumerate(self._batches()):
            seed_everything(_SEED, number)
            terms = method.losses(batch.to(device), method.total_steps - 1)
            values = {"total": weighted_sum(terms, method.loss_weights), **terms}
            for name, value in values.items():
                sums[name] = sums.get(name, value.new_zeros(())) + value.detach() * len(batch)
            count += len(batch)
        return {name: float(value) / count for name, value in sums.items()}


def validator_of(data: Any, cfg: ValidationConfig, machine: MachineConfig) -> HeldOut | None:
    """What a training on `data` is validated with; None if nothing is held out of it."""
    part = data.held_out() if isinstance(data, HoldsOut) else None
    return None if part is None else HeldOut(part, cfg, machine.num_workers)


def _wholly_labelled(batch: Batch) -> HandBatch:
    assert isinstance(batch, HandBatch)  # what a reconstructor learns from
    whole = batch.has_vertices & batch.has_joints_3d.all(1)
    return batch.rows(whole.nonzero()[:, 0].tolist())
