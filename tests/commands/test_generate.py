"""The command: files, the same hands for the same seed, clear refusals."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from click.testing import CliRunner, Result
from PIL import Image

from hand_pipeline.commands.generate import generate
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.methods.maskhand.config import (
    MaskHandConfig,
    PoseTokenizerConfig,
    ShapeCameraHeadConfig,
    TextEncoderConfig,
    TextMaskHandConfig,
)
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.text import TextMaskHand
from hand_pipeline.methods.maskhand.text_encoder import HashedTextEncoder
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.checkpoint import pack_method, save_checkpoint

SMALL = {
    "width": 16, "heads": 2, "layers": 1, "feedforward_width": 16, "refinement_blocks": 1,
    "tokenizer": PoseTokenizerConfig(num_tokens=16, num_codes=32, code_dim=8, width=16),
}  # fmt: skip


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    cfg = TextMaskHandConfig(
        prompts=("A", "Thumb up"), top_share=0.5, text=TextEncoderConfig(encoder="hashed"), **SMALL
    )
    method = TextMaskHand(cfg)
    method.set_features(HashedTextEncoder().encode(cfg.prompts))
    path = tmp_path_factory.mktemp("text") / "text.safetensors"
    save_checkpoint(path, pack_method("maskhand_text", method.state_dict(), cfg=cfg))
    return path


@pytest.fixture(scope="module")
def image_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    configs = {
        "cfg": MaskHandConfig(
            **SMALL,
            head=ShapeCameraHeadConfig(
                width=16, depth=1, heads=2, head_width=8, feedforward_width=16
            ),
        ),
        "vit": VitConfig(
            name="vit_tiny_patch16_224", image_size=32, patch_size=8, depth=1, embed_dim=16,
            num_heads=2,
        ),
        "augmentation": HandAugmentationConfig(image_size=32),
    }  # fmt: skip
    path = tmp_path_factory.mktemp("image") / "maskhand.safetensors"
    save_checkpoint(path, pack_method("maskhand", MaskHand(**configs).state_dict(), **configs))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(generate, [str(argument) for argument in arguments])


def poses(out: Path) -> list[list[float]]:
    content = json.loads((out / "hands.json").read_text())
    return [hand["pose_axis_angle"] for hand in content["hands"]]


def test_hands_of_each_text_are_written_and_drawn(text_model: Path, tmp_path: Path) -> None:
    result = run("--checkpoint", text_model, "--text", "a", "--text", "thumb up", "--count", 2,
                 "--out", tmp_path)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "4 hands in" in result.output
    names = ["A_0000", "A_0001", "Thumb_up_0000", "Thumb_up_0001"]
    expected = {f"{name}.{kind}" for name in names for kind in ("obj", "glb")}
    assert {path.name for path in tmp_path.iterdir()} == expected | {"hands.json", "hands.png"}
    mesh = trimesh.load_mesh(tmp_path / "A_0000.obj", process=False)
    assert (len(mesh.vertices), len(mesh.faces)) == (778, 1538)
    assert np.abs(mesh.vertices).max() < 0.3  # metres, wrist at the origin
    with Image.open(tmp_path / "hands.png") as picture:
        assert np.asarray(picture).min() < 100
    content = json.loads((tmp_path / "hands.json").read_text())
    assert [hand["text"] for hand in content["hands"]] == ["A", "A", "Thumb up", "Thumb up"]
    assert len(content["hands"][0]["pose_axis_angle"]) == 48
    sure = [hand["confidence"] for hand in content["hands"]]
    assert 0 < sure[1] <= sure[0] <= 1
    assert 0 < sure[3] <= sure[2] <= 1


@pytest.mark.parametrize("kind", ["text_model", "image_model"])
def test_without_a_text_the_same_seed_gives_the_same_hands(kind: str, request, tmp_path) -> None:
    model = request.getfixturevalue(kind)
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        result = run("--checkpoint", model, "--count", 3, "--out", tmp_path / name, "--no-obj",
                     "--seed", seed)  # fmt: skip
        assert result.exit_code == 0, result.output
    assert poses(tmp_path / "one") == poses(tmp_path / "again") != poses(tmp_path / "other")
    assert not list((tmp_path / "one").glob("*.obj"))


def test_an_unknown_word_is_refused_or_taken_as_the_closest(text_model: Path, tmp_path) -> None:
    result = run("--checkpoint", text_model, "--text", "thumbs up", "--out", tmp_path / "a")
    assert result.exit_code == 1
    assert "not learnt: 'thumbs up'; known prompts: A, Thumb up" in result.output
    assert not (tmp_path / "a").exists()
    result = run("--checkpoint", text_model, "--text", "thumbs up", "--closest", "--no-obj",
                 "--out", tmp_path / "b")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "'thumbs up' was not learnt; 'Thumb up' is the closest word" in result.output


def test_what_cannot_be_done_is_said(text_model, image_model, untrained, tmp_path) -> None:
    for arguments, said in (
        (("--checkpoint", image_model, "--text", "A"), "MaskHand reads no text"),
        (("--checkpoint", untrained), "PyMAF, which generates no hands"),
        (("--checkpoint", text_model, "--text", "A", "--count", 2, "--temperature", 0),
         "2 hypotheses at temperature 0 are all the same"),
        (("--checkpoint", __file__), "not a readable safetensors file"),
    ):  # fmt: skip
        result = run(*arguments, "--out", tmp_path / "none")
        assert result.exit_code == 1
        assert said in result.output
    assert not (tmp_path / "none").exists()
