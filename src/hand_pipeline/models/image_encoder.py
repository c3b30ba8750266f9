"""Image encoders: the ViT, or a ResNet where a method allows one."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hand_pipeline.config import Config
from hand_pipeline.models.state import load_strictly
from hand_pipeline.models.torchvision_compat import ensure_torchvision
from hand_pipeline.models.vit import VisionTransformer, VitConfig, VitOutput, build_vit
from hand_pipeline.models.vit_weights import load_into, read_state

ensure_torchvision()
import timm  # noqa: E402 (torchvision must be mended first)
from timm.models.resnet import ResNet as TimmResNet  # noqa: E402


class ResNetConfig(Config):
    """Which ResNet, and what it starts from. `None` means: as the name says."""

    name: str = Field("resnet50", description="timm model; PeCLR: ResNet-50 and ResNet-152")
    layers: tuple[int, ...] | None = Field(None, description="blocks of each of the four stages")
    channels: tuple[int, ...] | None = Field(None, description="width of each of the four stages")
    init: str = Field("random", description="'random', 'imagenet' (a download) or a local file")


class ResNet(nn.Module):
    """timm's ResNet without its classifier; parameters keep timm's names under `trunk.`.

    Attributes:
        embed_dim: width of the features.
    """

    def __init__(self, trunk: TimmResNet) -> None:
        super().__init__()
        self.trunk = trunk
        self.embed_dim: int = trunk.num_features

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> VitOutput:
        """Encode normalised images: `cls` is the mean of the last map, `patches` its cells."""
        cells = self.trunk.forward_features(images).flatten(2).mT
        return VitOutput(cells.mean(1), cells, [])

    def backbone_state(self) -> dict[str, Tensor]:
        """Weights and running statistics under timm's names, without the classifier."""
        return {name: value.detach() for name, value in self.trunk.state_dict().items()}


ImageEncoder = VisionTransformer | ResNet


def build_encoder(vit: VitConfig, resnet: ResNetConfig | None = None) -> ImageEncoder:
    """The ViT, or the ResNet in its place, with its starting weights.

    Args:
        vit: architecture; with a ResNet only `image_size` is used, for the images it is given.
        resnet: None: the ViT.

    Raises:
        ValueError: a name timm does not know, or of another kind of network.
        CheckpointMismatchError: the weights belong to another architecture.
        RuntimeError: the ImageNet weights could not be downloaded.
    """
    if resnet is None:
        return build_vit(vit)
    encoder = ResNet(_timm_resnet(resnet, pretrained=resnet.init == "imagenet"))
    if resnet.init not in ("random", "imagenet"):
        load_encoder(encoder, read_state(Path(resnet.init)), resnet.init)
    return encoder


def load_encoder(encoder: ImageEncoder, weights: Mapping[str, Tensor], origin: str) -> None:
    """Copy weights under timm's names (`backbone_state`) into an encoder, strictly.

    Args:
        encoder: takes them.
        weights: by name; a ResNet's classifier (`fc.*`) is left out.
        origin: what to call them in a message.

    Raises:
        CheckpointMismatchError: they belong to another architecture.
    """
    if isinstance(encoder, VisionTransformer):
        load_into(encoder.trunk, weights, origin)
        return
    kept = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    counters = [name for name in encoder.trunk.state_dict() if name.endswith("num_batches_tracked")]
    absent = {name: torch.tensor(0) for name in counters if name not in kept}  # in older files
    load_strictly(encoder.trunk, kept | absent, origin)


def _timm_resnet(cfg: ResNetConfig, pretrained: bool) -> TimmResNet:
    if not timm.is_model(cfg.name):
        near = difflib.get_close_matches(cfg.name, timm.list_models("resnet*"), n=5)
        raise ValueError(f"timm has no model {cfg.name!r}; near it: {', '.join(near) or 'none'}")
    sizes: dict[str, Any] = {"layers": cfg.layers, "channels": cfg.channels}
    given = {key: value for key, value in sizes.items() if value is not None}
    try:
        network = timm.create_model(cfg.name, pretrained, num_classes=0, global_pool="", **given)
    except TypeError as error:  # a network that has no such sizes
        raise ValueError(f"{cfg.name} is no ResNet ({error}); use for example resnet50") from error
    except Exception as error:  # any failure of the hub client, whose error types are its own
        if not pretrained:
            raise
        raise RuntimeError(
            f"could not get timm's ImageNet weights of {cfg.name} ({error}); download them "
            "elsewhere and set init to the local .safetensors file"
        ) from error
    if not isinstance(network, TimmResNet):
        raise ValueError(f"{cfg.name} is no ResNet; use for example resnet50")
    return network
