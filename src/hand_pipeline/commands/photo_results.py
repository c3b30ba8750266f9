"""The files `predict` writes for each photo and video: overlays, records, meshes, a summary."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from torch import Tensor
from tqdm import tqdm

from hand_pipeline.config import Config
from hand_pipeline.data.photos.cameras import Cameras, PhotoCamera
from hand_pipeline.data.photos.files import VIDEO_SUFFIXES, BadPhoto, load_photo
from hand_pipeline.evaluation.hand_files import photo_json, write_json, write_meshes
from hand_pipeline.evaluation.reconstruct import PhotoReconstructor, PlacedHand
from hand_pipeline.files import atomic_write
from hand_pipeline.viz.overlay import draw_hands, drawn, overlay_image

MOST_DRAWN = 12
"""Hypotheses of a hand that are drawn; its record has all."""


@dataclass
class PhotoResults:
    """Reconstructs the hands in files one by one and writes the results.

    Attributes:
        reconstruct: finds the hands.
        out: folder of the results.
        cameras: of the photos, as far as the user gave them.
        meshes: whether to write meshes.
        photo_sampling, video_sampling: of hypotheses; None for a model that samples none.
        root: folder to which names of a file of cameras are relative; None: of a single file.
        smooth: whether hands of videos move without jitter.
        every: only each so manieth frame of a video.
        photos, videos, quarantine: the summary's rows.
    """

    reconstruct: PhotoReconstructor
    out: Path
    cameras: Cameras
    meshes: bool
    photo_sampling: Config | None = None
    video_sampling: Config | None = None
    root: Path | None = None
    smooth: bool = True
    every: int = 1
    photos: list[dict[str, Any]] = field(default_factory=list)
    videos: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, str]] = field(default_factory=list)

    def add(self, path: Path, name: str) -> None:
        """Process one file, with results called `name`; an unreadable one goes to `quarantine`."""
        try:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                self._video(path, name)
            else:
                self._photo(path, name)
        except BadPhoto as error:
            self._note_bad(path, error.reason, error.detail)

    def leave_out(self, paths: Iterable[Path]) -> None:
        """Note files of a kind that is not read."""
        for path in paths:
            kind = path.suffix or "a name without an ending"
            self._note_bad(path, "unknown_kind", f"{kind} is no kind of photo or video")

    def report(self) -> None:
        """Write the summary and print it.

        Raises:
            click.ClickException: no file could be read.
        """
        summary = {"photos": self.photos, "videos": self.videos, "quarantine": self.quarantine}
        write_json(self.out / "summary.json", summary)
        empty = [row["file"] for row in self.photos if not row["hands"]]
        hands = sum(row["hands"] for row in self.photos)
        if self.photos:
            click.echo(f"{hands} hands in {len(self.photos)} photos")
        sources = Counter(row["camera"] for row in [*self.photos, *self.videos])
        if sources["exif"]:
            click.echo(f"camera from the photo's EXIF: {sources['exif']} files")
        if guessed := sources["guess"]:
            click.echo(
                f"camera not known of {guessed} files: their focal length is taken to be the "
                "photo's diagonal, distances are guesses (--focal, --intrinsics, --cameras)"
            )
        for row in self.videos:
            click.echo(f"{row['file']}: hands in {row['with_hands']} of {row['frames']} frames")
        if empty:
            click.echo(f"no hand found in: {', '.join(empty)}")
        for row in self.quarantine:
            click.echo(f"not read: {row['file']} ({row['reason']}: {row['detail']})", err=True)
        click.echo(f"results: {self.out}")
        if not self.photos and not self.videos:
            raise click.ClickException("none of the files could be read")

    def _note_bad(self, path: Path, reason: str, detail: str) -> None:
        self.quarantine.append({"file": str(path), "reason": reason, "detail": detail})

    def _camera(self, path: Path, image: np.ndarray) -> PhotoCamera:
        name = path.name if self.root is None else path.relative_to(self.root).as_posix()
        return self.cameras.of(path, name, (image.shape[1], image.shape[0]))

    def _photo(self, path: Path, name: str) -> None:
        photo = load_photo(path)
        camera = self._camera(path, photo)
        self.reconstruct.model.sampling = self.photo_sampling
        ranked = self.reconstruct(photo, camera.intrinsics, name)
        hands = [row[0] for row in ranked]
        several = ranked if any(len(row) > 1 for row in ranked) else []
        stem = self.out / name
        with atomic_write(stem.parent / f"{stem.name}.overlay.png") as temporary:
            overlay_image(photo, drawn(hands), camera.intrinsics).save(temporary)
        if several:
            picture = stem.parent / f"{stem.name}.hypotheses.png"
            _draw_hypotheses(picture, photo, several, camera.intrinsics)
        size = (photo.shape[1], photo.shape[0])
        record = photo_json(path.name, size, hands, camera, several)
        write_json(stem.parent / f"{stem.name}.json", record)
        if self.meshes:
            write_meshes(stem, hands)
        row = {"file": str(path), "hands": len(hands), "camera": camera.source}
        self.photos.append(row)

    def _video(self, path: Path, name: str) -> None:
        from hand_pipeline.data.photos.videos import BadVideo  # and PyAV: only for videos

        try:
            self._frames(path, name)
        except BadVideo as error:
            self._note_bad(path, "unreadable", str(error))

    def _frames(self, path: Path, name: str) -> None:
        from hand_pipeline.data.photos.videos import Video, write_video
        from hand_pipeline.evaluation.tracks import Tracks, TracksConfig

        video, stem = Video(path), self.out / name
        tracks = Tracks(self.reconstruct.model.mano, TracksConfig(smooth=self.smooth))
        frames = with_hands = 0
        camera: PhotoCamera | None = None  # all frames are of one size, and of one camera
        self.reconstruct.model.sampling = self.video_sampling
        bar = tqdm(video, desc=path.name, unit="frame", total=video.frames or None)
        with (
            write_video(stem.parent / f"{stem.name}.overlay.mp4", video.rate) as overlay,
            atomic_write(stem.parent / f"{stem.name}.jsonl") as temporary,
            temporary.open("w") as lines,
        ):
            for frame in bar:
                if frame.number % self.every:
                    continue
                camera = camera or self._camera(path, frame.pixels)
                seen = self.reconstruct(frame.pixels, camera.intrinsics, f"{name}-{frame.number}")
                hands = tracks([row[0] for row in seen], float(frame.time), camera.intrinsics)
                overlay.add(draw_hands(frame.pixels, drawn(hands), camera.intrinsics), frame.time)
                size = (frame.pixels.shape[1], frame.pixels.shape[0])
                record = photo_json(f"{frame.number}", size, hands, camera)
                record = {"time_s": round(float(frame.time), 6), **record}
                lines.write(json.dumps(record, allow_nan=False) + "\n")
                frames, with_hands = frames + 1, with_hands + bool(hands)
            source = camera.source if camera else "guess"
        row = {"file": str(path), "frames": frames, "with_hands": with_hands, "camera": source}
        self.videos.append(row | {"hands": tracks.given})
        for gap in video.gaps:
            where = f"after frame {gap.after}, {gap.time:.2f} s: {gap.detail}"
            self._note_bad(path, "damaged_frames", where)


def _draw_hypotheses(
    path: Path, photo: np.ndarray, hands: Sequence[Sequence[PlacedHand]], camera: Tensor
) -> None:
    """Write the figure of each hand's hypotheses.

    Raises:
        ValueError: a hypothesis has no confidence.
    """
    from hand_pipeline.viz.hypotheses import Hypothesis, hypotheses_picture

    rows: list[list[Hypothesis]] = []
    for hypotheses in hands:
        rows.append([])
        for placed, hand in zip(hypotheses, drawn(hypotheses)):
            if placed.confidence is None:
                raise ValueError("a model that gives several hands must give each a confidence")
            rows[-1].append(Hypothesis(hand, placed.confidence))
    with atomic_write(path) as temporary:
        hypotheses_picture(photo, rows, camera, MOST_DRAWN).save(temporary)
