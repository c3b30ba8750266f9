"""The pipeline photo_scores without photos; its metrics are tested with the toolbox."""

import logging
from pathlib import Path

import pytest

from hand_pipeline.config import MachineConfig
from hand_pipeline.evaluation.photo_scores import PhotoScoresConfig
from hand_pipeline.pipelines.photo_scores import score


@pytest.mark.parametrize("given", [False, True])
def test_without_photos_it_is_skipped_and_says_what_to_give(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, given: bool
) -> None:
    cfg = PhotoScoresConfig(folder=tmp_path if given else None)
    with caplog.at_level(logging.WARNING):
        metrics, table = score(cfg, MachineConfig(accelerator="cpu"))
    assert "photo_scores is skipped" in caplog.text
    assert "--params photo_scores.folder=DIR" in caplog.text
    assert metrics == {"models": 0}
    assert table.empty
