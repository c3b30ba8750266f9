"""Every reader gives back what its fixture writer, which knows only the format, has written."""

from pathlib import Path

import pytest
from tests.fixtures.round_trip import round_trip

from hand_pipeline.data.readers.hand_sets import HAND_SETS

READY = [
    "freihand", "ho3d_v2", "ho3d_v3", "h2o3d", "dexycb", "interhand", "mtc", "rhd",
    "coco_wholebody", "halpe", "mpii_nzsl", "youtube3d", "hint", "asl_alphabet", "hamer_npz",
    "hamer_tars",
]  # fmt: skip
UNLABELLED = ("asl_alphabet",)
SPLITS = [(name, split) for name in READY for split in HAND_SETS[name].splits]


@pytest.mark.parametrize(("name", "split"), SPLITS)
def test_what_was_written_is_read(name: str, split: str, tmp_path: Path) -> None:
    found = round_trip(name, split, tmp_path)
    assert found.samples >= 4
    for value, limit in (
        (found.joints_2d_px, 1e-2),
        (found.joints_3d_mm, 1e-2),
        (found.projection_px, 1e-2),
        (found.vertices_mm, 2e-2),
    ):
        assert value is None or value <= limit
    labelled = found.joints_2d_px is not None or found.joints_3d_mm is not None
    assert labelled == (name not in UNLABELLED)
