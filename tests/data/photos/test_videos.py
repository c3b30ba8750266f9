from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from hand_pipeline.data.photos.videos import BadVideo, Video, _to_light, write_video


def frames(count=8, height=48, width=64):
    ramp = np.linspace(0, 200, count)
    return [np.full((height, width, 3), value, dtype=np.uint8) for value in ramp]


def test_frames_come_back_in_order_with_their_rate(tmp_path):
    path = tmp_path / "a.mp4"
    with write_video(path, Fraction(30000, 1001)) as video:
        for frame in frames():
            video.add(frame)
    found = Video(path)
    assert found.frames == 8
    assert found.rate == Fraction(30000, 1001)
    back = list(found)
    assert [frame.number for frame in back] == list(range(8))
    assert not found.gaps
    for number, (one, frame) in enumerate(zip(frames(), back, strict=True)):
        two = frame.pixels
        assert float(frame.time) == pytest.approx(number * 1001 / 30000, abs=1e-4)
        assert two.shape == one.shape
        assert abs(int(one.mean()) - int(two.mean())) < 8


def test_odd_sizes_lose_their_last_row_and_column(tmp_path):
    with write_video(tmp_path / "a.mp4", Fraction(25)) as video:
        for frame in frames(height=49, width=63):
            video.add(frame)
    assert next(iter(Video(tmp_path / "a.mp4"))).pixels.shape == (48, 62, 3)


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
        Video(tmp_path / "a.mp4")


def test_frames_of_a_varying_rate_keep_their_times(tmp_path):
    times = [0, 0.04, 0.05, 0.3, 0.31, 0.7, 0.72, 1.5]
    with write_video(tmp_path / "a.mp4", Fraction(8)) as video:
        for frame, time in zip(frames(), times):
            video.add(frame, time)
    back = list(Video(tmp_path / "a.mp4"))
    assert [float(frame.time) for frame in back] == pytest.approx(times, abs=1e-3)
    with write_video(tmp_path / "b.mp4", Video(tmp_path / "a.mp4").rate) as video:
        for frame in back:
            video.add(frame.pixels, frame.time)
    again = [float(frame.time) for frame in Video(tmp_path / "b.mp4")]
    assert again == pytest.approx(times, abs=1e-3)


def noisy(path: Path, count: int = 60) -> Path:
    """A Matroska clip of noise with a key frame every 10, which can be cut anywhere."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(count):
            pixels = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_damaged_place_costs_its_frames_and_is_told(tmp_path):
    path = noisy(tmp_path / "a.mkv")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = np.random.default_rng(1).bytes(3000)
    path.write_bytes(content)
    video = Video(path)
    back = list(video)
    assert 30 <= len(back) < 60
    assert video.gaps
    assert 15 < video.gaps[0].after < 45
    assert [float(f.time) for f in back] == sorted(float(f.time) for f in back)
    assert float(back[-1].time) > 2  # of 2.4 s: what comes after the damage is there


def test_a_cut_tail_costs_the_tail(tmp_path):
    path = noisy(tmp_path / "a.mkv")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    back = list(Video(path))
    assert 35 <= len(back) <= 45


@pytest.mark.parametrize(("transfer", "signal"), [(16, 0.58), (18, 0.75)])
def test_white_paper_of_hdr_is_as_bright_as_bt_2408_says(transfer, signal):
    """203 nits are 58 % of PQ's signal and 75 % of HLG's."""
    assert _to_light(transfer)[round(signal * 65535)] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("transfer", [16, 18])
def test_ten_bits_of_hdr_come_out_as_a_photo(tmp_path, transfer):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.codec_context.color_trc = transfer
        for level in (0.0, 0.58, 1.0):
            grey = np.full((48, 64, 3), round(level * 65535), dtype=np.uint16)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb48le")
            container.mux(stream.encode(frame.reformat(format="yuv420p10le")))
        container.mux(stream.encode())
    dark, middle, bright = (frame.pixels.mean() for frame in Video(path))
    assert dark < 5
    assert 90 < middle < 215
    assert bright > 235
