"""HaMeR's training tars (Pavlakos et al. 2024): ten data sets in one webdataset form.

    dataset_tars/<set>/000000.tar, ...      of about 1,000 photos each:
        <key>.jpg         the photo (also .jpeg or .png)
        <key>.data.pyd    a pickle: a list with one dictionary a hand
        <key>.detection.npz   masks, not used

Pixels of the photo, metres, OpenPose's joint order, poses relative to the flat hand, left hands as
left hands. Photos stay in the tars (`data.shards.tar_members`); pickles pass the restricted reader.
"""

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from tqdm import tqdm

from hand_pipeline.data.manifest import DataSetError, HandManifest, box_around, build_manifest
from hand_pipeline.data.readers.accounting import settle_absent
from hand_pipeline.data.readers.ho3d_frames import place_on_wrist
from hand_pipeline.data.shards.tar_members import TarMember, list_members, read_member
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.pickles import read_pickle

_SHAPES = {
    "keypoints_2d": (21, 3), "keypoints_3d": (21, 4), "hand_pose": (48,), "betas": (10,),
    "right": (), "has_hand_pose": (), "has_betas": (),
}  # fmt: skip
_SIZES = [int(np.prod(shape)) for shape in _SHAPES.values()]
_PHOTOS = ("jpg", "jpeg", "png")
_LABELS = "data.pyd"
_THREADS = 4

# HaMeR's training settings (its released model_config.yaml, section DATASETS).
_FEWEST_JOINTS = 5
_LARGEST_BETA = 3.0
_LARGEST_LOSS = 31_000.0

logger = logging.getLogger(__name__)


class TarHands(NamedTuple):
    """The hands of one tar.

    Attributes:
        ids: set, tar, key, and which hand of the photo.
        images: photos in the tar, as `data.shards.tar_members` names them.
        numbers: `_SHAPES` side by side.
        losses: of HaMeR's authors' fit, pixels squared summed; 0 where there was none.
        absent: label files without a photo.
    """

    ids: list[str]
    images: list[str]
    numbers: Float[np.ndarray, "hands numbers"]
    losses: Float[np.ndarray, " hands"]
    absent: list[str]


def read_hamer_tars(
    root: Path, split: str, mano: ManoHand, min_confidence: float = 0.3, partial: bool = False
) -> HandManifest:
    """The hands of all tars below a folder, in the order of the tars' names.

    As HaMeR does when it trains: joints of lower confidence than 0.3 are not labelled, hands with
    fewer than 5 labelled joints or a fit worse than 31,000 are left out, MANO labels count only
    with pose and shape both, and no shape number beyond 3.

    There are no cameras: 3D joints and MANO's hand are to be compared relative to the wrist. MANO's
    hand stands with its wrist on the labelled one, if there is one.

    Deviation: HaMeR also drops unlikely poses, by a histogram that is not ours to ship. Boxes are
    tight around the labelled joints; HaMeR crops by `center` and `scale`, whose margin differs from
    set to set.

    All tars' labels are held in memory, about 1.5 kB a hand (4 GB for the whole 2.7 million); give
    one set's folder to read only that.

    Args:
        root: `dataset_tars`, or one set's folder in it.
        split: "train".
        mano: right hand with the tips "mano".
        min_confidence: least confidence of a labelled 2D joint.
        partial: leave out labels whose photo is not in the tar.

    Raises:
        DataSetError: there are no tars, or one is damaged, unsafe or lacks a label.
    """
    tars = sorted(tar for tar in root.rglob("*.tar") if not tar.name.startswith("."))
    if not tars:
        raise DataSetError(f"no tars below {root}; expected HaMeR's <set>/000000.tar and on")
    found: list[TarHands] = []
    bar = tqdm(tars, desc="labels in tars", unit="tar", disable=None)
    with ThreadPoolExecutor(_THREADS) as pool:
        for hands in pool.map(lambda tar: read_tar(root, tar), tars):
            found.append(hands)
            bar.update()
    bar.close()
    absent = [name for hands in found for name in hands.absent]
    labelled = len(absent) + len({image for hands in found for image in hands.images})
    settle_absent(root, "photos that the tars label", absent, labelled, partial)
    ids = [name for hands in found for name in hands.ids]
    images = [name for hands in found for name in hands.images]
    numbers = np.concatenate([hands.numbers for hands in found])
    losses = np.concatenate([hands.losses for hands in found])
    del found
    parts = np.split(numbers, np.cumsum(_SIZES)[:-1], axis=1)
    labels = {name: part.reshape(-1, *_SHAPES[name]) for name, part in zip(_SHAPES, parts)}
    confidence = labels["keypoints_2d"][..., 2]
    valid = (confidence > 0) & (confidence >= min_confidence)
    labels["has_betas"] *= (np.abs(labels["betas"]) <= _LARGEST_BETA).all(1)
    few = valid.sum(1) < _FEWEST_JOINTS
    bad = losses >= _LARGEST_LOSS
    logger.info(
        "%d of %d hands left out: fewer than %d joints (%d), badly fitted (%d)",
        (few | bad).sum(), len(ids), _FEWEST_JOINTS, few.sum(), (bad & ~few).sum(),
    )  # fmt: skip
    rows = np.flatnonzero(~few & ~bad)
    if not rows.size:
        raise DataSetError(f"none of the {len(ids)} hands below {root} has labels")
    chosen = hamer_labels({k: v[rows] for k, v in labels.items()}, valid[rows], mano)
    return build_manifest(
        "hamer_tars",
        split,
        root,
        ids=[ids[row] for row in rows.tolist()],
        images=[images[row] for row in rows.tolist()],
        groups=[images[row] for row in rows.tolist()],
        boxes=box_around(chosen["joints_2d"], valid[rows]),
        **chosen,
    )


