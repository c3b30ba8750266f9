"""The frozen probe: theory at the start, overfitting, resuming, the lift."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch, ImageBatch
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.evaluation.metrics import evaluate_joints
from hand_pipeline.evaluation.predict import predict_joints
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.geometry.scaled_depth import bone_lengths, scaled_depths
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.keypoint_probe import KeypointProbe, KeypointProbeConfig
from hand_pipeline.models.image_encoder import ResNetConfig
from hand_pipeline.models.state import CheckpointMismatchError
from hand_pipeline.models.vit import VitConfig, build_vit
from hand_pipeline.training.checkpoint import pack_method
from hand_pipeline.training.loop import Record, TrainConfig, fit

SIZE = 32
VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=SIZE, patch_size=8, depth=2, embed_dim=48, num_heads=3
)
RESNET = ResNetConfig(name="resnet50", layers=(1, 1, 1, 1), channels=(8, 8, 16, 16))
STILL = HandAugmentationConfig(
    image_size=SIZE, rotation_deg=0, scale=0, translation=0, brightness=0, contrast=0, hue=0,
    saturation=0,
)  # fmt: skip
MOVING = HandAugmentationConfig(image_size=SIZE)
CPU = MachineConfig(accelerator="cpu")
RUN = TrainConfig(steps=8, batch_size=4, lr=1e-3, log_every=2, checkpoint_every=2)


def build(augmentation: HandAugmentationConfig = STILL, **changes: object) -> KeypointProbe:
    torch.manual_seed(0)
    return KeypointProbe(KeypointProbeConfig(**changes), VIT, augmentation)


@pytest.fixture(scope="module")
def batch() -> HandBatch:
    """Four hands; the picture is noise, which is enough to tell them apart."""
    mano = ManoHand()
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Tensor:
        return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

    pose = mano.full_pose(0.3 * normal(4, 48), False)
    betas = normal(4, 10)
    hand = mano(pose, betas, torch.tensor([0.0, 0.0, 0.6]) + 0.02 * normal(4, 3))
    intrinsics = torch.tensor([[90.0, 0, 24], [0, 90, 24], [0, 0, 1]]).repeat(4, 1, 1)
    yes = torch.ones(4, dtype=torch.bool)
    return HandBatch(
        ids=tuple("abcd"),
        images=torch.from_numpy(rng.integers(0, 256, (4, 3, 48, 48), dtype=np.uint8)),
        intrinsics=intrinsics,
        joints_2d=project(hand.joints, intrinsics),
        joints_3d=hand.joints,
        vertices=hand.vertices,
        mano_pose=pose,
        betas=betas,
        has_joints_2d=yes[:, None].repeat(1, 21),
        has_joints_3d=yes[:, None].repeat(1, 21),
        has_mano=yes,
        has_vertices=yes,
    )


def train(method: KeypointProbe, batch: HandBatch, steps: int, lr: float = 1e-3) -> list[dict]:
    optimizer = torch.optim.AdamW(method.param_groups(), lr=lr, weight_decay=0)
    curve = []
    for step in range(steps):
        torch.manual_seed(step)
        terms = method.losses(batch, step)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        curve.append({name: term.item() for name, term in terms.items()})
    return curve


def test_terms_at_the_start_are_the_distance_from_the_middle_and_the_mean_depth(batch) -> None:
    """MLPs that say nothing see every joint in the picture's middle, as deep as the root."""
    method = build()
    for mlp in (method.plane, method.depth):
        for parameter in mlp[-1].parameters():
            torch.nn.init.zeros_(parameter)
    terms = method.losses(batch, 0)
    assert terms.keys() == method.loss_weights.keys()
    middle = (batch.joints_2d / 48 - 0.5).abs().mean()
    depth = (batch.joints_3d[:, :, 2] - batch.joints_3d[:, :1, 2]).abs()
    bones = (batch.joints_3d[:, 0] - batch.joints_3d[:, 5]).norm(dim=-1)
    torch.testing.assert_close(terms["joints_2d"], middle)
    torch.testing.assert_close(terms["depth"], (depth / bones[:, None]).mean())


@pytest.mark.slow
@pytest.mark.parametrize("resnet", [None, RESNET], ids=["vit", "resnet"])
def test_one_batch_can_be_overfitted_up_to_the_lift(batch, resnet: ResNetConfig | None) -> None:
    """Once pixels and depths are right, so is the hand in space."""
    method = build(standardize=True, resnet=resnet)
    curve = train(method, batch, 400, lr=3e-3)
    assert curve[-1]["joints_2d"] < 0.1 * curve[0]["joints_2d"]
    assert curve[-1]["depth"] < 0.1 * curve[0]["depth"]
    method.train(False)
    found = predict_joints(partial(method.predict, known_size=True), [batch])
    scores = evaluate_joints(
        found.joints, found.gt_joints, found.joints_2d, found.gt_joints_2d, found.ids
    ).summary
    assert scores["joints_2d_px"] < 1
    assert scores["rr_mpjpe_mm"] < 12
    assert scores["pa_mpjpe_mm"] < scores["rr_mpjpe_mm"] < scores["mpjpe_mm"]


def test_true_pixels_and_depths_give_the_true_hand(batch, monkeypatch: pytest.MonkeyPatch) -> None:
    method = build().eval()
    truth = batch.joints_2d * (SIZE / 48), scaled_depths(batch.joints_3d, (0, 5), 0)
    monkeypatch.setattr(method, "estimate", lambda images: truth)
    lengths = bone_lengths(batch.joints_3d, (0, 5))
    hands = method.predict(batch, known_size=True)
    torch.testing.assert_close(hands.joints_3d, batch.joints_3d, atol=2e-5, rtol=0)
    torch.testing.assert_close(project(hands.joints_3d, hands.intrinsics), hands.joints_2d)
    # Of unknown size: on the same rays, as far off as the mean hand is larger or smaller.
    mean = method.predict(batch)
    ratio = (method.bone_length / lengths)[:, None, None]
    torch.testing.assert_close(mean.joints_3d, batch.joints_3d * ratio, atol=2e-5, rtol=0)


