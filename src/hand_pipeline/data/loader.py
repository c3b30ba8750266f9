"""Batches whose content is a pure function of (seed, step), so that a resumed run sees the same."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from hand_pipeline.data.batch import Batch

BatchType = TypeVar("BatchType", bound=Batch)
Batch_co = TypeVar("Batch_co", bound=Batch, covariant=True)


@runtime_checkable
class BatchedSet(Protocol[Batch_co]):
    """A map-style set that makes its own batches, as every set of `data` does."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """A sample that `collate` can batch."""
        ...

    def collate(self, samples: Sequence[Any], /) -> Batch_co:
        """One batch of the samples."""
        ...


@runtime_checkable
class OrderedDataset(Protocol):
    """A data set that says itself which of its samples an epoch holds, and in which order."""

    def epoch_order(self, seed: int, epoch: int) -> np.ndarray:
        """Indices of an epoch's samples: a function of (seed, epoch), as many in every epoch."""
        ...


class StepSampler(Sampler[list[int]]):
    """Sample indices of step `first_step`, `first_step` + 1, ... without end.

    Every epoch is a new permutation, drawn from (seed, epoch); the incomplete batch at its end is
    dropped. A data set smaller than one batch is repeated until it fills one.

    Args:
        length: samples in the data set.
        batch_size: samples of a step over all ranks.
        seed: of the permutations.
        first_step: where to start.
        rank: takes the rank-th equal slice of each batch.
        world_size: number of ranks; divides `batch_size`.
        ordered: asked for an epoch's order in place of a plain permutation.
    """

    def __init__(
        self,
        length: int,
        batch_size: int,
        seed: int,
        first_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
        ordered: OrderedDataset | None = None,
    ) -> None:
        self.batch_size, self.seed, self.ordered = batch_size, seed, ordered
        self.first_step, self.rank, self.world_size = first_step, rank, world_size
        self.length = length if ordered is None else len(ordered.epoch_order(seed, 0))
        self.repeats = -(-batch_size // self.length)
        self.steps_per_epoch = self.length * self.repeats // batch_size

    def __iter__(self) -> Iterator[list[int]]:
        step = self.first_step
        epoch, order = -1, np.empty(0, dtype=np.int64)
        share = self.batch_size // self.world_size
        while True:
            if epoch != step // self.steps_per_epoch:
                epoch = step // self.steps_per_epoch
                order = self.epoch_order(epoch)
            start = step % self.steps_per_epoch * self.batch_size + self.rank * share
            yield order[start : start + share].tolist()
            step += 1

    def epoch_order(self, epoch: int) -> np.ndarray:
        """The order of an epoch's samples, every sample `repeats` times."""
        if self.ordered is not None:
            epochs = range(epoch * self.repeats, (epoch + 1) * self.repeats)
            return np.concatenate([self.ordered.epoch_order(self.seed, e) for e in epochs])
        generator = np.random.default_rng((self.seed, epoch))
        orders = [generator.permutation(self.length) for _ in range(self.repeats)]
        return np.concatenate(orders)


def batches_from(
    dataset: BatchedSet[BatchType],
    batch_size: int,
    seed: int,
    num_workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> Callable[[int], Iterator[BatchType]]:
    """Endless shuffled batches of a map-style data set, from any step on.

    Calling the result with k gives the batches of step k, k+1, ...; the batch of a step depends
    on nothing but (seed, step), neither on where the iterator started nor on the number of
    workers. The data set's items must themselves be functions of their index.

    Args:
        dataset: what is shown.
        batch_size: samples of a step over all ranks.
        seed: of the sample order.
        num_workers: processes that load; 0 loads in this one.
        rank: takes the rank-th equal slice of each batch.
        world_size: number of ranks.
        pin_memory: whether batches land in page-locked memory (for CUDA).

    Raises:
        ValueError: an empty data set, or a batch that the ranks cannot share equally.
    """
    length = len(dataset)
    if length == 0:
        raise ValueError(
            "the data set is empty: there is nothing to train on; check the stage before"
        )
    if batch_size < 1 or batch_size % world_size or not 0 <= rank < world_size:
        raise ValueError(
            f"batch_size must be a positive multiple of world_size and rank below it; got "
            f"batch_size={batch_size}, rank={rank}, world_size={world_size}"
        )
    if length < batch_size:
        warnings.warn(
            f"the data set has {length} samples, fewer than one batch of {batch_size}: they are "
            "repeated within each batch",
            stacklevel=2,
        )

    ordered = dataset if isinstance(dataset, OrderedDataset) else None

    def from_step(step: int) -> Iterator[BatchType]:
        loader: DataLoader[Any] = DataLoader(
            dataset,  # type: ignore[arg-type]  # map-style is all that it asks for
            batch_sampler=StepSampler(length, batch_size, seed, step, rank, world_size, ordered),
            num_workers=num_workers,
            collate_fn=dataset.collate,
            pin_memory=pin_memory,
            prefetch_factor=4 if num_workers else None,
            generator=torch.Generator().manual_seed(seed),  # leaves torch's global state alone
        )
        return iter(loader)

    return from_step


def batches_in_order(
    dataset: BatchedSet[BatchType],
    batch_size: int,
    num_workers: int = 0,
    indices: Sequence[int] | None = None,
) -> Iterator[BatchType]:
    """Every sample once, for evaluation and export; the last batch may be smaller.

    Args:
        dataset: what is shown.
        batch_size: samples of a batch.
        num_workers: processes that load; 0 loads in this one.
        indices: which samples, in which order; default all, in the data set's order.
    """
    order = range(len(dataset)) if indices is None else indices
    loader: DataLoader[Any] = DataLoader(
        dataset,  # type: ignore[arg-type]  # map-style is all that it asks for
        batch_size=batch_size,
        sampler=order,
        num_workers=num_workers,
        collate_fn=dataset.collate,
        generator=torch.Generator().manual_seed(0),
    )
    yield from loader
