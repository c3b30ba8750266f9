"""MaskHand: its terms, what they may and may not depend on, sampling, and what is refused."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import HandBatch, ImageBatch, Keypoints
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.geometry.camera import project
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.maskhand.config import (
    MaskHandConfig,
    PoseTokenizerConfig,
    ShapeCameraHeadConfig,
    VqManoConfig,
)
from hand_pipeline.methods.maskhand.drawn_hands import in_parts
from hand_pipeline.methods.maskhand.maskhand import MaskHand
from hand_pipeline.methods.maskhand.pose_tokenizer import joint_tokens, sizes_of
from hand_pipeline.methods.maskhand.sampling import SamplingConfig
from hand_pipeline.models.state import CheckpointMismatchError
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.checkpoint import load_checkpoint, pack_method, save_checkpoint
from hand_pipeline.training.hand_terms import own_joints_loss
from hand_pipeline.training.loop import TrainConfig, fit

SIZE = 32
VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=SIZE, patch_size=8, depth=1, embed_dim=32, num_heads=2
)
STILL = HandAugmentationConfig(
    image_size=SIZE, rotation_deg=0, scale=0, translation=0, brightness=0, contrast=0, hue=0
)
TOKENIZER = PoseTokenizerConfig(num_tokens=16, num_codes=24, code_dim=8, width=16)
TINY = MaskHandConfig(
    width=32,
    heads=2,
    layers=2,
    feedforward_width=64,
    dropout=0,
    head=ShapeCameraHeadConfig(width=32, depth=1, heads=2, head_width=16, feedforward_width=32),
    tokenizer=TOKENIZER,
)
CPU = MachineConfig(accelerator="cpu")
EVERYTHING = {"corruption": 0.0, "condition_dropout": 0.0, "keypoint_dropout": 0.0}
STOCHASTIC = SamplingConfig(iterations=3, temperature=1, hypotheses=5)


def build(augmentation: HandAugmentationConfig = STILL, **changes) -> MaskHand:
    torch.manual_seed(0)
    return MaskHand(TINY.model_copy(update=changes), VIT, augmentation)


def keypoints_of(batch: HandBatch) -> Keypoints:
    return Keypoints(batch.joints_2d, torch.ones(len(batch), 21))


def total(method: MaskHand, terms: dict[str, torch.Tensor]) -> torch.Tensor:
    return sum(method.loss_weights[name] * value for name, value in terms.items())


def seeded_losses(method: MaskHand, batch: HandBatch) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return method.losses(batch, 0)


# ---- training


def test_terms_are_scalars_with_the_names_of_their_weights(batch):
    method = build()
    terms = method.losses(batch, 0)
    assert terms.keys() == method.loss_weights.keys()
    assert all(value.ndim == 0 for value in terms.values())


def test_at_the_start_a_masked_token_costs_about_the_logarithm_of_the_codes(batch):
    terms = build(masking=(0.0, 0.0), **EVERYTHING).losses(batch, 0)
    assert abs(terms["mask"].item() - math.log(24)) < 0.7


def test_every_trained_parameter_gets_a_finite_gradient_and_the_tokenizer_none(batch):
    method = build(HandAugmentationConfig(image_size=SIZE))
    total(method, method.losses(replace(batch, keypoints=keypoints_of(batch)), 0)).backward()
    for name, parameter in method.named_parameters():
        if name.startswith("tokenizer."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name


def test_the_optimizer_gets_all_but_the_tokenizer_and_scales_the_encoder():
    method = build(backbone_lr_scale=0.1)
    groups = method.param_groups()
    grouped = [id(p) for group in groups for p in group["params"]]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters() if p.requires_grad)
    assert not set(grouped) & {id(p) for p in method.tokenizer.parameters()}
    backbone = {id(p) for p in method.backbone.parameters()}
    for group in groups:
        assert group["lr_scale"] == (0.1 if id(group["params"][0]) in backbone else 1.0)


def test_the_tokenizer_does_not_move_in_training(batch):
    method = build().train()
    before = {name: value.clone() for name, value in method.tokenizer.state_dict().items()}
    run = TrainConfig(steps=3, batch_size=4, warmup_steps=1, lr=0.1)
    list(fit(method, lambda step: iter([batch] * 3), run, CPU))
    for name, value in method.tokenizer.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_unlabelled_hands_do_not_move_the_loss(batch):
    nothing = torch.zeros(4, dtype=torch.bool)
    flags = {
        "has_mano": nothing,
        "has_vertices": nothing,
        "has_joints_3d": nothing[:, None].repeat(1, 21),
        "has_joints_2d": nothing[:, None].repeat(1, 21),
    }
    terms = build().losses(replace(batch, **flags), 0)
    assert all(value == 0 for name, value in terms.items() if name != "positive_scale")


@pytest.mark.parametrize("term", ["joints_2d", "joints_3d", "vertices"])
def test_hands_without_a_pose_teach_the_tokens_by_their_other_labels(batch, term, monkeypatch):
    """The gradient passes softmax(logits) x codebook: it must reach the logits of every token."""
    unposed = replace(
        batch,
        has_mano=torch.zeros(4, dtype=torch.bool),
        mano_pose=torch.zeros_like(batch.mano_pose),
    )
    method, logits = build(**EVERYTHING), []

    def watched(ids, context):
        logits.append(forward(ids, context))
        logits[-1].retain_grad()
        return logits[-1]

    forward = method.synthesizer.forward
    monkeypatch.setattr(method.synthesizer, "forward", watched)
    terms = method.losses(unposed, 0)
    assert terms["mask"] == 0
    assert terms["mano_pose"] == 0
    terms[term].backward()
    assert (logits[-1].grad.norm(dim=-1) > 0).all()


def test_a_hand_whose_condition_is_dropped_knows_neither_image_nor_keypoints(batch):
    """With all conditions dropped the token loss is the same for any image, and nothing else is."""
    method = build(condition_dropout=0.999999, corruption=0.0)
    guided = replace(batch, keypoints=keypoints_of(batch))
    other = replace(
        guided,
        images=255 - batch.images,
        keypoints=Keypoints(batch.joints_2d + 5, torch.ones(4, 21)),
    )
    first, second = seeded_losses(method, guided), seeded_losses(method, other)
    assert first["mask"] == second["mask"]
    for name in ("mano_pose", "mano_betas", "vertices", "joints_2d", "joints_3d"):
        assert first[name] == 0


def test_keypoints_of_confidence_zero_are_no_keypoints(batch):
    method = build(**EVERYTHING)
    unseen = Keypoints(torch.full((4, 21, 2), 7.0), torch.zeros(4, 21))
    without = seeded_losses(method, batch)
    for found in (unseen, Keypoints(torch.full((4, 21, 2), float("nan")), torch.zeros(4, 21))):
        terms = seeded_losses(method, replace(batch, keypoints=found))
        for name, value in without.items():
            torch.testing.assert_close(terms[name], value)
    with_points = seeded_losses(method, replace(batch, keypoints=keypoints_of(batch)))
    assert with_points["mask"] != without["mask"]


def test_dropped_keypoints_are_no_keypoints(batch):
    method = build(corruption=0.0, condition_dropout=0.0, keypoint_dropout=1.0)
    guided = replace(batch, keypoints=keypoints_of(batch))
    assert seeded_losses(method, guided)["mask"] == seeded_losses(method, batch)["mask"]


def test_single_keypoints_are_hidden_each_hand_by_a_share_of_its_own(batch, monkeypatch):
    method = build(joint_dropout=1.0, **EVERYTHING)
    many = replace(batch, keypoints=keypoints_of(batch))
    seen, encode = [], method.encode_input

    def watched(images, intrinsics, points, confidence, shown):
        seen.append(confidence)
        return encode(images, intrinsics, points, confidence, shown)

    monkeypatch.setattr(method, "encode_input", watched)
    for step in range(12):
        method.losses(many, step)
    kept = torch.cat(seen).mean(1)  # 48 hands, uniform in 0 to 1
    assert set(torch.cat(seen).unique().tolist()) == {0.0, 1.0}
    assert 0.35 < kept.mean() < 0.65
    assert kept.min() < 0.25
    assert kept.max() > 0.75


def test_blackened_hands_have_darker_pictures_and_fewer_keypoints(batch, monkeypatch):
    white = replace(batch, images=torch.full_like(batch.images, 255), keypoints=keypoints_of(batch))
    seen = {}
    for share in (0.0, 1.0):
        method = build(blackout=share, **EVERYTHING)
        encode = method.encode_input
        monkeypatch.setattr(
            method,
            "encode_input",
            lambda *given, share=share, encode=encode: (
                seen.update({share: given}),
                encode(*given),
            )[1],
        )
        seeded_losses(method, white)
    assert (seen[1.0][0].mean((1, 2, 3)) < seen[0.0][0].mean((1, 2, 3))).any()
    assert (seen[0.0][3] == 1).all()
    assert (seen[1.0][3] == 0).any()


@pytest.mark.parametrize("masking", [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_the_range_of_masking_says_how_many_tokens_are_asked(batch, masking, monkeypatch):
    method = build(masking=masking, **EVERYTHING)
    seen = []
    forward = method.synthesizer.forward
    monkeypatch.setattr(
        method.synthesizer,
        "forward",
        lambda ids, context: (seen.append(ids), forward(ids, context))[1],
    )
    method.losses(batch, 0)
    hidden = (seen[0] == method.synthesizer.mask_id).sum(1)
    expected = max(1, math.ceil(round(math.cos(math.pi * masking[0] / 2) * 16, 4)))
    assert hidden.tolist() == [expected] * 4


def test_visible_noise_shows_the_tokens_of_a_pose_nearby_and_asks_for_the_true_ones(batch):
    """All but one token are visible; a network that copies what it sees is charged for it."""
    seen = []

    def copy(ids, context):
        seen.append(ids)
        return 20 * torch.nn.functional.one_hot(ids.clamp(max=23), 24).float()

    charged = {}
    for noise in (0.0, 1.0):
        method = build(masking=(1.0, 1.0), visible_noise=noise, **EVERYTHING)
        method.synthesizer.forward = copy
        charged[noise] = seeded_losses(method, batch)["mask"].item()
    targets = method.tokenizer.tokenize(batch.mano_pose)
    clean, noisy = (((ids != targets) & (ids != 24)).sum() for ids in seen)
    assert clean == 0
    assert noisy > 0
    # the whole margin for each token asked: those that show the truth are not among them
    assert charged[1.0] > 15


def test_self_conditioning_shows_what_the_second_pass_of_sampling_sees(batch, monkeypatch):
    """tau = 1/2 hides as many tokens as the second of two passes: 12 of 16."""
    method = build(masking=(0.5, 0.5), self_conditioning=1.0, **EVERYTHING)
    seen, forward = [], method.synthesizer.forward

    def watched(ids, context, positions=None):
        seen.append((ids, context, torch.is_grad_enabled(), method.synthesizer.training))
        return forward(ids, context, positions)

    monkeypatch.setattr(method.synthesizer, "forward", watched)
    terms = method.losses(batch, 0)
    (first, context, *how), (shown, _, *later) = seen
    assert (first == 24).all()
    assert how == [False, False]
    assert later == [True, True]
    seen.clear()
    method.sample(context, 4, SamplingConfig(iterations=2))
    assert torch.equal(shown, seen[1][0])
    assert ((shown == 24).sum(1) == 12).all()
    # visible tokens are asked for, too: the likelihood is the mean over all 16
    logits = forward(shown, context)
    targets = method.tokenizer.tokenize(batch.mano_pose)
    every = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(terms["mask"], every)


def test_only_a_model_that_saw_its_own_choices_reads_all_positions_at_the_end(batch, monkeypatch):
    for share, whole in ((0.0, False), (0.5, True)):
        method, places = build(self_conditioning=share).eval(), []
        forward = method.synthesizer.forward
        monkeypatch.setattr(
            method.synthesizer,
            "forward",
            lambda ids, context, positions, forward=forward, places=places: (
                places.append(positions),
                forward(ids, context, positions),
            )[1],
        )
        method.sample(method.encode(batch).context, 4, SamplingConfig(iterations=3))
        assert [where is None for where in places] == [True, False, whole]


# ---- 2D joints of its own


def test_without_keypoints_the_context_and_the_reference_points_depend_on_the_image(batch):
    """True of both only with the head: else each image has the same 21 missing joints."""
    other = replace(batch, images=255 - batch.images)
    differ = {}
    for weight in (0.0, 1.0):
        method = build(weight_own_joints_2d=weight).eval()
        seen = []
        for images in (batch, other):
            context = method.encode(images).context
            tokens = method.synthesizer.embedding(method.synthesizer.masked(4))
            refined, _ = method.synthesizer._refine(tokens, context.pose)
            seen.append((context.pose, method.synthesizer._places(refined)))
        (pose, places), (other_pose, other_places) = seen
        differ[weight] = not (torch.equal(pose, other_pose) or torch.equal(places, other_places))
    assert differ == {0.0: False, 1.0: True}


def test_own_joints_stand_in_for_undetected_ones_only(batch, monkeypatch):
    method = build(weight_own_joints_2d=1.0).eval()
    found = torch.ones(4, 21)
    found[:, 5] = 0
    partly = Keypoints(batch.joints_2d.clone(), found)
    partly.points[:, 5] = float("nan")
    seen, graph = [], method.synthesizer.pose.forward
    monkeypatch.setattr(
        method.synthesizer.pose, "forward", lambda *given: (seen.append(given), graph(*given))[1]
    )
    own = method.encode(replace(batch, keypoints=partly)).own_joints
    ((points, confidence),) = seen
    expected = batch.joints_2d * (2 / SIZE) - 1
    expected[:, 5] = own.points[:, 5]
    torch.testing.assert_close(points, expected)
    assert (confidence[:, [*range(5), *range(6, 21)]] == 1).all()
    assert torch.equal(confidence[:, 5], own.confidence[:, 5])
    assert not points.requires_grad


def test_a_hand_whose_condition_is_dropped_has_no_joints_of_its_own(batch):
    method = build(condition_dropout=0.999999, corruption=0.0, weight_own_joints_2d=1.0)
    other = replace(batch, images=255 - batch.images)
    first, second = seeded_losses(method, batch), seeded_losses(method, other)
    assert first["mask"] == second["mask"]
    assert first["own_joints_2d"] != second["own_joints_2d"]  # the head itself sees every image


def test_two_dimensional_joints_are_learnt_from_labels_in_the_image_and_nothing_else(batch):
    method = build(weight_own_joints_2d=1.0, **EVERYTHING)
    terms = seeded_losses(method, batch)
    others = [value for name, value in terms.items() if name != "own_joints_2d"]
    assert torch.autograd.grad(
        sum(others), method.keypoint_head.maps.weight, retain_graph=True, allow_unused=True
    ) == (None,)
    terms["own_joints_2d"].backward()
    assert method.keypoint_head.maps.weight.grad.norm() > 0
    assert method.backbone.trunk.patch_embed.proj.weight.grad.norm() > 0
    unseen = replace(batch, has_joints_2d=torch.zeros(4, 21, dtype=torch.bool))
    assert seeded_losses(method, unseen)["own_joints_2d"] == 0


def test_the_joints_of_one_batch_can_be_overfitted(batch):
    """To a fraction of a patch, which is 8 px wide, and then the head is sure of them."""
    method = build(weight_own_joints_2d=1.0)
    images, _ = method.augmentation.network_input(batch.images, batch.intrinsics)
    true = batch.joints_2d * (2 / SIZE) - 1
    parts = [*method.backbone.parameters(), *method.keypoint_head.parameters()]
    optimizer = torch.optim.Adam(parts, 4e-3)
    for _ in range(150):
        own = method.keypoint_head(method.backbone(images).patches)
        loss = own_joints_loss(own, true, batch.has_joints_2d)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    error = (own.points - true).norm(dim=-1) * SIZE / 2
    assert error.mean() < 0.6
    assert own.confidence.mean() > 0.9


# ---- expected errors


def test_the_head_of_errors_learns_from_fully_labelled_hands_and_moves_nothing_else(batch):
    method = build(weight_joint_error=1.0, **EVERYTHING)
    plain = seeded_losses(build(**EVERYTHING), batch)
    term = seeded_losses(method, batch)["joint_error"]
    assert "joint_error" not in plain
    term.backward()
    moved = {name for name, p in method.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {f"error_head.{name}" for name, _ in method.error_head.named_parameters()}
    partly = batch.has_joints_3d.clone()
    partly[:, 4] = False
    assert seeded_losses(method, replace(batch, has_joints_3d=partly))["joint_error"] == 0
    hidden = build(weight_joint_error=1.0, condition_dropout=0.999999)
    assert seeded_losses(hidden, batch)["joint_error"] == 0


@pytest.mark.parametrize("confidence", ["agreement", "alike"])
def test_joints_are_as_sure_as_their_expected_errors_are_small(batch, confidence):
    method = build(weight_joint_error=1.0, confidence=confidence).eval()
    method.error_head.layers[-1].weight.data.mul_(10)
    seen, read = [], method.error_head.forward
    method.error_head.forward = lambda *given: (seen.append(read(*given)), seen[-1])[1]
    found = hypotheses_of(method, batch, STOCHASTIC)
    (expected,) = seen
    assert expected.shape == (4 * 5, 21)
    # 10 mm is 1 / e; hypotheses are sorted by the confidence of whole hands
    ours = torch.exp(-expected.unflatten(0, (4, 5)) / 0.01).sort(1).values
    torch.testing.assert_close(found.joint_confidence.sort(1).values, ours)
    assert (found.confidence[:, 1:] <= found.confidence[:, :-1]).all()


@pytest.mark.slow
def test_one_batch_can_be_overfitted_and_read_back_token_by_token(batch):
    method = build(weight_mano_betas=2.0, weight_mano_camera=100.0, **EVERYTHING)
    run = TrainConfig(steps=150, batch_size=4, lr=4e-3, warmup_steps=10, log_every=50, clip=1.0)
    records = list(fit(method, lambda step: iter([batch] * 150), run, CPU))
    assert records[-1].losses["mask"] < 0.1 * records[0].losses["mask"]
    assert records[-1].monitors["token_accuracy"] > 0.95
    found = method.eval().predict(batch)
    truth = method.tokenizer.tokenize(batch.mano_pose)
    assert (found.tokens[:, 0] == truth).float().mean() > 0.95
    assert found.confidence.min() > 0.5


def test_an_interrupted_run_ends_bit_equal(batch, tmp_path: Path):
    run = TrainConfig(
        steps=6, batch_size=4, lr=1e-3, warmup_steps=1, log_every=1, checkpoint_every=2
    )
    guided = replace(batch, keypoints=keypoints_of(batch))
    full = HandAugmentationConfig(image_size=SIZE)

    def batches(step: int):
        return iter([guided] * (6 - step))

    path, whole, resumed = tmp_path / "last.safetensors", build(full), build(full)
    list(fit(whole, batches, run, CPU))
    for record in fit(build(full), batches, run, CPU, path):
        if record.step == 5:
            break
    list(fit(resumed, batches, run, CPU, path))
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_bf16_autocast_changes_the_losses_only_by_its_rounding(batch):
    exact = seeded_losses(build(**EVERYTHING), batch)
    method = build(**EVERYTHING)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = seeded_losses(method, batch)
    for name, value in exact.items():
        torch.testing.assert_close(rounded[name], value, rtol=0.1, atol=1e-2)


# ---- inference


@pytest.fixture
def method() -> MaskHand:
    return build().eval()


def hypotheses_of(method, batch, sampling, seed=0):
    method.sampling = sampling
    generator = torch.Generator().manual_seed(seed)
    return method.predict(replace(batch, keypoints=keypoints_of(batch)), generator)


def test_hypotheses_are_ranked_and_lie_in_the_camera_they_were_given(method, batch):
    found = hypotheses_of(method, batch, STOCHASTIC)
    assert found.vertices.shape == (4, 5, 778, 3)
    assert (found.confidence[:, 1:] <= found.confidence[:, :-1]).all()
    camera = found.intrinsics[:, None].expand(-1, 5, -1, -1)
    torch.testing.assert_close(project(found.joints_3d, camera), found.joints_2d)
    assert not torch.equal(found.tokens[:, 0], found.tokens[:, 1])


def test_each_hypothesis_is_the_hand_of_its_tokens(method, batch):
    found = hypotheses_of(method, batch, STOCHASTIC)
    pose = method.tokenizer.detokenize(found.tokens.flatten(0, 1)).unflatten(0, (4, 5))
    torch.testing.assert_close(found.mano_pose, pose)
    hand = method.mano(pose[:, 2], found.betas)
    shift = found.joints_3d[:, 2, :1] - hand.joints[:, :1]
    torch.testing.assert_close(found.joints_3d[:, 2], hand.joints + shift, atol=1e-5, rtol=0)


@pytest.mark.parametrize("confidence", ["alike", "code"])
def test_token_confidence_is_the_geometric_mean_of_the_tokens_probabilities(batch, confidence):
    found = hypotheses_of(build(confidence=confidence).eval(), batch, STOCHASTIC)
    expected = found.token_probability.log().mean(-1).exp()
    torch.testing.assert_close(found.confidence, expected)
    assert (found.joint_confidence >= 0).all()
    assert (found.joint_confidence <= 1).all()


def test_a_token_is_surer_together_with_the_codes_like_it(batch):
    alone, together = (
        hypotheses_of(build(confidence=c).eval(), batch, SamplingConfig(iterations=1))
        for c in ("code", "alike")
    )
    assert torch.equal(alone.tokens, together.tokens)
    assert (together.token_probability > alone.token_probability).all()


def test_agreement_is_that_with_draws_of_one_pass_which_repeat(method, batch):
    method.sampling = SamplingConfig(iterations=2)
    first, again = (method.predict(batch) for _ in range(2))
    assert torch.equal(first.confidence, again.confidence)
    assert ((first.confidence > 0) & (first.confidence < 1)).all()
    assert ((first.joint_confidence > 0) & (first.joint_confidence < 1)).all()


@pytest.mark.parametrize("hypotheses", [1, 3])
def test_hands_alone_are_the_same_hands(method, batch, hypotheses):
    warm = float(hypotheses > 1)
    method.sampling = SamplingConfig(iterations=2, hypotheses=hypotheses, temperature=warm)
    whole, hands = (
        method.predict(batch, torch.Generator().manual_seed(1), only_hands=only)
        for only in (False, True)
    )
    assert (hands.confidence is None) == (hypotheses == 1)
    assert hands.ids == whole.ids
    for name in ("joints_2d", "joints_3d", "vertices", "mano_pose", "betas", "intrinsics"):
        assert torch.equal(getattr(hands, name), getattr(whole, name)), name


def test_a_seed_repeats_and_another_differs(method, batch):
    first, again = (hypotheses_of(method, batch, STOCHASTIC, seed=3) for _ in range(2))
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(first.vertices, again.vertices)
    assert not torch.equal(first.tokens, hypotheses_of(method, batch, STOCHASTIC, 4).tokens)


def test_one_pass_of_the_likeliest_codes_is_one_shot(method, batch):
    found = hypotheses_of(method, batch, SamplingConfig(iterations=1))
    encoded = method.encode(replace(batch, keypoints=keypoints_of(batch)))
    masked = torch.full((4, 16), method.synthesizer.mask_id)
    with torch.no_grad():
        logits = method.synthesizer(masked, encoded.context)
    assert torch.equal(found.tokens[:, 0], logits.argmax(-1))


def test_the_expectation_is_decoded_at_temperature_zero_and_the_codes_on_request(batch):
    argmax = SamplingConfig(iterations=2)
    mean = hypotheses_of(build().eval(), batch, argmax)
    hard_method = build(readout="codes").eval()
    hard = hypotheses_of(hard_method, batch, argmax)
    assert torch.equal(mean.tokens, hard.tokens)
    torch.testing.assert_close(
        hard.mano_pose[:, 0], hard_method.tokenizer.detokenize(hard.tokens[:, 0])
    )
    assert not torch.allclose(mean.mano_pose, hard.mano_pose, atol=1e-4)


def test_the_encoder_sees_each_image_once_whatever_is_sampled(method, batch, monkeypatch):
    calls = []
    forward = method.backbone.forward
    monkeypatch.setattr(
        method.backbone, "forward", lambda images: (calls.append(len(images)), forward(images))[1]
    )
    hypotheses_of(method, batch, SamplingConfig(iterations=5, temperature=1, hypotheses=7))
    assert calls == [4]


def test_it_draws_as_configured_unless_told_otherwise(batch):
    own = SamplingConfig(iterations=2)
    method = build(sampling=own).eval()
    assert method.sampling == own
    found = method.predict(replace(batch, keypoints=keypoints_of(batch)))
    assert found.vertices.shape[:2] == (4, 1)
    assert found.ids == batch.ids
    assert torch.equal(found.vertices, hypotheses_of(method, batch, own).vertices)


def test_larger_photos_are_resized_with_their_camera_and_keypoints(method, batch):
    large = torch.nn.functional.interpolate(batch.images.float(), scale_factor=2).to(torch.uint8)
    camera = batch.intrinsics.clone()
    camera[:, :2] *= 2
    twice = Keypoints(batch.joints_2d * 2, torch.ones(4, 21))
    small = method.encode(replace(batch, keypoints=keypoints_of(batch)))
    wide = method.encode(replace(batch, images=large, intrinsics=camera, keypoints=twice))
    torch.testing.assert_close(wide.intrinsics, small.intrinsics)
    torch.testing.assert_close(wide.context.pose, small.context.pose)


def test_generation_needs_no_image_repeats_with_its_seed_and_varies(method):
    sampling = SamplingConfig(iterations=3, temperature=1, top_k=10)
    first, again = (method.generate(6, sampling, torch.Generator().manual_seed(0)) for _ in "ab")
    assert first.mano_pose.shape == (6, 16, 3, 3)
    assert torch.equal(first.mano_pose, again.mano_pose)
    assert not torch.equal(first.mano_pose[0], first.mano_pose[1])


def test_generated_hands_are_ranked_by_the_confidence_of_their_tokens(method, monkeypatch):
    """Drawn two at a time: three parts, one ranking."""
    monkeypatch.setattr(
        "hand_pipeline.methods.maskhand.network.in_parts", lambda count: in_parts(count, 2)
    )
    drawn, sample = [], method.sample
    monkeypatch.setattr(
        method, "sample", lambda *given: (drawn.append(sample(*given)), drawn[-1])[1]
    )
    found = method.generate(5, STOCHASTIC, torch.Generator().manual_seed(0))
    ids = torch.cat([part.ids[0] for part in drawn])
    sure = torch.cat([part.probabilities[0] for part in drawn]).log().mean(1).exp()
    order = sure.argsort(descending=True)
    torch.testing.assert_close(found.confidence, sure[order])
    torch.testing.assert_close(found.mano_pose, method.tokenizer.detokenize(ids[order]))


def test_several_hands_from_nothing_at_temperature_zero_are_refused(method):
    with pytest.raises(ValueError, match="temperature 0 are all the same"):
        method.generate(5, SamplingConfig())


def test_a_joint_is_as_sure_as_the_tokens_that_move_it():
    weights = joint_tokens(64)
    torch.testing.assert_close(weights.sum(1), torch.ones(21))
    assert weights[0].nonzero().flatten().tolist() == [0, 1, 2, 3]  # wrist: its own rotation
    assert weights[6].nonzero().flatten().tolist() == [4, 5, 6, 7]  # index_2: moved by index_1
    assert weights[8].nonzero().flatten().tolist() == list(range(4, 16))  # index tip
    assert weights[4].nonzero().flatten().tolist() == list(range(52, 64))  # thumb tip


# ---- configurations and checkpoints


@pytest.mark.parametrize(
    "changes",
    [
        {"use_upsampler": False},
        {"use_pose_2d": False},
        {"use_graph_refinement": False},
        {"scales": (1,)},
        {"scales": (1, 4, 8)},
        {"layers": 1},
        {"weight_joints_3d": 0.0, "weight_mask": 0.0},
        {"masking": (0.0, 0.5)},
        {"weight_own_joints_2d": 1.0},
        {"weight_joint_error": 1.0},
        {"weight_joint_error": 1.0, "use_pose_2d": False, "self_conditioning": 1.0},
    ],
    ids=str,
)
def test_every_ablation_trains_and_predicts(batch, changes):
    method = build(**changes)
    guided = replace(batch, keypoints=keypoints_of(batch))
    total(method, method.losses(guided, 0)).backward()
    hand = method.eval().predict(guided)
    assert hand.vertices.isfinite().all()


def test_a_checkpoint_rebuilds_the_method(method, batch, tmp_path: Path):
    packed = pack_method(
        "maskhand", method.state_dict(), cfg=method.cfg, vit=VIT, augmentation=STILL
    )
    save_checkpoint(tmp_path / "m.safetensors", packed)
    restored = restore_method(load_checkpoint(tmp_path / "m.safetensors"))
    assert isinstance(restored, MaskHand)
    expected, found = (m.predict(batch) for m in (method, restored))
    assert torch.equal(expected.vertices, found.vertices)


def test_the_tokenizer_comes_from_a_checkpoint_of_the_same_sizes():
    from hand_pipeline.methods.maskhand.vq_mano import VqMano

    torch.manual_seed(5)
    cfg = VqManoConfig(**TOKENIZER.model_dump())
    trained, method = VqMano(cfg), build()
    method.load_tokenizer(trained.state_dict(), "a tokenizer")
    pose = ManoHand().full_pose(torch.randn(3, 48) * 0.2, False)
    assert torch.equal(method.tokenizer.tokenize(pose), trained.eval().tokenizer.tokenize(pose))
    other = VqMano(cfg.model_copy(update={"num_codes": 48}))
    with pytest.raises(CheckpointMismatchError, match="a tokenizer holds"):
        method.load_tokenizer(other.state_dict(), "a tokenizer")


def test_a_tokenizer_of_another_size_is_named_with_what_differs():
    config = TOKENIZER.model_dump() | {"weight_pose": 1.0}
    assert sizes_of(config, None, "it") == TOKENIZER
    wanted = TOKENIZER.model_copy(update={"num_tokens": 64})
    with pytest.raises(ValueError, match="num_tokens 16, wanted 64"):
        sizes_of(config, wanted, "it")


def test_what_cannot_be_is_refused(batch, method):
    with pytest.raises(ValueError, match="sizes of its tokenizer"):
        build(tokenizer=None)
    with pytest.raises(ValueError, match="one input size"):
        MaskHand(TINY, VIT, HandAugmentationConfig(image_size=64))
    with pytest.raises(ValueError, match="without use_pose_2d; set weight_own_joints_2d to 0"):
        MaskHandConfig(use_pose_2d=False, weight_own_joints_2d=1)
    with pytest.raises(ValueError, match="range within 0 to 1, got"):
        MaskHandConfig(masking=(0.5, 0.2))
    with pytest.raises(ValueError, match="32 x 32 px, got 48 x 48"):
        method.predict(replace(batch, images=torch.zeros(4, 3, 48, 48)))
    with pytest.raises(TypeError, match="HandBatch, got ImageBatch"):
        method.losses(ImageBatch(batch.ids, batch.images), 0)
