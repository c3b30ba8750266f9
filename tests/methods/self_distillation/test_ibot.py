"""iBOT: theory at the start, an independent formula, overfitting, resuming."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.batch import ImageBatch
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods import restore_method
from hand_pipeline.methods.self_distillation.config import IbotConfig
from hand_pipeline.methods.self_distillation.ibot import Ibot
from hand_pipeline.models.vit import VitConfig, build_vit
from hand_pipeline.training.checkpoint import pack_method
from hand_pipeline.training.loop import Record, TrainConfig, fit

VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3
)
VIEWS = ViewConfig(image_size=32)
CONFIG = IbotConfig(head_hidden_dim=64, latent_dim=32, prototypes=64)
CPU = MachineConfig(accelerator="cpu")
RUN = TrainConfig(steps=8, batch_size=4, lr=1e-3, log_every=2, checkpoint_every=2)


def build(**changes: object) -> Ibot:
    torch.manual_seed(0)
    method = Ibot(CONFIG.model_copy(update=changes), VIT, VIEWS)
    method.total_steps = 400
    return method


def crops(count: int = 8, seed: int = 0) -> ImageBatch:
    """Smooth random pictures: noise of few pixels, enlarged."""
    noise = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 255
    images = F.interpolate(noise, size=(40, 40), mode="bilinear").to(torch.uint8)
    return ImageBatch(tuple(f"crop{i}" for i in range(count)), images)


def losses(method: Ibot, batch: ImageBatch, seed: int = 0, step: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return method.losses(batch, step)


def train(method: Ibot, batch: ImageBatch, steps: int, same_views: bool = False) -> list[dict]:
    optimizer = torch.optim.AdamW(method.param_groups(), lr=2e-3, weight_decay=0.04)
    curve = []
    for step in range(steps):
        terms = losses(method, batch, seed=0 if same_views else step, step=step)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(step)
        curve.append({name: term.item() for name, term in terms.items()})
    return curve


def test_both_terms_start_at_log_of_the_prototypes_where_nothing_tells_them_apart() -> None:
    """A head of zeros has cosines of 0, so teacher and student are uniform: log K each."""
    method = build()
    for encoder in (method.student, method.teacher):
        torch.nn.init.zeros_(encoder.head.last.weight)
    terms = losses(method, crops())
    assert terms.keys() == method.loss_weights.keys() == {"class", "patch"}
    for term in terms.values():
        assert term.item() == pytest.approx(math.log(64), abs=1e-5)


def test_terms_equal_ibots_formula_written_out() -> None:
    """With loops over views, images and patches in place of everything that is batched here."""
    method, batch = build(), crops(4)
    torch.nn.init.normal_(method.student.head.last.weight)  # student and teacher differ
    terms = losses(method, batch)
    torch.manual_seed(0)
    images = method.sampler(batch.images).images.flatten(0, 1)
    mask = method.masks(8, "cpu")
    student, teacher = method.student.vit(images, mask), method.teacher.vit(images)

    def probabilities(encoder, token: Tensor, temperature: float) -> Tensor:
        latent = F.normalize(encoder.head(token[None])[0], dim=0)
        directions = encoder.prototypes.weight
        cosine = (directions / directions.norm(dim=1, keepdim=True)) @ latent
        return (cosine / temperature).exp() / (cosine / temperature).exp().sum()

    def crossed(seen: Tensor, told: Tensor) -> Tensor:
        p_student = probabilities(method.student, told, 0.1)
        return -(probabilities(method.teacher, seen, 0.04) * p_student.log()).sum()

    class_terms, patch_terms = [], []
    for i in range(4):
        for here, there in ((i, i + 4), (i + 4, i)):
            class_terms.append(crossed(teacher.cls[here], student.cls[there]))
            hidden = mask[here].nonzero()[:, 0].tolist()
            each = [crossed(teacher.patches[here, j], student.patches[here, j]) for j in hidden]
            patch_terms.append(torch.stack(each).mean())
    torch.testing.assert_close(terms["class"], torch.stack(class_terms).mean(), rtol=1e-4, atol=0)
    torch.testing.assert_close(terms["patch"], torch.stack(patch_terms).mean(), rtol=1e-4, atol=0)


def test_patch_centre_is_the_mean_over_all_patches_of_both_views() -> None:
    method, batch = build(), crops(4)
    losses(method, batch)
    torch.manual_seed(0)
    images = method.sampler(batch.images).images.flatten(0, 1)
    logits = method.teacher.logits(method.teacher.vit(images).patches.flatten(0, 1))
    torch.testing.assert_close(method.patch_center.value, 0.1 * logits.mean(0))


@pytest.mark.slow
def test_one_batch_can_be_overfitted() -> None:
    """A cross entropy cannot fall below its target's entropy: their difference is watched."""
    method, batch = build(ema_momentum=(0.99, 0.99)), crops(4)
    first, health = losses(method, batch), method.monitors()
    excess = {name: (first[name] - health[f"{name}_entropy"]).item() for name in first}
    last = train(method, batch, 150, same_views=True)[-1]
    health = method.monitors()
    assert last["class"] - health["class_entropy"].item() < 0.2 * excess["class"]
    assert last["patch"] - health["patch_entropy"].item() < 0.3 * excess["patch"]


