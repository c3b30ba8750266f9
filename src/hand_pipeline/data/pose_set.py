"""Hand poses without pictures: of labelled sets and of the open hand's sampler, as one data set."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from torch.utils.data import Dataset

from hand_pipeline.config import Config
from hand_pipeline.data.batch import PoseBatch
from hand_pipeline.data.hand_dataset import split_validation
from hand_pipeline.data.hand_mix import MixMember, mixed_order, shares_of_epoch
from hand_pipeline.data.manifest import DataSetError, HandManifest
from hand_pipeline.data.readers.hand_sets import hand_of, read_hands
from hand_pipeline.data.synthetic.poses import sample_hands, skeleton_of
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix, mirror_axis_angle

_BLOCK = (
    256  # poses drawn together; fixed, so that a pose does not depend on how many are asked for
)
_SEED = 0  # of the drawn poses
_STREAM = 2  # other hands than `synthetic`'s training (0) and evaluation (1) images of a seed


class PosesConfig(Config):
    """Which poses a tokenizer learns from."""

    sets: dict[str, MixMember] = Field(
        default_factory=dict, description="labelled sets by name, besides the catalog's"
    )
    validation: float = Field(
        0.0, ge=0, lt=1, description="share of every labelled set's shots that is not learnt from"
    )
    labelled_weight: float = Field(
        1.0, ge=0, description="share of the catalog's labelled hands, relative; 0 leaves them out"
    )
    synthetic_poses: int = Field(
        0, ge=0, description="poses drawn from the open hand's anatomical angles"
    )
    synthetic_weight: float = Field(1.0, gt=0, description="their share, relative")
    beta_std: float = Field(0.9, ge=0, description="spread of the drawn shape coefficients")
    beta_limit: float = Field(2.5, ge=0, description="largest drawn shape coefficient")


class Poses(NamedTuple):
    """Some right hands.

    Attributes:
        ids: their names.
        mano_pose: full pose, wrist first.
        betas: shape coefficients, standard deviations.
    """

    ids: tuple[str, ...]
    mano_pose: Float[Tensor, "hands 16 3 3"]
    betas: Float[Tensor, "hands 10"]

    def rows(self, chosen: Sequence[int]) -> "Poses":
        """Some of the hands."""
        index = torch.tensor(chosen)
        return Poses(tuple(self.ids[i] for i in chosen), self.mano_pose[index], self.betas[index])


class PoseSet(Dataset[int]):
    """Poses of several sources in one, each drawn by its weight (an `loader.OrderedDataset`).

    Samples are indices and `collate` picks a batch at once: nothing is loaded a sample.

    Args:
        members: the sources by name.
        weights: of each, relative.

        validation: poses to choose settings on, which are not among the members.

    Raises:
        ValueError: no members, an empty one, or weights for other ones.
    """

    def __init__(
        self,
        members: Mapping[str, Poses],
        weights: Mapping[str, float],
        validation: "PoseSet | None" = None,
    ) -> None:
        self.validation = validation
        if not members or set(members) != set(weights):
            raise ValueError(
                f"expected weights for the poses of {', '.join(members) or '(none)'}, got weights "
                f"for {', '.join(weights) or '(none)'}"
            )
        if empty := [name for name, member in members.items() if not member.ids]:
            raise ValueError(f"there are no poses in {', '.join(empty)}")
        self.lengths = [len(member.ids) for member in members.values()]
        self.counts = shares_of_epoch(self.lengths, [weights[name] for name in members])
        self.ids = [f"{name}/{i}" for name, member in members.items() for i in member.ids]
        self.mano_pose = torch.cat([member.mano_pose for member in members.values()])
        self.betas = torch.cat([member.betas for member in members.values()])

    def __len__(self) -> int:
        return len(self.ids)

    def held_out(self) -> "PoseSet | None":
        """The poses for validation; None if there are none."""
        return self.validation

    def __getitem__(self, index: int) -> int:
        return range(len(self))[index]

    def epoch_order(self, seed: int, epoch: int) -> np.ndarray:
        """Samples of an epoch in the order they are drawn."""
        return mixed_order(self.lengths, self.counts, seed, epoch)

    def collate(self, samples: Sequence[int]) -> PoseBatch:
        """One batch of poses."""
        rows = torch.tensor(samples)
        names = tuple(self.ids[i] for i in samples)
        return PoseBatch(names, self.mano_pose[rows], self.betas[rows])

    @property
    def fingerprint(self) -> str:
        """Hash of all poses, their names and their shares."""
        digest = hashlib.sha256("\n".join([*self.ids, str(self.counts.tolist())]).encode())
        for values in (self.mano_pose, self.betas):
            digest.update(np.ascontiguousarray(values.numpy()).tobytes())
        return digest.hexdigest()


def open_training_poses(labelled_hands: Path, cfg: PosesConfig, mano_model: Path | None) -> PoseSet:
    """What a tokenizer learns from.

    Args:
        labelled_hands: folder of the catalog's set, in FreiHAND's layout; its split `training`.
        cfg: what else, and how much of each.
        mano_model: converted MANO file that the sets' poses belong to; None is the open hand.

    Raises:
        DataSetError: a folder is not the set's, or a set has no MANO labels.
        ValueError: nothing is left to learn from.
    """
    members, weights = dict[str, Poses](), dict[str, float]()
    if cfg.labelled_weight:
        members["labelled"] = read_poses("freihand", labelled_hands, "training", mano_model)
        weights["labelled"] = cfg.labelled_weight
    for name, member in cfg.sets.items():
        kind = member.hand_set or name
        members[name] = read_poses(kind, member.path, member.split, mano_model, member.partial)
        weights[name] = member.weight
    held_out = dict[str, Poses]()
    if cfg.validation:
        for name, poses in members.items():
            train, kept = split_validation(poses.ids, cfg.validation)
            members[name], held_out[name] = poses.rows(train), poses.rows(kept)
    validation = PoseSet(held_out, dict.fromkeys(held_out, 1.0)) if held_out else None
    if cfg.synthetic_poses:
        members["synthetic"] = sample_poses(
            cfg.synthetic_poses, _SEED, ManoHand(mano_model), cfg.beta_std, cfg.beta_limit
        )  # fmt: skip
        weights["synthetic"] = cfg.synthetic_weight
    return PoseSet(members, weights, validation)


def read_poses(
    kind: str, root: Path, split: str, mano_model: Path | None, partial: bool = False
) -> Poses:
    """The poses of a labelled set, each shot once, left hands mirrored; no image is opened.

    Args:
        kind: key of `hand_sets.HAND_SETS`.
        root: folder of the set.
        split: in the set's own words.
        mano_model: as in `open_training_poses`.
        partial: go on where the folder lacks parts of the set.

    Raises:
        DataSetError: the folder is not the set's, or the split has no MANO labels.
    """
    mano = hand_of(kind, mano_model)
    return poses_of(read_hands(kind, root, split, mano, partial), mano)


def poses_of(manifest: HandManifest, mano: ManoHand) -> Poses:
    """The poses of a manifest, as `read_poses`.

    Raises:
        DataSetError: no hand has MANO labels.
    """
    labelled = np.flatnonzero(manifest.has_mano)
    if not labelled.size:
        raise DataSetError(
            f"{manifest.dataset} {manifest.split} has no MANO poses to learn from; leave it out"
        )
    shots = np.array([manifest.shots[row] for row in labelled])
    _, first = np.unique(shots, return_index=True)
    chosen = manifest.select(labelled[np.sort(first)])
    stored = torch.from_numpy(chosen.mano_pose).unflatten(1, (16, 3))
    right = torch.from_numpy(chosen.is_right)[:, None, None]
    stored = stored.where(right, mirror_axis_angle(stored))
    pose = mano.full_pose(stored.flatten(1), chosen.flat_hand_mean)
    return Poses(chosen.ids, pose, torch.from_numpy(chosen.betas))


def sample_poses(
    count: int, seed: int, mano: ManoHand, beta_std: float = 0.9, beta_limit: float = 2.5
) -> Poses:
    """Poses of the anatomical sampler, turned as a whole by any rotation.

    The pose of an index is a function of (seed, index) alone.

    Args:
        count: how many, from index 0.
        seed: other seeds give other poses.
        mano: whose skeleton decides which fingers would run into each other.
        beta_std, beta_limit: see `data.synthetic.poses.sample_hands`.
    """
    skeleton = skeleton_of(mano)
    fingers, wrists, betas = [], [], []
    for start in range(0, count, _BLOCK):
        generators = [
            np.random.default_rng([seed, _STREAM, index]) for index in range(start, start + _BLOCK)
        ]
        wrists.append(np.stack([_random_turn(rng) for rng in generators]))
        hands = sample_hands(generators, skeleton, beta_std, beta_limit)
        fingers.append(hands.fingers)
        betas.append(hands.betas)
    vectors = np.concatenate([np.stack(wrists).reshape(-1, 1, 3), np.concatenate(fingers)], axis=1)
    pose = axis_angle_to_matrix(torch.from_numpy(vectors[:count]).float())
    shape = torch.from_numpy(np.concatenate(betas)[:count]).float()
    return Poses(tuple(f"{seed}/{index:07d}" for index in range(count)), pose, shape)


def _random_turn(rng: np.random.Generator) -> Float[np.ndarray, "3"]:
    """A uniformly distributed rotation, as axis-angle: of the unit quaternion drawn."""
    w, *axis = (quaternion := rng.normal(size=4)) / np.linalg.norm(quaternion)
    sine = float(np.linalg.norm(axis))
    angle: np.ndarray = np.array(axis) / sine * 2 * np.arctan2(sine, w)
    return angle
