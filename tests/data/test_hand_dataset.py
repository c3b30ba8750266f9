"""Labelled fractions: whole shots, nested, reproducible."""

import random
from itertools import pairwise

import pytest

from hand_pipeline.data.hand_dataset import labelled_subset

SHOTS = [f"{i:08d}" for i in range(30)]
FOUR_VERSIONS = SHOTS * 4


def shots_of(indices, unique_ids):
    return {unique_ids[i] for i in indices}


def test_all_versions_of_a_shot_stay_together():
    indices = labelled_subset(FOUR_VERSIONS, 0.1, seed=0)
    assert len(indices) == 12
    assert len(shots_of(indices, FOUR_VERSIONS)) == 3


def test_a_larger_fraction_contains_the_smaller_one():
    fractions = [0.05, 0.1, 0.2, 0.4, 0.8, 1.0]
    subsets = [set(labelled_subset(FOUR_VERSIONS, f, seed=3)) for f in fractions]
    assert all(small < large for small, large in pairwise(subsets))
    assert len(subsets[-1]) == len(FOUR_VERSIONS)


def test_the_choice_does_not_depend_on_the_order_of_samples():
    shuffled = FOUR_VERSIONS.copy()
    random.Random(0).shuffle(shuffled)
    expected = shots_of(labelled_subset(FOUR_VERSIONS, 0.2, seed=1), FOUR_VERSIONS)
    assert shots_of(labelled_subset(shuffled, 0.2, seed=1), shuffled) == expected


def test_another_seed_takes_other_shots():
    assert labelled_subset(SHOTS, 0.2, seed=0) != labelled_subset(SHOTS, 0.2, seed=1)


def test_a_tiny_fraction_is_never_empty():
    assert len(labelled_subset(SHOTS, 1e-6, seed=0)) == 1


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01])
def test_an_impossible_fraction_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction must be in"):
        labelled_subset(SHOTS, fraction, seed=0)


def test_an_empty_set_is_refused():
    with pytest.raises(ValueError, match="empty"):
        labelled_subset([], 0.5, seed=0)
