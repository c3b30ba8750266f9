"""A set in memory gives the batches of the set, but for the images."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from tests.fixtures.freihand import write_freihand

from hand_pipeline.data.detected_keypoints import DetectedKeypoints, WithKeypoints, joined
from hand_pipeline.data.hand_dataset import LabelledSubset, LabelsConfig
from hand_pipeline.data.hand_images import HandImages
from hand_pipeline.data.hand_mix import HandMix
from hand_pipeline.data.labels_in_memory import LabelsInMemory
from hand_pipeline.data.loader import batches_from
from hand_pipeline.data.readers.freihand import read_freihand
from hand_pipeline.geometry.mano import ManoHand


def seen(ids: list[str], seed: int) -> DetectedKeypoints:
    rng, count = np.random.default_rng(seed), len(ids)
    return DetectedKeypoints(
        tuple(ids), rng.uniform(0, 224, (count, 21, 2)), rng.uniform(0.1, 1, (count, 21)), 224,
        {}, rng.normal(size=(count, 21, 3)),
    )  # fmt: skip


def test_batches_and_order_are_the_sets_own_and_images_black(tmp_path: Path) -> None:
    write_freihand(tmp_path, "training", count=5)
    mano = ManoHand(tips="freihand")
    hands = HandImages(read_freihand(tmp_path, "training", mano), mano)
    part = LabelledSubset(hands, LabelsConfig(validation=0.2))
    mix = HandMix({"a": part, "b": hands}, {"a": 3.0, "b": 1.0})
    keypoints = joined({"a": seen(hands.ids, 0), "b": seen(hands.ids, 1)})
    whole = WithKeypoints(mix, keypoints)
    quick = LabelsInMemory(whole, 224)
    for one, other in zip(batches_from(whole, 4, seed=2)(0), batches_from(quick, 4, seed=2)(0)):
        assert one.ids == other.ids
        for field in fields(one):
            value = getattr(one, field.name)
            if isinstance(value, torch.Tensor) and field.name != "images":
                torch.testing.assert_close(value, getattr(other, field.name), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(one.keypoints, other.keypoints)
        assert one.images.shape == other.images.shape
        assert other.images.untyped_storage().nbytes() <= 3 * 224 * 224
        assert not other.images.any()
        if one.ids[0].startswith("b"):
            break
    small = LabelsInMemory(whole, 56)
    one, other = quick.collate([3, 0]), small.collate([3, 0])
    assert other.images.shape == (2, 3, 56, 56)
    torch.testing.assert_close(other.joints_2d * 4, one.joints_2d)
    torch.testing.assert_close(other.keypoints.points * 4, one.keypoints.points)
    torch.testing.assert_close(other.vertices, one.vertices)
    assert quick.fingerprint != small.fingerprint
    held_out = quick.held_out()
    assert held_out is not None
    assert set(held_out.ids) == set(whole.held_out().ids)
    assert LabelsInMemory(WithKeypoints(hands, seen(hands.ids, 0)), 56).held_out() is None
