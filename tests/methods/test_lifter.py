"""The lifter: learns hands from landmarks alone, and takes what a detector may leave out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch, Keypoints
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.procrustes import procrustes_align
from hand_pipeline.methods.lifter import Lifter, LifterConfig
from hand_pipeline.training.loop import TrainConfig, fit

STILL = HandAugmentationConfig(image_size=64, rotation_deg=0, scale=0, translation=0)
MOVING = HandAugmentationConfig(image_size=64, rotation_deg=45)
EXACT = {"noise_2d": 0.0, "noise_3d": 0.0, "depth_dropout": 0.0, "joint_dropout": 0.0}
HANDS = 6


def build(augmentation: HandAugmentationConfig = STILL, **changes: float) -> Lifter:
    torch.manual_seed(0)
    return Lifter(LifterConfig(width=48, layers=2, heads=4, **changes), augmentation)


@pytest.fixture(scope="module")
def batch() -> HandBatch:
    """Hands with exact landmarks, and no image to speak of."""
    mano, rng = ManoHand(tips="freihand"), np.random.default_rng(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    pose, betas = mano.full_pose(0.4 * normal(HANDS, 48), False), normal(HANDS, 10)
    hand = mano(pose, betas, torch.tensor([0.0, 0.0, 0.6]) + 0.02 * normal(HANDS, 3))
    intrinsics = torch.tensor([[180.0, 0, 48], [0, 180, 48], [0, 0, 1]]).repeat(HANDS, 1, 1)
    joints_2d, yes = project(hand.joints, intrinsics), torch.ones(HANDS, dtype=torch.bool)
    deep = hand.joints - hand.joints.mean(1, keepdim=True)
    return HandBatch(
        tuple("abcdef"), torch.zeros(HANDS, 3, 96, 96, dtype=torch.uint8), intrinsics, joints_2d,
        hand.joints, hand.vertices, pose, betas, yes[:, None].repeat(1, 21),
        yes[:, None].repeat(1, 21), yes, yes, Keypoints(joints_2d, torch.ones(HANDS, 21), deep),
    )  # fmt: skip


def test_it_starts_from_the_mean_pose_in_the_middle_of_the_crop(batch: HandBatch) -> None:
    method = build().eval()
    with torch.no_grad():
        found = method.predict(batch)
    mean = method.mano.full_pose(torch.zeros(1, 48), flat_hand_mean=False)
    assert (found.mano_pose[:, 0] - mean).abs().max() < 0.1
    assert (found.joints_2d[:, 0, 9] - 32).abs().max() < 3


@pytest.mark.slow
def test_one_batch_can_be_overfitted(batch: HandBatch) -> None:
    method = build(**EXACT)
    optimizer = torch.optim.AdamW(method.param_groups(), lr=2e-3, weight_decay=0)
    for step in range(400):
        terms = method.losses(batch, step)
        sum(method.loss_weights[name] * value for name, value in terms.items()).backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        found = method.eval().predict(batch).joints_3d[:, 0].double()
    truth = batch.joints_3d.double()
    errors = (procrustes_align(found, truth, False) - truth).norm(dim=-1)
    assert errors.mean() < 0.003


def test_training_sees_turned_hands_and_validation_the_same_ones(batch: HandBatch) -> None:
    method = build(MOVING, **EXACT)
    torch.manual_seed(3)
    moved = method.losses(batch, 0)
    torch.manual_seed(4)
    again = method.losses(batch, 0)
    assert moved["joints_3d"] != again["joints_3d"]
    assert method.eval().losses(batch, 0)["joints_3d"] == method.losses(batch, 5)["joints_3d"]


@pytest.mark.parametrize("field", ["points", "points_3d"])
def test_what_was_not_found_is_not_read(batch: HandBatch, field: str) -> None:
    method, keypoints = build().eval(), batch.keypoints
    assert keypoints is not None
    confidence = keypoints.confidence.clone()
    confidence[:, 7] = 0
    hidden = keypoints._replace(confidence=confidence)
    wild = getattr(hidden, field).clone()
    wild[:, 7] = 1e6
    with torch.no_grad():
        found, other = (
            method.predict(replace(batch, keypoints=known)).vertices
            for known in (hidden, hidden._replace(**{field: wild}))
        )
    assert torch.equal(found, other)
    assert not torch.equal(found, method.predict(batch).vertices)


def test_hands_that_the_detector_missed_give_a_hand_and_teach_nothing(batch: HandBatch) -> None:
    method, keypoints = build(**EXACT), batch.keypoints
    assert keypoints is not None
    confidence = keypoints.confidence.clone()
    confidence[1:] = 0
    missed = replace(batch, keypoints=keypoints._replace(confidence=confidence))
    assert method.predict(missed).vertices.isfinite().all()
    one, others = method.losses(missed, 0), method.losses(batch.rows([0]), 0)
    for name, value in one.items():
        torch.testing.assert_close(value, others[name], rtol=1e-4, atol=1e-6)


def test_without_landmarks_it_says_what_to_do(batch: HandBatch) -> None:
    blind = replace(batch, keypoints=None)
    for call in (lambda: build().predict(blind), lambda: build().losses(blind, 0)):
        with pytest.raises(ValueError, match="run the pipeline `detect`"):
            call()
    flat = replace(batch, keypoints=batch.keypoints._replace(points_3d=None))
    assert build().predict(flat).vertices.isfinite().all()


def test_it_resumes_to_the_bit(batch: HandBatch, tmp_path) -> None:
    run = TrainConfig(steps=6, batch_size=HANDS, lr=1e-3, log_every=2, checkpoint_every=2)
    cpu = MachineConfig(accelerator="cpu")

    def stream(step: int):
        while True:
            yield batch

    whole, cut = build(MOVING), build(MOVING)
    list(fit(whole, stream, run, cpu))
    for number, _ in enumerate(fit(cut, stream, run, cpu, tmp_path / "last.safetensors"), 1):
        if number == 2:
            break
    resumed = build(MOVING)
    list(fit(resumed, stream, run, cpu, tmp_path / "last.safetensors"))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
