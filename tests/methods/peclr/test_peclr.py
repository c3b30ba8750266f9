"""PeCLR: theory at the start, overfitting, resuming, both kinds of backbone."""

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
from hand_pipeline.methods.peclr.contrastive import nt_xent_loss
from hand_pipeline.methods.peclr.peclr import PeCLR, PeclrConfig
from hand_pipeline.models.image_encoder import ResNetConfig, build_encoder, load_encoder
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.checkpoint import pack_method
from hand_pipeline.training.loop import Record, TrainConfig, fit

VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3
)
RESNET = ResNetConfig(name="resnet50", layers=(1, 1, 1, 1), channels=(8, 8, 16, 16))
VIEWS = ViewConfig(image_size=32)
CONFIG = PeclrConfig(head_hidden_dim=32, latent_dim=16)
CPU = MachineConfig(accelerator="cpu")
RUN = TrainConfig(steps=8, batch_size=4, lr=1e-3, log_every=2, checkpoint_every=2)
BACKBONES = pytest.mark.parametrize("resnet", [None, RESNET], ids=["vit", "resnet"])


def build(**changes: object) -> PeCLR:
    torch.manual_seed(0)
    return PeCLR(CONFIG.model_copy(update=changes), VIT, VIEWS)


def crops(count: int = 8, seed: int = 0) -> ImageBatch:
    """Smooth random pictures: noise of few pixels, enlarged."""
    noise = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed)) * 255
    images = F.interpolate(noise, size=(40, 40), mode="bilinear").to(torch.uint8)
    return ImageBatch(tuple(f"crop{i}" for i in range(count)), images)


def loss(method: PeCLR, batch: ImageBatch, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return method.losses(batch, 0)["contrast"]


def train(
    method: PeCLR, batch: ImageBatch, steps: int, same_views: bool = False, lr: float = 2e-3
) -> list[float]:
    optimizer = torch.optim.AdamW(method.param_groups(), lr=lr)
    curve = []
    for step in range(steps):
        value = loss(method, batch, 0 if same_views else step)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        curve.append(value.item())
    return curve


@pytest.mark.parametrize("undo", [True, False])
def test_loss_starts_at_log_of_the_other_views_where_nothing_tells_them_apart(undo: bool) -> None:
    """Latents of 0 are 0 in every frame: each of the 2 N - 1 others is as likely."""
    method = build(undo_rotation=undo, undo_translation=undo)
    torch.nn.init.zeros_(method.head.last.weight)
    assert loss(method, crops()).item() == pytest.approx(math.log(15), abs=1e-6)


def test_without_undoing_it_is_simclr() -> None:
    method, batch = build(undo_rotation=False, undo_translation=False), crops()
    expected = loss(method, batch)
    torch.manual_seed(0)
    images = method.sampler(batch.images).images.flatten(0, 1)
    latents = method.head(method.encoder(images).cls)
    torch.testing.assert_close(expected, nt_xent_loss(*latents.unflatten(0, (2, -1)), 0.5))


def test_an_encoder_that_points_at_the_hand_pairs_views_only_once_they_are_undone() -> None:
    """Latents that are each photo's own points as its view shows them: views differ, photos not.

    Such points are what PeCLR wants learnt; turned and moved they are far from their pairs.
    """
    batch = crops()
    own = torch.randn(8, 8, 2, generator=torch.Generator().manual_seed(1))
    own = own - own.mean(1, keepdim=True)

    def cosine(undo: bool) -> float:
        method = build(undo_rotation=undo, undo_translation=False)
        torch.manual_seed(0)
        views = method.sampler(batch.images)
        linear = views.matrices[:, :, :2, :2]
        seen = (own[None] @ linear.mT).flatten(0, 1).flatten(1)
        first, second = method.align(seen, views).unflatten(0, (2, -1))
        return F.cosine_similarity(first, second).min().item()

    assert cosine(undo=True) == pytest.approx(1, abs=1e-5)
    assert cosine(undo=False) < 0.5


@pytest.mark.slow
@BACKBONES
def test_one_batch_can_be_overfitted(resnet: ResNetConfig | None) -> None:
    """At temperature 0.5 the best 4 photos can do is e^2 for the pair against e^-2/3 for others.

    Unit vectors of 4 photos are farthest apart in a tetrahedron, where cosines are -1/3.
    """
    floor = math.log(math.exp(2) + 6 * math.exp(-2 / 3)) - 2
    method, batch = build(resnet=resnet), crops(4)
    # slowly, and the best step: how far a step jumps back differs between processors
    curve = train(method, batch, 300, same_views=True, lr=5e-4)
    assert min(curve) - floor < 0.2 * (curve[0] - floor)
    assert method.monitors()["retrieval"] == 1


def numbers(records: list[Record]) -> list[dict[str, float]]:
    timing = {"images_per_second", "memory_gb"}
    return [{k: v for k, v in r.scalars().items() if k not in timing} for r in records]


@BACKBONES
def test_an_interrupted_run_ends_bit_equal_to_an_uninterrupted_one(
    resnet: ResNetConfig | None, tmp_path: Path
) -> None:
    def batches(step: int) -> Iterator[ImageBatch]:
        while True:
            yield crops(4, seed=step)
            step += 1

    whole = build(resnet=resnet)
    records = list(fit(whole, batches, RUN, CPU))
    half, step = fit(build(resnet=resnet), batches, RUN, CPU, tmp_path / "c.safetensors"), 0
    while step < 4:
        step = next(half).step
    resumed = build(resnet=resnet)
    again = list(fit(resumed, batches, RUN, CPU, tmp_path / "c.safetensors"))
    assert numbers(again) == numbers(records)
    for name, value in resumed.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


def test_losses_never_read_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the meta device there are no values: whatever asks for one fails."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no meta
    method = build().to("meta")
    term = method.losses(crops().to("meta"), 0)["contrast"]
    term.backward()
    assert term.is_meta


@BACKBONES
def test_every_trained_parameter_gets_a_gradient(resnet: ResNetConfig | None) -> None:
    method = build(resnet=resnet)
    loss(method, crops()).backward()
    for name, parameter in method.named_parameters():
        assert parameter.grad is not None, name


@BACKBONES
def test_a_checkpoint_rebuilds_it_and_its_backbone_can_be_handed_on(
    resnet: ResNetConfig | None,
) -> None:
    method = build(resnet=resnet)
    train(method, crops(), 2)
    cfg = method.cfg
    if resnet is not None:  # weights that are nowhere: a finished method does not look for them
        cfg = cfg.model_copy(update={"resnet": resnet.model_copy(update={"init": "gone.pth"})})
    packed = pack_method("peclr", method.state_dict(), cfg=cfg, vit=VIT, views=VIEWS)
    rebuilt = restore_method(packed)
    assert isinstance(rebuilt, PeCLR)
    encoder = build_encoder(VIT, resnet)
    load_encoder(encoder, rebuilt.backbone_state(), "PeCLR's")
    images = torch.randn(2, 3, 32, 32)
    expected = method.encoder.eval()(images).cls
    torch.testing.assert_close(encoder.eval()(images).cls, expected)


def test_views_of_another_size_than_the_backbone_are_refused() -> None:
    with pytest.raises(ValueError, match="backbone takes 32 px, views have 64 px"):
        PeCLR(CONFIG, VIT, VIEWS.model_copy(update={"image_size": 64}))


def test_labelled_hands_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="ImageBatch, got HandBatch"):
        build().losses(object.__new__(type("HandBatch", (ImageBatch.__mro__[1],), {})), 0)
