"""The claims page of the shipped declaration, with nothing run and with made-up sweeps."""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from kedro.config import OmegaConfigLoader
from PIL import Image

from hand_pipeline.evaluation.claims import Verdict
from hand_pipeline.pipelines.claims import MEANINGS, ClaimsConfig, write_claims
from hand_pipeline.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[2]


@cache  # OmegaConf takes a second
def parameters(profile: str = "base") -> dict[str, Any]:
    return OmegaConfigLoader(
        str(ROOT / "conf"), env=profile, base_env="base",
        merge_strategy=CONFIG_LOADER_ARGS["merge_strategy"],
    )["parameters"]  # fmt: skip


@pytest.fixture(scope="module")
def shipped() -> ClaimsConfig:
    return ClaimsConfig(**parameters()["claims"])


def test_where_nothing_has_been_run_the_page_says_so(tmp_path: Path, shipped: ClaimsConfig) -> None:
    page, claims, compared, counts = write_claims(tmp_path, shipped)
    assert set(claims["verdict"]) == {Verdict.NOT_RUN}
    assert compared["ours"].isna().all()
    assert counts["not_run"] == len(shipped.claims)
    assert "do not reproduce" in page
    for name in ("comparisons", "maskhand_ablations", "s2hand", "tokenizer_sizes"):
        assert f"<li>{name} (" in page
    assert "data:image" not in page


def test_a_page_of_the_smoke_profile_says_first_that_it_means_nothing(tmp_path: Path) -> None:
    runs = [{"member": "all", "seed": 0, "status": "finished", "PA-MPVPE mm": 8.0, "reason": ""}]
    pd.DataFrame(runs).to_csv(tmp_path / "ablations_runs_table.csv", index=False)
    smoke, base = (ClaimsConfig(**parameters(profile)["claims"]) for profile in ("smoke", "base"))
    page, claims, compared, _ = write_claims(tmp_path, smoke)
    warning = page.index("The metrics on this page mean nothing")
    assert warning < page.index("Our metrics were measured on") < page.index("<h2>")
    assert "ours (open hand, smoke profile: means nothing)</th>" in page
    assert claims["measured_on"].str.endswith("means nothing").all()
    assert compared["measured_on"].str.endswith("means nothing").all()
    assert "mean nothing" not in write_claims(tmp_path, base)[0]


def test_a_sweep_fills_its_tables_claims_and_curves(tmp_path: Path, shipped: ClaimsConfig) -> None:
    rows = [
        {"member": member, "seed": seed, "status": "finished", "PA-MPVPE mm": value + seed / 100}
        for member, value in {"handmim": 8.0, "ibot": 9.0, "supervised": 9.0, "peclr": 8.5}.items()
        for seed in range(5)
    ]
    rows.append({"member": "mean_hand", "seed": 0, "status": "failed", "reason": "<b>disk</b>"})
    pd.DataFrame(rows).to_csv(tmp_path / "comparisons_runs_table.csv", index=False)
    Image.new("RGB", (8, 8)).save(tmp_path / "comparisons_picture.png")
    page, claims, compared, counts = write_claims(tmp_path, shipped)
    verdicts = claims[claims["table"] == "comparisons"].set_index("claim")["verdict"]
    assert verdicts["HandMIM's pretraining beats none"] == Verdict.HOLDS
    assert verdicts["HandMIM's pretraining beats iBOT's, and iBOT's beats none"] == Verdict.FAILS
    assert verdicts["PeCLR's pretraining is worse than none"] == Verdict.CONTRADICTED
    assert (counts["holds"], counts["fails"], counts["contradicted"]) == (1, 1, 1)
    found = compared[(compared["table"] == 5) & (compared["our_row"] == "handmim")]
    assert found["seeds"].max() == 5
    assert "8.02 ± 0.016 (5 seeds)" in page
    assert page.count("data:image/png") == 1
    assert "comparisons, mean_hand: failed, &lt;b&gt;disk&lt;/b&gt;" in page
    assert "<li>comparisons (" not in page


@pytest.mark.parametrize("profile", ["base", "smoke", "open", "bench", "paper"])
def test_shipped_claims_and_tables_name_members_and_columns_of_the_sweeps(profile: str) -> None:
    values = parameters(profile)
    shipped, sweeps = ClaimsConfig(**values["claims"]), values["sweeps"]
    checked = 0
    for table in shipped.tables:
        if table.ours in sweeps:
            members = {member["name"] for member in sweeps[table.ours]["members"]}
            assert set(table.rows.values()) <= members, table.title
            # a row that needs a download (ImageNet's weights) is in bench alone
            elsewhere = parameters("bench")["sweeps"].get(table.ours, {"members": []})["members"]
            known = members | {member["name"] for member in elsewhere}
            assert set(table.further) <= known, table.title
            checked += 1
    for claim in shipped.claims:
        if claim.table in sweeps:
            sweep = sweeps[claim.table]
            members = {member["name"] for member in sweep["members"]}
            for place in claim.ascending:
                assert place.row in members, claim.sentence
                assert (place.metric or claim.metric) in sweep["columns"], claim.sentence
            checked += 1
    assert checked > 25


def test_every_verdict_is_explained() -> None:
    assert set(MEANINGS) == set(Verdict)
