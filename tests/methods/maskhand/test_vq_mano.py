"""VQ-MANO: tokens and back, a codebook that learns in training only, resume to the bit."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import ImageBatch, PoseBatch
from hand_pipeline.data.pose_set import PoseSet, sample_poses
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.maskhand.config import VqManoConfig
from hand_pipeline.methods.maskhand.vq_mano import VqMano
from hand_pipeline.models.state import CheckpointMismatchError
from hand_pipeline.training.checkpoint import load_checkpoint, pack_method, save_checkpoint
from hand_pipeline.training.loop import Record, TrainConfig, fit, weighted_sum

TINY = VqManoConfig(num_tokens=16, num_codes=32, code_dim=16, width=24)
CPU = MachineConfig(accelerator="cpu")
POSES = PoseSet({"drawn": sample_poses(64, 0, ManoHand())}, {"drawn": 1.0})
RUN = TrainConfig(steps=16, batch_size=8, lr=1e-3, warmup_steps=2, log_every=2, checkpoint_every=4)


def build(**changes: object) -> VqMano:
    torch.manual_seed(0)
    return VqMano(TINY.model_copy(update=changes))


def batch(count: int = 8, start: int = 0) -> PoseBatch:
    return POSES.collate(list(range(start, start + count)))


def batches(step: int) -> Iterator[PoseBatch]:
    while True:
        yield batch(start=step * 8 % 56)
        step += 1


def numbers(records: list[Record]) -> list[dict[str, float]]:
    timing = {"images_per_second", "memory_gb"}
    return [{k: v for k, v in r.scalars().items() if k not in timing} for r in records]


@pytest.mark.parametrize("tokens", [16, 32, 64, 128])
def test_a_pose_becomes_ids_and_ids_a_pose(tokens: int) -> None:
    method = build(num_tokens=tokens).eval()
    ids = method.tokenizer.tokenize(batch().mano_pose)
    assert (ids.shape, ids.dtype) == ((8, tokens), torch.int64)
    assert ids.min() >= 0
    assert ids.max() < method.tokenizer.num_codes
    pose = method.tokenizer.detokenize(ids)
    torch.testing.assert_close(torch.linalg.det(pose), torch.ones(8, 16))
    codes = (
        torch.nn.functional.one_hot(ids, method.tokenizer.num_codes).float()
        @ method.tokenizer.codebook.embeddings
    )
    torch.testing.assert_close(method.tokenizer.decode(codes), pose)
    assert method.tokenizer.num_tokens == tokens


def test_terms_are_zero_for_a_tokenizer_that_loses_nothing(monkeypatch) -> None:
    method = build(rotation_augmentation=0.0).eval()
    monkeypatch.setattr(method.tokenizer.decoder, "forward", lambda codes: batch().mano_pose)
    terms = method.losses(batch(), 0)
    assert [terms[name].item() for name in ("pose", "vertices", "joints")] == [0, 0, 0]
    assert terms.keys() == method.loss_weights.keys()


def test_a_turned_wrist_alone_is_seen_relative_to_the_wrist(monkeypatch) -> None:
    method, turned = build(rotation_augmentation=0.0).eval(), batch().mano_pose.clone()
    turned[:, 0] = torch.tensor([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]) @ turned[:, 0]
    monkeypatch.setattr(method.tokenizer.decoder, "forward", lambda codes: turned)
    terms = method.losses(batch(), 0)
    assert terms["joints"] > 0.02  # metres
    assert terms["pose"].item() == pytest.approx(
        (turned - batch().mano_pose).abs()[:, 0].mean().item() / 16
    )


def test_augmentation_turns_the_wrist_and_leaves_the_fingers(monkeypatch) -> None:
    method, seen = build(), []
    monkeypatch.setattr(
        method.tokenizer.encoder, "forward", lambda p: seen.append(p) or torch.zeros(8, 16, 16)
    )
    method.losses(batch(), 0)
    assert torch.equal(seen[0][:, 1:], batch().mano_pose[:, 1:])
    assert not torch.isclose(seen[0][:, 0], batch().mano_pose[:, 0]).all((1, 2)).any()


@pytest.mark.slow
def test_it_overfits_one_batch_in_the_loop() -> None:
    method = build(rotation_augmentation=0.0, width=48, weight_vertices=20.0, weight_joints=20.0)
    cfg = RUN.model_copy(update={"steps": 250, "lr": 3e-3, "log_every": 50})
    records = list(fit(method, lambda step: iter([batch()] * 250), cfg, CPU))
    assert records[-1].losses["joints"] < 0.1 * records[0].losses["joints"]
    assert records[-1].monitors["rr_mpvpe_mm"] < 6


def test_an_interrupted_run_ends_bit_equal(tmp_path: Path) -> None:
    path, whole = tmp_path / "last.safetensors", build()
    expected = list(fit(whole, batches, RUN, CPU))
    for record in fit(build(), batches, RUN, CPU, path):
        if record.step == 10:
            break
    resumed = build()
    found = list(fit(resumed, batches, RUN, CPU, path))
    assert numbers(found) == numbers(expected)
    assert [r.replayed for r in found] == [r.step <= 8 for r in found]
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_codes_are_frozen_in_evaluation_and_move_in_training() -> None:
    method = build()
    before = method.tokenizer.codebook.embeddings.clone()
    method.eval().losses(batch(), 0)
    assert torch.equal(method.tokenizer.codebook.embeddings, before)
    method.train().losses(batch(), 0)
    assert not torch.equal(method.tokenizer.codebook.embeddings, before)


def test_the_optimizer_does_not_see_the_codebook_and_every_weight_gets_a_gradient() -> None:
    method = build().train()
    weighted_sum(method.losses(batch(), 0), method.loss_weights).backward()
    given = [p for group in method.param_groups() for p in group["params"]]
    assert {id(p) for p in given} == {id(p) for p in method.parameters()}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in given)
    assert not any("codebook" in name for name, _ in method.named_parameters())


def test_a_checkpoint_rebuilds_the_tokenizer(tmp_path: Path) -> None:
    method = build()
    list(fit(method, batches, RUN, CPU))
    save_checkpoint(
        tmp_path / "m.safetensors", pack_method("vq_mano", method.state_dict(), cfg=TINY)
    )
    restored = restore_method(load_checkpoint(tmp_path / "m.safetensors"))
    assert isinstance(restored, VqMano)
    assert not restored.training
    pose = batch(32).mano_pose
    assert torch.equal(restored.tokenizer.tokenize(pose), method.eval().tokenizer.tokenize(pose))
    assert not any("mano" in name for name in method.state_dict())


def test_weights_of_another_size_are_refused_by_name() -> None:
    packed = pack_method("vq_mano", build(num_codes=64).state_dict(), cfg=TINY)
    with pytest.raises(CheckpointMismatchError, match=r"codebook.embeddings: expected \(32, 16\)"):
        restore_method(packed)


def test_bf16_autocast_changes_the_losses_only_by_its_rounding() -> None:
    exact = build(rotation_augmentation=0.0).eval().losses(batch(), 0)
    method = build(rotation_augmentation=0.0).eval()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = method.losses(batch(), 0)
    for name in ("pose", "vertices", "joints"):
        torch.testing.assert_close(rounded[name], exact[name], rtol=0.1, atol=1e-3)


def test_a_batch_without_poses_is_refused() -> None:
    images = ImageBatch(("a",), torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(TypeError, match="PoseBatch, got ImageBatch"):
        build().losses(images, 0)
