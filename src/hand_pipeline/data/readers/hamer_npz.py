"""HaMeR's evaluation files (Pavlakos et al. 2024): one npz a benchmark, photos beside them.

    freihand_val.npz  ho3d_val.npz  TEST_{newdays,epick,ego4d}_img_{all,vis,occ}.npz
    images/freihand_val/       FreiHAND_pub_v2_eval/evaluation/rgb, or a link to it
    images/ho3d_val/           HO3D_v2/evaluation
    images/TEST_newdays_img/   HInt_annotation_partial/TEST_newdays_img; all, vis and occ share it

Pixels of the photo, metres, OpenPose's joint order, poses relative to the flat hand, left hands as
left hands; HO-3D's too.
"""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np

from hand_pipeline.data.manifest import DataSetError, HandManifest, build_manifest
from hand_pipeline.data.readers.accounting import present
from hand_pipeline.data.readers.hamer_tars import hamer_labels
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.pickles import read_pickle

_CROPPED = ("freihand_val", "ho3d_val")
"""Files whose boxes are the crops, not the hands: HaMeR's eval.py gives them rescale_factor -1."""
_CROP_SCALE = 2.0  # HaMeR's crop of a hand's box, in all other files and in training
_NARROWEST = 192 / 256  # width over height: HaMeR grows the boxes of `_CROPPED` to BBOX_SHAPE first
_SURE = 0.5  # HaMeR's evaluation counts joints of a higher confidence
_OPTIONAL = {
    "hand_keypoints_2d": (21, 3), "hand_keypoints_3d": (21, 4), "hand_pose": (48,),
    "has_hand_pose": (), "betas": (10,), "has_betas": (), "right": (),
}  # fmt: skip


