"""Where a photo's camera comes from, and what is no camera."""

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image

from hand_pipeline.data.photos.cameras import Cameras, exif_focal, intrinsics_of, read_cameras


def photo(path: Path, millimetres: float | None = None, size: tuple[int, int] = (400, 300)) -> Path:
    exif = Image.Exif()
    if millimetres is not None:
        exif.get_ifd(0x8769)[0xA405] = millimetres
    Image.new("RGB", size).save(path, exif=exif)
    return path


def test_a_50_mm_lens_sees_a_film_s_diagonal_under_47_degrees(tmp_path: Path) -> None:
    focal = exif_focal(photo(tmp_path / "a.jpg", 50), (400, 300))
    assert focal is not None
    angle = 2 * math.degrees(math.atan(500 / 2 / focal))  # 400 x 300 px: a diagonal of 500
    assert angle == pytest.approx(46.8, abs=0.1)  # as printed for such lenses


@pytest.mark.parametrize("millimetres", [None, 0, 5, 9000])
def test_no_lens_or_one_that_cannot_be_is_no_focal_length(
    tmp_path: Path, millimetres: float | None
) -> None:
    assert exif_focal(photo(tmp_path / "a.jpg", millimetres), (400, 300)) is None


def test_what_is_said_of_one_photo_counts_before_what_is_said_of_all(tmp_path: Path) -> None:
    path, size = photo(tmp_path / "a.jpg", 50), (400, 300)
    camera = intrinsics_of([300, 310, 190, 160], "test")
    assert Cameras().of(photo(tmp_path / "b.jpg"), "b.jpg", size).source == "guess"
    assert Cameras().of(path, "a.jpg", size).source == "exif"
    focal = Cameras(focal=700.0).of(path, "a.jpg", size)
    assert (focal.source, focal.intrinsics[0].tolist()) == ("given", [700, 0, 200])
    both = Cameras(focal=700.0, intrinsics=camera).of(path, "a.jpg", size)
    assert both.intrinsics.tolist() == [[300, 0, 190], [0, 310, 160], [0, 0, 1]]
    other = intrinsics_of([1, 1, 0, 0], "test")
    named = Cameras(intrinsics=camera, by_name={"in/a.jpg": other}).of(path, "in/a.jpg", size)
    assert (named.source, named.intrinsics[0, 0].item()) == ("file", 1)


def test_a_file_of_cameras_gives_four_numbers_or_a_matrix_and_one_for_the_rest(
    tmp_path: Path,
) -> None:
    path = tmp_path / "cameras.json"
    matrix = [[500, 0, 320], [0, 510, 240], [0, 0, 1]]
    path.write_text(json.dumps({"a.jpg": [300, 310, 190, 160], "*": matrix}))
    cameras = Cameras(by_name=read_cameras(path))
    assert cameras.of(tmp_path / "a.jpg", "a.jpg", (4, 3)).intrinsics[1, 2] == 160
    torch.testing.assert_close(
        cameras.of(tmp_path / "z.jpg", "z.jpg", (4, 3)).intrinsics, torch.tensor(matrix).float()
    )


@pytest.mark.parametrize(
    "values",
    [[1, 2, 3], [0, 300, 1, 1], [300, -1, 1, 1], "600", None, [[1, 0, 0], [0, 1, 0], [0, 0, 2]],
     [float("nan"), 1, 1, 1], {"fx": 1}],
)  # fmt: skip
def test_what_is_no_camera_is_refused_with_what_one_is(values: object) -> None:
    with pytest.raises(ValueError, match="my cameras: expected fx, fy, cx, cy"):
        intrinsics_of(values, "my cameras")


@pytest.mark.parametrize("content", ["[1, 2]", "{", "3"])
def test_a_file_that_holds_no_cameras_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "cameras.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"cameras\.json"):
        read_cameras(path)
