"""What was trained here beside what is shipped: on the same held-out hands, and on real photos."""

import logging
import random
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline
from PIL import Image
from pydantic import Field

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.detected_keypoints import WithKeypoints
from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.data.photos.cropping import CropConfig
from hand_pipeline.data.photos.detect_hands import detect_keypoints
from hand_pipeline.data.photos.detector import DetectorConfig, HandDetector
from hand_pipeline.data.photos.files import BadPhoto, NoPhotosError, find_photos, load_photo
from hand_pipeline.evaluation.model_scores import predict_models, score_models
from hand_pipeline.evaluation.predict import ScoringConfig
from hand_pipeline.evaluation.reconstruct import PhotoReconstructor, PlacedHand
from hand_pipeline.geometry.camera import default_intrinsics
from hand_pipeline.methods import restore_as, restore_each, title_of
from hand_pipeline.methods.mediapipe import MediaPipe, MediaPipeConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.provenance import code_hash, run_key
from hand_pipeline.training.checkpoint import Checkpoint, load_checkpoint
from hand_pipeline.training.method import Reconstructor
from hand_pipeline.viz.figure import to_image
from hand_pipeline.viz.photo_models import SeenPhoto, photo_models
from hand_pipeline.viz.tables import no_probes

SHIPPED = "shipped_"
"""Before the names of shipped models: one trained here may be called the same."""
logger = logging.getLogger(__name__)


class ShippedConfig(ScoringConfig):
    """How shipped models are scored, and on which photos all are shown."""

    detector: DetectorConfig = DetectorConfig()
    photos: int = Field(
        12, gt=0, description="real photos that are shown: of the user's, at random"
    )
    seed: int = Field(0, ge=0, description="of the choice among the user's")


def shipped_methods(models: Path, mano_model: Path | None) -> Iterator[tuple[str, Reconstructor]]:
    """What needs no training, then each shipped model; they pose the open hand alone.

    Args:
        models: folder of the shipped checkpoints; there may be none.
        mano_model: converted MANO file of the hands they are compared on; None: the open hand.
    """
    yield f"{SHIPPED}mediapipe", MediaPipe(MediaPipeConfig(mano_model=mano_model)).eval()
    if mano_model is None:
        files = {f"{SHIPPED}{path.stem}": path for path in sorted(models.glob("*.safetensors"))}
        for name, path in files.items():
            yield name, restore_as(Reconstructor, load_checkpoint(path), str(path))


def predict_shipped(
    hands: Path, handmim: Checkpoint, models: Path, cfg: ShippedConfig, machine: MachineConfig
) -> tuple[Path, float]:
    """Every held-out hand as each shipped model sees it, one npz a model.

    The detector looks once at each, as `predict` does at a photo.

    Returns:
        The folder, and the share of the hands that the detector found.
    """
    trained = restore_as(PyMAF, handmim, "the checkpoint of handmim")
    held_out = open_labelled_hands(hands, "evaluation", trained.mano)
    settings = cfg.detector.model_dump(mode="json")
    key = run_key(detector=settings, hands=held_out.fingerprint, code=code_hash(__name__))
    parts = machine.workspace / "shipped" / key
    seen = detect_keypoints(held_out, cfg.detector, parts, machine.workers).keypoints
    folder = predict_models(
        shipped_methods(models, trained.cfg.mano_model),
        lambda model: WithKeypoints(open_labelled_hands(hands, "evaluation", model.mano), seen),
        machine.workspace / "shipped" / "predicted_hands",
        cfg,
        machine,
    )
    return folder, float(seen.found.mean())


