"""Hand poses of the 26 one-handed letters of the ASL alphabet, for text-to-mesh.

MaskHand (arXiv 2412.13393) pairs the Kaggle ASL alphabet's photos with its own predictions. Here
are both that (`letters_of`) and an open default: the handshapes written down as the angles of the
joints (`draw_letters`), in the anatomy of `data.synthetic.poses`, each sample varied by a few
degrees.

Deviation: paper has photos of one signer; the written handshapes are ours, after common charts of
the alphabet, with thumbs fitted to the open hand. J and Z are motions: both stand for their first
moment, so that J is an I, and Z is a pointing hand.
"""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from pydantic import Field, field_validator
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.utils.data import Dataset

from hand_pipeline.config import Config
from hand_pipeline.data.batch import PromptedPoseBatch
from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.pose_set import poses_of
from hand_pipeline.data.readers.asl_alphabet import LETTERS
from hand_pipeline.data.synthetic.gestures import angles_of
from hand_pipeline.data.synthetic.poses import finger_rotations, skeleton_of
from hand_pipeline.files import atomic_write
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix

ALIKE = {"J": "I"}
"""Letters that another letter's static shape stands for, too."""

_STREAM = 3  # other hands than `synthetic`'s and `pose_set`'s of a seed
_BENT = "78 95 55 0"  # a finger in a fist
# angles and signs as in `data.synthetic.gestures`
_SHAPES = {
    "A": f"{_BENT} | {_BENT} | {_BENT} | {_BENT} | -4 -22 25 19 35",
    "B": "2 4 2 -13 | 2 4 2 0 | 2 4 2 -8 | 2 4 2 -14 | 20 4 32 59 64",
    "C": "28 44 26 -5 | 32 44 26 0 | 32 44 26 -4 | 28 42 24 -7 | 1 8 3 31 56",
    "D": "0 4 3 0 | 56 52 27 0 | 62 56 28 -2 | 66 56 28 -7 | 7 8 0 37 41",
    "E": "26 100 64 -4 | 28 102 64 0 | 30 100 64 -3 | 30 98 62 -7 | 8 6 21 59 80",
    "F": "49 50 28 -3 | 5 10 5 0 | 0 8 5 4 | -2 8 5 10 | -6 5 4 29 52",
    "G": f"6 6 4 0 | {_BENT} | {_BENT} | {_BENT} | 16 -26 10 3 2",
    "H": f"4 5 3 -15 | 4 5 3 0 | {_BENT} | {_BENT} | 20 11 18 44 45",
    "I": f"{_BENT} | {_BENT} | {_BENT} | 0 4 3 0 | 10 4 16 40 53",
    "K": f"0 4 3 2 | 50 8 4 0 | {_BENT} | {_BENT} | 11 -15 38 40 44",
    "L": f"0 4 3 2 | {_BENT} | {_BENT} | {_BENT} | -38 8 0 -6 -10",
    "M": "78 58 22 -4 | 78 60 22 0 | 80 60 22 -3 | 84 95 55 -7 | 29 4 26 54 51",
    "N": "78 58 22 -4 | 78 60 22 0 | 80 95 55 0 | 80 95 55 0 | 16 -1 35 48 64",
    "O": "46 50 26 -6 | 48 50 26 0 | 48 50 26 -5 | 44 50 26 -12 | 6 17 17 28 43",
    "R": f"2 4 3 -23 | 26 14 6 11 | {_BENT} | {_BENT} | 20 11 18 44 45",
    "S": f"{_BENT} | {_BENT} | {_BENT} | {_BENT} | 8 5 17 39 54",
    "T": f"64 80 44 2 | {_BENT} | {_BENT} | {_BENT} | 19 -5 40 42 9",
    "U": f"0 4 3 -15 | 0 4 3 0 | {_BENT} | {_BENT} | 20 11 18 44 45",
    "V": f"0 4 3 10 | 0 4 3 0 | {_BENT} | {_BENT} | 20 11 18 44 45",
    "W": "0 4 3 8 | 0 4 3 0 | 2 5 3 6 | 76 92 52 0 | 37 11 11 44 32",
    "X": f"4 82 52 0 | {_BENT} | {_BENT} | {_BENT} | 8 5 17 39 54",
    "Y": f"{_BENT} | {_BENT} | {_BENT} | 2 4 3 19 | -40 8 0 -8 -12",
    "Z": f"0 4 3 0 | {_BENT} | {_BENT} | {_BENT} | 8 5 17 39 54",
}
_SHAPES |= {"J": _SHAPES["I"], "P": _SHAPES["K"], "Q": _SHAPES["G"]}
# where the fingers point and the back of the hand looks: camera frame, the viewer at -z
_UPRIGHT = ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
_TURNED = {
    "C": ((0.0, -1.0, 0.0), (-0.87, 0.0, 0.5)),
    "O": ((0.0, -1.0, 0.0), (-0.87, 0.0, 0.5)),
    "G": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    "H": ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    "P": ((0.7, 0.7, 0.0), (0.0, 0.0, -1.0)),
    "Q": ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),
}
# of the angles, relative to `joint_std`: fingers, then thumb
_LOOSENESS = np.array([1.0, 1.0, 0.6, 0.5] * 4 + [0.7, 0.7, 0.7, 1.0, 1.0])


