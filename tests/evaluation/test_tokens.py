"""Scores of a tokenizer: zero where nothing is lost, and the use of codes as counted."""

import pytest
import torch
from torch import Tensor

from hand_pipeline.data.pose_set import PoseSet, sample_poses
from hand_pipeline.evaluation.tokens import score_tokens
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.rotation import axis_angle_to_matrix


class Lookup:
    """Tokens that are the row of the pose; rebuilds it after one more turn of the wrist."""

    num_codes = 20

    def __init__(self, poses: Tensor, turn: Tensor) -> None:
        self.poses, self.turn = poses, axis_angle_to_matrix(turn)

    def tokenize(self, mano_pose: Tensor) -> Tensor:
        same = (mano_pose[:, None] == self.poses).flatten(2).all(2)
        return same.int().argmax(1)[:, None]

    def unquantized(self, mano_pose: Tensor) -> Tensor:
        return mano_pose

    def detokenize(self, ids: Tensor) -> Tensor:
        pose = self.poses[ids[:, 0]].clone()
        pose[:, 0] = self.turn @ pose[:, 0]
        return pose


POSES = PoseSet({"drawn": sample_poses(10, 0, ManoHand())}, {"drawn": 1.0})


def scores(turn: tuple[float, float, float]):
    tokenizer = Lookup(POSES.mano_pose, torch.tensor(turn))
    return score_tokens(
        tokenizer, ManoHand(), [POSES.collate(range(6)), POSES.collate(range(6, 10))]
    )


def test_nothing_lost_is_scored_zero() -> None:
    found = scores((0.0, 0.0, 0.0))
    for name in ("pa_mpjpe_mm", "pa_mpvpe_mm", "rr_mpjpe_mm", "rr_mpvpe_mm"):
        assert found.summary[name] == pytest.approx(0, abs=1e-3)
    assert len(found.per_sample) == found.summary["num_samples"] == 10


def test_a_wrong_orientation_counts_relative_to_the_wrist_only() -> None:
    found = scores((0.0, 0.2, 0.0)).summary
    assert found["pa_mpjpe_mm"] == pytest.approx(0, abs=1e-2)
    assert found["rr_mpjpe_mm"] > 5
    assert found["unquantized_rr_mpjpe_mm"] == pytest.approx(0, abs=1e-3)  # the floor is apart


def test_use_of_codes_is_counted() -> None:
    found = scores((0.0, 0.0, 0.0))
    assert found.uses.tolist() == [1] * 10 + [0] * 10
    assert found.summary["codes_used"] == 0.5
    assert found.summary["perplexity"] == pytest.approx(10)


def test_no_poses_are_an_error() -> None:
    with pytest.raises(ValueError, match="got none"):
        score_tokens(Lookup(POSES.mano_pose, torch.zeros(3)), ManoHand(), [])
