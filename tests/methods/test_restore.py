"""Checkpoints, of this version and of former ones, become methods again."""

import typing

import pytest
import torch

from hand_pipeline.config import Config
from hand_pipeline.data.hand_augmentation import HandAugmentationConfig
from hand_pipeline.methods import METHODS, config_class, method_class, restore_method, title_of
from hand_pipeline.methods.pymaf.config import PyMAFConfig
from hand_pipeline.methods.pymaf.pymaf import PyMAF
from hand_pipeline.models.vit import VitConfig
from hand_pipeline.training.checkpoint import Checkpoint, CheckpointError, pack_method

VIT = VitConfig(name="vit_tiny_patch16_224", image_size=32, patch_size=8, depth=1, embed_dim=48)


@pytest.fixture(scope="module")
def packed() -> Checkpoint:
    method = PyMAF(
        PyMAFConfig(pyramid_channels=8, regressor_width=8), VIT,
        HandAugmentationConfig(image_size=32),
    )  # fmt: skip
    return pack_method(method.name, method.state_dict(), **method.configs)


def with_option(packed: Checkpoint, **values: object) -> Checkpoint:
    configs = packed.metadata["configs"]
    old = {**packed.metadata, "configs": {**configs, "cfg": {**configs["cfg"], **values}}}
    return Checkpoint(packed.tensors, old)


def test_a_method_is_rebuilt_from_what_it_says_of_itself(packed: Checkpoint) -> None:
    rebuilt = restore_method(packed)
    assert rebuilt.configs == PyMAF(**rebuilt.configs).configs
    assert all(torch.equal(t, packed.tensors[n]) for n, t in rebuilt.state_dict().items())


def test_an_option_that_is_gone_is_passed_over_where_it_had_the_value_that_is_left(
    packed: Checkpoint,
) -> None:
    old = with_option(packed, points="mesh", fusion=False, fusion_width=64)
    assert restore_method(old).configs == restore_method(packed).configs


def test_an_option_that_is_gone_is_told_where_it_was_used(packed: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match=r"x was trained with fusion True, .* only False"):
        restore_method(with_option(packed, fusion=True), "x")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_name_it_is_registered_by_and_no_option_that_is_gone(name: str) -> None:
    assert method_class(name).name == name
    assert issubclass(config_class(name), Config)
    for kind in all_configs(config_class(name)):
        assert not kind.retired.keys() & kind.model_fields.keys()


def all_configs(kind: type[Config]) -> list[type[Config]]:
    """A configuration and all that it holds."""
    held = [
        inner
        for field in kind.model_fields.values()
        for inner in (field.annotation, *typing.get_args(field.annotation))
        if isinstance(inner, type) and issubclass(inner, Config)
    ]
    return [kind, *(each for inner in held for each in all_configs(inner))]


@pytest.mark.parametrize(
    ("metadata", "title"),
    [
        ({"pretrained_by": "ibot"}, "iBOT, then fine-tuned"),
        ({"pretrained_by": "peclr"}, "PeCLR, then fine-tuned"),
        ({"pretrained_by": "dino"}, "dino, then fine-tuned"),
        ({"pretrained_by": None, "init": "random"}, "supervised, from scratch"),
        ({"pretrained_by": None, "init": "imagenet"}, "supervised, from ImageNet"),
        ({"pretrained_by": None, "init": "a/file"}, "supervised, from a/file"),
        ({}, "fine-tuned; from what, is not recorded"),
    ],
)
def test_a_model_is_called_by_what_it_started_from(metadata: dict, title: str) -> None:
    configs = {"vit": {"init": metadata.pop("init", "random")}}
    assert title_of(Checkpoint({}, {"configs": configs, **metadata})) == title
