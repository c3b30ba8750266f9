"""The one form in which every labelled data set is held: plain arrays, one row a hand."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

OPTIONAL_LABELS = ("joints_2d", "joints_3d")
"""Labels with a flag a joint: `has_NAME` says which are there, the others are zero."""


class DataSetError(ValueError):
    """A folder is not the data set's, or a part is missing or broken; the message says which."""


@dataclass(frozen=True)
class HandManifest:
    """Every labelled hand of one split of one data set.

    Points are in the OpenCV camera frame of the photo (+x right, +y down, +z forward), metres;
    pixels are the photo's, with the left and top edge 0; joints are in OpenPose order, and of the
    hand as it is: left hands are mirrored only when they are loaded (`hand_images`). Values of a
    missing label are zero and its flag is False.

    Attributes:
        dataset: key of `hand_sets.HAND_SETS`.
        split: name of the split, in the set's own words.
        root: folder the images' paths are relative to.
        ids: unique name of each hand, stable from run to run.
        images: path of each hand's photo; several hands may share one.
        shots: hands with equal shots share their labels (FreiHAND's four backgrounds of one
            photo) and are kept together by any split.
        groups: subject or sequence; what shares one must not be spread over train and test.
        is_right: side of the hand.
        boxes: left, top, right, bottom of the hand in its photo, tight, pixels.
        intrinsics: of the photo's camera; zero where not known.
        has_intrinsics: whether the camera is known.
        joints_2d, has_joints_2d: pixels of the photo, and which are labelled.
        joints_3d, has_joints_3d: metres, and which are labelled.
        mano_pose: MANO's wrist and 15 joints, axis-angle, as the set means them (see
            `flat_hand_mean`), the wrist's already in the camera frame.
        betas: MANO's shape, standard deviations.
        translation: added to the posed MANO hand, metres.
        has_mano: whether `mano_pose`, `betas` and `translation` are labelled.
        flat_hand_mean: True if finger rotations are full, False if relative to MANO's mean pose.
        vertices: of MANO's mesh, metres; None where the set has none. They then follow from the
            MANO parameters.
        image_side: side, px, of photos that are square crops of a hand already and are used as they
            are; None: full photos, cropped when loaded.
        flags: further marks of each hand (any leading size N), by name, e.g. `occluded`.
    """

    dataset: str
    split: str
    root: Path
    ids: tuple[str, ...]
    images: tuple[str, ...]
    shots: tuple[str, ...]
    groups: tuple[str, ...]
    is_right: Bool[np.ndarray, " hands"]
    boxes: Float[np.ndarray, "hands 4"]
    intrinsics: Float[np.ndarray, "hands 3 3"]
    has_intrinsics: Bool[np.ndarray, " hands"]
    joints_2d: Float[np.ndarray, "hands 21 2"]
    has_joints_2d: Bool[np.ndarray, "hands 21"]
    joints_3d: Float[np.ndarray, "hands 21 3"]
    has_joints_3d: Bool[np.ndarray, "hands 21"]
    mano_pose: Float[np.ndarray, "hands 48"]
    betas: Float[np.ndarray, "hands 10"]
    translation: Float[np.ndarray, "hands 3"]
    has_mano: Bool[np.ndarray, " hands"]
    flat_hand_mean: bool = True
    vertices: Float[np.ndarray, "hands 778 3"] | None = None
    image_side: int | None = None
    flags: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def __post_init__(self) -> None:
        """Refuse rows that are not there for every hand, and labels that are not finite.

        Raises:
            DataSetError: which field, and which hand first.
        """
        for name, value in _rows(self).items():
            if len(value) != len(self):
                raise DataSetError(
                    f"{self.dataset} {self.split}: {len(self)} hands, but {len(value)} {name}"
                )
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                bad = np.flatnonzero(~np.isfinite(value).all(axis=tuple(range(1, value.ndim))))
                if bad.size:
                    raise DataSetError(
                        f"{self.dataset} {self.split}: {name} of {bad.size} hands are not finite, "
                        f"the first is {self.ids[bad[0]]}; mark the label missing or mend the file"
                    )

    def select(self, rows: Sequence[int] | Int[np.ndarray, " chosen"]) -> "HandManifest":
        """The manifest of some of the hands, in the given order; a batch may show one twice.

        Raises:
            TypeError: a mask instead of row numbers, which would pick rows 0 and 1.
        """
        if np.asarray(rows).dtype == bool:
            raise TypeError("select takes row numbers; of a mask give np.flatnonzero(mask)")
        chosen = np.asarray(rows, dtype=np.int64)
        picked: dict[str, Any] = {
            name: value[chosen] if isinstance(value, np.ndarray) else
            tuple(value[i] for i in chosen.tolist())
            for name, value in _rows(self, flags=False).items()
        }  # fmt: skip
        marks = {name: value[chosen] for name, value in self.flags.items()}
        return replace(self, **picked, flags=marks)

    @property
    def fingerprint(self) -> str:
        """Hash of all labels and of the images' names; not of where the set lies."""
        plain = (self.dataset, self.split, self.flat_hand_mean, self.image_side)
        digest = hashlib.sha256(repr(plain).encode())
        for name, value in sorted(_rows(self).items()):
            if isinstance(value, np.ndarray):
                digest.update(f"{name}{value.dtype}{value.shape}".encode())
                digest.update(np.ascontiguousarray(value).tobytes())
            else:
                digest.update("\0".join([name, *value]).encode())
        return digest.hexdigest()


