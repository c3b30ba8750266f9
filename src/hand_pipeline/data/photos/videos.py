"""Videos as streams of upright RGB frames with their times, in and out, by PyAV."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from jaxtyping import Float, UInt8

from hand_pipeline.files import atomic_write

_USUAL_RATE = Fraction(25)  # frames a second of a file that does not say
_CLOCK = 90_000  # ticks a second of what is written
_PQ, _HLG = 16, 18  # ITU-T H.273, transfer characteristics of HDR
_PEAK, _WHITE = 1000.0, 203.0  # nits of bright HDR, and of its white paper (ITU-R BT.2408)
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)  # from BT.2020's primaries; ITU-R BT.2087


class BadVideo(Exception):
    """A file that is no video, or of which no frame can be decoded; says why."""


class Frame(NamedTuple):
    """A frame that could be decoded.

    Attributes:
        number: among all that could be, from 0.
        time: seconds after the first one.
        pixels: RGB, upright.
    """

    number: int
    time: Fraction
    pixels: UInt8[np.ndarray, "height width 3"]


class Gap(NamedTuple):
    """A place where frames could not be decoded.

    Attributes:
        after: number of the last frame before it; -1: none.
        time: seconds of that frame.
        detail: the decoder's words.
    """

    after: int
    time: float
    detail: str


class Video:
    """The frames of a file, one after the other; damaged ones are left out and told.

    Attributes:
        rate: frames a second, the mean of a file whose rate varies.
        frames: as many as the header promises; 0: it does not say.
        gaps: what could not be decoded, as far as the frames have been read.

    Raises:
        BadVideo: it is no video.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.gaps = path, list[Gap]()
        try:
            with av.open(str(path)) as container:
                if not container.streams.video:
                    raise BadVideo("the file holds no video stream")
                stream = container.streams.video[0]
                self.rate = Fraction(stream.average_rate or _USUAL_RATE)
                self.frames = stream.frames
                base = stream.base_rate or self.rate
                self._even = abs(float(base / self.rate) - 1) < 0.01
        except (av.error.FFmpegError, OSError) as error:
            raise BadVideo(str(error)) from error

    def __iter__(self) -> Iterator[Frame]:
        """The frames in their order.

        Raises:
            BadVideo: not one can be decoded.
        """
        self.gaps = []
        number, time = 0, Fraction(0)
        start: Fraction | None = None
        with av.open(str(self.path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for found in _decoded(container, stream):
                if isinstance(found, str):
                    self._note(number, time, found)
                    continue
                last, time = time, Fraction(number) / self.rate
                if found.pts is not None and found.time_base is not None:
                    stamp = found.pts * found.time_base
                    start = stamp if start is None else start
                    time = stamp - start
                if self._even and number and time - last > 1.5 / self.rate:
                    self._note(number, last, f"no frame for {float(time - last):.2f} s")
                pixels = np.rot90(_rgb(found), round(found.rotation / 90))
                yield Frame(number, time, np.ascontiguousarray(pixels))
                number += 1
        if number < self.frames and not self.gaps:
            self._note(number, time, f"the header promises {self.frames} frames, {number} came")
        if not number:
            raise BadVideo(self.gaps[0].detail if self.gaps else "the video holds no frame")

    def _note(self, number: int, time: Fraction, detail: str) -> None:
        if not self.gaps or self.gaps[-1].after != number - 1:  # once for damage without a break
            self.gaps.append(Gap(number - 1, float(time), detail))


def _decoded(
    container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame | str]:
    """The frames of a stream, and words where there should be one."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError) as error:  # nothing can be read from here on
            yield str(error)
            return
        try:
            frames = packet.decode()
        except (av.error.FFmpegError, OSError) as error:
            yield str(error)
            continue
        for frame in frames:
            yield "a damaged frame" if frame.is_corrupt else frame


def _rgb(frame: av.VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
    """Pixels as photos have them; HDR is brought into their range."""
    if frame.color_trc not in (_PQ, _HLG):
        return frame.to_ndarray(format="rgb24")
    light = _to_light(frame.color_trc)[frame.to_ndarray(format="rgb48le")]
    return _shown(np.maximum(light @ _TO_BT709.T, 0))


@cache
def _to_light(transfer: int) -> Float[np.ndarray, " values"]:
    """Light of each 16-bit value in units of white paper; ITU-R BT.2100, tables 4 and 5."""
    signal = np.arange(65536, dtype=np.float64) / 65535
    if transfer == _PQ:
        root = signal ** (1 / 78.84375)
        ratio = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return (10_000 / _WHITE * ratio ** (1 / 0.1593017578125)).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return (_PEAK / _WHITE * scene**1.2).astype(np.float32)  # the system's gamma, of each channel


def _shown(light: Float[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Light rolled off towards the peak (Reinhard et al. 2002, eq. 4), in sRGB's curve."""
    most = (_PEAK / _WHITE) ** 2
    rolled = np.clip(light * (1 + light / most) / (1 + light), 0, 1)
    curve = np.where(rolled <= 0.0031308, 12.92 * rolled, 1.055 * rolled ** (1 / 2.4) - 0.055)
    return (255 * curve + 0.5).astype(np.uint8)


class VideoWriter:
    """Adds frames of one size to an H.264 file; made by `write_video`."""

    def __init__(self, container: av.container.OutputContainer, rate: Fraction) -> None:
        self._container, self._rate = container, rate
        self._stream: av.VideoStream | None = None
        self._last: int | None = None

    def add(
        self, frame: UInt8[np.ndarray, "height width 3"], time: Fraction | float | int | None = None
    ) -> None:
        """Append a frame; an odd last row or column is left out, as the format wants even sizes.

        Args:
            frame: RGB.
            time: seconds, later than the frame before; None: a step of the rate after it.
        """
        height, width = (side - side % 2 for side in frame.shape[:2])
        if self._stream is None:
            options = {"crf": "20", "preset": "veryfast"}
            self._stream = self._container.add_stream("libx264", rate=self._rate, options=options)
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = "yuv420p"  # what every player shows
            self._stream.codec_context.time_base = Fraction(1, _CLOCK)
        earliest = 0 if self._last is None else self._last + 1
        if time is not None:
            tick = round(time * _CLOCK)
        else:
            tick = 0 if self._last is None else self._last + round(_CLOCK / self._rate)
        even = np.ascontiguousarray(frame[:height, :width])
        shown = av.VideoFrame.from_ndarray(even, format="rgb24")
        shown.time_base = Fraction(1, _CLOCK)
        shown.pts = self._last = max(tick, earliest)
        self._container.mux(self._stream.encode(shown))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())


@contextmanager
def write_video(path: Path, rate: Fraction) -> Iterator[VideoWriter]:
    """Write an MP4 file (H.264), whole or not at all; use the writer's `add`.

    Args:
        path: ends in `.mp4`.
        rate: frames a second, the mean where it varies.
    """
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        writer = VideoWriter(container, rate)
        yield writer
        writer.finish()
