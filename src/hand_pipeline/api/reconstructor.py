"""A photo in, its hands out.

from hand_pipeline import HandReconstructor

hands = HandReconstructor()("photo.jpg")
hands[0].vertices, hands[0].joints_3d, hands[0].mano_pose   # metres, the photo's camera
hands.overlay().show()
hands.save("hands.glb")
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from pydantic import Field, ValidationError
from torch import Tensor

from hand_pipeline.api.models import find_checkpoint, load_model
from hand_pipeline.data.photos.cameras import Cameras, PhotoCamera, intrinsics_of
from hand_pipeline.data.photos.cropping import CropConfig
from hand_pipeline.data.photos.detector import DetectorConfig, HandDetector
from hand_pipeline.data.photos.files import BadPhoto, find_photos, load_photo, upright_rgb
from hand_pipeline.evaluation.hand_files import Mesh, glb_of, obj_of, photo_json, write_json
from hand_pipeline.evaluation.reconstruct import LooksConfig, PhotoReconstructor, PlacedHand
from hand_pipeline.files import atomic_write, atomic_write_bytes, atomic_write_text
from hand_pipeline.viz.overlay import drawn, overlay_image

logger = logging.getLogger(__name__)

Photo = str | Path | Image.Image | np.ndarray
"""A file, a picture of Pillow's, or upright RGB pixels, uint8 of shape (height, width, 3)."""
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp"})


class ReconstructorConfig(LooksConfig):
    """How hands are looked for, and what is done with the detector's joints."""

    max_hands: int = Field(4, ge=1, description="hands in a photo at most")
    crop_scale: float | None = Field(
        None, ge=1, le=4, description="crop side in longer sides of the hand; null: as in training"
    )
    detector_model: Path | None = Field(
        None, description="MediaPipe's hand_landmarker.task; null: downloaded once"
    )
    seed: int = Field(0, ge=0, description="of a model's draws")


@dataclass(frozen=True)
class PhotoHands(Sequence[PlacedHand]):
    """The hands of a photo, surest first.

    Attributes:
        name: of the photo.
        photo: its pixels, upright RGB.
        camera: of the photo, and where it comes from.
        ranked: of each hand its hypotheses, surest first; one of a model that draws none.
    """

    name: str
    photo: UInt8[np.ndarray, "height width 3"]
    camera: PhotoCamera
    ranked: list[list[PlacedHand]]

    def __len__(self) -> int:
        return len(self.ranked)

    def __getitem__(self, number: Any) -> Any:
        """The surest hypothesis of a hand; of several hands for a slice."""
        return [hypotheses[0] for hypotheses in self.ranked][number]

    def overlay(self) -> Image.Image:
        """The photo with the hands over it, and beside it the hands from the side."""
        return overlay_image(self.photo, drawn(list(self)), self.camera.intrinsics)

    def as_json(self) -> dict[str, Any]:
        """The record that `predict` writes."""
        height, width = self.photo.shape[:2]
        several = self.ranked if any(len(row) > 1 for row in self.ranked) else []
        return photo_json(self.name, (width, height), list(self), self.camera, several)

    def save(self, path: str | Path) -> Path:
        """Write all hands: .glb or .obj meshes, the .json record, or an overlay's .png or .jpg.

        Raises:
            ValueError: another ending, or meshes where no hand was found.
        """
        path = Path(path)
        kind = path.suffix.lower()
        if kind in (".glb", ".obj") and not self:
            raise ValueError(f"no hand was found in {self.name}: there is no mesh to write")
        meshes = [Mesh(hand.vertices, hand.faces, hand.colours) for hand in self]
        if kind == ".glb":
            atomic_write_bytes(path, glb_of(meshes))
        elif kind == ".obj":
            atomic_write_text(path, obj_of(meshes))
        elif kind == ".json":
            write_json(path, self.as_json())
        elif kind in _PICTURES:
            with atomic_write(path) as temporary:
                self.overlay().save(temporary)
        else:
            endings = ", ".join(sorted({".glb", ".obj", ".json"} | _PICTURES))
            raise ValueError(f"{path}: expected a name that ends in one of {endings}")
        return path


