import math
from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional as F

from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods.self_distillation.config import HandMIMConfig
from hand_pipeline.methods.self_distillation.distillation import patch_loss
from hand_pipeline.methods.self_distillation.handmim import HandMIM
from hand_pipeline.models.vit import VitConfig, build_vit

VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=64, embed_dim=48, depth=4, num_heads=3, drop_path=0.0
)
VIEWS = ViewConfig(image_size=64)
CONFIG = HandMIMConfig(head_hidden_dim=64, decoder_width=16)


def build(vit=VIT, views=VIEWS, seed=0, **changes):
    torch.manual_seed(seed)
    method = HandMIM(CONFIG.model_copy(update=changes), vit, views)
    method.total_steps = 100
    return method


def crops(count=8, seed=0):
    """Smooth random pictures: noise of few pixels, enlarged."""
    noise = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 255
    images = F.interpolate(noise, size=(80, 80), mode="bilinear").to(torch.uint8)
    return ImageBatch(tuple(f"crop{i}" for i in range(count)), images)


def losses(method, batch, seed=0, step=0):
    torch.manual_seed(seed)
    return method.losses(batch, step)


def train(method, batch, steps, same_views=False, lr=1e-3):
    optimizer = torch.optim.AdamW(method.param_groups(), lr=lr, weight_decay=0.04)
    curve = []
    for step in range(steps):
        terms = losses(method, batch, seed=0 if same_views else step, step=step)
        torch.stack(
            [method.loss_weights[name] * term for name, term in terms.items()]
        ).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(step)
        curve.append({name: term.item() for name, term in terms.items()})
    return curve


def test_terms_are_finite_scalars_named_as_their_weights():
    method = build()
    terms = losses(method, crops())
    assert terms.keys() == method.loss_weights.keys() == {"pose", "patch", "recon"}
    assert all(term.shape == () and term.isfinite() for term in terms.values())


def test_loss_terms_at_the_start_equal_theory():
    """With zero heads and a zero decoder every term has a closed form.

    All latents are 0, so a patch target is uniform: L_patch = ln 256. A class token then holds 128
    points in the middle of its view, which alignment moves to the middle (x, y) of the crop, in
    centred units of the photo: half of all logits are x, half y, so L_pose is ln 128 plus the
    cross entropy of two-way softmaxes. L_recon is the mean absolute value of what is hidden.
    """
    method, batch = build(), crops(32)
    for branch in (method.student, method.teacher):
        torch.nn.init.zeros_(branch.head.last.weight)
    assert method.decoder is not None
    for parameter in method.decoder.upsample[-1].parameters():
        torch.nn.init.zeros_(parameter)
    terms = losses(method, batch)

    torch.manual_seed(0)
    views = method.sampler(batch.images)
    mask = method.masks(64, "cpu")
    middle = torch.tensor([32.0, 32.0, 1.0])
    xy = (torch.linalg.inv(views.matrices) @ middle)[..., :2] / 80 - 0.5
    teacher, student = (xy / 0.04).softmax(-1), (xy.flip(0) / 0.1).log_softmax(-1)
    pose = math.log(128) - (teacher * student).sum(-1).mean()
    hidden = mask.unflatten(1, (4, 4)).float()[:, None]
    hidden = F.interpolate(hidden, scale_factor=16).bool() & views.inside.flatten(0, 1)
    recon = views.images.flatten(0, 1).abs()[hidden.expand(-1, 3, -1, -1)].mean()

    torch.testing.assert_close(terms["pose"], pose, atol=1e-4, rtol=0)
    torch.testing.assert_close(terms["patch"], torch.tensor(math.log(256)), atol=1e-4, rtol=0)
    torch.testing.assert_close(terms["recon"], recon, atol=1e-4, rtol=0)


def test_cross_entropies_at_the_start_lie_above_the_teachers_entropy_and_near_uniform():
    method = build()
    terms, health = losses(method, crops(32)), method.monitors()
    assert health["patch_entropy"] < terms["patch"] < math.log(256) + 0.1
    assert health["class_entropy"] < terms["pose"] < math.log(256) + 2


@pytest.mark.slow
def test_one_batch_can_be_overfitted():
    """The same photos, views and masks again and again: what can be learnt must be learnt.

    A cross entropy cannot fall below its target's entropy, so what is watched is their difference.
    """
    method, batch = build(ema_momentum=(0.99, 0.99)), crops(4)
    first = losses(method, batch)
    excess = {
        "pose": (first["pose"] - method.monitors()["class_entropy"]).item(),
        "patch": (first["patch"] - method.monitors()["patch_entropy"]).item(),
    }
    curve = train(method, batch, 120, same_views=True, lr=2e-3)
    health = method.monitors()
    assert curve[-1]["recon"] < 0.45 * first["recon"].item()
    assert curve[-1]["pose"] - health["class_entropy"].item() < 0.2 * excess["pose"]
    assert curve[-1]["patch"] - health["patch_entropy"].item() < 0.3 * excess["patch"]


def test_heads_on_masked_tokens_only_equal_heads_on_all_tokens():
    method, batch = build().eval(), crops()
    terms = losses(method, batch)
    torch.manual_seed(0)
    images = method.sampler(batch.images).images.flatten(0, 1)
    mask = method.masks(len(images), "cpu")
    student = method.student.logits(method.student.vit(images, mask).patches.flatten(0, 1))
    teacher = method.teacher.logits(method.teacher.vit(images).patches.flatten(0, 1))
    weights = (mask / mask.sum(1, keepdim=True) / len(mask)).flatten()
    targets = method.patch_center.targets(teacher, 0.04)
    torch.testing.assert_close(terms["patch"], patch_loss(targets, student, weights, 0.1))


