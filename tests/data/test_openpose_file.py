"""OpenPose's files as S2HAND gives them out: every hand gets the joints of its own photo."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.fixtures.freihand import write_freihand
from tests.fixtures.ho3d import write_ho3d

from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.data.hand_images import HandCropConfig, HandImages
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.openpose_file import read_openpose
from hand_pipeline.data.readers.freihand import read_freihand
from hand_pipeline.data.readers.ho3d import read_ho3d
from hand_pipeline.geometry.mano import ManoHand


@pytest.fixture(scope="module")
def freihand(tmp_path_factory: pytest.TempPathFactory) -> HandImages:
    """Three shots on two grounds."""
    folder = tmp_path_factory.mktemp("freihand")
    write_freihand(folder, "training", count=3)
    mano = ManoHand(tips="freihand")
    return HandImages(read_freihand(folder, "training", mano), mano)


def written(path: Path, peaks: np.ndarray, sure: np.ndarray, *names: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([peaks.tolist(), sure[..., None].tolist(), *names]))
    return path


def drawn(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(1, 224, (count, 21, 2)), rng.uniform(0.1, 1, (count, 21))


def test_all_grounds_of_a_shot_get_its_entry(freihand: HandImages, tmp_path: Path) -> None:
    peaks, sure = drawn(3)
    found = read_openpose(freihand, written(tmp_path / "train.json", peaks, sure, ["a", "b", "c"]))
    assert found.ids == tuple(freihand.ids)
    np.testing.assert_allclose(found.points, np.concatenate([peaks, peaks]))
    np.testing.assert_allclose(found.confidence, np.concatenate([sure, sure]), rtol=1e-6)
    batch = (wrapped := WithKeypoints(freihand, found)).collate([wrapped[4]])
    assert batch.keypoints is not None
    np.testing.assert_allclose(batch.keypoints.points[0], peaks[1])


def test_entries_for_every_photo_are_each_its_own(freihand: HandImages, tmp_path: Path) -> None:
    peaks, sure = drawn(6)
    found = read_openpose(freihand, written(tmp_path / "train.json", peaks, sure))
    np.testing.assert_allclose(found.points, peaks)


def test_numbers_as_names_say_which_photo_a_row_is_of(freihand: HandImages, tmp_path: Path) -> None:
    peaks, sure = drawn(3)
    names = ["training/rgb/00000002.jpg", "training/rgb/00000000.jpg", "training/rgb/00000001.jpg"]
    found = read_openpose(freihand, written(tmp_path / "train.json", peaks, sure, names))
    np.testing.assert_allclose(found.points[:3], peaks[[1, 2, 0]])


def test_a_missed_joint_has_confidence_0(freihand: HandImages, tmp_path: Path) -> None:
    peaks, sure = drawn(3)
    peaks[1, 8], sure[1, 8] = 0, 0
    sure[0, 0] = 1.03  # a heat map's overshoot
    found = read_openpose(freihand, written(tmp_path / "train.json", peaks, sure))
    assert found.confidence[1, 8] == 0
    assert (found.points[1, 8] == 0).all()
    assert found.confidence[0, 0] == 1
    assert found.found.all()


def test_shots_that_the_file_lacks_are_left_out(freihand: HandImages, tmp_path: Path) -> None:
    peaks, sure = drawn(2)
    found = read_openpose(freihand, written(tmp_path / "train.json", peaks, sure))
    assert len(found) == 4
    with pytest.raises(DataSetError, match="lack 2 of 6 hands"):
        WithKeypoints(freihand, found)


def test_ho3d_has_a_file_for_each_sequence_in_px_of_the_full_photo(tmp_path: Path) -> None:
    write_ho3d(tmp_path / "HO3D", "train", version="v2")
    mano = ManoHand(tips="ho3d")
    manifest = read_ho3d(tmp_path / "HO3D", "train", mano, "v2")
    hands = HandImages(manifest, mano, HandCropConfig(crop_size=96))
    peaks_of: dict[str, dict[int, np.ndarray]] = {}
    for image, pixels in zip(manifest.images, manifest.joints_2d):
        _, sequence, _, name = image.split("/")
        peaks_of.setdefault(sequence, {})[int(Path(name).stem)] = pixels
    for sequence, frames in peaks_of.items():
        peaks = np.zeros((max(frames) + 1, 21, 2))
        sure = np.zeros(peaks.shape[:2])
        for number, pixels in frames.items():
            peaks[number], sure[number] = pixels, 0.5
        written(tmp_path / "openpose" / sequence / "detect.json", peaks, sure)
    found = read_openpose(hands, tmp_path / "openpose")
    assert found.ids == tuple(hands.ids)
    batch = hands.labels(np.arange(len(hands)), None)
    torch.testing.assert_close(torch.from_numpy(found.points), batch.joints_2d, atol=1e-2, rtol=0)


def test_the_fingerprint_follows_the_file(freihand: HandImages, tmp_path: Path) -> None:
    one = read_openpose(freihand, written(tmp_path / "a.json", *drawn(3)))
    two = read_openpose(freihand, written(tmp_path / "b.json", *drawn(3, seed=1)))
    again = read_openpose(freihand, written(tmp_path / "c.json", *drawn(3)))
    assert one.fingerprint == again.fingerprint != two.fingerprint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "expected .peaks, confidences. or"),
        ("[[1, 2]]", "got a list of 1"),
        ("[[[[1, 2]", "cut short or no JSON"),
        ("[[[[1, 2]]], [[[1]]]]", r"peaks should be \(N, 21, 2\)"),
        (json.dumps([np.ones((2, 21, 2)).tolist(), np.ones((1, 21, 1)).tolist()]), "2 peaks, but"),
        (json.dumps([np.ones((1, 21, 2)).tolist(), [[[9.0]] * 21]]), "expected 0 to 1"),
        (json.dumps([np.ones((1, 21, 2)).tolist(), [[[1]] * 21], ["a", "b"]]), "a name for each"),
        (json.dumps([[[["x", 1]] * 21], [[[1]] * 21]]), "no numbers"),
    ],
)
def test_files_of_another_form_are_refused(
    freihand: HandImages, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "train.json").write_text(content)
    with pytest.raises(DataSetError, match=message):
        read_openpose(freihand, tmp_path / "train.json")


def test_a_missing_file_is_named(freihand: HandImages, tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"no .*nowhere\.json"):
        read_openpose(freihand, tmp_path / "nowhere.json")
