"""What readers leave out is said once, with numbers; missing photos are named."""

import logging
from pathlib import Path

import pytest

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.accounting import check_photos, log_left_out


def test_hands_left_out_are_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_left_out("some", "train", 10, {"no frame": 2, "unused": 0, "no joint": 1})
        log_left_out("some", "train", 10, {"no frame": 0})
    assert caplog.messages == ["some train: 3 of 10 hands left out: no frame (2), no joint (1)"]


def test_missing_photos_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.jpg").touch()
    check_photos(tmp_path, ["a/1.jpg", "a/1.jpg"])
    with pytest.raises(DataSetError, match=r"lacks 2 of the 3 photos with hands, the first is a/2"):
        check_photos(tmp_path, ["a/1.jpg", "a/2.jpg", "b/3.jpg"])
