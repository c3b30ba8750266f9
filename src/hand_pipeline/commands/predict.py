"""`python -m hand_pipeline predict`: reconstruct the hands in photos and videos."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from torch import Tensor
from tqdm import tqdm

from hand_pipeline.data.cropping import CropConfig
from hand_pipeline.data.detector import DetectorConfig, HandDetector
from hand_pipeline.data.detector_model import DetectorModelError
from hand_pipeline.data.photos import (
    BadPhoto,
    NoPhotosError,
    find_photos,
    load_photo,
)
from hand_pipeline.data.videos import (
    VIDEO_SUFFIXES,
    BadVideo,
    read_frames,
    video_info,
    write_video,
)
from hand_pipeline.evaluation.hand_files import photo_json, write_json, write_meshes
from hand_pipeline.evaluation.reconstruct import HandModel, PhotoReconstructor, PlacedHand
from hand_pipeline.files import atomic_write
from hand_pipeline.geometry.camera import default_intrinsics
from hand_pipeline.viz.overlay import SIDE_COLOURS, DrawnHand, draw_hands, overlay_picture


@click.command("predict")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--checkpoint", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A fine-tuned model, as the finetune stage leaves it.",
)  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@click.option(
    "--focal", type=click.FloatRange(min=0, min_open=True),
    help="Focal length in pixels. Default: the photo's diagonal; depths are then guesses.",
)  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="Where the model runs.")
@click.option("--obj/--no-obj", "meshes", default=True, help="Write .obj and .glb files.")
@click.option(
    "--detector-model", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="MediaPipe's hand_landmarker.task; default: fetched once.",
)  # fmt: skip
@click.option(
    "--crop-scale", type=click.FloatRange(1, 4),
    help="Side of the crop over the hand's longer side. Default: as the model was trained on.",
)  # fmt: skip
@click.option("--max-hands", default=4, show_default=True, type=click.IntRange(1))
def predict(
    source: Path,
    checkpoint: Path,
    out: Path,
    focal: float | None,
    device: str,
    meshes: bool,
    detector_model: Path | None,
    crop_scale: float | None,
    max_hands: int,
) -> None:
    """Find the hands in SOURCE, a photo, a video or a folder of both, and reconstruct them.

    For each photo NAME it writes NAME.overlay.png, NAME.json and the meshes of its hands; for each
    video NAME.overlay.mp4 and NAME.jsonl, one line a frame; and summary.json. Files that cannot
    be read, and photos without a hand, are listed there and stop nothing.
    """
    try:
        sources = list(_sources(source))
        cfg = DetectorConfig(model_path=detector_model, max_hands=max_hands)
        detector = HandDetector(cfg)
    except (NoPhotosError, DetectorModelError) as error:
        raise click.ClickException(str(error)) from error
    model = load_model(checkpoint, device)
    crops = CropConfig(crop_scale=crop_scale or float(model.crop_scale))
    reconstruct = PhotoReconstructor(detector, model, crops, device)
    job = _Job(reconstruct, out, focal, meshes)
    for path, name in tqdm(sources, desc="files", unit="file", disable=len(sources) == 1):
        job.run(path, name)
    job.report()


def load_model(checkpoint: Path, device: str) -> HandModel:
    """The method a checkpoint holds, in eval mode on a device.

    Raises:
        click.ClickException: it is no checkpoint, or of a method that reconstructs no hands.
    """
    from hand_pipeline.methods import load_method  # timm and kornia load for seconds

    try:
        model = load_method(checkpoint)
    except (ValueError, OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    if not isinstance(model, HandModel):
        raise click.ClickException(
            f"{checkpoint} holds {type(model).__name__}, which reconstructs no hands; give the "
            "checkpoint of the finetune stage"
        )
    model.to(device)
    return model


def _sources(source: Path) -> Iterator[tuple[Path, str]]:
    """(file, name of its results): the relative path without its ending, where that is unique."""
    if source.is_file():
        yield source, source.stem
        return
    videos = [path for path in source.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES]
    try:
        photos = [photo.path for photo in find_photos([source])]
    except NoPhotosError:
        if not videos:
            raise
        photos = []
    files = [path.relative_to(source) for path in sorted([*photos, *videos])]
    stems = Counter(path.with_suffix("") for path in files)
    for path in files:
        unique = stems[path.with_suffix("")] == 1
        name = path.with_suffix("") if unique else path.with_name(path.name.replace(".", "_"))
        yield source / path, name.as_posix()


@dataclass
class _Job:
    reconstruct: PhotoReconstructor
    out: Path
    focal: float | None
    meshes: bool
    photos: list[dict[str, Any]] = field(default_factory=list)
    videos: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[dict[str, str]] = field(default_factory=list)

    def run(self, path: Path, name: str) -> None:
        """One file; a bad one is noted."""
        try:
            if path.suffix.lower() in VIDEO_SUFFIXES:
                self._video(path, name)
            else:
                self._photo(path, name)
        except BadPhoto as error:
            self._note_bad(path, error.reason, error.detail)
        except BadVideo as error:
            self._note_bad(path, "unreadable", str(error))

    def report(self) -> None:
        """Write the summary and say what was done.

        Raises:
            click.ClickException: no file could be read.
        """
        summary = {"photos": self.photos, "videos": self.videos, "quarantine": self.quarantine}
        write_json(self.out / "summary.json", summary)
        empty = [row["file"] for row in self.photos if not row["hands"]]
        hands = sum(row["hands"] for row in self.photos)
        if self.photos:
            click.echo(f"{hands} hands in {len(self.photos)} photos")
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

    def _camera(self, picture: np.ndarray) -> Tensor:
        return default_intrinsics(picture.shape[1], picture.shape[0], self.focal)

    def _photo(self, path: Path, name: str) -> None:
        photo = load_photo(path)
        camera = self._camera(photo)
        hands = self.reconstruct(photo, camera, name)
        stem = self.out / name
        with atomic_write(stem.parent / f"{stem.name}.overlay.png") as temporary:
            overlay_picture(photo, drawn(hands), camera).save(temporary)
        size = (photo.shape[1], photo.shape[0])
        record = photo_json(path.name, size, hands, camera, self.focal is not None)
        write_json(stem.parent / f"{stem.name}.json", record)
        if self.meshes:
            write_meshes(stem, hands)
        self.photos.append({"file": str(path), "hands": len(hands)})

    def _video(self, path: Path, name: str) -> None:
        info = video_info(path)
        stem = self.out / name
        frames = with_hands = 0
        bar = tqdm(read_frames(path), desc=path.name, unit="frame", total=info.frames or None)
        with (
            write_video(stem.parent / f"{stem.name}.overlay.mp4", info.rate) as video,
            atomic_write(stem.parent / f"{stem.name}.jsonl") as temporary,
            temporary.open("w") as lines,
        ):
            for number, frame in enumerate(bar):
                camera = self._camera(frame)
                hands = self.reconstruct(frame, camera, f"{name}-{number}")
                video.add(draw_hands(frame, drawn(hands), camera))
                size = (frame.shape[1], frame.shape[0])
                record = photo_json(f"{number}", size, hands, camera, self.focal is not None)
                lines.write(json.dumps(record, allow_nan=False) + "\n")
                frames, with_hands = frames + 1, with_hands + bool(hands)
            if not frames:
                raise BadVideo("the video holds no frame")
        self.videos.append({"file": str(path), "frames": frames, "with_hands": with_hands})


def drawn(hands: list[PlacedHand]) -> list[DrawnHand]:
    """What to draw of reconstructed hands: right ones blue, left ones orange."""
    return [
        DrawnHand(
            hand.vertices, hand.faces, hand.joints_2d, SIDE_COLOURS[hand.detection.handedness]
        )
        for hand in hands
    ]
