"""Labelled fractions: whole shots, nested, reproducible."""

import random
from itertools import pairwise

import pytest

from hand_pipeline.data.hand_dataset import (
    LabelledSubset,
    LabelsConfig,
    labelled_subset,
    split_validation,
)

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


class Shots:
    """A set of shots, each in four versions."""

    fingerprint, crop_scale = "shots", 1.75

    def __init__(self):
        self.ids = [f"{shot}/{version}" for version in range(4) for shot in SHOTS]
        self.unique_ids = FOUR_VERSIONS

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return self.ids[index]

    def collate(self, samples):
        raise AssertionError("no images are opened")


def test_no_version_of_a_validation_shot_is_learnt_from():
    cfg = LabelsConfig(validation=0.1)
    train = LabelledSubset(Shots(), cfg)
    held_out = train.held_out()
    assert (len(held_out), len(train)) == (3 * 4, 27 * 4)
    assert not set(held_out.unique_ids) & set(train.unique_ids)
    assert train.fingerprint != held_out.fingerprint


def test_every_seed_and_fraction_of_labels_leaves_the_same_shots_for_validation():
    held_out, subsets = set(), []
    for seed in range(3):
        for fraction in (0.1, 0.5, 1.0):
            train = LabelledSubset(
                Shots(), LabelsConfig(validation=0.2, fraction=fraction, seed=seed)
            )
            held_out.add(tuple(train.held_out().ids))
            subsets.append(set(train.unique_ids))
            assert len(subsets[-1]) == round(fraction * 24 + 0.49)
    assert len(held_out) == 1
    shots = {name.split("/")[0] for name in held_out.pop()}
    assert not any(subset & shots for subset in subsets)
    assert all(a < b for a, b in zip(subsets[0::3], subsets[1::3]))


def test_without_a_share_nothing_is_held_out():
    train = LabelledSubset(Shots(), LabelsConfig())
    assert train.held_out() is None
    assert len(train) == len(FOUR_VERSIONS)


def test_holding_out_everything_is_refused():
    with pytest.raises(ValueError, match="nothing to learn from"):
        split_validation(["a", "a"], 0.5)


def test_a_photo_set_is_left_out_whole_where_there_is_one():
    shots = ["training/ti1k/a", "training/digits/a", "training/digits/b", "training/ti1k/b"]
    assert split_validation(shots, 0.25, "ti1k") == ([1, 2], [0, 3])
    train, held_out = split_validation(shots, 0.25, "ti1")  # no such set here: the usual share
    assert (len(train), len(held_out)) == (3, 1)
    with pytest.raises(ValueError, match="leave another photo set out"):
        split_validation(shots[1:3], 0.25, "digits")
