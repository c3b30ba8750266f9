"""Any pretraining by its name, and its backbone under the probe: the nodes on small files."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from tests.fixtures.freihand import write_freihand

from hand_pipeline.config import MachineConfig
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.data.hand_dataset import LabelsConfig
from hand_pipeline.data.hand_mix import MixConfig
from hand_pipeline.data.shards.crops import UnlabelledConfig
from hand_pipeline.data.shards.files import ShardWriter
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.methods import method_class, restore_method
from hand_pipeline.methods.keypoint_probe import KeypointProbe, KeypointProbeConfig
from hand_pipeline.methods.peclr.peclr import PeclrConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF, PyMAFConfig
from hand_pipeline.methods.self_distillation.handmim import HandMIMConfig
from hand_pipeline.methods.self_distillation.ibot import IbotConfig
from hand_pipeline.models.image_encoder import ResNetConfig
from hand_pipeline.models.state import CheckpointMismatchError
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.pipelines.finetune import SupervisedConfig, finetune_supervised
from hand_pipeline.pipelines.pretrain import TITLES, draw_curves, pretrain
from hand_pipeline.pipelines.probe import (
    ProbeEvaluationConfig,
    ProbeLabelsConfig,
    score_probe,
    train_probe,
)
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig

VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=32, patch_size=8, embed_dim=48, depth=3, num_heads=3
)
RESNET = ResNetConfig(name="resnet50", layers=(1, 1, 1, 1), channels=(8, 8, 16, 16))
TRAINING = TrainConfig(steps=4, batch_size=4, lr=1e-3, log_every=2, checkpoint_every=2)


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    with ShardWriter(folder, items_per_shard=8) as writer:
        for number in range(8):
            buffer = io.BytesIO()
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(buffer, "PNG")
            writer.add(f"crop{number}", buffer.getvalue(), {"set": "noise"}, suffix="png")
    return folder


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hands")
    for split in ("training", "evaluation"):
        write_freihand(folder, split, count=4, seed=len(split))
    return folder


def pretrained(
    name: str,
    crops: Path,
    workspace: Path,
    resnet: ResNetConfig | None = None,
    fraction: float = 1.0,
) -> tuple[Checkpoint, Checkpoint]:
    method, trunk, metrics, history = pretrain(
        crops,
        UnlabelledConfig(fraction=fraction),
        VIT,
        ViewConfig(image_size=32),
        name,
        HandMIMConfig(head_hidden_dim=32, latent_dim=16, decoder_width=8),
        IbotConfig(head_hidden_dim=32, latent_dim=16, prototypes=32),
        PeclrConfig(head_hidden_dim=32, latent_dim=16, resnet=resnet),
        TRAINING,
        MachineConfig(accelerator="cpu", workspace=workspace),
    )
    assert (metrics["crops"], metrics["steps"], len(history)) == (8 * fraction, 4, 2)
    assert draw_curves(history, name).width > 100
    return method, trunk


@pytest.mark.parametrize("name", TITLES)
def test_each_pretraining_is_run_by_its_name(name: str, crops: Path, tmp_path: Path) -> None:
    method, trunk = pretrained(name, crops, tmp_path)
    rebuilt = restore_method(method)
    assert type(rebuilt) is method_class(name)
    assert getattr(rebuilt.cfg, "total_steps", 4) == 4
    for parameter, value in rebuilt.backbone_state().items():
        assert torch.equal(value, trunk.tensors[parameter])
    assert trunk.metadata["pretrained_by"] == name


def test_a_share_of_the_crops_is_another_training(crops: Path, tmp_path: Path) -> None:
    whole, _ = pretrained("peclr", crops, tmp_path)
    half, _ = pretrained("peclr", crops, tmp_path, fraction=0.5)
    assert len(list((tmp_path / "pretrain").glob("[!.]*.safetensors"))) == 2
    assert any(not torch.equal(half.tensors[n], value) for n, value in whole.tensors.items())


def test_an_unknown_pretraining_is_refused_by_name(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"handmim.*ibot.*peclr"):
        pretrained("dino", crops, tmp_path)


def probed(trunk: Checkpoint, hands: Path, workspace: Path, start: str) -> Checkpoint:
    probe, metrics, history = train_probe(
        trunk,
        hands,
        start,
        VIT,
        ProbeLabelsConfig(),
        MixConfig(),
        HandAugmentationConfig(image_size=32),
        KeypointProbeConfig(),
        TRAINING,
        MachineConfig(accelerator="cpu", workspace=workspace),
    )
    assert (metrics["hands"], len(history)) == (8, 2)
    return probe


@pytest.mark.parametrize("resnet", [None, RESNET], ids=["vit", "resnet"])
def test_a_backbone_is_probed_whatever_it_is(
    crops: Path, hands: Path, tmp_path: Path, resnet: ResNetConfig | None
) -> None:
    _, trunk = pretrained("peclr", crops, tmp_path, resnet)
    packed = probed(trunk, hands, tmp_path, "pretrained")
    probe = restore_method(packed)
    assert isinstance(probe, KeypointProbe)
    for name, value in probe.encoder.backbone_state().items():
        assert torch.equal(value, trunk.tensors[name])
    machine = MachineConfig(accelerator="cpu", workspace=tmp_path)
    scores, samples, picture = score_probe(
        hands, packed, ProbeLabelsConfig(), ProbeEvaluationConfig(batch_size=3), machine
    )
    known, mean = scores["known_size"], scores["mean_size"]
    assert known["num_samples"] == 4
    assert known["mpjpe_mm"] != mean["mpjpe_mm"]
    for same in ("pa_mpjpe_mm", "joints_2d_px"):  # the size changes neither
        assert known[same] == pytest.approx(mean[same], rel=1e-4)
    assert samples.groupby("hands").size().to_dict() == {"known_size": 4, "mean_size": 4}
    assert picture.width > 100


def test_from_init_the_pretrained_backbone_is_not_looked_at(
    crops: Path, hands: Path, tmp_path: Path
) -> None:
    nothing = Checkpoint({}, {})
    probe = restore_method(probed(nothing, hands, tmp_path, "init"))
    assert isinstance(probe, KeypointProbe)
    with pytest.raises(CheckpointMismatchError, match="the pretrained backbone holds"):
        probed(nothing, hands, tmp_path, "pretrained")


def test_the_supervised_baseline_may_start_from_weights_of_its_own(
    tmp_path: Path, hands: Path
) -> None:
    augmentation = HandAugmentationConfig(image_size=32)
    head = PyMAFConfig(pyramid_channels=8, point_channels=(8, 4), regressor_width=8)
    donor = PyMAF(head, VIT, augmentation).backbone.backbone_state()
    file = tmp_path / "donor.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in donor.items()}, file)
    still = TRAINING.model_copy(update={"lr": 1e-12, "final_lr": 0.0})
    rest = (hands, VIT, LabelsConfig(), MixConfig(), augmentation, head, still)
    for init, same in ((str(file), True), (None, False)):
        machine = MachineConfig(accelerator="cpu", workspace=tmp_path / f"same_{same}")
        checkpoint, _, _ = finetune_supervised(SupervisedConfig(init=init), *rest, machine)
        name = next(n for n in donor if n.endswith("attn.qkv.weight"))
        (trained,) = [t for n, t in checkpoint.tensors.items() if n.endswith(name)]
        assert torch.allclose(trained, donor[name], atol=1e-6) == same
