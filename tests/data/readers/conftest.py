"""What most readers' tests share: the hand model, and a fixture tree that a test may break."""

import shutil
from pathlib import Path

import pytest
from tests.fixtures.scene import FixtureHands

from hand_pipeline.geometry.mano import ManoHand


@pytest.fixture(scope="session")
def mano() -> ManoHand:
    """The hand model; sets with fingertips of their own override it."""
    return ManoHand()


@pytest.fixture
def written(tree: tuple[Path, FixtureHands], tmp_path: Path) -> FixtureHands:
    """What a module's `tree` (written once: root, hands) holds, copied into `tmp_path`."""
    shutil.copytree(tree[0], tmp_path, dirs_exist_ok=True)
    return tree[1]