def test_prototypes_wait_for_their_share_of_the_run_and_have_gradients_all_along() -> None:
    method, batch = build(freeze_prototypes=0.01, temperature_warmup=0.0), crops()  # 4 of 400
    weight = method.student.prototypes.weight
    for step in (3, 4):
        method.zero_grad()
        terms = losses(method, batch, step=step)
        torch.stack(list(terms.values())).sum().backward()
        assert all(p.grad is not None for p in method.student.parameters())
        assert bool(weight.grad.any()) == (step == 4)
    method.eval()  # the centres stay
    torch.testing.assert_close(losses(method, batch, step=3), losses(method, batch, step=4))


def numbers(records: list[Record]) -> list[dict[str, float]]:
    timing = {"images_per_second", "memory_gb"}
    return [{k: v for k, v in r.scalars().items() if k not in timing} for r in records]


def test_an_interrupted_run_ends_bit_equal_to_an_uninterrupted_one(tmp_path: Path) -> None:
    def batches(step: int) -> Iterator[ImageBatch]:
        while True:
            yield crops(4, seed=step)
            step += 1

    whole = build()
    records = list(fit(whole, batches, RUN, CPU))
    half, checkpoint = fit(build(), batches, RUN, CPU, tmp_path / "c.safetensors"), 0
    while checkpoint < 4:
        checkpoint = next(half).step
    resumed = build()
    again = list(fit(resumed, batches, RUN, CPU, tmp_path / "c.safetensors"))
    assert numbers(again) == numbers(records)
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


def test_losses_never_read_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device there are no values: whatever asks for one fails."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no meta
    method = build().to("meta")
    for step in (0, 1):
        terms = method.losses(crops().to("meta"), step)
        torch.stack(list(terms.values())).sum().backward()
        method.after_step(step)
    assert all(term.is_meta for term in terms.values())


def test_a_checkpoint_rebuilds_it_and_its_backbone_can_be_handed_on() -> None:
    method = build()
    configs = {"cfg": method.cfg, "vit": VIT, "views": VIEWS}
    rebuilt = restore_method(pack_method("ibot", method.state_dict(), **configs))
    assert isinstance(rebuilt, Ibot)
    vit = build_vit(VIT)
    vit.trunk.load_state_dict(rebuilt.backbone_state())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(vit.eval()(images).cls, method.teacher.vit.eval()(images).cls)


def test_labelled_hands_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="Ibot needs an ImageBatch, got HandBatch"):
        build().losses(object.__new__(type("HandBatch", (ImageBatch.__mro__[1],), {})), 0)
