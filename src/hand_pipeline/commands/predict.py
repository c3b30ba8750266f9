"""`python -m hand_pipeline predict`: reconstruct the hands in photos and videos."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from hand_pipeline.api.models import TRAINED, ModelError
from hand_pipeline.api.reconstructor import HandReconstructor
from hand_pipeline.commands.photo_results import PhotoResults
from hand_pipeline.commands.predict_options import (
    GroupedCommand,
    GroupedOption,
    SamplingOptions,
    sampling_options,
)
from hand_pipeline.data.photos.cameras import Cameras, intrinsics_of, read_cameras
from hand_pipeline.data.photos.detector_model import DetectorModelError
from hand_pipeline.data.photos.files import (
    PHOTO_SUFFIXES,
    VIDEO_SUFFIXES,
    NoPhotosError,
    find_photos,
)

_model_option = partial(click.option, cls=GroupedOption, group="Model")
_photo_option = partial(click.option, cls=GroupedOption, group="Photos and hands")
_video_option = partial(click.option, cls=GroupedOption, group="Videos")
_result_option = partial(click.option, cls=GroupedOption, group="Results")


@click.command("predict", cls=GroupedCommand)
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@_model_option(
    "--method", type=click.Choice(list(TRAINED)),
    help="Model that the pipelines have trained, or mediapipe, which needs no training and is the "
    "default; with --checkpoint: the one it must be.",
)  # fmt: skip
@_model_option(
    "--checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Any other trained model.",
)  # fmt: skip
@_model_option(
    "--data", type=click.Path(path_type=Path), default=Path("data"), show_default=True,
    help="Where --method finds it: data, data/smoke, data/bench or data/paper.",
)  # fmt: skip
@_model_option("--device", default="cpu", show_default=True, help="Where the model runs.")
@_result_option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@_result_option("--obj/--no-obj", "meshes", default=True, help="Write .obj and .glb files.")
@_photo_option(
    "--focal", type=click.FloatRange(min=0, min_open=True),
    help="Focal length in pixels. Default: from the photo's EXIF, else its diagonal; distances are "
    "then rough guesses.",
)  # fmt: skip
@_photo_option("--intrinsics", metavar="FX,FY,CX,CY", help="The whole camera, pixels.")
@_photo_option(
    "--cameras", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Cameras by file: JSON, {"a.jpg": [fx, fy, cx, cy]}; "*" is that of all others.',
)  # fmt: skip
@_photo_option(
    "--max-hands", default=4, show_default=True, type=click.IntRange(1), help="Hands per photo."
)
@_photo_option(
    "--crop-scale", type=click.FloatRange(1, 4),
    help="Crop side divided by the hand's longer side. Default: as in the model's training.",
)  # fmt: skip
@_photo_option(
    "--detector-model", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="MediaPipe's hand_landmarker.task. Default: downloaded once.",
)  # fmt: skip
@_photo_option(
    "--copies", default=0, show_default=True, type=click.IntRange(0),
    help="Turned and mirrored copies of each hand that the detector looks at, too.",
)  # fmt: skip
@_photo_option(
    "--refine/--no-refine", default=False, show_default=True,
    help="Bring the hands of the model onto the detector's 2D joints.",
)  # fmt: skip
@_video_option(
    "--smooth/--no-smooth", default=True, show_default=True, help="Move hands without jitter."
)
@_video_option(
    "--every", default=1, show_default=True, type=click.IntRange(1), help="Only each N-th frame."
)
@sampling_options
def predict(
    source: Path,
    method: str | None,
    checkpoint: Path | None,
    data: Path,
    device: str,
    out: Path,
    **options: Any,
) -> None:
    """Find the hands in SOURCE, a photo, a video or a folder of both, and reconstruct them.

    For each photo NAME it writes NAME.overlay.png, NAME.json and the meshes of its hands, and
    NAME.hypotheses.png if the model samples several hypotheses; for each video NAME.overlay.mp4
    and NAME.jsonl, a line a frame with its time, in which a hand keeps its number (`track`); and
    summary.json, which also lists unreadable files.
    """
    names = ("max_hands", "crop_scale", "detector_model", "copies", "refine")
    settings = {name: options.pop(name) for name in names}
    try:
        sources = list(_sources(source, out))
        seed = options["seed"] or 0
        hands = HandReconstructor(method, checkpoint, device, data, seed=seed, **settings)
    except (NoPhotosError, DetectorModelError, ModelError) as error:
        raise click.ClickException(str(error)) from error
    given = {name: options.pop(name) for name in ("focal", "intrinsics", "cameras")}
    cameras, meshes = _cameras(**given), options.pop("meshes")
    videos = {name: options.pop(name) for name in ("smooth", "every")}
    root = source if source.is_dir() else None
    still, moving = SamplingOptions(**options).of(hands.model)
    results = PhotoResults(hands.look, out, cameras, meshes, still, moving, root, **videos)
    if source.is_dir():
        results.leave_out(_unknown(source, out))
    for file, name in tqdm(sources, desc="files", unit="file", disable=len(sources) == 1):
        results.add(file, name)
    results.report()


def _cameras(focal: float | None, intrinsics: str | None, cameras: Path | None) -> Cameras:
    """What the user says of the cameras.

    Raises:
        click.UsageError: something that is no camera, or two for all photos.
    """
    if focal is not None and intrinsics is not None:
        raise click.UsageError("give --focal or --intrinsics, not both")
    try:
        numbers = None if intrinsics is None else [float(n) for n in intrinsics.split(",")]
    except ValueError as error:
        raise click.UsageError(f"--intrinsics: expected four numbers, got {intrinsics}") from error
    try:
        return Cameras(
            focal,
            None if numbers is None else intrinsics_of(numbers, "--intrinsics"),
            {} if cameras is None else read_cameras(cameras),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _sources(source: Path, out: Path) -> Iterator[tuple[Path, str]]:
    """Yield (file, name of its results): its relative path, without the suffix if still unique.

    Results of an earlier run, in a folder of the source, are no sources.
    """
    if source.is_file():
        yield source, source.stem
        return
    videos = [path for path in _files(source, out) if path.suffix.lower() in VIDEO_SUFFIXES]
    try:
        photos = [p.path for p in find_photos([source]) if not _below(p.path, out)]
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


def _unknown(source: Path, out: Path) -> list[Path]:
    """Files of a kind that is neither photo nor video."""
    known = PHOTO_SUFFIXES | VIDEO_SUFFIXES
    return [path for path in _files(source, out) if path.suffix.lower() not in known]


def _files(source: Path, out: Path) -> list[Path]:
    """All files below a folder that are neither hidden nor results."""
    below = (path for path in sorted(source.rglob("*")) if path.is_file())
    return [
        path
        for path in below
        if not any(part.startswith(".") for part in path.relative_to(source).parts)
        and not _below(path, out)
    ]


def _below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