def read_hamer_npz(root: Path, split: str, mano: ManoHand) -> HandManifest:
    """The hands of one file, all of them, in its order.

    HInt's boxes are the file's, tight: `scale` pixels about `center`; HaMeR cuts a square of twice
    the longer side (rescale_factor 2). Those of freihand_val and ho3d_val are crops: HaMeR cuts the
    square around them as they are (rescale_factor -1), once they are 3:4 (BBOX_SHAPE 192 x 256).
    Ours is half of that square, so that in every file `crop_scale` 2 cuts what HaMeR's evaluation
    cuts, and another one cuts as wide for FreiHAND as for HInt.

    Labels that a file lacks are missing; without `right` all hands are right, as in HaMeR's code.
    Joints count as labelled from a confidence above 0.5, as in HaMeR's score; the confidences are
    the flag `confidence_2d`. There are no cameras: compare 3D labels relative to the wrist.

    Photos: `imgname` is relative to a folder that the file does not name. It is looked for in
    images/NAME, in NAME and in images below the root, NAME being the file's name without the ending
    and without _all, _vis or _occ; the folder that has most of the photos is taken.

    Args:
        root: folder with the npz files and `images`.
        split: file name without the ending, e.g. "freihand_val".
        mano: right hand with the tips "mano".

    Raises:
        DataSetError: the file or photos are missing, or the file is damaged, unsafe or lacks an
            array.
    """
    path = root / f"{split}.npz"
    arrays = _read(path)
    names = [n.decode() if isinstance(n, bytes) else str(n) for n in arrays["imgname"].tolist()]
    folder = _find_photos(root, split, names)
    centre = _column(arrays, "center", (2,), path)
    scale = np.asarray(arrays["scale"], dtype=np.float64).reshape(len(names), -1)
    if scale.shape[1] not in (1, 2):
        raise DataSetError(f"{path}: scale has {scale.shape[1]} numbers a hand, expected 1 or 2")
    half = np.broadcast_to(scale / 2, (len(names), 2))
    if split in _CROPPED:
        side = np.maximum(half[:, 1:], half[:, :1] / _NARROWEST)
        half = np.broadcast_to(side / _CROP_SCALE, (len(names), 2))
    columns = {name: _column(arrays, name, shape, path) for name, shape in _OPTIONAL.items()}
    if "right" not in arrays:
        columns["right"] = np.ones(len(names))
    # The tars call them keypoints, these files hand_keypoints.
    labels = {name.replace("hand_key", "key"): value for name, value in columns.items()}
    confidence = labels["keypoints_2d"][..., 2]
    return build_manifest(
        "hamer_npz",
        split,
        root,
        ids=[f"{split}/{row:05d}" for row in range(len(names))],
        images=[f"{folder}/{name}" for name in names],
        groups=[PurePosixPath(name).parts[0] for name in names],
        boxes=np.concatenate([centre - half, centre + half], axis=1),
        flags={"confidence_2d": confidence.astype(np.float32)},
        **hamer_labels(labels, confidence > _SURE, mano),
    )


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays that are used; the others (`extra_info` is a pickle of anything) stay unread."""
    if not path.is_file():
        raise DataSetError(
            f"no {path}; expected the npz files of HaMeR's hamer_evaluation_data in this folder"
        )
    wanted = ("imgname", "center", "scale", *_OPTIONAL)
    try:
        with zipfile.ZipFile(path) as archive:
            there = {name.removesuffix(".npy") for name in archive.namelist()}
            arrays = {n: _array(archive, n) for n in wanted if n in there}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError) as error:
        raise DataSetError(f"{path} is no npz file, or is damaged ({error})") from error
    lacking = {"imgname", "center", "scale"} - set(arrays)
    if lacking:
        raise DataSetError(
            f"{path} lacks {', '.join(sorted(lacking))}; it has {', '.join(sorted(there))}"
        )
    counts = {name: len(array) if array.shape else 0 for name, array in arrays.items()}
    if not counts["imgname"]:
        raise DataSetError(f"{path} holds no hand; copy it again")
    if len(set(counts.values())) != 1:
        raise DataSetError(f"{path}: its arrays disagree on the number of hands: {counts}")
    return arrays


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """One array; one of objects is a pickle, and goes through the restricted reader."""
    with archive.open(f"{name}.npy") as handle:
        version = np.lib.format.read_magic(handle)
        old = version == (1, 0)
        header = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(handle)
        if dtype.hasobject:
            found = read_pickle(handle)
            if not isinstance(found, np.ndarray) or found.shape != shape:
                raise ValueError(f"{name} is not the array of {shape} that it says it is")
            return found
    with archive.open(f"{name}.npy") as handle:
        return np.lib.format.read_array(handle, allow_pickle=False)


def _column(
    arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...], path: Path
) -> np.ndarray:
    """One number or array a hand; zeros if the file lacks it."""
    count = len(arrays["imgname"])
    if name not in arrays:
        return np.zeros((count, *shape))
    try:
        found = np.asarray(arrays[name], dtype=np.float64).reshape(count, *shape)
    except (ValueError, TypeError) as error:
        kind = f"{arrays[name].shape} of {arrays[name].dtype}"
        raise DataSetError(
            f"{path}: {name} is {kind}, expected {(count, *shape)} numbers"
        ) from error
    bad = np.flatnonzero(~np.isfinite(found.reshape(count, -1)).all(1))
    if bad.size:
        raise DataSetError(f"{path}: {name} of {bad.size} hands is not finite, first row {bad[0]}")
    return found


def _find_photos(root: Path, split: str, names: list[str]) -> str:
    """The folder that has most of the photos, relative to the root."""
    name = split
    for joints in ("_all", "_vis", "_occ"):
        name = name.removesuffix(joints)
    places = [f"images/{name}", name, "images"]
    found = {place: len(present(root / place, set(names))) for place in places}
    if any(found.values()):
        return max(found, key=lambda place: found[place])
    raise DataSetError(
        f"the photos of {split} are not there: expected {names[0]} in {root / places[0]}; put the "
        "folder of the data set's photos there, or a link to it"
    )
