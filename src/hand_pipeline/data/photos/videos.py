"""Videos as streams of upright RGB frames, in and out, by PyAV."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8

from hand_pipeline.files import atomic_write

_USUAL_RATE = Fraction(25)  # frames a second of a file that does not say


class BadVideo(Exception):
    """A file that is no video, or whose frames cannot be decoded; says why."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video's header says: frames a second, and number of frames (0 if not said)."""

    rate: Fraction
    frames: int


def video_info(path: Path) -> VideoInfo:
    """Read a video's header.

    Raises:
        BadVideo: it is no video.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadVideo("the file holds no video stream")
            stream = container.streams.video[0]
            return VideoInfo(Fraction(stream.average_rate or _USUAL_RATE), stream.frames)
    except (av.error.FFmpegError, OSError) as error:
        raise BadVideo(str(error)) from error


def read_frames(path: Path) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The frames of a video, turned upright.

    Raises:
        BadVideo: a frame cannot be decoded; those before it have been given.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                pixels = frame.to_ndarray(format="rgb24")
                yield np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
    except (av.error.FFmpegError, OSError) as error:
        raise BadVideo(str(error)) from error


class VideoWriter:
    """Adds frames of one size to an H.264 file; made by `write_video`."""

    def __init__(self, container: av.container.OutputContainer, rate: Fraction) -> None:
        self._container = container
        self._rate = rate
        self._stream: av.VideoStream | None = None

    def add(self, frame: UInt8[np.ndarray, "height width 3"]) -> None:
        """Append a frame; an odd last row or column is left out, as the format wants even sizes."""
        height, width = (side - side % 2 for side in frame.shape[:2])
        if self._stream is None:
            options = {"crf": "20", "preset": "veryfast"}
            self._stream = self._container.add_stream("libx264", rate=self._rate, options=options)
            self._stream.width, self._stream.height = width, height
            self._stream.pix_fmt = "yuv420p"  # what every player shows
        even = np.ascontiguousarray(frame[:height, :width])
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())


@contextmanager
def write_video(path: Path, rate: Fraction) -> Iterator[VideoWriter]:
    """Write an MP4 file (H.264), whole or not at all; use the writer's `add`.

    Args:
        path: ends in `.mp4`.
        rate: frames a second.
    """
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        writer = VideoWriter(container, rate)
        yield writer
        writer.finish()
