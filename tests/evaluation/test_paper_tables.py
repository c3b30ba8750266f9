"""The papers' figures as shipped, and ours beside them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hand_pipeline.evaluation.figure_tables import read_figure_tables
from hand_pipeline.evaluation.paper_tables import (
    ComparedTable,
    compare,
    display,
    read_paper_tables,
)

LOSSES = ComparedTable(
    paper="HandMIM", table=7, title="losses", ours="ablations",
    rows={"all losses": "all", "without L_pose": "no_pose", "without L_patch": "no_patch"},
    further=("extra",),
)  # fmt: skip


@pytest.fixture
def compared(tmp_path: Path) -> pd.DataFrame:
    rows = [
        {"member": "all", "seed": 0, "status": "finished", "PA-MPVPE mm": 9.0},
        {"member": "all", "seed": 1, "status": "finished", "PA-MPVPE mm": 9.2},
        {"member": "extra", "seed": 0, "status": "finished", "PA-MPVPE mm": 4.0},
        {"member": "no_patch", "seed": 0, "status": "failed", "reason": "NaN"},
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "ablations_runs_table.csv", index=False)
    return compare([LOSSES], read_figure_tables(tmp_path, ["ablations"]))


def cell(compared: pd.DataFrame, row: str, metric: str = "PA-MPVPE mm") -> pd.Series:
    return compared[(compared["row"] == row) & (compared["metric"] == metric)].iloc[0]


def test_the_shipped_figures_are_the_printed_ones() -> None:
    table = read_paper_tables()
    assert not table.duplicated(["paper", "table", "dataset", "row", "metric"]).any()
    assert np.isfinite(table["value"]).all()
    numbers = {name: sorted(set(rows)) for name, rows in table.groupby("paper")["table"]}
    assert numbers["HandMIM"] == list(range(1, 9))
    assert numbers["MaskHand"] == [*range(1, 10), *range(11, 18)]
    assert numbers["S2HAND"] == [2, 3, 4, 5, 9, 10]
    table = table.set_index(["paper", "table", "dataset", "row", "metric"])["value"]
    assert table["HandMIM", 5, "FreiHAND", "ViT-S + HandMIM", "PA-MPVPE mm"] == 6.57
    assert table["MaskHand", 5, "HO3Dv3", "T = 5", "PA-MPJPE mm"] == 7.0
    s2hand = table["S2HAND", 2, "FreiHAND test", "S2HAND, self-supervised", "PA-MPVPE mm"]
    assert s2hand == pytest.approx(11.9)  # the paper prints 1.19 cm


def test_ours_stand_beside_theirs_with_mean_spread_and_seeds(compared: pd.DataFrame) -> None:
    found = cell(compared, "all losses")
    assert (found["theirs"], found["seeds"]) == (6.57, 2)
    assert found["ours"] == pytest.approx(9.1)
    assert found["std"] == pytest.approx(0.2 / np.sqrt(2))
    assert found["shown"] == "9.1 ± 0.14 (2 seeds)"


def test_what_is_not_there_is_said_and_never_invented(compared: pd.DataFrame) -> None:
    assert cell(compared, "without L_pose")["shown"] == "not run"
    assert cell(compared, "without L_patch")["shown"] == "failed"
    assert cell(compared, "without L_recon")["shown"] == "no counterpart"
    assert cell(compared, "all losses", "F@5")["shown"] == "not measured"
    assert compared.loc[compared["seeds"] == 0, "ours"].isna().all()
    assert compare([LOSSES], {})["ours"].isna().all()


def test_rows_that_the_paper_lacks_have_none_of_its_figures(compared: pd.DataFrame) -> None:
    found = cell(compared, "extra")
    assert np.isnan(found["theirs"])
    assert found["shown"] == "4 (1 run)"


def test_a_table_is_shown_with_a_pair_of_columns_a_metric(compared: pd.DataFrame) -> None:
    shown = display(compared, "paper", "ours (open hand)")
    assert shown["row"].tolist()[:2] == ["all losses", "without L_pose"]
    assert shown["PA-MPVPE mm, paper"].tolist() == ["6.57", "6.89", "6.9", "6.76", ""]
    assert shown["PA-MPVPE mm, ours (open hand)"].tolist()[0] == "9.1 ± 0.14 (2 seeds)"


def test_names_that_the_paper_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="HandMIM table 7 has no row all loses; it has all losses"):
        compare([LOSSES.model_copy(update={"rows": {"all loses": "all"}})], {})
    with pytest.raises(ValueError, match="has no metric speed"):
        compare([LOSSES.model_copy(update={"metrics": {"speed": "x"}})], {})
    with pytest.raises(ValueError, match="have no HandMIM table 70"):
        compare([LOSSES.model_copy(update={"table": 70})], {})


def across(**changes: object) -> ComparedTable:
    return ComparedTable(
        paper="HandMIM", table=5, title="methods", ours="ablations",
        rows={"ViT-S + HandMIM": "all"}, **changes,
    )  # fmt: skip


def test_ours_stand_beside_the_data_set_that_they_are_of(tmp_path: Path) -> None:
    """One number of ours stood beside both FreiHAND's and HO-3D's of the paper."""
    row = {"member": "all", "seed": 0, "status": "finished", "PA-MPVPE mm": 9.0, "reason": ""}
    pd.DataFrame([row]).to_csv(tmp_path / "ablations_runs_table.csv", index=False)
    found = compare([across(datasets=["FreiHAND"])], read_figure_tables(tmp_path, ["ablations"]))
    found = found[(found["row"] == "ViT-S + HandMIM") & (found["metric"] == "PA-MPVPE mm")]
    shown = found.set_index("dataset")["shown"]
    assert shown["FreiHAND"] == "9 (1 run)"
    assert shown["HO3Dv2"] == "no counterpart"


def test_a_table_of_several_data_sets_must_say_of_which_ours_are() -> None:
    with pytest.raises(ValueError, match=r"FreiHAND; HO3Dv2.*datasets"):
        compare([across()], {})
    with pytest.raises(ValueError, match="no dataset DexYCB"):
        compare([across(datasets=["DexYCB"])], {})
