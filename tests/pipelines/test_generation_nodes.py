"""The nodes of `generation` one after the other, on small untrained models."""

from pathlib import Path

import pytest
import torch
from tests.fixtures.asl_alphabet import write_asl_alphabet
from tests.fixtures.freihand import write_freihand

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.asl_poses import AslPosesConfig, load_letters
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.maskhand.config import (
    MaskHandConfig,
    PoseTokenizerConfig,
    ShapeCameraHeadConfig,
    TextEncoderConfig,
    TextMaskHandConfig,
    VqManoConfig,
)
from hand_pipeline.methods.maskhand.generation import GenerationEvaluationConfig
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.methods.maskhand.text import TextMaskHand
from hand_pipeline.methods.maskhand.vq_mano import VqMano
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.pipelines.generation import (
    GenerationConfig,
    make_letter_poses,
    score_text,
    score_unconditional,
    train_text_model,
)
from hand_pipeline.training.checkpoint import Checkpoint, pack_method
from hand_pipeline.training.loop import TrainConfig

TOKENS = {"num_tokens": 16, "num_codes": 32, "code_dim": 8, "width": 16}
SMALL = {"width": 16, "heads": 2, "layers": 1, "feedforward_width": 16, "refinement_blocks": 1}
TEXT = TextMaskHandConfig(text=TextEncoderConfig(encoder="hashed"), **SMALL)
RUN = TrainConfig(steps=4, batch_size=4, lr=1e-3, log_every=2, checkpoint_every=2)
LETTERS = AslPosesConfig(letters=("A", "L", "Y"), samples=4, held_out=0.5, joint_std=2, wrist_std=2)
CFG = GenerationConfig(letters=LETTERS, method=TEXT, training=RUN)
SCORES = GenerationEvaluationConfig(
    per_prompt=2, count=6, shown=3, sampling=SamplingConfig(temperature=1.0, top_k=8)
)


@pytest.fixture(scope="module")
def tokenizer() -> Checkpoint:
    torch.manual_seed(0)
    cfg = VqManoConfig(**TOKENS)
    return pack_method("vq_mano", VqMano(cfg).state_dict(), cfg=cfg)


@pytest.fixture(scope="module")
def maskhand() -> Checkpoint:
    torch.manual_seed(0)
    configs = {
        "cfg": MaskHandConfig(
            **SMALL,
            tokenizer=PoseTokenizerConfig(**TOKENS),
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
    return pack_method("maskhand", MaskHand(**configs).state_dict(), **configs)


def machine(tmp_path: Path) -> MachineConfig:
    return MachineConfig(accelerator="cpu", workspace=tmp_path / "work")


def test_letters_are_learnt_scored_and_drawn(tmp_path: Path, tokenizer, maskhand) -> None:
    where = machine(tmp_path)
    folder, picture = make_letter_poses(maskhand, CFG, where)
    assert picture.width > 3 * 128
    model, metrics, history = train_text_model(folder, tokenizer, CFG, where)
    assert (metrics["text_encoder"], metrics["encoder_is_fallback"]) == ("hashed", 1)
    assert (metrics["hands"], len(history)) == (6, 2)
    method = restore_method(model)
    assert isinstance(method, TextMaskHand)
    assert method.cfg.prompts == ("A", "L", "Y")
    assert method.features.norm(dim=1).tolist() == pytest.approx([1, 1, 1])
    for name, tensor in tokenizer.tensors.items():  # frozen, and the one that was given
        assert torch.equal(model.tensors[name], tensor), name
    figures, table, picture = score_text(folder, model, CFG, SCORES, where)
    again, _, _ = score_text(folder, model, CFG, SCORES, where)
    assert figures == again
    assert table["num_hands"].tolist() == [6, 6, 6, 6]
    chance = table.set_index("hands").loc["held out, named another letter"]
    assert chance["recognised"] == 0
    assert figures["real_recognised"] == 1
    assert figures["real_mean_pa_mpvpe_mm"] < chance["mean_pa_mpvpe_mm"]
    assert picture.height > 128


def test_a_tokenizer_of_another_size_than_asked_for_is_refused(tmp_path, tokenizer, maskhand):
    where = machine(tmp_path)
    folder, _ = make_letter_poses(maskhand, CFG, where)
    other = PoseTokenizerConfig(**{**TOKENS, "num_codes": 64})
    wanted = CFG.model_copy(update={"method": TEXT.model_copy(update={"tokenizer": other})})
    with pytest.raises(ValueError, match="num_codes 32, wanted 64"):
        train_text_model(folder, tokenizer, wanted, where)


def test_hands_without_an_image_stand_beside_components_and_real_ones(
    tmp_path, maskhand, tokenizer
):
    for split, count in (("training", 12), ("evaluation", 5)):
        write_freihand(tmp_path / "hands", split, count)
    figures, table, picture = score_unconditional(
        tmp_path / "hands", maskhand, SCORES, machine(tmp_path)
    )
    assert table["hands"].tolist() == [
        "MaskHand", "MaskHand, more confident half", "principal components", "held out"
    ]  # fmt: skip
    assert table["num_hands"].tolist() == [6, 3, 6, 5]
    assert (table["apd_mm"] > 0).all()
    assert figures["pca_apd_mm"] == table["apd_mm"][2]
    assert figures["confident_apd_mm"] == table["apd_mm"][1]
    assert figures["maskhand_self_intersection_percent"] >= 0
    assert picture.width == 3 * 132 + 4
    with pytest.raises(TypeError, match="holds VqMano, expected MaskHand"):
        score_unconditional(tmp_path / "hands", tokenizer, SCORES, machine(tmp_path))


def test_photos_become_letters_by_maskhand_where_there_are_no_labels(tmp_path, maskhand) -> None:
    write_asl_alphabet(tmp_path / "asl", "train", count=58)
    cfg = AslPosesConfig(
        source="photos", photos=tmp_path / "asl", letters=("A", "C"), samples=2, held_out=0.5
    )
    photos = CFG.model_copy(update={"letters": cfg})
    folder, _ = make_letter_poses(maskhand, photos, machine(tmp_path))
    hands = load_letters(folder / "letters.npz")
    assert hands.letters == ("A", "A", "C", "C")
    torch.testing.assert_close(torch.linalg.det(hands.mano_pose), torch.ones(4, 16))
    no_folder = CFG.model_copy(update={"letters": cfg.model_copy(update={"photos": None})})
    with pytest.raises(DataSetError, match="names no folder of"):
        make_letter_poses(maskhand, no_folder, machine(tmp_path))
