"""Any pretraining by its name, and its backbone under the probe: the nodes on small files."""

import ast
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
from hand_pipeline.data.shards.crops import UnlabelledConfig
from hand_pipeline.data.shards.files import ShardWriter
from hand_pipeline.data.views import ViewConfig
from hand_pipeline.evaluation.frozen_probe import FrozenProbeConfig
from hand_pipeline.evaluation.predict import ScoringConfig
from hand_pipeline.methods import METHODS, method_class, restore_method, title_of
from hand_pipeline.methods.keypoint_probe import KeypointProbe, KeypointProbeConfig
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.models.image_encoder import ResNetConfig
from hand_pipeline.models.state import CheckpointMismatchError
from hand_pipeline.models.vit import VitConfig, build_vit
from hand_pipeline.pipelines import pretrain as stage
from hand_pipeline.pipelines.finetune import (
    FinetuneConfig,
    SupervisedConfig,
    finetune_pretrained,
    finetune_supervised,
    probe_pretrained,
)
from hand_pipeline.pipelines.pretrain import PretrainConfig, draw_pretraining, pretrain
from hand_pipeline.pipelines.probe import (
    ProbeConfig,
    score_probe,
    train_probe,
)
from hand_pipeline.training.backbone import UntaughtError
from hand_pipeline.training.checkpoint import Checkpoint
from hand_pipeline.training.loop import TrainConfig
from hand_pipeline.training.method import Pretraining
from hand_pipeline.training.seeding import seed_everything

VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=32, patch_size=8, embed_dim=48, depth=3, num_heads=3
)
RESNET = ResNetConfig(name="resnet50", layers=(1, 1, 1, 1), channels=(8, 8, 16, 16))
TRAINING = TrainConfig(steps=4, batch_size=4, lr=1e-3, log_every=2, checkpoint_every=2)

SHORT = {"head_hidden_dim": 32, "ema_momentum": (0.05, 1.0)}  # of 4 steps' start, 0.6 % is left


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
    cfg = PretrainConfig(
        unlabelled=UnlabelledConfig(fraction=fraction),
        views=ViewConfig(image_size=32),
        method=name,
        methods={
            "handmim": {**SHORT, "latent_dim": 16, "decoder_width": 8},
            "ibot": {**SHORT, "latent_dim": 16, "prototypes": 32},
            "peclr": {"head_hidden_dim": 32, "latent_dim": 16, "resnet": resnet},
        },
        training=TRAINING,
    )
    machine = MachineConfig(accelerator="cpu", workspace=workspace)
    method, trunk, metrics, history = pretrain(crops, cfg, VIT, machine)
    assert metrics["start_left"] == trunk.metadata["start_left"]
    assert all(picture.width > 100 for picture in draw_pretraining(crops, method, cfg))
    assert (metrics["crops"], metrics["steps"], len(history)) == (8 * fraction, 4, 2)
    return method, trunk


@pytest.mark.parametrize("name", ["handmim", "ibot", "peclr"])
def test_each_pretraining_is_run_by_its_name(name: str, crops: Path, tmp_path: Path) -> None:
    method, trunk = pretrained(name, crops, tmp_path)
    rebuilt = restore_method(method)
    assert type(rebuilt) is method_class(name)
    for parameter, value in rebuilt.backbone_state().items():
        assert torch.equal(value, trunk.tensors[parameter])
    assert trunk.metadata["pretrained_by"] == name
    assert trunk.metadata["images_seen"] == 4 * 4
    assert trunk.metadata["start_left"] <= 0.01