class AslPosesConfig(Config):
    """Which hands stand for the letters."""

    source: Literal["handshapes", "photos"] = Field(
        "handshapes",
        description="written-down shapes, or the ASL alphabet's photos with pseudo labels",
    )
    letters: tuple[str, ...] = Field(LETTERS, min_length=1, description="which, A to Z")
    samples: int = Field(40, ge=2, description="hands a letter; of photos: at most so many")
    held_out: float = Field(
        0.25, gt=0, lt=1, description="share of each letter's hands, its last ones, kept for scores"
    )
    joint_std: float = Field(4.0, ge=0, description="spread of the written angles, degrees")
    wrist_std: float = Field(8.0, ge=0, description="spread of the wrist's turn an axis, degrees")
    seed: int = Field(0, ge=0, description="other seeds give other hands")
    photos: Path | None = Field(
        None, description="folder of the ASL alphabet; its pseudo_labels_train.npz is used if there"
    )
    partial: bool = Field(
        False, description="go on where photos that the pseudo labels name are not there"
    )

    @field_validator("letters")
    @classmethod
    def _known(cls, letters: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [letter for letter in letters if letter not in LETTERS]:
            raise ValueError(f"no letter {unknown[0]!r} in the alphabet; known: A to Z")
        if len(set(letters)) != len(letters):
            raise ValueError("a letter is named twice")
        return letters


class LetterPoses(NamedTuple):
    """Right hands that show a letter each; their shape is not part of a pose.

    Attributes:
        ids: their names.
        letters: what each shows.
        mano_pose: full pose, wrist first, in the camera frame.
    """

    ids: tuple[str, ...]
    letters: tuple[str, ...]
    mano_pose: Float[Tensor, "hands 16 3 3"]

    def select(self, rows: Sequence[int]) -> "LetterPoses":
        """Some of the hands."""
        ids, letters = (tuple(values[row] for row in rows) for values in self[:2])
        return LetterPoses(ids, letters, self.mano_pose[list(rows)])

    def split(self, held_out: float) -> tuple["LetterPoses", "LetterPoses"]:
        """Hands to learn from, and the last share of each letter's (at least one), held out.

        Raises:
            ValueError: a letter with a single hand.
        """
        train, test = list[int](), list[int]()
        for letter in dict.fromkeys(self.letters):
            rows = [row for row, shown in enumerate(self.letters) if shown == letter]
            if len(rows) < 2:
                raise ValueError(f"one hand of {letter!r} cannot be split; give two or more")
            kept = min(len(rows) - 1, max(1, round(held_out * len(rows))))
            train += rows[:-kept]
            test += rows[-kept:]
        return self.select(sorted(train)), self.select(sorted(test))


class LetterSet(Dataset[int]):
    """Hands of letters as batches for training; nothing is loaded a sample.

    Args:
        hands: which.
        prompts: texts in the order of the model; every letter must be one of them.

    Raises:
        ValueError: no hands, or a letter that is no prompt.
    """

    def __init__(self, hands: LetterPoses, prompts: Sequence[str]) -> None:
        unknown = sorted(set(hands.letters) - set(prompts))
        if unknown or not hands.ids:
            raise ValueError(
                f"expected hands that show {', '.join(prompts)}, got {', '.join(unknown) or 'none'}"
            )
        self.hands = hands
        number = {prompt: index for index, prompt in enumerate(prompts)}
        self.prompts = torch.tensor([number[letter] for letter in hands.letters])

    def __len__(self) -> int:
        return len(self.hands.ids)

    def __getitem__(self, index: int) -> int:
        return range(len(self))[index]

    def collate(self, samples: Sequence[int]) -> PromptedPoseBatch:
        """One batch of hands."""
        rows = torch.tensor(samples)
        ids = tuple(self.hands.ids[row] for row in samples)
        return PromptedPoseBatch(ids, self.prompts[rows], self.hands.mano_pose[rows])

    @property
    def fingerprint(self) -> str:
        """Hash of all hands, their names and prompts."""
        digest = hashlib.sha256("\n".join([*self.hands.ids, *self.hands.letters]).encode())
        digest.update(self.prompts.numpy().tobytes())
        digest.update(self.hands.mano_pose.contiguous().numpy().tobytes())
        return digest.hexdigest()


def draw_letters(cfg: AslPosesConfig, mano: ManoHand) -> LetterPoses:
    """The written handshapes, each sample a little different.

    A sample is a function of (seed, letter, number) alone.

    Args:
        cfg: letters, samples and their spread.
        mano: whose finger axes turn the angles into rotations.
    """
    angles, wrists, ids = [], [], []
    for letter in cfg.letters:
        shape, turn = letter_angles(letter), _wrist(letter)
        for number in range(cfg.samples):
            rng = np.random.default_rng([cfg.seed, _STREAM, LETTERS.index(letter), number])
            angles.append(shape + cfg.joint_std * _LOOSENESS * rng.normal(size=21))
            wobble = Rotation.from_rotvec(np.deg2rad(cfg.wrist_std * rng.normal(size=3)))
            wrists.append((wobble * turn).as_rotvec())
            ids.append(f"{letter}/{cfg.seed}/{number:05d}")
    fingers = finger_rotations(np.stack(angles), skeleton_of(mano))
    vectors = np.concatenate([np.stack(wrists)[:, None], fingers], axis=1)
    letters = tuple(letter for letter in cfg.letters for _ in range(cfg.samples))
    pose = axis_angle_to_matrix(torch.from_numpy(vectors).float())
    return LetterPoses(tuple(ids), letters, pose)


def letter_angles(letter: str) -> Float[ndarray, "21"]:
    """Angles of a letter, degrees, as `data.synthetic.gestures` counts them."""
    return angles_of(_SHAPES[letter])


def letters_of(manifest: HandManifest, mano: ManoHand) -> LetterPoses:
    """Photos of letters that have MANO labels, as `readers.asl_alphabet` reads them.

    Raises:
        DataSetError: the set names no letters, or none of its letters has a pose.
    """
    if "letter" not in manifest.flags:
        raise DataSetError(f"{manifest.dataset} does not say which letter a hand shows")
    shown = np.isin(manifest.flags["letter"], LETTERS) & manifest.has_mano
    chosen = manifest.select(np.flatnonzero(shown))
    poses = poses_of(chosen, mano)
    letter_of = dict(zip(chosen.ids, chosen.flags["letter"].tolist()))
    return LetterPoses(poses.ids, tuple(letter_of[name] for name in poses.ids), poses.mano_pose)


def first_of_each(manifest: HandManifest, cfg: AslPosesConfig) -> HandManifest:
    """The first photos of each letter: at most as many as asked for.

    Raises:
        DataSetError: a letter has no photo.
    """
    shown = manifest.flags["letter"]
    missing = [letter for letter in cfg.letters if letter not in shown]
    if missing:
        raise DataSetError(f"no photo of {', '.join(missing)} in {manifest.root}")
    rows = [np.flatnonzero(shown == letter)[: cfg.samples] for letter in cfg.letters]
    return manifest.select(np.concatenate(rows).tolist())


def save_letters(path: Path, hands: LetterPoses) -> None:
    """Write hands to one npz, whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            allow_pickle=False,
            ids=np.array(hands.ids),
            letters=np.array(hands.letters),
            mano_pose=hands.mano_pose.cpu().numpy(),
        )


def load_letters(path: Path) -> LetterPoses:
    """Read what `save_letters` wrote.

    Raises:
        DataSetError: it is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            ids, letters, pose = (arrays[name] for name in LetterPoses._fields)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataSetError(f"{path} holds no poses of letters ({error}); make it again") from error
    return LetterPoses(tuple(ids.tolist()), tuple(letters.tolist()), torch.from_numpy(pose))


def _wrist(letter: str) -> Rotation:
    """From MANO's rest frame (fingers -x, back of the hand +y) to the camera's."""
    fingers, back = (np.array(axis) for axis in _TURNED.get(letter, _UPRIGHT))
    x, y = -fingers / np.linalg.norm(fingers), back / np.linalg.norm(back)
    return Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], axis=1))
