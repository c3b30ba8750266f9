import itertools

import numpy as np
import pytest
import torch

from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.loader import StepSampler, batches_from, batches_in_order


class Numbers:
    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, items) -> ImageBatch:
        images = torch.tensor(items, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 1, 1)
        return ImageBatch(ids=tuple(map(str, items)), images=images.contiguous())


def ids(iterator, count):
    return [batch.ids for batch in itertools.islice(iterator, count)]


def test_a_batch_depends_on_the_step_and_not_on_where_the_iterator_started():
    start = batches_from(Numbers(23), batch_size=4, seed=3)
    whole = ids(start(0), 17)
    for step in (1, 4, 5, 11):
        assert ids(start(step), 17 - step) == whole[step:]


def test_worker_processes_change_nothing():
    alone = batches_from(Numbers(23), batch_size=4, seed=3)
    shared = batches_from(Numbers(23), batch_size=4, seed=3, num_workers=2)
    assert ids(alone(2), 8) == ids(shared(2), 8)


def test_an_epoch_shows_no_sample_twice_and_the_next_one_is_ordered_anew():
    batches = ids(batches_from(Numbers(22), batch_size=4, seed=0)(0), 10)
    first, second = (list(itertools.chain(*part)) for part in (batches[:5], batches[5:]))
    assert len(set(first)) == len(set(second)) == 20
    assert first != second


def test_another_seed_gives_another_order():
    one, two = (batches_from(Numbers(50), 10, seed=seed)(0) for seed in (0, 1))
    assert ids(one, 5) != ids(two, 5)


def test_the_ranks_together_hold_the_batch_of_one_rank():
    whole = ids(batches_from(Numbers(23), 6, seed=1)(2), 7)
    ranks = [
        ids(batches_from(Numbers(23), 6, seed=1, rank=rank, world_size=3)(2), 7)
        for rank in range(3)
    ]
    assert [sum(parts, ()) for parts in zip(*ranks, strict=True)] == whole


def test_a_small_data_set_is_repeated_with_a_warning():
    with pytest.warns(UserWarning, match="3 samples, fewer than one batch of 8"):
        start = batches_from(Numbers(3), 8, seed=0)
    for batch in ids(start(0), 4):
        counts = np.bincount([int(i) for i in batch])
        assert counts.sum() == 8
        assert counts.min() >= 2


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match="the data set is empty"):
        batches_from(Numbers(0), 8, seed=0)


@pytest.mark.parametrize(("batch", "rank", "world"), [(5, 0, 2), (0, 0, 1), (4, 2, 2)])
def test_ranks_that_cannot_share_a_batch_are_refused(batch, rank, world):
    with pytest.raises(ValueError, match="positive multiple of world_size"):
        batches_from(Numbers(9), batch, seed=0, rank=rank, world_size=world)


def test_loading_leaves_torchs_random_state_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    next(batches_from(Numbers(9), 3, seed=0, num_workers=1)(0))
    list(batches_in_order(Numbers(9), 3))
    assert torch.rand(1) == expected


def test_steps_far_away_are_reached_at_once():
    sampler = StepSampler(length=1000, batch_size=10, seed=0, first_step=10**9)
    assert len(next(iter(sampler))) == 10


def test_in_order_gives_every_sample_once():
    batches = batches_in_order(Numbers(7), 3)
    assert [batch.ids for batch in batches] == [("0", "1", "2"), ("3", "4", "5"), ("6",)]
    chosen = batches_in_order(Numbers(7), 2, indices=[5, 1, 3])
    assert [batch.ids for batch in chosen] == [("5", "1"), ("3",)]
