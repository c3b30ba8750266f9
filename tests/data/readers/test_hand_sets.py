"""The registry of data sets, and what it says to a wrong name."""

from pathlib import Path

import pytest
from tests.fixtures.mpii_nzsl import write_mpii_nzsl

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hand_sets import HAND_SETS, read_hands
from hand_pipeline.geometry.mano import TIP_VERTICES, ManoHand


@pytest.fixture(scope="module")
def mano() -> ManoHand:
    return ManoHand()


@pytest.mark.parametrize("name", HAND_SETS)
def test_an_entry_is_complete(name: str) -> None:
    entry = HAND_SETS[name]
    assert entry.tips in TIP_VERTICES
    assert entry.splits
    assert all(count is None or count > 0 for count in entry.splits.values())
    assert entry.url.startswith("http")
    assert entry.licence


def test_an_unknown_set_names_the_known_ones(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(
        DataSetError, match=r"unknown data set 'FreiHAND'; known: freihand, ho3d_v2"
    ):
        read_hands("FreiHAND", tmp_path, "training", mano)


def test_an_unknown_split_names_the_sets_own(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match="no split 'train'; it has training, evaluation"):
        read_hands("freihand", tmp_path, "train", mano)


def test_a_missing_folder_says_what_belongs_there(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(
        DataSetError, match=r"no folder .*nowhere; expected FreiHAND v2 there \(doc"
    ):
        read_hands("freihand", tmp_path / "nowhere", "training", mano)


def test_a_set_is_read_by_its_name(tmp_path: Path, mano: ManoHand) -> None:
    write_mpii_nzsl(tmp_path, "hand143", count=1)
    found = read_hands("mpii_nzsl", str(tmp_path), "hand143", mano)
    assert (found.dataset, found.split, len(found)) == ("mpii_nzsl", "hand143", 1)
