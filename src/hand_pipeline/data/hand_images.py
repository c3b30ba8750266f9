"""Photos and labels of a manifest as training samples: cropped, and shown as right hands."""

import copy
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from hand_pipeline.config import Config
from hand_pipeline.data.batch import HandBatch
from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.photos.cropping import cut_square, squares_around
from hand_pipeline.data.photos.files import BadPhoto, load_photo
from hand_pipeline.geometry.affine2d import apply_affine
from hand_pipeline.geometry.mano import ManoHand, mirror_points

_MIRROR = torch.tensor([-1.0, 1.0, 1.0])
_MIRRORED_ROTATION = torch.tensor([1.0, -1.0, -1.0])  # of an axis-angle vector
_CROP_SIZE = 256
_GUESSED_FOCAL = 5.0  # crops; HaMeR's 5000 px for 224 px crops is longer, most lenses are shorter
_PATIENCE = 100  # unreadable photos in a row after which something else must be wrong


class HandCropConfig(Config):
    """How the square around a labelled hand is cut."""

    crop_scale: float = Field(
        2.0, ge=1, le=4, description="side of the square, longer sides of the hand's box; HaMeR: 2"
    )
    crop_size: int | None = Field(
        None,
        ge=32,
        description="side of the crop, px; null keeps whole images as they are, and cuts others at "
        "256. Sets that are mixed in one batch need one size",
    )


class CropSource(NamedTuple):
    """All that is needed to cut one crop, in any process.

    Attributes:
        path: of the photo.
        whole: side that the photo must have, px, where photos are crops already; else None.
        square: left, top and side of what is cut, px of the photo.
        mirrored: whether the crop is shown mirrored, as of a left hand.
        size: side of the crop, px.
    """

    path: Path
    whole: int | None
    square: tuple[int, int, int]
    mirrored: bool
    size: int

    def load(self) -> UInt8[np.ndarray, "size size 3"]:
        """The crop, RGB.

        Raises:
            BadPhoto: the photo cannot be read.
        """
        photo = load_photo(self.path)
        if self.whole is not None and photo.shape[:2] != (self.whole, self.whole):
            size = f"{photo.shape[1]} x {photo.shape[0]}"
            raise BadPhoto("unreadable", f"is {size} px, the set's are {self.whole} x {self.whole}")
        image = cut_square(photo, *self.square, self.size)
        return np.ascontiguousarray(image[:, ::-1]) if self.mirrored else image


class HandSample(NamedTuple):
    """One crop, and which row of its set it shows."""

    image: UInt8[Tensor, "3 height width"]
    row: int