def test_a_schedule_that_teaches_nothing_is_refused_before_it_trains(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHORT, "ema_momentum", (0.996, 1.0))
    with pytest.raises(UntaughtError, match=r"99.* % of the backbone that ibot exports"):
        pretrained("ibot", crops, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_share_of_the_crops_is_another_training(crops: Path, tmp_path: Path) -> None:
    whole, _ = pretrained("peclr", crops, tmp_path)
    half, _ = pretrained("peclr", crops, tmp_path, fraction=0.5)
    assert len(list((tmp_path / "pretrain").glob("[!.]*.safetensors"))) == 2
    assert any(not torch.equal(half.tensors[n], value) for n, value in whole.tensors.items())


def test_an_unknown_pretraining_is_refused_by_name(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"handmim.*ibot.*peclr"):
        pretrained("dino", crops, tmp_path)


def test_a_method_that_learns_from_labels_is_no_pretraining(crops: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="pymaf learns from labels"):
        pretrained("pymaf", crops, tmp_path)


def test_the_stage_names_every_pretraining_that_it_may_load() -> None:
    """By these imports DVC and sweeps know what to run again when a paper's code changes."""
    tree = ast.parse(Path(stage.__file__).read_text())
    found = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    papers = [method_class(name) for name in METHODS]
    assert {p.__module__ for p in papers if issubclass(p, Pretraining)} <= found


def test_a_misspelt_number_of_any_method_is_refused() -> None:
    with pytest.raises(Exception, match=r"(?s)prototype\n.*Extra inputs"):
        PretrainConfig(views={}, methods={"ibot": {"prototype": 3}}, training=TRAINING)


def probed(trunk: Checkpoint, hands: Path, workspace: Path, start: str) -> Checkpoint:
    cfg = ProbeConfig(
        start=start,
        augmentation=HandAugmentationConfig(image_size=32),
        method=KeypointProbeConfig(),
        training=TRAINING,
    )
    machine = MachineConfig(accelerator="cpu", workspace=workspace)
    probe, metrics, history = train_probe(trunk, hands, cfg, VIT, machine)
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
    scores, samples, picture = score_probe(hands, packed, ScoringConfig(batch_size=3), machine)
    known, mean = scores["known_size"], scores["mean_size"]
    assert known["num_samples"] == 4
    assert known["mpjpe_mm"] != mean["mpjpe_mm"]
    for found in scores.values():  # the network sees 32 px
        assert found["joints_2d_224_px"] == pytest.approx(7 * found["joints_2d_px"])
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
    cfg = FinetuneConfig(augmentation=augmentation, method=head, training=still)
    for init, same in ((str(file), True), (None, False)):
        machine = MachineConfig(accelerator="cpu", workspace=tmp_path / f"same_{same}")
        start = SupervisedConfig(init=init)
        checkpoint, _, _ = finetune_supervised(hands, cfg, start, VIT, machine)
        name = next(n for n in donor if n.endswith("attn.qkv.weight"))
        (trained,) = [t for n, t in checkpoint.tensors.items() if n.endswith(name)]
        assert torch.allclose(trained, donor[name], atol=1e-6) == same


HEAD = PyMAFConfig(pyramid_channels=8, point_channels=(8, 4), regressor_width=8)


@pytest.fixture(scope="module")
def more_hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("more_hands")
    write_freihand(folder, "training", count=12, seed=3)
    return folder


def finetuning(**training: object) -> FinetuneConfig:
    return FinetuneConfig(
        labels=LabelsConfig(validation=0.25),
        augmentation=HandAugmentationConfig(image_size=32),
        method=HEAD,
        training=TRAINING.model_copy(update=training),
    )


def test_fine_tuning_says_what_it_started_from_and_is_validated(
    crops: Path, more_hands: Path, tmp_path: Path
) -> None:
    _, trunk = pretrained("peclr", crops, tmp_path)
    machine = MachineConfig(accelerator="cpu", workspace=tmp_path / "finetune")
    cfg = finetuning(validate_every=2, keep="best")
    model, metrics, history = finetune_pretrained(more_hands, cfg, trunk, VIT, machine)
    assert title_of(model) == "PeCLR, then fine-tuned"
    assert model.metadata["images_seen"] == 16
    assert metrics["hands"] == 9 * 2  # of 12 shots with two grounds each, 3 are held out
    errors = history.set_index("step")["validation.pa_mpjpe_mm"]
    assert errors.loc[[2, 4]].notna().all()
    assert metrics["validation.pa_mpjpe_mm"] == errors.min()
    assert metrics["best_step"] == errors.idxmin()
    plain, _, _ = finetune_supervised(more_hands, finetuning(), SupervisedConfig(), VIT, machine)
    assert title_of(plain) == "supervised, from scratch"


def test_validating_without_held_out_hands_is_refused(more_hands: Path, tmp_path: Path) -> None:
    cfg = finetuning(validate_every=2).model_copy(update={"labels": LabelsConfig()})
    machine = MachineConfig(accelerator="cpu", workspace=tmp_path)
    with pytest.raises(ValueError, match=r"labels\.validation"):
        finetune_supervised(more_hands, cfg, SupervisedConfig(), VIT, machine)


def test_a_backbone_that_is_still_the_random_start_is_probed_as_no_better(
    more_hands: Path, tmp_path: Path
) -> None:
    machine = MachineConfig(accelerator="cpu", workspace=tmp_path)
    seed_everything(5)
    start = build_vit(VIT).backbone_state()
    told = {"pretrained_by": "handmim", "start_left": 0.785, "images_seen": 7680}
    trunk = Checkpoint(start, {"backbone": VIT.model_dump(mode="json"), **told})
    probe = FrozenProbeConfig(seed=5)
    found = probe_pretrained(trunk, more_hands, finetuning(), probe, machine)
    assert found["ratio"] == pytest.approx(1, abs=1e-9)
    assert found["pretrained_percent"] == found["random_percent"] > 0
    assert {name: found[name] for name in told} == told