def test_the_mean_bone_is_that_of_all_hands_it_has_seen(batch) -> None:
    method = build(MOVING)
    lengths = bone_lengths(batch.joints_3d, (0, 5))
    half = replace(
        batch, has_joints_3d=batch.has_joints_3d & torch.tensor([[1], [0], [0], [0]]) > 0
    )
    method.losses(half, 0)
    torch.testing.assert_close(method.bone_length, lengths[0], atol=1e-6, rtol=0)
    method.losses(batch, 1)
    expected = (lengths[0] + lengths.sum()) / 5
    torch.testing.assert_close(method.bone_length, expected, atol=1e-6, rtol=0)
    method.eval().losses(half, 2)
    torch.testing.assert_close(method.bone_length, expected, atol=1e-6, rtol=0)


def test_the_encoder_neither_learns_nor_changes(batch) -> None:
    method = build(MOVING, resnet=RESNET)
    before = {name: value.clone() for name, value in method.encoder.state_dict().items()}
    train(method, batch, 2)
    assert not method.encoder.training
    assert all(p.grad is None for p in method.encoder.parameters())
    for name, value in method.encoder.state_dict().items():  # batch statistics too
        assert torch.equal(value, before[name]), name
    given = {id(p) for group in method.param_groups() for p in group["params"]}
    assert given == {id(p) for mlp in (method.plane, method.depth) for p in mlp.parameters()}


def test_unlabelled_hands_do_not_move_the_loss(batch) -> None:
    none = torch.zeros(4, 21, dtype=torch.bool)
    blank = replace(batch, has_joints_2d=none, has_joints_3d=none, joints_3d=torch.zeros(4, 21, 3))
    method = build()
    start = method.bone_length.clone()
    terms = method.losses(blank, 0)
    torch.stack(list(terms.values())).sum().backward()
    assert all(term == 0 for term in terms.values())
    assert all(p.grad.isfinite().all() for p in method.plane.parameters())
    assert method.bone_length == start


def numbers(records: list[Record]) -> list[dict[str, float]]:
    timing = {"images_per_second", "memory_gb"}
    return [{k: v for k, v in r.scalars().items() if k not in timing} for r in records]


def test_an_interrupted_run_ends_bit_equal_to_an_uninterrupted_one(batch, tmp_path: Path) -> None:
    def batches(step: int) -> Iterator[HandBatch]:
        while True:
            yield batch

    def fresh() -> KeypointProbe:
        return build(MOVING, standardize=True)

    whole = fresh()
    records = list(fit(whole, batches, RUN, CPU))
    half, step = fit(fresh(), batches, RUN, CPU, tmp_path / "c.safetensors"), 0
    while step < 4:
        step = next(half).step
    resumed = fresh()
    again = list(fit(resumed, batches, RUN, CPU, tmp_path / "c.safetensors"))
    assert numbers(again) == numbers(records)
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


@pytest.mark.parametrize(
    "changes",
    [{"features": "patches"}, {"features": "both"}, {"standardize": True}, {"hidden_scale": 1},
     {"bone": (9, 10)}, {"root": 9}, {"resnet": RESNET}],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_every_option_learns_and_changes_the_losses(batch, changes: dict[str, object]) -> None:
    default, other = train(build(), batch, 2), train(build(**changes), batch, 2)
    assert all(np.isfinite(list(row.values())).all() for row in other)
    assert default[-1] != other[-1]


def test_a_pretrained_backbone_is_probed_and_a_checkpoint_rebuilds_it(batch) -> None:
    method = build()
    other = build_vit(VIT)
    with torch.no_grad():
        other.trunk.pos_embed += 1
    method.load_backbone(other.backbone_state(), "a test")
    torch.testing.assert_close(method.encoder.trunk.pos_embed, other.trunk.pos_embed)
    packed = pack_method(
        "keypoint_probe", method.state_dict(), cfg=method.cfg, vit=VIT, augmentation=STILL
    )
    rebuilt = restore_method(packed)
    assert isinstance(rebuilt, KeypointProbe)
    before, after = (m.eval().predict(batch) for m in (method, rebuilt))
    assert torch.equal(before.joints_3d, after.joints_3d)
    with pytest.raises(CheckpointMismatchError, match="a test holds"):
        build(resnet=RESNET).load_backbone(other.backbone_state(), "a test")


@pytest.mark.parametrize(
    ("values", "message"),
    [({"bone": (5, 5)}, "two different joints"), ({"bone": (0, 21)}, "two different joints"),
     ({"depth_limits": (5.0, 4.0)}, "rising")],
)  # fmt: skip
def test_impossible_values_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KeypointProbeConfig(**values)


def test_float_images_of_another_size_are_refused(batch) -> None:
    with pytest.raises(ValueError, match="32 x 32 px, got 48 x 48"):
        build().predict(replace(batch, images=torch.zeros(4, 3, 48, 48)))


def test_unlabelled_batches_are_refused(batch) -> None:
    with pytest.raises(TypeError, match="HandBatch"):
        build().losses(ImageBatch(batch.ids, batch.images), 0)


def test_two_input_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="one input size"):
        build(HandAugmentationConfig(image_size=64))
