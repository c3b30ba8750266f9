"""The hands that a sweep draws: each member's own meshes and errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from hand_pipeline.data.hand_mix import open_labelled_hands
from hand_pipeline.evaluation.predict import PredictedHands, save_predictions
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.sweeps import pipeline as pictures
from hand_pipeline.sweeps.declaration import SweepConfig, SweepError
from hand_pipeline.sweeps.project import Project
from hand_pipeline.sweeps.results import RunRecord, write_record
from tests.fixtures.write import write_fixture

COLUMN = "PA-MPVPE mm"
SHIFT = {"supervised": 0.01, "handmim": 0.02}
"""Metres that a model's hands lie off the truth; its errors are told as ten times as many mm."""


@pytest.fixture
def hands(tmp_path: Path) -> Path:
    write_fixture("freihand", tmp_path / "hands", "evaluation", 4)
    return tmp_path / "hands"


@pytest.fixture
def sweep() -> SweepConfig:
    return SweepConfig(
        title="models",
        chain=["evaluate"],
        columns={COLUMN: "evaluate_metrics:handmim.pa_mpvpe_mm"},
        picture={"shown": 3},
        members=[
            {"name": "scratch", "columns": {COLUMN: "evaluate_metrics:supervised.x"}},
            {"name": "handmim"},
            {"name": "broken"},
        ],
    )


@pytest.fixture
def project(tmp_path: Path, hands: Path, sweep: SweepConfig, untrained: Path) -> Project:
    """Finished runs of two members; a third has failed."""
    project = Project(tmp_path, tmp_path / "data", "smoke", {}, {})
    held_out = open_labelled_hands(hands, "evaluation", ManoHand())
    batch = held_out.collate([held_out[i] for i in range(4)])
    arrays = {
        "joints": batch.joints_3d, "mano_pose": np.zeros((4, 16, 3, 3)), "betas": np.zeros((4, 10)),
        "gt_joints": batch.joints_3d, "gt_vertices": batch.vertices,
    }  # fmt: skip
    order = [2, 0, 3, 1]  # of the files: not that of the set
    for member in ("scratch", "handmim"):
        work = tmp_path / "work" / member
        (work / "predicted_hands").mkdir(parents=True)
        tables = []
        for model, shift in SHIFT.items():
            found = {name: np.asarray(values)[order] for name, values in arrays.items()}
            vertices = np.asarray(batch.vertices)[order] + shift
            ids = tuple(batch.ids[i] for i in order)
            save_predictions(
                work / "predicted_hands" / f"{model}.npz",
                PredictedHands(ids=ids, vertices=vertices, **found),
            )
            errors = [10 * 1000 * shift + i for i in order]
            tables.append(pd.DataFrame({"id": ids, "pa_mpvpe_mm": errors, "model": model}))
        pd.concat(tables).to_csv(work / "samples_table.csv", index=False)
        files = {
            "labelled_hands": hands, "predicted_hands": work / "predicted_hands",
            "samples_table": work / "samples_table.csv", "handmim_method": untrained,
        }  # fmt: skip
        record = RunRecord(member=member, seed=0, status="finished", key="k", files=files)
        write_record(project.sweeps / "rates", record)
    return project


def test_members_are_drawn_with_the_model_that_stands_for_them(
    project: Project, sweep: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, Any] = {}

    def draw(images, intrinsics, vertices, truth, faces, captions):  # type: ignore[no-untyped-def]
        drawn.update(vertices=vertices, truth=truth, captions=captions)
        return Image.new("RGB", (8, 8))

    monkeypatch.setattr(pictures, "comparison_grid", draw)
    rows = [("scratch", 0, "finished"), ("handmim", 0, "finished"), ("broken", 0, "failed")]
    runs = pd.DataFrame(rows, columns=["member", "seed", "status"])
    pictures.draw_hands("rates", project, sweep, runs)
    assert list(drawn["vertices"]) == ["scratch", "handmim"]
    for member, model in (("scratch", "supervised"), ("handmim", "handmim")):
        off = drawn["vertices"][member] - drawn["truth"]
        np.testing.assert_allclose(off, SHIFT[model], atol=1e-6)
    assert len(drawn["captions"]) == 3
    for caption in drawn["captions"]:
        place = int(caption.partition(":")[0].rpartition("/")[2])
        assert caption.endswith(f"scratch {100 + place}.0, handmim {200 + place}.0 mm")


def test_the_picture_has_a_column_a_member(project: Project, sweep: SweepConfig) -> None:
    runs = pd.DataFrame({"member": ["handmim"], "seed": [0], "status": ["finished"]})
    one = pictures.draw_hands("rates", project, sweep, runs)
    both = pd.concat([runs, runs.assign(member="scratch")])
    two = pictures.draw_hands("rates", project, sweep, both)
    assert two.width - one.width == pytest.approx(one.width / 3, abs=4)


def test_a_chain_without_predicted_hands_is_told(project: Project, sweep: SweepConfig) -> None:
    record = RunRecord(member="broken", seed=0, status="finished", key="k")
    write_record(project.sweeps / "rates", record)
    runs = pd.DataFrame({"member": ["broken"], "seed": [0], "status": ["finished"]})
    with pytest.raises(SweepError, match="that of broken makes no labelled_hands, predicted"):
        pictures.draw_hands("rates", project, sweep, runs)
