"""Every shipped YAML builds its typed configuration, in every profile."""

import inspect
import typing
from pathlib import Path

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline

from hand_pipeline.config import Config, MachineConfig
from hand_pipeline.methods.maskhand.config import (
    MaskHandConfig,
    TextMaskHandConfig,
    VqManoConfig,
)
from hand_pipeline.pipelines.detect import DetectConfig
from hand_pipeline.pipelines.lifter import LifterTrainingConfig
from hand_pipeline.pipelines.s2hand import S2HandTrainingConfig, StageConfig
from hand_pipeline.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[1]
PROFILES = ("base", "smoke", "open", "bench", "paper")
NAMES = ("__default__", "probe", "costs", "cross_evaluate", "claims", "photo_probes")


def parameters(profile: str, changes: dict[str, typing.Any] | None = None) -> dict[str, typing.Any]:
    loader = OmegaConfigLoader(
        str(ROOT / "conf"), env=profile, base_env="base", runtime_params=changes,
        merge_strategy=CONFIG_LOADER_ARGS["merge_strategy"],
    )  # fmt: skip
    return loader["parameters"]


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_builds_the_configurations_of_its_nodes(profile: str) -> None:
    bootstrap_project(ROOT)
    from kedro.framework.project import pipelines

    values, built = parameters(profile), 0
    for node in sum((pipelines[name] for name in NAMES), Pipeline([])).nodes:
        hints = typing.get_type_hints(node.func)
        for argument, name in zip(inspect.signature(node.func).parameters, node.inputs):
            kind = hints[argument]
            if name.startswith("params:") and isinstance(kind, type) and issubclass(kind, Config):
                value = values
                for part in name.removeprefix("params:").split("."):
                    value = value[part]
                kind(**value)
                built += 1
    assert built > 15


def test_maskhands_paper_profile_is_as_printed() -> None:
    """arXiv 2412.13393: section 3, implementation details, tables 7, 8, 11, 13, 16 and 17."""
    values = parameters("paper")
    vq, stage = values["tokenizer"], values["maskhand"]
    tokenizer, maskhand = VqManoConfig(**vq["method"]), MaskHandConfig(**stage["method"])
    assert (tokenizer.num_tokens, tokenizer.num_codes, tokenizer.code_dim) == (64, 2048, 256)
    assert tokenizer.rotation_augmentation == 1
    assert (vq["training"]["steps"], vq["training"]["batch_size"]) == (400_000, 512)
    assert (stage["training"]["steps"], stage["training"]["batch_size"]) == (200_000, 48)
    assert {vq["training"]["optimizer"], stage["training"]["optimizer"]} == {"adam"}
    assert (maskhand.layers, maskhand.refinement_blocks) == (4, 2)
    assert (maskhand.scales, maskhand.masking) == ((1, 4), (0, 1))
    ours = ("self_conditioning", "corruption", "visible_noise", "keypoint_dropout",
            "joint_dropout", "blackout",
            "weight_own_joints_2d", "weight_joint_error")  # fmt: skip
    assert not any(getattr(maskhand, name) for name in ours)
    extra = ("weight_vertices", "weight_local_vertices", "weight_mano_camera")
    assert not any(getattr(maskhand, name) for name in extra)
    assert (maskhand.readout, maskhand.confidence) == ("codes", "code")
    assert maskhand.sampling.iterations == 5
    assert values["maskhand_evaluation"]["iterations"] == [1, 3, 5]
    drawn = values["generation_evaluation"]
    assert (drawn["count"], drawn["sampling"]["top_k"]) == (2000, 100)
    assert TextMaskHandConfig(**values["generation"]["method"]).top_share == 0.05


def test_s2hand_on_ho3d_is_paper_but_for_its_data() -> None:
    """Its run file names settings that exist, and epochs of HO-3D v2's 66,034 photos."""
    run = yaml.safe_load((ROOT / "conf/paper/s2hand_ho3d.yml").read_text())["run"]
    assert (run["env"], run["pipelines"]) == ("paper", "detect,s2hand")
    values = parameters("paper", run["params"])
    settings = S2HandTrainingConfig(**values["s2hand"])
    detect = DetectConfig(**values["detect"])
    assert settings.mix.sets == detect.sets
    assert settings.mix.crop_scale == detect.crops.crop_scale
    assert {"train"} == {member.split for member in settings.mix.sets.values()}
    assert settings.method.bone_length == 0.0282
    assert settings.method.least_confidence is None
    for stage, epochs, falls in (("2d", 90, 30), ("3d", 90, 30), ("joint", 60, 20)):
        training = StageConfig(**values[f"s2hand_{stage}"]).training
        epoch = 66_034 / training.batch_size
        assert training.steps / epoch == pytest.approx(epochs, rel=1e-3)
        assert training.step_every / epoch == pytest.approx(falls, rel=1e-3)
    assert training.step_factor == pytest.approx(1 / 3, abs=1e-3)


def strings(values: typing.Any, key: str = "") -> typing.Iterator[tuple[str, str]]:
    if isinstance(values, dict):
        for name, value in values.items():
            yield from strings(value, f"{key}.{name}")
    elif isinstance(values, str):
        yield key, values


def test_paths_are_named_only_in_the_catalog_but_for_what_users_point_elsewhere() -> None:
    allowed = ("workspace", "mano_model", "collect_sources")
    for file in ROOT.glob("conf/*/parameters*.yml"):
        named = [key for key, text in strings(yaml.safe_load(file.read_text())) if "data/" in text]
        assert all(any(word in key for word in allowed) for key in named), (file, named)
    assert MachineConfig().workspace == Path("data/.checkpoints")


def test_a_photo_set_cannot_be_left_out_of_a_lifter_that_sees_no_photos() -> None:
    values = parameters("open")["lifter"]
    values["labels"]["left_out"] = "ti1k"
    assert LifterTrainingConfig(**values).labels.left_out == "ti1k"
    with pytest.raises(ValueError, match="'ti1k', a set of photos, but photos is 0"):
        LifterTrainingConfig(**values | {"photos": 0})
