"""YouTube3DHands: pixels of the frame that is there, missing frames, the mesh's numbering."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.fixtures.youtube3d import SIZE, write_youtube3d

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.hand_sets import read_hands
from hand_pipeline.data.readers.youtube3d import read_youtube3d
from hand_pipeline.geometry.mano import ManoHand


def frames(root: Path) -> list[Path]:
    return sorted((root / "youtube").rglob("*.png"), key=lambda path: int(path.stem))


def resize(path: Path, width: int, height: int) -> None:
    with Image.open(path) as picture:
        picture.resize((width, height)).save(path)


def content(root: Path) -> Any:
    return json.loads((root / "youtube_train.json").read_text())


def write(root: Path, labels: Any) -> None:
    (root / "youtube_train.json").write_text(json.dumps(labels))


def test_vertices_are_kept_as_they_are_and_nothing_metric_is_claimed(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_youtube3d(tmp_path, "train")
    found = read_youtube3d(tmp_path, "train", mano)
    stored = np.array([a["vertices"] for a in content(tmp_path)["annotations"]], np.float32)
    np.testing.assert_array_equal(found.flags["vertices_px"], stored)
    assert found.vertices is None
    assert not found.has_joints_3d.any()
    assert not found.has_mano.any()
    assert not found.has_intrinsics.any()


def test_joints_lie_where_the_projected_joints_are(tmp_path: Path, mano: ManoHand) -> None:
    """Tips exactly; the others but for what regressing from a posed mesh costs."""
    written = write_youtube3d(tmp_path, "train")
    found = read_youtube3d(tmp_path, "train", mano)
    ahead = np.einsum("nij,nkj->nki", written.intrinsics, written.joints_3d)
    projected = ahead[..., :2] / ahead[..., 2:]
    tips = [4, 8, 12, 16, 20]
    np.testing.assert_allclose(found.joints_2d[:, tips], projected[:, tips], atol=1e-3)
    hand_px = (written.boxes[:, 2:] - written.boxes[:, :2]).max()
    assert np.linalg.norm(found.joints_2d - projected, axis=-1).mean() < 0.01 * hand_px


def test_left_hands_boxes_and_videos(tmp_path: Path, mano: ManoHand) -> None:
    written = write_youtube3d(tmp_path, "train", count=6)
    found = read_youtube3d(tmp_path, "train", mano)
    np.testing.assert_array_equal(found.is_right, written.is_right)
    pixels = found.flags["vertices_px"][..., :2]
    np.testing.assert_array_equal(found.boxes[:, :2], pixels.min(1))
    np.testing.assert_array_equal(found.boxes[:, 2:], pixels.max(1))
    assert found.images[0] == found.images[1]
    assert found.groups == ("youtube/VIDEO000000",) * 4 + ("youtube/VIDEO000001",) * 2


def test_a_frame_of_another_resolution_rescales_its_labels(tmp_path: Path, mano: ManoHand) -> None:
    written = write_youtube3d(tmp_path, "train")
    before = read_youtube3d(tmp_path, "train", mano)
    resize(frames(tmp_path)[1], SIZE[0] * 2, SIZE[1] * 2 + 2)
    found = read_youtube3d(tmp_path, "train", mano)
    factor = np.array([2, (SIZE[1] * 2 + 2) / SIZE[1]], np.float32)
    np.testing.assert_allclose(found.joints_2d[:2], written.joints_2d[:2], atol=1e-3)
    np.testing.assert_allclose(found.joints_2d[2:], written.joints_2d[2:] * factor, atol=1e-3)
    depth = [hands.flags["vertices_px"][2:, :, 2] for hands in (before, found)]
    np.testing.assert_allclose(depth[1], depth[0] * 2, rtol=1e-6)


def test_missing_broken_and_cropped_frames_are_left_out_and_counted(
    tmp_path: Path, mano: ManoHand, caplog: pytest.LogCaptureFixture
) -> None:
    written = write_youtube3d(tmp_path, "train", count=8)
    first, second, third, _ = frames(tmp_path)
    first.unlink()
    second.write_bytes(b"no picture")
    resize(third, 200, 200)
    with pytest.raises(DataSetError, match=r"lacks 1 of the 2 photos .*public videos"):
        read_hands("youtube3d", tmp_path, "train", mano)
    with caplog.at_level(logging.INFO):
        found = read_hands("youtube3d", tmp_path, "train", mano, partial=True)
    np.testing.assert_allclose(found.joints_2d, written.joints_2d[6:], atol=1e-3)
    for words in (
        "4 of 8 hands left out", "lacks 1 of the 2 photos", "frame unreadable (2)",
        "frame of another shape (2)",
    ):  # fmt: skip
        assert words in caplog.text


def test_without_any_frame_the_error_says_where_they_should_be(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_youtube3d(tmp_path, "train")
    for path in frames(tmp_path):
        path.unlink()
    with pytest.raises(DataSetError, match=r"2 of the 2 photos .*youtube/VIDEO000000/video/frames"):
        read_hands("youtube3d", tmp_path, "train", mano, partial=True)


def test_a_mesh_numbered_otherwise_than_the_hand_model_is_refused(
    tmp_path: Path, mano: ManoHand
) -> None:
    write_youtube3d(tmp_path, "train")
    labels = content(tmp_path)
    order = np.random.default_rng(0).permutation(778)
    for annotation in labels["annotations"]:
        annotation["vertices"] = [annotation["vertices"][i] for i in order]
    write(tmp_path, labels)
    with pytest.raises(DataSetError, match="not numbered as the hand model's"):
        read_youtube3d(tmp_path, "train", mano)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": 77}, "annotation 3 is of image 77, not listed"),
        ({"vertices": [[0.0, 0.0, 0.0]] * 777}, r"should be \(778, 3\) numbers"),
        ({"vertices": [[None, 0.0, 0.0]] + [[0.0, 0.0, 0.0]] * 777}, "not finite"),
        ({"id": 2}, "two hands are called 'train/2'"),
    ],
)
def test_a_broken_annotation_is_named(
    tmp_path: Path, mano: ManoHand, change: dict[str, object], message: str
) -> None:
    write_youtube3d(tmp_path, "train")
    labels = content(tmp_path)
    labels["annotations"][3] |= change
    write(tmp_path, labels)
    with pytest.raises(DataSetError, match=message):
        read_youtube3d(tmp_path, "train", mano)


def test_a_label_file_cut_short_is_named(tmp_path: Path, mano: ManoHand) -> None:
    write_youtube3d(tmp_path, "train")
    path = tmp_path / "youtube_train.json"
    path.write_text(path.read_text()[:-2])
    with pytest.raises(DataSetError, match=r"youtube_train\.json is cut short"):
        read_youtube3d(tmp_path, "train", mano)


def test_a_missing_label_file_is_named(tmp_path: Path, mano: ManoHand) -> None:
    with pytest.raises(DataSetError, match=r"no .*youtube_val\.json"):
        read_youtube3d(tmp_path, "val", mano)
