from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from hand_pipeline.models.image_encoder import ResNetConfig, build_encoder, load_encoder
from hand_pipeline.models.state import CheckpointMismatchError
from hand_pipeline.models.vit import VisionTransformer, VitConfig

VIT = VitConfig(
    name="vit_tiny_patch16_224", image_size=32, patch_size=8, embed_dim=48, depth=1, num_heads=3
)
SMALL = ResNetConfig(name="resnet50", layers=(1, 1, 1, 1), channels=(8, 8, 16, 16))


def test_without_a_resnet_the_encoder_is_the_vit() -> None:
    assert isinstance(build_encoder(VIT), VisionTransformer)


def test_resnet50_has_its_published_width_and_size() -> None:
    encoder = build_encoder(VIT, ResNetConfig())
    assert encoder.embed_dim == 2048
    assert sum(p.numel() for p in encoder.parameters()) == 23_508_032  # 25.56 M less the classifier


def test_features_are_the_mean_of_the_last_map() -> None:
    encoder = build_encoder(VIT, SMALL).eval()
    seen = encoder(torch.randn(2, 3, 64, 64))
    assert seen.cls.shape == (2, encoder.embed_dim)
    torch.testing.assert_close(seen.cls, seen.patches.mean(1))


def test_a_resnet_starts_from_a_local_file_with_a_classifier_and_without_counters(
    tmp_path: Path,
) -> None:
    source = build_encoder(VIT, SMALL)
    state = {k: v for k, v in source.backbone_state().items() if "num_batches" not in k}
    save_file(state | {"fc.weight": torch.zeros(10, 64)}, tmp_path / "r.safetensors")
    cfg = SMALL.model_copy(update={"init": str(tmp_path / "r.safetensors")})
    encoder = build_encoder(VIT, cfg)
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(encoder.eval()(images).cls, source.eval()(images).cls)


def test_weights_of_another_network_are_refused() -> None:
    encoder = build_encoder(VIT, SMALL)
    with pytest.raises(CheckpointMismatchError, match="a ViT holds"):
        load_encoder(encoder, build_encoder(VIT).backbone_state(), "a ViT")


@pytest.mark.parametrize(
    ("name", "message"),
    [("resnet5", "near it: resnet50"), ("vit_tiny_patch16_224", "is no ResNet")],
)
def test_networks_that_are_no_resnets_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_encoder(VIT, ResNetConfig(name=name))