class HandImages(Dataset[HandSample]):
    """The hands of a manifest; a `hand_dataset.HandDataset`.

    Args:
        manifest: the labels.
        mano: the hand model that the set's poses are relative to: right, of the set's own kind.
        cfg: how crops are cut.
        bad_photos: file that gets a line for each photo that cannot be read, whose place the next
            readable one takes, so that a run over a million photos does not end at a broken one.
            None (for evaluation, where no hand may be left out): such a photo is an error.
    """

    def __init__(
        self,
        manifest: HandManifest,
        mano: ManoHand,
        cfg: HandCropConfig | None = None,
        bad_photos: Path | None = None,
    ) -> None:
        self.manifest, self.cfg = manifest, cfg or HandCropConfig()
        self.mano = copy.deepcopy(mano).cpu()  # loading stays here where a model goes to a GPU
        self.bad_photos = bad_photos
        self.substitutes = np.arange(len(manifest))
        self.ids, self.unique_ids = list(manifest.ids), list(manifest.shots)

    def only(self, rows: Sequence[int]) -> "HandImages":
        """The same set, in which only some of its hands take the place of a broken photo."""
        alike = copy.copy(self)
        alike.substitutes = np.sort(np.array(rows, dtype=np.int64))
        return alike

    def __len__(self) -> int:
        return len(self.manifest)

    def __getitem__(self, index: int) -> HandSample:
        if not -len(self) <= index < len(self):  # by this, too, a loop over the set ends
            raise IndexError(f"hand {index} of {len(self)} in {self.manifest.dataset}")
        index %= len(self)
        tries = min(_PATIENCE, len(self.substitutes))
        after = np.searchsorted(self.substitutes, index, side="right") + np.arange(tries - 1)
        for row in [index, *self.substitutes[after % len(self.substitutes)].tolist()]:
            try:
                return HandSample(self._crop(row), row)
            except BadPhoto as error:
                self._note(row, error)
        raise DataSetError(
            f"{tries} photos of {self.manifest.dataset} in a row cannot be read, the first is "
            f"{self._path(index)}; check that the photos are all there, with "
            f"`python -m hand_pipeline check-data {self.manifest.dataset} {self.manifest.root}`"
        )

    @property
    def fingerprint(self) -> str:
        """Hash of all labels and of how crops are cut."""
        return hashlib.sha256(
            f"{self.manifest.fingerprint}{self.cfg.model_dump_json()}".encode()
        ).hexdigest()

    @property
    def crop_scale(self) -> float:
        """Median side of the square over the longer side of the hand in it."""
        if self.manifest.image_side is None:
            return self.cfg.crop_scale
        sizes = self.manifest.boxes[:, 2:] - self.manifest.boxes[:, :2]
        return float(self.manifest.image_side / np.median(sizes.max(1)))

    @property
    def crop_size(self) -> int:
        """Side of the crops, px."""
        return self.cfg.crop_size or self.manifest.image_side or _CROP_SIZE

    def collate(self, samples: Sequence[HandSample]) -> HandBatch:
        """One batch; where a set has no vertices, MANO's parameters give them."""
        rows = np.array([sample.row for sample in samples])
        return self.labels(rows, torch.stack([sample.image for sample in samples]))

    def labels(
        self, rows: Int[np.ndarray, " batch"], images: UInt8[Tensor, "batch 3 h w"] | None
    ) -> HandBatch:
        """Labels in crop pixels, of right hands.

        Args:
            rows: of the manifest.
            images: their crops; None if only labels are wanted: the batch then has images of no
                pixels.
        """
        chosen = self.manifest.select(rows)
        matrix, left = self._matrices(chosen), torch.from_numpy(~chosen.is_right)
        side = torch.where(left[:, None], _MIRROR, 1.0)
        # A left hand's crop is the image of the mirrored scene: A K X = (A K D) (D X).
        camera = matrix @ self._cameras(chosen) @ torch.diag_embed(side)
        points, has_points = _label(chosen, "joints_3d")
        pixels, has_pixels = _label(chosen, "joints_2d")
        pose, betas, vertices = self._mano_labels(chosen, left)
        has_mano = torch.from_numpy(chosen.has_mano)
        return HandBatch(
            ids=chosen.ids,
            images=torch.empty(len(rows), 3, 0, 0, dtype=torch.uint8) if images is None else images,
            intrinsics=camera,
            joints_2d=apply_affine(matrix, pixels) * has_pixels[..., None],
            joints_3d=points * side[:, None],
            vertices=vertices,
            mano_pose=pose,
            betas=betas,
            has_joints_2d=has_pixels,
            has_joints_3d=has_points,
            has_mano=has_mano,
            has_vertices=has_mano if chosen.vertices is None else torch.ones_like(has_mano),
        )

    def source(self, row: int) -> CropSource:
        """Where the crop of a row comes from."""
        left, top, side = self._squares(self.manifest.boxes[[row]])[0].tolist()
        return CropSource(
            self._path(row), self.manifest.image_side, (left, top, side),
            not self.manifest.is_right[row], self.crop_size,
        )  # fmt: skip

    def photo_to_crop(self, rows: Int[np.ndarray, " batch"]) -> Float[Tensor, "batch 3 3"]:
        """Maps from px of the photos to px of the crops, in which left hands are mirrored."""
        return self._matrices(replace(self.manifest, vertices=None).select(rows))

    def photo_cameras(self, rows: Int[np.ndarray, " batch"]) -> Float[Tensor, "batch 3 3"]:
        """Cameras of the full photos; where a set has none, the guess that `labels` crops."""
        return self._cameras(self.manifest.select(rows))

    def _mano_labels(self, chosen: HandManifest, left: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Full pose, shape and vertices of the right hand, zero where there are none."""
        there = torch.from_numpy(chosen.has_mano)[:, None]
        turned = torch.where(left[:, None], _MIRRORED_ROTATION.repeat(16), 1.0)
        pose = self.mano.full_pose(
            torch.from_numpy(chosen.mano_pose) * turned, chosen.flat_hand_mean
        )
        betas = torch.from_numpy(chosen.betas)
        if chosen.vertices is not None:
            vertices = torch.from_numpy(chosen.vertices)
            vertices = torch.where(left[:, None, None], mirror_points(vertices), vertices)
        else:
            place = torch.from_numpy(chosen.translation)
            place = torch.where(left[:, None], mirror_points(place), place)
            vertices = self.mano(pose, betas, place).vertices * there[..., None]
        return pose * there[..., None, None], betas * there, vertices

    def _cameras(self, chosen: HandManifest) -> Float[Tensor, "batch 3 3"]:
        """The photos' cameras; where none is known, one that looks at the crop's middle.

        Only the 2D joints are compared through it: such a set has no 3D labels in camera space.
        """
        known = torch.from_numpy(chosen.has_intrinsics)[:, None, None]
        centre = torch.from_numpy(chosen.boxes).unflatten(1, (2, 2)).mean(1)
        sides = torch.from_numpy(self._squares(chosen.boxes)[:, 2]).float()
        guess = torch.eye(3).repeat(len(chosen), 1, 1)
        guess[:, 0, 0] = guess[:, 1, 1] = _GUESSED_FOCAL * sides
        guess[:, :2, 2] = centre
        return torch.where(known, torch.from_numpy(chosen.intrinsics), guess)

    def _squares(self, boxes: Float[np.ndarray, "batch 4"]) -> Int[np.ndarray, "batch 3"]:
        """Left, top and side of the square around each box, px of the photo."""
        side = self.manifest.image_side
        if side is not None:
            return np.tile(np.array([0, 0, side]), (len(boxes), 1))
        return squares_around(boxes, self.cfg.crop_scale)

    def _matrices(self, chosen: HandManifest) -> Float[Tensor, "batch 3 3"]:
        """Photo px to crop px, mirroring left hands."""
        squares = torch.from_numpy(self._squares(chosen.boxes)).float()
        size = float(self.crop_size)
        scale = size / squares[:, 2]
        mirror = torch.where(torch.from_numpy(chosen.is_right), 1.0, -1.0)
        matrix = torch.zeros(len(chosen), 3, 3)
        matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 2, 2] = mirror * scale, scale, 1
        shift = -scale[:, None] * squares[:, :2]
        matrix[:, 0, 2] = torch.where(mirror > 0, shift[:, 0], size - shift[:, 0])
        matrix[:, 1, 2] = shift[:, 1]
        return matrix

    def _crop(self, row: int) -> UInt8[Tensor, "3 height width"]:
        return torch.from_numpy(self.source(row).load()).permute(2, 0, 1).contiguous()

    def _path(self, row: int) -> Path:
        return self.manifest.root / self.manifest.images[row]

    def _note(self, row: int, error: BadPhoto) -> None:
        path = self._path(row)
        if self.bad_photos is None:
            raise DataSetError(
                f"{path} {error.detail} ({error.reason}); copy it again from the data set's "
                "archive. In evaluation no hand may be left out"
            ) from error
        line = json.dumps({"file": str(path), "reason": error.reason, "detail": error.detail})
        self.bad_photos.parent.mkdir(parents=True, exist_ok=True)
        with self.bad_photos.open("a") as lines:  # one short write: whole also from many processes
            lines.write(line + "\n")


def read_bad_photos(path: Path) -> list[dict[str, str]]:
    """What `HandImages` noted of photos it could not read: file, reason, detail; each file once."""
    if not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return list({row["file"]: row for row in rows}.values())


def _label(chosen: HandManifest, name: str) -> tuple[Tensor, Tensor]:
    values = torch.from_numpy(getattr(chosen, name))
    flags = torch.from_numpy(getattr(chosen, f"has_{name}"))
    return values * flags[..., None], flags