def hamer_labels(
    labels: Mapping[str, np.ndarray], valid: Bool[np.ndarray, "hands 21"], mano: ManoHand
) -> dict[str, Any]:
    """Fields of the manifest from HaMeR's arrays.

    Args:
        labels: by HaMeR's names.
        valid: which 2D joints count.
        mano: to place MANO's hand on the labelled wrist.
    """
    pixels, points = labels["keypoints_2d"], labels["keypoints_3d"]
    solid = points[..., 3] > 0
    is_right = labels["right"] > 0
    has_mano = (labels["has_hand_pose"] > 0) & (labels["has_betas"] > 0)
    there = has_mano[:, None]
    betas = np.where(there, labels["betas"], 0.0)
    joints = np.where(solid[..., None], points[..., :3], 0.0)
    wrist = np.where(solid[:, :1] & there, joints[:, 0], 0.0)
    place = place_on_wrist(wrist.astype(np.float64), betas.astype(np.float64), is_right, mano)
    return {
        "is_right": is_right,
        "joints_2d": np.where(valid[..., None], pixels[..., :2], 0.0),
        "has_joints_2d": valid,
        "joints_3d": joints,
        "has_joints_3d": solid,
        "mano_pose": np.where(there, labels["hand_pose"], 0.0),
        "betas": betas,
        "translation": np.where(there & solid[:, :1], place, 0.0),
        "has_mano": has_mano,
        "flat_hand_mean": True,
    }


def read_tar(root: Path, tar: Path) -> TarHands:
    """The hands of one tar.

    Raises:
        DataSetError: it is damaged, unsafe, or lacks a label.
    """
    name = tar.relative_to(root).as_posix()
    ids: list[str] = []
    images: list[str] = []
    rows: list[np.ndarray] = []
    losses: list[float] = []
    absent: list[str] = []
    try:
        for key, photo, label in _samples(list_members(tar)):
            if photo is None:
                absent.append(f"{name}::{key}.jpg")
                continue
            content = read_member(label.path_in(str(tar)))
            hands = _unpickle(content, f"{tar}::{key}.{_LABELS}")
            for number, hand in enumerate(hands):
                where = f"{tar}::{key}.{_LABELS}, hand {number}"
                rows.append(_numbers(hand, where))
                losses.append(_loss(hand))
                ids.append(f"{name.removesuffix('.tar')}/{key}_{number}")
                images.append(photo.path_in(name))
    except DataSetError:
        raise
    except (ValueError, OSError) as error:
        raise DataSetError(str(error)) from error
    numbers = np.stack(rows) if rows else np.zeros((0, sum(_SIZES)), np.float32)
    return TarHands(ids, images, numbers, np.array(losses, dtype=np.float64), absent)


def _samples(
    members: Sequence[TarMember],
) -> Iterator[tuple[str, TarMember | None, TarMember]]:
    """Key, photo (None: absent) and labels of every sample; webdataset cuts names at the first dot.

    macOS' `._NAME` have no name before their dot and are no samples.
    """
    photos: dict[str, TarMember] = {}
    labels: dict[str, TarMember] = {}
    for member in members:
        folder, slash, base = member.name.rpartition("/")
        stem, _, suffix = base.partition(".")
        if not stem:
            continue
        if suffix.lower() in _PHOTOS:
            photos[folder + slash + stem] = member
        elif suffix == _LABELS:
            labels[folder + slash + stem] = member
    for key, member in labels.items():
        yield key, photos.get(key), member


def _unpickle(content: bytes, where: str) -> list[Any]:
    handle = io.BytesIO(content)
    handle.name = where  # named in the reader's messages
    hands = read_pickle(handle)
    if not isinstance(hands, list) or not all(isinstance(hand, dict) for hand in hands):
        raise DataSetError(f"{where}: expected a list of dictionaries, one a hand")
    return hands


def _numbers(hand: dict[str, Any], where: str) -> np.ndarray:
    lacking = [name for name in _SHAPES if name not in hand]
    if lacking:
        raise DataSetError(f"{where} has no {', '.join(lacking)}; it has {', '.join(hand)}")
    parts = []
    for name, size in zip(_SHAPES, _SIZES):
        value = np.asarray(hand[name])
        if value.size != size or value.dtype.kind not in "fiub":
            raise DataSetError(
                f"{where}: {name} is {value.shape} of {value.dtype}, expected {_SHAPES[name]}"
            )
        parts.append(value.reshape(-1))
    row = np.concatenate(parts, dtype=np.float32)
    if not np.isfinite(row).all():
        raise DataSetError(f"{where}: some numbers are not finite")
    return row


def _loss(hand: dict[str, Any]) -> float:
    """The reprojection loss of the pose's fit: `fitting_loss` is a dictionary in an array."""
    losses = hand.get("extra_info", {}).get("fitting_loss", {})
    if isinstance(losses, np.ndarray) and losses.shape == ():
        losses = losses.item()
    loss = losses.get("reprojection_loss") if isinstance(losses, dict) else None
    return 0.0 if loss is None else float(loss)
