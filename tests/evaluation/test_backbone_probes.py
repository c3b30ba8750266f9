"""A backbone's checkpoint becomes a network again, to be probed."""

import pytest
import torch

from hand_pipeline.evaluation.backbone_probes import restore_encoder
from hand_pipeline.models.image_encoder import ResNetConfig, build_encoder
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.checkpoint import Checkpoint, CheckpointError

VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=32, patch_size=8, embed_dim=48, depth=1, num_heads=3
)


def test_a_resnet_is_restored_with_its_weights() -> None:
    resnet = ResNetConfig(name="resnet50", layers=(1, 1, 1, 1), channels=(8, 8, 16, 16))
    encoder = build_encoder(VIT, resnet)
    metadata = {"backbone": VIT.model_dump(mode="json"), "resnet": resnet.model_dump(mode="json")}
    found, size = restore_encoder(Checkpoint(encoder.backbone_state(), metadata), "peclr")
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(found.eval()(images).cls, encoder.eval()(images).cls)
    assert size == 32


def test_what_is_no_backbone_is_refused() -> None:
    with pytest.raises(CheckpointError, match="odd holds no backbone"):
        restore_encoder(Checkpoint({}), "odd")
