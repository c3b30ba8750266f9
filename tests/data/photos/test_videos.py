from fractions import Fraction

import numpy as np
import pytest

from hand_pipeline.data.photos.videos import BadVideo, read_frames, video_info, write_video


def frames(count=8, height=48, width=64):
    ramp = np.linspace(0, 200, count)
    return [np.full((height, width, 3), value, dtype=np.uint8) for value in ramp]


def test_frames_come_back_in_order_with_their_rate(tmp_path):
    path = tmp_path / "a.mp4"
    with write_video(path, Fraction(30000, 1001)) as video:
        for frame in frames():
            video.add(frame)
    info = video_info(path)
    assert info.frames == 8
    assert info.rate == Fraction(30000, 1001)
    back = list(read_frames(path))
    assert len(back) == 8
    for one, two in zip(frames(), back, strict=True):
        assert two.shape == one.shape
        assert abs(int(one.mean()) - int(two.mean())) < 8


def test_odd_sizes_lose_their_last_row_and_column(tmp_path):
    with write_video(tmp_path / "a.mp4", Fraction(25)) as video:
        for frame in frames(height=49, width=63):
            video.add(frame)
    assert next(read_frames(tmp_path / "a.mp4")).shape == (48, 62, 3)


def test_an_error_leaves_no_video(tmp_path):
    def fail():
        with write_video(tmp_path / "a.mp4", Fraction(25)) as video:
            video.add(frames()[0])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_video_says_so(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"no video" * 100)
    with pytest.raises(BadVideo):
        video_info(tmp_path / "a.mp4")
    with pytest.raises(BadVideo):
        list(read_frames(tmp_path / "a.mp4"))
