"""Hands of a video: a number that each keeps over time, and motion without the frames' jitter.

A frame's hands are matched with those of the frames before by where their joints are. The
parameters of each, not its vertices, go through the One-Euro filter (Casiez, Roussel and Vogel, CHI
2012): a low pass whose cut-off rises with speed, so that a hand at rest is still and a fast one not
late. Rotations are filtered on their manifold, step by step along the shortest turn. A person's
hand keeps its shape: betas are the mean so far.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation
from torch import Tensor

from hand_pipeline.config import Config
from hand_pipeline.evaluation.reconstruct import PlacedHand
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import mirror_matrix

_MIRROR = torch.tensor([-1.0, 1.0, 1.0])
_FAR = 1e3  # of hands that are not the same


class TracksConfig(Config):
    """When two hands are one, and how much is smoothed. All numbers are our choice."""

    smooth: bool = Field(True, description="off: hands are only numbered")
    min_cutoff: float = Field(1.5, gt=0, description="Hz, of a hand at rest; One-Euro's f_cmin")
    speed: float = Field(
        2.0, ge=0, description="Hz more for each radian, or tenth of a metre, a second; its beta"
    )
    derivative_cutoff: float = Field(1.0, gt=0, description="Hz, of the speed; Casiez et al.: 1")
    most_gap: float = Field(
        0.5, ge=0, description="seconds for which a hand may be unseen and keep its number"
    )
    most_distance: float = Field(
        0.7, gt=0, description="mean distance of joints from frame to frame, sizes of the hand"
    )


class OneEuro:
    """The filter of one signal of several numbers, whose steps the caller takes.

    Args:
        min_cutoff, speed, derivative_cutoff: as in `TracksConfig`.
    """

    def __init__(self, min_cutoff: float, speed: float, derivative_cutoff: float) -> None:
        self.min_cutoff, self.speed = min_cutoff, speed
        self.derivative_cutoff, self.velocity = derivative_cutoff, np.zeros(0)

    def share(
        self, change: Float[np.ndarray, "parts 3"], seconds: float
    ) -> Float[np.ndarray, "parts 1"]:
        """Which part of the way to what is seen is taken.

        Args:
            change: from the last output to what is seen now, of each part.
            seconds: since then.
        """
        if not self.velocity.size:
            self.velocity = np.zeros_like(change)
        alpha = _alpha(np.full((1, 1), self.derivative_cutoff), seconds)
        self.velocity = self.velocity + alpha * (change / seconds - self.velocity)
        fast = np.linalg.norm(self.velocity, axis=-1, keepdims=True)
        return _alpha(self.min_cutoff + self.speed * fast, seconds)


def _alpha(cutoff: np.ndarray, seconds: float) -> np.ndarray:
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))


@dataclass
class _Track:
    number: int
    hand: PlacedHand
    time: float
    seen: int
    turns: OneEuro
    way: OneEuro


class Tracks:
    """Numbers and smooths the hands of one clip, frame by frame.

    Args:
        mano: the right hand model that posed the hands.
        cfg: when two hands are one, and how much is smoothed.
    """

    def __init__(self, mano: ManoHand, cfg: TracksConfig) -> None:
        self.mano, self.cfg = mano, cfg
        self.tracks: list[_Track] = []
        self.given = 0

    def __call__(
        self, hands: Sequence[PlacedHand], time: float, intrinsics: Float[Tensor, "3 3"]
    ) -> list[PlacedHand]:
        """The hands of the next frame, in their order, with numbers and without jitter.

        Args:
            hands: of the frame.
            time: seconds, later than the frame before.
            intrinsics: the frame's camera.
        """
        self.tracks = [t for t in self.tracks if time - t.time <= self.cfg.most_gap]
        known = dict(self._matches(hands))
        found = []
        for row, hand in enumerate(hands):
            if row in known:
                found.append(self._go_on(known[row], hand, time, intrinsics))
            else:
                found.append(self._begin(hand, time))
        return found

    def _matches(self, hands: Sequence[PlacedHand]) -> list[tuple[int, _Track]]:
        """Rows of hands that have been seen before, and their tracks: the least sum of ways."""
        if not hands or not self.tracks:
            return []
        ways = np.array([[_way(track.hand, hand) for track in self.tracks] for hand in hands])
        ways[ways > self.cfg.most_distance] = _FAR
        pairs = zip(*linear_sum_assignment(ways))
        return [(int(r), self.tracks[c]) for r, c in pairs if ways[r, c] < _FAR]

    def _begin(self, hand: PlacedHand, time: float) -> PlacedHand:
        cfg = self.cfg
        turns, way = (
            OneEuro(cfg.min_cutoff, cfg.speed * unit, cfg.derivative_cutoff) for unit in (1, 10)
        )
        numbered = replace(hand, track=self.given)
        self.tracks.append(_Track(self.given, numbered, time, 1, turns, way))
        self.given += 1
        return numbered

    def _go_on(
        self, track: _Track, hand: PlacedHand, time: float, intrinsics: Tensor
    ) -> PlacedHand:
        shown = replace(hand, track=track.number)
        if self.cfg.smooth:
            last, seconds = track.hand, max(time - track.time, 1e-3)
            betas = last.betas + (hand.betas - last.betas) / (track.seen + 1)
            before = Rotation.from_matrix(last.mano_pose.double().numpy())
            turn = before.inv() * Rotation.from_matrix(hand.mano_pose.double().numpy())
            change = turn.as_rotvec()
            part = Rotation.from_rotvec(track.turns.share(change, seconds) * change)
            pose = torch.from_numpy((before * part).as_matrix()).float()
            away = (hand.translation - last.translation).double().numpy()[None]
            moved = torch.from_numpy(track.way.share(away, seconds) * away)[0].float()
            shown = posed(shown, self.mano, pose, betas, last.translation + moved, intrinsics)
        track.hand, track.time, track.seen = shown, time, track.seen + 1
        return shown


def posed(
    hand: PlacedHand,
    mano: ManoHand,
    mano_pose: Float[Tensor, "16 3 3"],
    betas: Float[Tensor, "10"],
    translation: Float[Tensor, "3"],
    intrinsics: Float[Tensor, "3 3"],
) -> PlacedHand:
    """A hand with other parameters, which are those of its own side (`PlacedHand`).

    Args:
        hand: everything else is kept.
        mano: the right hand model.
        mano_pose, betas, translation: the parameters.
        intrinsics: the photo's camera.
    """
    left = hand.detection.handedness == "left"
    flip = _MIRROR if left else torch.ones(3)
    pose = mirror_matrix(mano_pose) if left else mano_pose
    device = mano.faces.device
    given = (pose[None], betas[None], (translation * flip)[None])
    with torch.inference_mode():
        mesh = mano(*(value.to(device) for value in given))
    joints = mesh.joints[0].cpu() * flip
    return replace(
        hand, vertices=mesh.vertices[0].cpu() * flip, joints_3d=joints,
        joints_2d=project(joints, intrinsics), mano_pose=mano_pose, betas=betas,
        translation=translation,
    )  # fmt: skip


def _way(before: PlacedHand, now: PlacedHand) -> float:
    """Mean distance of the joints in sizes of the hand; far for a left and a right hand."""
    if before.detection.handedness != now.detection.handedness:
        return _FAR
    size = (now.joints_2d.amax(0) - now.joints_2d.amin(0)).max().clamp(min=1)
    return float((now.joints_2d - before.joints_2d).norm(dim=-1).mean() / size)


def mean_acceleration(
    joints: Float[np.ndarray, "frames 21 3"], times: Float[np.ndarray, " frames"]
) -> float:
    """Jitter of a hand: mean length of its joints' accelerations, m/s^2, frame by frame.

    Raises:
        ValueError: fewer than three frames.
    """
    if len(joints) < 3:
        raise ValueError(f"an acceleration needs three frames, got {len(joints)}")
    steps = np.diff(times)[:, None, None]
    velocity = np.diff(joints, axis=0) / steps
    between = (steps[1:] + steps[:-1]) / 2
    return float(np.linalg.norm(np.diff(velocity, axis=0) / between, axis=-1).mean())
