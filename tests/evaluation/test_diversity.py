"""Variety of hands, and their faces that cut into each other."""

import numpy as np
import pytest
import torch

from hand_pipeline.evaluation import generated_hands
from hand_pipeline.evaluation.generated_hands import (
    average_pairwise_distance,
    self_intersection_percent,
)


def all_pairs(joints):
    relative = joints - joints[:, :1]
    distances = np.linalg.norm(relative[:, None] - relative[None], axis=-1).mean(-1)
    return 1000 * distances[np.triu_indices(len(joints), 1)].mean()


def test_two_hands_are_as_far_apart_as_their_joints():
    hands = np.zeros((2, 21, 3))
    hands[1, 1:] = [0, 0.021, 0]
    assert average_pairwise_distance(hands) == pytest.approx(20.0)


def test_the_place_of_a_hand_does_not_matter():
    rng = np.random.default_rng(0)
    hands = rng.normal(0, 0.05, (6, 21, 3))
    moved = hands + rng.normal(0, 1, (6, 1, 3))
    assert average_pairwise_distance(moved) == pytest.approx(average_pairwise_distance(hands))


def test_equal_hands_are_at_no_distance():
    hands = np.broadcast_to(np.random.default_rng(1).normal(size=(1, 21, 3)), (5, 21, 3))
    assert average_pairwise_distance(hands) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rows", [1, 7, 20, 512])
def test_chunks_of_any_size_give_the_mean_over_all_pairs(monkeypatch, rows):
    monkeypatch.setattr(generated_hands, "_CHUNK", rows)
    hands = np.random.default_rng(2).normal(0, 0.05, (40, 21, 3)).astype(np.float32)
    assert average_pairwise_distance(hands) == pytest.approx(all_pairs(hands), rel=1e-5)


def test_one_hand_cannot_be_compared():
    with pytest.raises(ValueError, match="at least two hands"):
        average_pairwise_distance(np.zeros((1, 21, 3)))


def test_a_flat_hand_is_whole_and_a_crushed_one_cuts_into_itself(mano):
    pose = torch.zeros(2, 48)
    pose[1, 3:].view(15, 3)[:, 2] = 1.9  # every finger joint beyond what a hand can do
    vertices = mano(mano.full_pose(pose, True), torch.zeros(2, 10)).vertices.numpy()
    faces = mano.faces.numpy()
    flat = self_intersection_percent(vertices[:1], faces)
    crushed = self_intersection_percent(vertices[1:], faces)
    assert flat < 0.5
    assert crushed > 5
    assert self_intersection_percent(vertices, faces) == pytest.approx((flat + crushed) / 2)


def test_no_mesh_has_no_percentage(mano):
    with pytest.raises(ValueError, match="expected meshes, got 0"):
        self_intersection_percent(np.empty((0, 778, 3)), mano.faces.numpy())
