"""Every module of `pipelines/` and every sweep that some profile declares is a pipeline."""

from pathlib import Path

import pytest
import yaml

from hand_pipeline.pipeline_registry import STAGES, LazyPipelines

ROOT = Path(__file__).parents[1]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    (tmp_path / "base").mkdir()
    (tmp_path / "local/mine").mkdir(parents=True)
    (tmp_path / "base/parameters_sweeps.yml").write_text("sweeps: {rates: {draw: hands}}\n")
    (tmp_path / "base/parameters_other.yml").write_text("# no sweeps: here\n")
    (tmp_path / "local/mine/parameters.yml").write_text("sweeps: {own: {}, rates: {seeds: [0]}}\n")
    return tmp_path


def test_all_shipped_sweeps_and_stages_are_pipelines() -> None:
    names = set(LazyPipelines(ROOT / "conf"))
    declared = yaml.safe_load((ROOT / "conf/base/parameters_sweeps.yml").read_text())["sweeps"]
    assert {*declared, *STAGES, "tuning", "claims", "__default__"} <= names
    assert len(declared) == 11


def test_a_sweep_declared_anywhere_is_a_pipeline_at_once(conf: Path) -> None:
    pipelines = LazyPipelines(conf)
    assert {"rates", "own", "pretrain"} <= set(pipelines)
    assert len(pipelines) == len(list(pipelines))
    assert "params:sweeps.own" in pipelines["own"].inputs()
    assert pipelines["own"].outputs() == {
        "own_metrics", "own_table", "own_runs_table", "own_picture"
    }  # fmt: skip
    assert "rates_hands_picture" in pipelines["rates"].outputs()
    with pytest.raises(KeyError):
        pipelines["nothing"]


def test_profiles_are_not_read_for_the_pipelines_of_modules(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hand_pipeline.pipeline_registry.declared_sweeps", lambda conf: pytest.fail("it was read")
    )
    assert LazyPipelines(conf)["report"].outputs() == {"report_page"}


def test_a_sweep_may_not_be_named_as_a_pipeline_is(conf: Path) -> None:
    (conf / "local/mine/parameters.yml").write_text("sweeps: {pretrain: {}}\n")
    with pytest.raises(ValueError, match=r"named as pipelines are: \['pretrain'\]"):
        list(LazyPipelines(conf))