def show_photos(
    photos: Path,
    supervised: Checkpoint,
    handmim: Checkpoint,
    models: Path,
    cfg: ShippedConfig,
    machine: MachineConfig,
) -> tuple[Image.Image, dict[str, float]]:
    """The user's photos with the hands of HandMIM as trained here and of each shipped model.

    Returns:
        The figure, and the mean `PlacedHand.away_percent` of each model, the baseline included;
        a figure that says how to give photos, and nothing, where there are none with a hand.
    """
    trained = dict(restore_each(PyMAF, supervised=supervised, handmim=handmim))
    others = shipped_methods(models, trained["handmim"].cfg.mano_model)
    detector, reconstruct = HandDetector(cfg.detector), dict[str, PhotoReconstructor]()
    for name, model in [*trained.items(), *others]:
        crops = CropConfig(crop_scale=float(model.crop_scale))
        placed = model.to(machine.device)
        reconstruct[name] = PhotoReconstructor(detector, placed, crops, machine.device)
    files = _photo_files(photos, cfg.seed)
    seen = list(islice(_with_hands(files, reconstruct), cfg.photos))
    if not seen:
        return to_image(no_probes('no photos with hands: make demo PHOTOS="DIR ..."')), {}
    away = {n: [hand.away_percent for _, hands in seen for hand in hands[n]] for n in reconstruct}
    headings = {"handmim": f"{title_of(handmim).partition(',')[0]}, trained here"}
    headings |= {n: f"{n.removeprefix(SHIPPED)}, shipped" for n in reconstruct if n not in trained}
    picture = photo_models([photo for photo, _ in seen], headings)
    return picture, {name: sum(each) / len(each) for name, each in away.items()}


def _photo_files(photos: Path, seed: int) -> list[Path]:
    """The user's photos in random order."""
    try:
        given = [photo.path for photo in find_photos([photos])]
    except NoPhotosError:
        return []
    random.Random(seed).shuffle(given)
    return given


def _with_hands(
    files: Iterable[Path], reconstruct: Mapping[str, PhotoReconstructor]
) -> Iterator[tuple[SeenPhoto, dict[str, list[PlacedHand]]]]:
    """The photos in which the detector, which is the same for all models, finds a hand."""
    for file in files:
        try:
            photo = load_photo(file)
        except BadPhoto as error:
            logger.warning("left out %s: %s", file, error)
            continue
        camera = default_intrinsics(photo.shape[1], photo.shape[0])
        hands = {n: [row[0] for row in look(photo, camera)] for n, look in reconstruct.items()}
        if all(hands.values()):
            boxes = [hand.detection.box for hand in hands["handmim"]]
            yield SeenPhoto(photo, camera, boxes, hands, file.stem), hands


def score(
    predicted: Path,
    shipped: Path,
    found: float,
    on_photos: dict[str, float],
    supervised: Checkpoint,
    handmim: Checkpoint,
    cfg: ShippedConfig,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Metrics of all models, and a table that says which were trained here."""
    trained = {"supervised": supervised, "handmim": handmim}
    titles = {
        "mean_hand": "mean hand",
        **{name: f"trained here: {title_of(model)}" for name, model in trained.items()},
        **{n: f"shipped: {n.removeprefix(SHIPPED)}" for n in _names(shipped)},
    }
    scores = score_models(titles, cfg, predicted, shipped)
    away = [on_photos.get(name, float("nan")) for name in titles]
    table = scores.table.assign(photos_percent=away)
    return {"found": found, "photos_percent": on_photos, **scores.metrics}, table


def _names(shipped: Path) -> list[str]:
    """Of the shipped models, mediapipe first, which needs no training."""
    names = sorted(path.stem for path in shipped.glob(f"{SHIPPED}*.npz"))
    return sorted(names, key=lambda name: name != f"{SHIPPED}mediapipe")


def create_pipeline() -> Pipeline:
    """Held-out hands, photos and models in; one table, and one figure of all of them out."""
    given = ["handmim_method", "shipped_models", "params:shipped", "params:machine"]
    return Pipeline(
        [
            Node(
                predict_shipped,
                ["labelled_hands", *given],
                ["shipped_predicted_hands", "shipped_found"],
                name="predict_shipped",
            ),
            Node(
                show_photos,
                ["photos", "supervised_method", *given],
                ["shipped_photos_picture", "shipped_on_photos"],
                name="show_photos",
            ),
            Node(
                score,
                [
                    "predicted_hands",
                    "shipped_predicted_hands",
                    "shipped_found",
                    "shipped_on_photos",
                    "supervised_method",
                    "handmim_method",
                    "params:shipped",
                ],
                ["shipped_metrics", "shipped_table"],
                name="score_shipped",
            ),
        ]
    )