def test_losses_never_read_from_the_device(monkeypatch):
    """On the meta device there are no values: whatever asks for one fails."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no meta
    method = build().to("meta")
    batch = crops().to("meta")
    terms = method.losses(batch, 0)
    torch.stack(list(terms.values())).sum().backward()
    method.after_step(0)
    assert all(term.is_meta for term in terms.values())


def test_teacher_starts_as_the_student_and_follows_it_without_gradients():
    method = build()
    student = dict(method.student.named_parameters())
    for name, parameter in method.teacher.named_parameters():
        assert torch.equal(parameter, student[name])
    before = method.teacher.head.last.weight.clone()
    train(method, crops(), 1)
    assert all(p.grad is None for p in method.teacher.parameters())
    moved = 0.996 * before + 0.004 * method.student.head.last.weight
    torch.testing.assert_close(method.teacher.head.last.weight, moved)


def test_optimizer_gets_every_student_parameter_and_none_of_the_teachers():
    method = build()
    given = {id(p) for group in method.param_groups() for p in group["params"]}
    assert given == {id(p) for p in method.student.parameters()} | {
        id(p) for p in method.decoder.parameters()
    }
    losses(method, crops())["pose"].backward()
    terms = losses(method, crops())
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is not None for group in method.param_groups() for p in group["params"])


def test_teacher_stays_in_inference_while_the_student_drops_paths():
    method = build(vit=VIT.model_copy(update={"drop_path": 0.5})).train()
    assert method.student.training
    assert not any(module.training for module in method.teacher.modules())


def test_state_survives_a_round_trip():
    method, batch = build(), crops()
    train(method, batch, 3)
    copy = build(seed=1)
    copy.load_state_dict(method.state_dict())
    expected, restored = losses(method, batch, step=3), losses(copy, batch, step=3)
    for name, term in restored.items():
        assert torch.equal(term, expected[name]), name


def test_centres_move_in_training_only():
    method, batch = build().eval(), crops()
    losses(method, batch)
    assert method.class_center.value.abs().sum() == 0
    losses(method.train(), batch)
    assert method.class_center.value.abs().sum() > 0
    assert method.patch_center.value.abs().sum() > 0


def test_fine_tuning_starts_from_the_teacher():
    method = build()
    train(method, crops(), 1)
    vit = build_vit(VIT)
    vit.trunk.load_state_dict(method.backbone_state())
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(vit.eval()(images).cls, method.teacher.vit.eval()(images).cls)


@pytest.mark.parametrize(
    "changes",
    [
        {"patch_prototypes": 32},
        {"patch_tokens": "all"},
        {"align": "relative"},
        {"align": "none"},
        {"coordinates": "symmetric"},
        {"coordinates": "corner"},
        {"head_full_precision": False},
    ],
    ids=lambda changes: "-".join(f"{k}={v}" for k, v in changes.items()),
)
def test_every_reading_learns_and_differs_from_the_default(changes):
    method, default = build(**changes), losses(build(), crops())
    terms = losses(method, crops())
    assert all(term.isfinite() for term in terms.values())
    same = {name for name in default if torch.equal(default[name], terms[name])}
    unaffected = "head_full_precision" in changes
    assert unaffected or same != set(default)
    train(method, crops(), 1)


def test_alignment_matters_to_the_pose_term_alone():
    default, plain = losses(build(), crops()), losses(build(align="none"), crops())
    assert not torch.isclose(default["pose"], plain["pose"])
    assert torch.equal(default["patch"], plain["patch"])


def test_without_reconstruction_there_is_no_decoder_and_any_patch_size_goes():
    vit = VIT.model_copy(update={"image_size": 70, "patch_size": 14})
    views = VIEWS.model_copy(update={"image_size": 70})
    method = build(vit=vit, views=views, recon_weight=0.0)
    assert method.decoder is None
    assert losses(method, crops())["recon"] == 0
    with pytest.raises(ValueError, match="2, 4, 8, 16 or 32"):
        build(vit=vit, views=views)


def test_temperature_warms_up_over_its_share_of_the_run():
    method = build(temperature_warmup=0.5)
    temperatures = [method._temperature((0.04, 0.07), step) for step in (0, 25, 50, 99)]
    assert temperatures == pytest.approx([0.04, 0.055, 0.07, 0.07])


def test_bf16_autocast_changes_the_losses_only_by_its_rounding():
    exact = losses(build(), crops())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = losses(build(), crops())
    for name in ("pose", "patch", "recon"):
        torch.testing.assert_close(rounded[name].float(), exact[name], rtol=0.05, atol=0.0)


def test_views_of_another_size_than_the_backbone_are_refused():
    with pytest.raises(ValueError, match="backbone takes 64 px, views have 96 px"):
        build(views=VIEWS.model_copy(update={"image_size": 96}))


def test_labelled_batch_is_refused_by_name():
    with pytest.raises(TypeError, match="ImageBatch"):
        build().losses(object.__new__(type("HandBatch", (ImageBatch.__mro__[1],), {})), 0)


@pytest.mark.parametrize(
    "values",
    [{"latent_dim": 255}, {"class_temperature": (0.0, 0.04)}, {"ema_momentum": (0.9, 1.5)}],
)
def test_impossible_values_are_refused(values):
    with pytest.raises(ValueError, match=next(iter(values)).split("_")[-1]):
        HandMIMConfig(**values)