class HandReconstructor:
    """Finds the hands of photos and reconstructs them.

    Args:
        method: a key of `api.models.TRAINED`; None: the best that is shipped.
        checkpoint: file of any other trained model.
        device: where the model runs.
        data: where pipelines leave the models that `method` names.
        settings: fields of `ReconstructorConfig`: `refine=True`, `copies=8`, `max_hands=2`.

    Raises:
        ModelError: there is no such model.
        ValueError: an unknown or wrong setting.
        DetectorModelError: MediaPipe's model is not there and cannot be downloaded.
    """

    def __init__(
        self,
        method: str | None = None,
        checkpoint: str | Path | None = None,
        device: str = "cpu",
        data: str | Path = "data",
        **settings: Any,
    ) -> None:
        try:
            cfg = ReconstructorConfig(**settings)
        except ValidationError as error:
            raise ValueError(str(error)) from error
        path = find_checkpoint(None if checkpoint is None else Path(checkpoint), method, Path(data))
        detector = HandDetector(
            DetectorConfig(model_path=cfg.detector_model, max_hands=cfg.max_hands)
        )
        self.model = load_model(path, device, method)
        crops = CropConfig(crop_scale=cfg.crop_scale or float(self.model.crop_scale))
        looks = LooksConfig(**{name: getattr(cfg, name) for name in LooksConfig.model_fields})
        self.look = PhotoReconstructor(detector, self.model, crops, device, cfg.seed, looks)

    def __call__(
        self,
        photo: Photo,
        focal: float | None = None,
        intrinsics: Sequence[float] | Float[np.ndarray, "3 3"] | None = None,
    ) -> PhotoHands:
        """The hands of a photo.

        Args:
            photo: a file, a picture of Pillow's, or upright RGB pixels.
            focal: focal length, px. None: that in the file's EXIF, else a guess.
            intrinsics: (fx, fy, cx, cy) or the camera matrix; counts before `focal`.

        Raises:
            BadPhoto: a file that cannot be read.
            ValueError: what is no camera.
        """
        given = None if intrinsics is None else _matrix(intrinsics)
        return self._hands([photo], Cameras(focal, given))[0]

    def many(
        self,
        photos: str | Path | Iterable[Photo],
        cameras: Cameras | None = None,
        batch_size: int = 8,
    ) -> Iterator[PhotoHands]:
        """The hands of a folder's photos, or of several given ones; so many at once.

        A file that cannot be read is logged and left out.

        Args:
            photos: a folder, or photos as of a call.
            cameras: of the photos, where they are known.
            batch_size: photos whose hands go through the model together.

        Raises:
            NoPhotosError: the folder is missing or holds no photo.
        """
        files: Iterable[Photo] = (
            [photo.path for photo in find_photos([photos])]
            if isinstance(photos, str | Path)
            else photos
        )
        rest = iter(files)
        while batch := list(islice(rest, batch_size)):
            yield from self._hands(batch, cameras or Cameras(), leave_out=True)

    def _hands(
        self, photos: Sequence[Photo], cameras: Cameras, leave_out: bool = False
    ) -> list[PhotoHands]:
        opened = []
        for photo in photos:
            try:
                opened.append(_opened(photo, cameras))
            except BadPhoto as error:
                if not leave_out:
                    raise
                logger.warning("left out %s: %s, %s", photo, error.reason, error.detail)
        if not opened:
            return []
        names, pixels, seen = zip(*opened)
        found = self.look.many(pixels, [camera.intrinsics for camera in seen], names)
        return [PhotoHands(*each) for each in zip(names, pixels, seen, found)]


def _opened(photo: Photo, cameras: Cameras) -> tuple[str, np.ndarray, PhotoCamera]:
    if isinstance(photo, str | Path):
        path = Path(photo)
        pixels = load_photo(path)
        return path.name, pixels, cameras.of(path, path.name, (pixels.shape[1], pixels.shape[0]))
    pixels = upright_rgb(photo) if isinstance(photo, Image.Image) else np.asarray(photo)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(
            f"expected upright RGB pixels, uint8 of shape (height, width, 3), got {pixels.dtype} "
            f"of shape {pixels.shape}"
        )
    return "photo", pixels, cameras.of(None, "photo", (pixels.shape[1], pixels.shape[0]))


def _matrix(values: Sequence[float] | np.ndarray) -> Tensor:
    return intrinsics_of(np.asarray(values).tolist(), "intrinsics")
