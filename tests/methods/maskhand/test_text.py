"""Text to hands: the right letter's tokens, seeded draws, resume to the bit, clear refusals."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.asl_poses import AslPosesConfig, LetterSet, draw_letters
from hand_pipeline.data.batch import PoseBatch, PromptedPoseBatch
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.maskhand.config import PoseTokenizerConfig, TextMaskHandConfig
from hand_pipeline.methods.maskhand.pose_tokenizer import PoseTokenizer
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.methods.maskhand.text import TextMaskHand, UnknownPromptError
from hand_pipeline.methods.maskhand.text_encoder import HashedTextEncoder
from hand_pipeline.models.state import CheckpointMismatchError
from hand_pipeline.training.checkpoint import load_checkpoint, pack_method, save_checkpoint
from hand_pipeline.training.loop import Record, TrainConfig, fit, weighted_sum

PROMPTS = ("A", "L", "Y")
TINY = TextMaskHandConfig(
    prompts=PROMPTS, width=32, heads=2, layers=2, feedforward_width=64, refinement_blocks=1,
    dropout=0.0, weight_pose=1.0, weight_vertices=10.0,
    tokenizer=PoseTokenizerConfig(num_tokens=16, num_codes=32, code_dim=16, width=24),
)  # fmt: skip
CPU = MachineConfig(accelerator="cpu")
HANDS = LetterSet(draw_letters(AslPosesConfig(letters=PROMPTS, samples=8), ManoHand()), PROMPTS)
RUN = TrainConfig(steps=12, batch_size=6, lr=1e-3, warmup_steps=2, log_every=2, checkpoint_every=4)
GREEDY = SamplingConfig()


def build(**changes: object) -> TextMaskHand:
    torch.manual_seed(0)
    method = TextMaskHand(TINY.model_copy(update=changes))
    method.set_features(HashedTextEncoder().encode(PROMPTS))
    return method


def one_of_each() -> PromptedPoseBatch:
    return HANDS.collate([0, 8, 16])


def batches(step: int) -> Iterator[PromptedPoseBatch]:
    while True:
        yield HANDS.collate([(step * 6 + i) * 5 % 24 for i in range(6)])
        step += 1


def numbers(records: list[Record]) -> list[dict[str, float]]:
    timing = {"images_per_second", "memory_gb"}
    return [{k: v for k, v in r.scalars().items() if k not in timing} for r in records]


@pytest.fixture(scope="module")
def trained() -> TextMaskHand:
    """Has learnt one hand of each of three letters by heart."""
    method = build(condition_dropout=0.0, corruption=0.0, weight_vertices=0.0, weight_pose=0.0)
    cfg = TrainConfig(steps=250, batch_size=3, lr=5e-3, warmup_steps=5, log_every=50)
    list(fit(method, lambda step: iter([one_of_each()] * 250), cfg, CPU))
    return method.eval()


def test_the_first_loss_is_that_of_guessing() -> None:
    terms = build().losses(one_of_each(), 0)
    assert terms["mask"].item() == pytest.approx(math.log(32), rel=0.2)
    assert terms.keys() == build().loss_weights.keys() == {"mask", "pose", "vertices"}


def test_terms_of_no_weight_are_not_computed(monkeypatch) -> None:
    method = build(weight_pose=0.0, weight_vertices=0.0)
    monkeypatch.setattr(method.tokenizer, "decode", lambda codes: pytest.fail("decoded"))
    assert method.losses(one_of_each(), 0).keys() == method.loss_weights.keys() == {"mask"}


def test_every_weight_but_the_tokenizers_learns() -> None:
    method = build(condition_dropout=0.5).train()
    torch.manual_seed(0)
    weighted_sum(method.losses(HANDS.collate(range(24)), 0), method.loss_weights).backward()
    given = [p for group in method.param_groups() for p in group["params"]]
    names = {n for n, p in method.named_parameters() if any(p is q for q in given)}
    assert names == {n for n, _ in method.named_parameters() if not n.startswith("tokenizer.")}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in given)
    assert not any(p.requires_grad for p in method.tokenizer.parameters())
    assert not method.tokenizer.training


def test_the_likeliest_hand_of_a_learnt_letter_is_that_letters(trained: TextMaskHand) -> None:
    batch = one_of_each()
    expected = trained.tokenizer.detokenize(trained.tokenizer.tokenize(batch.mano_pose))
    found = trained.generate(["Y", "a", "L"], 1, GREEDY).mano_pose
    torch.testing.assert_close(found, expected[[2, 0, 1]])
    assert not torch.allclose(expected[0], expected[1], atol=0.01)


def test_features_of_the_same_encoder_do_as_well_as_prompts(trained: TextMaskHand) -> None:
    features = HashedTextEncoder().encode(["l"])
    torch.testing.assert_close(
        trained.generate(features, 1, GREEDY).mano_pose,
        trained.generate(["L"], 1, GREEDY).mano_pose,
    )


def test_draws_repeat_with_their_seed_and_differ_without() -> None:
    method = build(top_share=0.5).eval()

    def draw(seed: int) -> torch.Tensor:
        found = method.generate(["A", "L"], 5, generator=torch.Generator().manual_seed(seed))
        of_each = found.confidence.unflatten(0, (2, 5))
        assert (of_each.diff(dim=1) <= 0).all()  # the most confident of each prompt first
        assert of_each.unique().numel() > 5
        return found.mano_pose

    assert draw(1).shape == (10, 16, 3, 3)
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert not torch.equal(draw(1)[0], draw(1)[1])


def test_hands_of_a_prompt_follow_each_other_whatever_is_drawn_at_once(
    trained: TextMaskHand, monkeypatch
) -> None:
    monkeypatch.setattr("hand_pipeline.methods.maskhand.text.AT_ONCE", 2)
    cold = SamplingConfig(temperature=1e-6)
    single = trained.generate(["A", "Y"], 1, GREEDY).mano_pose
    found = trained.generate(["A", "Y"], 5, cold).mano_pose
    torch.testing.assert_close(found, single.repeat_interleave(5, 0))


def test_five_percent_of_the_codes_are_drawn_from() -> None:
    assert build().sampling.top_k == 1  # of 32
    wide = TINY.tokenizer.model_copy(update={"num_codes": 2048})
    assert TextMaskHand(TINY.model_copy(update={"tokenizer": wide})).sampling.top_k == 102


def test_without_a_text_hands_come_from_the_learnt_stand_in() -> None:
    method = build().eval()
    seen = []
    encode = method.synthesizer.encode_context
    method.synthesizer.encode_context = lambda tokens: seen.append(tokens) or encode(tokens)
    with torch.no_grad():
        method.no_text.fill_(3.0)
    assert method.generate(None, 4).mano_pose.shape == (4, 16, 3, 3)
    assert (seen[0] == 3).all()


def test_an_unknown_prompt_is_refused_with_the_known_ones_named() -> None:
    with pytest.raises(UnknownPromptError, match=r"not learnt: 'fist'; known prompts: A, L, Y"):
        build().generate(["A", "fist"], 1)


def test_the_closest_known_prompt_is_by_angle() -> None:
    method = build()
    assert method.closest(HashedTextEncoder().encode(["y", "aa", "ll"])) == ["Y", "A", "L"]


def test_several_hands_need_a_temperature() -> None:
    with pytest.raises(ValidationError, match="at temperature 0 are all the same"):
        build().generate(["A"], 2, GREEDY)


def test_an_interrupted_run_ends_bit_equal(tmp_path: Path) -> None:
    path, whole = tmp_path / "last.safetensors", build()
    expected = list(fit(whole, batches, RUN, CPU))
    for record in fit(build(), batches, RUN, CPU, path):
        if record.step == 6:
            break
    resumed = build()
    found = list(fit(resumed, batches, RUN, CPU, path))
    assert numbers(found) == numbers(expected)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_a_checkpoint_holds_all_that_generation_needs(tmp_path: Path, trained) -> None:
    path = tmp_path / "m.safetensors"
    save_checkpoint(path, pack_method("maskhand_text", trained.state_dict(), cfg=trained.cfg))
    restored = restore_method(load_checkpoint(path))
    assert isinstance(restored, TextMaskHand)
    found, expected = (model.generate(["A"], 1, GREEDY) for model in (restored, trained))
    assert torch.equal(found.mano_pose, expected.mano_pose)


def test_the_tokenizer_is_that_of_a_vq_mano_checkpoint() -> None:
    torch.manual_seed(5)
    other = PoseTokenizer(TINY.tokenizer)
    tensors = {f"tokenizer.{name}": value for name, value in other.state_dict().items()}
    method = build()
    method.load_tokenizer(tensors | {"more": torch.zeros(1)}, "a checkpoint")
    pose = one_of_each().mano_pose
    assert torch.equal(method.tokenizer.tokenize(pose), other.tokenize(pose))
    with pytest.raises(CheckpointMismatchError, match="a checkpoint holds"):
        method.load_tokenizer({}, "a checkpoint")


def test_bad_configurations_and_batches_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="needs its prompts and the sizes"):
        TextMaskHand(TextMaskHandConfig())
    with pytest.raises(ValueError, match="more than case"):
        build(prompts=("a", "A"))
    with pytest.raises(ValidationError, match=r"needs one \{\}"):
        TextMaskHandConfig(template="a letter")
    with pytest.raises(ValueError, match=r"expected features \(3, 512\)"):
        build().set_features(torch.zeros(3, 768))
    with pytest.raises(TypeError, match="PromptedPoseBatch, got PoseBatch"):
        build().losses(PoseBatch(("a",), one_of_each().mano_pose[:1], torch.zeros(1, 10)), 0)