def build_manifest(
    dataset: str,
    split: str,
    root: Path,
    ids: Sequence[str],
    images: Sequence[str],
    *,
    boxes: Float[np.ndarray, "hands 4"],
    **labels: Any,
) -> HandManifest:
    """A manifest of the labels a set has; the others are marked missing.

    Args:
        dataset, split, root, ids, images, boxes: see `HandManifest`.
        labels: any other fields of `HandManifest`. By default every hand is a shot and a group of
            its own, and all are right. A label given without its flags is there for
            every hand; arrays are stored as float32, with zeros where the flag is False, whatever
            the set writes there.

    Raises:
        DataSetError: two hands have one name, or see `HandManifest`.
    """
    count = len(ids)
    if len(set(ids)) != count:
        twice = Counter(ids).most_common(1)[0][0]
        raise DataSetError(f"{dataset} {split}: two hands are called {twice!r}")
    shapes = {
        "intrinsics": (3, 3), "joints_2d": (21, 2), "joints_3d": (21, 3), "mano_pose": (48,),
        "betas": (10,), "translation": (3,),
    }  # fmt: skip
    flag_of = {name: f"has_{name}" for name in (*OPTIONAL_LABELS, "intrinsics")}
    flag_of |= {"mano_pose": "has_mano"}
    for name, flag in flag_of.items():
        size = (count, 21) if name in OPTIONAL_LABELS else (count,)
        labels.setdefault(flag, np.full(size, name in labels))
    for name, shape in shapes.items():
        labels[name] = np.asarray(labels.get(name, np.zeros((count, *shape))), dtype=np.float32)
    for name in shapes:
        flags = labels[flag_of.get(name, "has_mano")]
        if len(flags) == len(labels[name]):  # if not, the manifest says so itself
            there = flags.reshape(flags.shape + (1,) * (labels[name].ndim - flags.ndim))
            labels[name] = np.where(there, labels[name], np.float32(0))
    if labels.get("vertices") is not None:
        labels["vertices"] = np.asarray(labels["vertices"], dtype=np.float32)
    return HandManifest(
        dataset=dataset,
        split=split,
        root=Path(root),
        ids=tuple(ids),
        images=tuple(images),
        shots=tuple(labels.pop("shots", None) or ids),
        groups=tuple(labels.pop("groups", None) or ids),
        is_right=labels.pop("is_right", np.ones(count, dtype=bool)),
        boxes=np.asarray(boxes, dtype=np.float32),
        **labels,
    )


def box_around(
    points: Float[np.ndarray, "hands points 2"],
    valid: Bool[np.ndarray, "hands points"] | None = None,
) -> Float[np.ndarray, "hands 4"]:
    """Tight boxes around each hand's valid points; zero where it has none."""
    seen = np.ones(points.shape[:2], dtype=bool) if valid is None else np.asarray(valid)
    low = np.where(seen[..., None], points, np.inf).min(1)
    high = np.where(seen[..., None], points, -np.inf).max(1)
    boxes = np.concatenate([low, high], axis=1)
    return np.where(seen.any(1, keepdims=True), boxes, 0).astype(np.float32)


def _rows(manifest: HandManifest, flags: bool = True) -> dict[str, Any]:
    """Every field with one entry a hand."""
    rows = {
        f.name: value
        for f in fields(manifest)
        if isinstance(value := getattr(manifest, f.name), np.ndarray | tuple)
    }
    return rows | {f"flags.{k}": v for k, v in manifest.flags.items()} if flags else rows
