"""A backbone is exported only if little of its random start is left, and it says how much."""

import math

import pytest
import torch
import yaml
from tests.test_configs import PROFILES, ROOT, parameters
from torch import Tensor

from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods.peclr.peclr import PeCLR, PeclrConfig
from hand_pipeline.methods.self_distillation.config import IbotConfig
from hand_pipeline.methods.self_distillation.ibot import Ibot
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.pipelines.pretrain import PretrainConfig
from hand_pipeline.training.backbone import UntaughtError, check_taught, export_backbone
from hand_pipeline.training.loop import TrainConfig

VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=3
)


def ibot(momentum: tuple[float, float]) -> Ibot:
    torch.manual_seed(0)
    cfg = IbotConfig(head_hidden_dim=8, latent_dim=8, prototypes=8, ema_momentum=momentum)
    return Ibot(cfg, VIT, ViewConfig(image_size=32))


def flat(method: Ibot) -> Tensor:
    return torch.cat([weights.flatten().double() for weights in method.backbone_state().values()])


@pytest.mark.parametrize("momentum", [(0.5, 1.0), (0.9, 0.9), (0.996, 1.0)])
def test_start_left_is_what_the_teacher_keeps_of_its_first_weights(
    momentum: tuple[float, float],
) -> None:
    """The teacher starts elsewhere than a student that stands still, so that the exported weights
    are a point on the line between both: how near to the start is measured on that line."""
    method, steps = ibot(momentum), 20
    with torch.no_grad():
        for weights in method.student.parameters():
            weights.add_(torch.randn_like(weights))
    student = torch.cat(
        [weights.flatten().double() for weights in method.student.vit.backbone_state().values()]
    )
    start, method.total_steps = flat(method), steps
    for step in range(steps):
        method.after_step(step)
    line = start - student
    measured = torch.dot(flat(method) - student, line) / torch.dot(line, line)
    assert method.start_left(steps) == pytest.approx(measured.item(), abs=1e-5)


def test_start_left_is_the_product_of_the_momenta() -> None:
    """With iBOT's cosine m_t = 1 - (1 - m_0) (1 + cos(pi t / T)) / 2 written out."""
    product = 1.0
    for t in range(120):
        product *= 1 - (1 - 0.996) * (1 + math.cos(math.pi * t / 120)) / 2
    assert product == pytest.approx(0.785, abs=5e-4)  # the start that 120 steps left in the base
    assert ibot((0.996, 1.0)).start_left(120) == pytest.approx(product, abs=1e-12)


def test_a_teacher_that_is_mostly_its_start_is_refused_with_what_would_do() -> None:
    method = ibot((0.996, 1.0))
    with pytest.raises(UntaughtError, match=r"78\.5 %.*ema_momentum.*steps") as refusal:
        check_taught(method, 120)
    named = [float(word.strip(",.")) for word in str(refusal.value).split() if word[:1].isdigit()]
    momentum = next(number for number in named if 0.9 < number < 0.996)
    steps = next(int(number) for number in named if number > 200)
    check_taught(ibot((momentum, 1.0)), 120)
    check_taught(method, steps)
    with pytest.raises(UntaughtError):
        check_taught(method, int(0.95 * steps))


def test_no_number_of_steps_is_named_where_none_would_do() -> None:
    with pytest.raises(UntaughtError, match="no number of steps"):
        check_taught(ibot((1.0, 1.0)), 120)


def test_an_exported_backbone_says_how_much_of_the_start_is_left_and_what_it_saw() -> None:
    method, training = ibot((0.9, 1.0)), TrainConfig(steps=120, batch_size=64, lr=1e-3)
    backbone = export_backbone(method, training, VIT)
    assert backbone.metadata["start_left"] == pytest.approx(0.00185, abs=1e-5)
    assert backbone.metadata["images_seen"] == 120 * 64
    assert backbone.metadata["pretrained_by"] == "ibot"
    with pytest.raises(UntaughtError):
        export_backbone(ibot((0.996, 1.0)), training, VIT)


def test_a_network_that_is_trained_itself_has_nothing_of_a_teachers_start() -> None:
    method = PeCLR(PeclrConfig(head_hidden_dim=8, latent_dim=8), VIT, ViewConfig(image_size=32))
    assert method.start_left(1) == 0.0


@pytest.mark.parametrize("profile", PROFILES)
def test_every_schedule_of_a_profile_leaves_little_of_the_start(profile: str) -> None:
    """Of every method, and of every number of steps that a sweep sets."""
    cfg = PretrainConfig(**parameters(profile)["pretrain"])
    files = (ROOT / "conf" / profile).glob("parameters*.yml")
    sweeps = _numbers([yaml.safe_load(file.read_text()) for file in files])
    for name in ("handmim", "ibot"):
        momentum = cfg.model_copy(update={"method": name}).chosen.ema_momentum
        for steps in [cfg.training.steps, *sweeps]:
            assert ibot(momentum).start_left(steps) <= 0.01, (name, steps)


def _numbers(tree: object) -> list[int]:
    """Every number of pretraining steps that a member of a sweep sets."""
    if isinstance(tree, dict):
        own = [tree["pretrain.training.steps"]] if "pretrain.training.steps" in tree else []
        return own + _numbers(list(tree.values()))
    return [n for each in tree for n in _numbers(each)] if isinstance(tree, list) else []
