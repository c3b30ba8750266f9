"""Prompts become features: by CLIP where it is, else by their spelling, never silently."""

import hashlib
import json
import logging
from pathlib import Path

import pytest
import torch

from hand_pipeline.methods.maskhand.config import TextEncoderConfig
from hand_pipeline.methods.maskhand.text_encoder import (
    HASHED_WIDTH,
    ClipTextEncoder,
    HashedTextEncoder,
    TextEncoderError,
    build_text_encoder,
)
from hand_pipeline.models.torchvision_compat import ensure_torchvision

LETTERS = [chr(code) for code in range(ord("A"), ord("Z") + 1)]


@pytest.fixture(scope="module")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP's text encoder, small and untrained, as a folder that transformers reads."""
    ensure_torchvision()
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    characters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [*characters, *(f"{c}</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    transformers.CLIPTokenizer.from_pretrained(str(folder)).save_pretrained(str(folder))
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokens), hidden_size=16, intermediate_size=32, projection_dim=24,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16,
        bos_token_id=len(tokens) - 2, eos_token_id=len(tokens) - 1, pad_token_id=len(tokens) - 1,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.CLIPTextModelWithProjection(config).save_pretrained(str(folder))
    return folder


def test_hashed_features_are_the_same_on_every_machine() -> None:
    features = HashedTextEncoder().encode(["A", "B"])
    assert features.shape == (2, HASHED_WIDTH)
    assert torch.equal(features, HashedTextEncoder().encode(["A", "B"]))
    counts = [0] * HASHED_WIDTH  # plainly: how many of its four n-grams set each bit of the digest
    for ngram in (b"a", b"\x02a", b"a\x03", b"\x02a\x03"):
        bits = format(int.from_bytes(hashlib.blake2b(ngram).digest()), "0512b")
        counts = [count + (bit == "1") for count, bit in zip(counts, bits)]
    expected = torch.tensor(counts) * 2.0 - 4
    torch.testing.assert_close(features[0], expected / expected.norm())


def test_hashed_features_tell_letters_apart_and_see_spelling_not_case() -> None:
    encoder = HashedTextEncoder()
    features = encoder.encode(LETTERS)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(26))
    assert (features @ features.T - torch.eye(26)).max() < 0.25
    assert torch.equal(encoder.encode(["  Thumb  up"]), encoder.encode(["thumb up"]))
    near, far = (
        encoder.encode(["thumb up", "thumbs up", "fist"])[0]
        @ encoder.encode(["thumbs up", "fist"]).T
    )
    assert near > far + 0.3


@pytest.mark.parametrize("prompts", [[], [""], ["A", "  "]])
def test_a_prompt_needs_a_character(prompts: list[str]) -> None:
    with pytest.raises(ValueError, match="at least one character"):
        HashedTextEncoder().encode(prompts)


def test_clip_gives_the_projected_features_of_transformers(tiny_clip: Path) -> None:
    import transformers

    encoder = build_text_encoder(TextEncoderConfig(encoder="clip", clip_model=str(tiny_clip)))
    assert (encoder.name, encoder.width) == ("clip", 24)
    features = encoder.encode(["a", "hello"])
    network = transformers.CLIPTextModelWithProjection.from_pretrained(str(tiny_clip)).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(str(tiny_clip))
    for row, prompt in enumerate(["a", "hello"]):  # alone, so without padding
        with torch.no_grad():
            expected = network(**tokenizer([prompt], return_tensors="pt")).text_embeds[0]
        torch.testing.assert_close(features[row], expected / expected.norm(), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(features[0], features[1], atol=1e-3)


def test_auto_takes_clip_where_its_weights_are(tiny_clip: Path) -> None:
    assert build_text_encoder(TextEncoderConfig(clip_model=str(tiny_clip))).name == "clip"


def test_auto_falls_back_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        encoder = build_text_encoder(TextEncoderConfig(clip_model=str(tmp_path / "none")))
    assert encoder.name == "hashed"
    assert "FALLBACK to 'hashed'" in caplog.text


def test_clip_by_name_is_clip_or_an_error(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(TextEncoderError, match="set encoder to hashed"):
        build_text_encoder(TextEncoderConfig(encoder="clip", clip_model=str(tmp_path)))


def test_without_transformers_the_message_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(TextEncoderError, match=r"hand-pipeline\[text\]"):
        ClipTextEncoder("openai/clip-vit-base-patch32", download=False)
