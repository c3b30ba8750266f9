"""What readers leave out is said once, with numbers; what is absent is named, by one rule."""

import logging
from pathlib import Path

import numpy as np
import pytest

from hand_pipeline.data.manifest import HandManifest, build_manifest
from hand_pipeline.data.readers.accounting import (
    AbsentError,
    log_left_out,
    settle_absent,
    with_photos,
)


def test_hands_left_out_are_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_left_out("some", "train", 10, {"no frame": 2, "unused": 0, "no joint": 1})
        log_left_out("some", "train", 10, {"no frame": 0})
    assert caplog.messages == ["some train: 3 of 10 hands left out: no frame (2), no joint (1)"]


def test_what_is_absent_is_refused_and_on_request_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settle_absent(tmp_path, "subjects", [], 3, partial=False)
    with pytest.raises(
        AbsentError, match=r"lacks 2 of the 3 subjects, the first is b \(why\)\. Copy .*--partial"
    ):
        settle_absent(tmp_path, "subjects", ["b", "c"], 3, partial=False, hint=" (why)")
    settle_absent(tmp_path, "subjects", ["b", "c"], 3, partial=True)
    (record,) = caplog.records
    assert record.__dict__["absent"] == ("b", "c")
    with pytest.raises(AbsentError, match="nothing is left"):
        settle_absent(tmp_path, "subjects", ["b", "c"], 2, partial=True)


def hands(root: Path, images: list[str]) -> HandManifest:
    ids = [f"{row}" for row in range(len(images))]
    return build_manifest("some", "train", root, ids, images, boxes=np.ones((len(ids), 4)))


def test_photos_are_counted_once_and_hands_without_them_left_out(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.jpg").touch()
    (tmp_path / "a/t.tar").touch()
    found = hands(tmp_path, ["a/1.jpg", "a/2.jpg", "a/t.tar::x.jpg@0+9", "b/3.jpg", "a/2.jpg"])
    with pytest.raises(AbsentError, match=r"lacks 2 of the 4 photos with hands, the first is a/2"):
        with_photos(found, partial=False)
    assert with_photos(found, partial=True).ids == ("0", "2")


def test_a_folder_too_deep_is_told(tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    (tmp_path / "val/1.jpg").touch()
    with pytest.raises(AbsentError, match=rf"it is in {tmp_path}: is that folder meant"):
        with_photos(hands(tmp_path / "annotations", ["val/1.jpg"]), partial=True)
