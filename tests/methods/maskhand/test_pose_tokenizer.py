"""VQ-MANO's networks: sizes for every number of tokens, and rotations that are rotations."""

import pytest
import torch

from hand_pipeline.geometry.rotation import random_rotation
from hand_pipeline.methods.maskhand import pose_tokenizer
from hand_pipeline.methods.maskhand.config import PoseTokenizerConfig
from hand_pipeline.methods.maskhand.pose_tokenizer import (
    PoseDecoder,
    PoseEncoder,
    PoseTokenizer,
    decoder_lengths,
)

TOKENS = (16, 32, 64, 128)


def small(tokens: int = 64, **changes: int) -> PoseTokenizerConfig:
    return PoseTokenizerConfig(num_tokens=tokens, code_dim=12, width=8, **changes)


def poses(count: int = 3) -> torch.Tensor:
    torch.manual_seed(0)
    return random_rotation(count * 16, "cpu").unflatten(0, (count, 16))


@pytest.mark.parametrize("tokens", TOKENS)
def test_a_pose_becomes_as_many_latents_as_asked_for(tokens: int) -> None:
    assert PoseEncoder(small(tokens))(poses()).shape == (3, tokens, 12)


@pytest.mark.parametrize("tokens", TOKENS)
def test_codes_become_rotations(tokens: int) -> None:
    found = PoseDecoder(small(tokens))(torch.randn(3, tokens, 12))
    assert found.shape == (3, 16, 3, 3)
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(3, 16))
    torch.testing.assert_close(found @ found.mT, torch.eye(3).expand_as(found), rtol=0, atol=1e-5)


def test_the_way_to_16_joints_is_evenly_spaced() -> None:
    assert decoder_lengths(64) == [52, 40, 28, 16]
    assert all(decoder_lengths(tokens)[-1] == 16 for tokens in TOKENS)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_depth_is_the_number_of_residual_blocks(depth: int) -> None:
    encoder, decoder = PoseEncoder(small(depth=depth)), PoseDecoder(small(depth=depth))
    assert len(encoder.blocks) == len(decoder.blocks) == depth
    assert encoder(poses()).isfinite().all()


def test_dilations_grow_in_the_decoder_and_fall_in_the_encoder() -> None:
    cfg = small(depth=3)
    assert [block.wide.dilation[0] for block in PoseDecoder(cfg).blocks] == [1, 3, 9]
    assert [block.wide.dilation[0] for block in PoseEncoder(cfg).blocks] == [9, 3, 1]


def test_every_joint_reaches_the_latents_and_every_code_the_pose() -> None:
    torch.manual_seed(0)
    encoder, decoder = PoseEncoder(small()), PoseDecoder(small())
    pose = poses(1).requires_grad_()
    encoder(pose).square().sum().backward()
    assert (pose.grad[0].abs().sum((1, 2)) > 0).all()
    codes = torch.randn(1, 64, 12, requires_grad=True)
    decoder(codes)[..., 0].sum().backward()
    assert (
        codes.grad[0].abs().sum(1) > 0
    ).float().mean() > 0.7  # nearest-neighbour steps skip a few


def test_bf16_autocast_still_gives_exact_rotations() -> None:
    torch.manual_seed(0)
    decoder = PoseDecoder(small())
    with torch.autocast("cpu", torch.bfloat16):
        found = decoder(torch.randn(2, 64, 12))
        latents = PoseEncoder(small())(poses())
    assert found.dtype == latents.dtype == torch.float32
    torch.testing.assert_close(torch.linalg.det(found), torch.ones(2, 16))


def test_a_trained_tokenizer_gives_the_same_ids_and_hands_under_bf16_autocast() -> None:
    """Its codebook is made of latents, as after training, and finely spaced."""
    tokenizer, pose = PoseTokenizer(small(num_codes=160)).eval(), poses(100)
    with torch.no_grad():
        latents = tokenizer.encoder(pose[:10]).flatten(0, 1)
        tokenizer.codebook.embeddings.copy_(latents[torch.randperm(640)[:160]])
    ids = tokenizer.tokenize(pose)
    with torch.autocast("cpu", torch.bfloat16):
        again, hand = tokenizer.tokenize(pose), tokenizer.detokenize(ids)
    assert torch.equal(ids, again)
    assert torch.equal(hand, tokenizer.detokenize(ids))


def test_without_quantisation_a_pose_is_what_its_latents_decode_to() -> None:
    """As many codes as latents, and each is one: then quantising loses nothing."""
    tokenizer, pose = PoseTokenizer(small(num_codes=192)).eval(), poses()
    with torch.no_grad():
        tokenizer.codebook.embeddings.copy_(tokenizer.encoder(pose).flatten(0, 1))
        floor = tokenizer.unquantized(pose)
        torch.testing.assert_close(tokenizer.detokenize(tokenizer.tokenize(pose)), floor)
        tokenizer.codebook.embeddings.zero_()
        torch.testing.assert_close(tokenizer.unquantized(pose), floor)


def test_the_likeness_of_codes_is_measured_only_where_it_is_asked_for(monkeypatch) -> None:
    """It is codes x codes, which training a tokenizer does not need."""
    measured = []
    plain = pose_tokenizer.code_likeness
    monkeypatch.setattr(
        pose_tokenizer, "code_likeness", lambda codes: (measured.append(1), plain(codes))[1]
    )
    tokenizer = PoseTokenizer(small())
    tokenizer.quantize(poses())
    assert not measured
    assert torch.equal(tokenizer.likeness, plain(tokenizer.codebook.embeddings))
    assert torch.equal(tokenizer.likeness, tokenizer.likeness)
    assert len(measured) == 1
    other = PoseTokenizer(small())
    tokenizer.load_state_dict(other.state_dict())
    assert torch.equal(tokenizer.likeness, plain(other.codebook.embeddings))


def test_other_numbers_of_tokens_are_refused() -> None:
    with pytest.raises(ValueError, match="num_tokens"):
        small(48)
