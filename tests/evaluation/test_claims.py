"""Claims on made-up tables: what holds, fails, ties, is missing, or has too few seeds."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from hand_pipeline.evaluation.claims import ClaimConfig, Verdict, judge_claims, paired_test
from hand_pipeline.evaluation.figure_tables import FigureTable, read_figure_tables

SEEDS = 6


def runs(folder: Path, name: str, figures: dict[str, list[float | None]]) -> Path:
    """A sweep's runs with one column; None is a failed run."""
    rows = [
        {
            "member": member, "seed": seed, "error": value,
            "status": "failed" if value is None else "finished",
            "reason": "it diverged" if value is None else None,
        }
        for member, values in figures.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / f"{name}_runs_table.csv", index=False)
    return folder


def judged(
    folder: Path, figures: dict[str, list[float | None]], *ascending: str, strict: bool = True
) -> pd.Series:
    tables = read_figure_tables(runs(folder, "made_up", figures), ["made_up"])
    claim = ClaimConfig(
        sentence="s", paper="p", table="made_up", metric="error",
        ascending=ascending, strict=strict,
    )  # fmt: skip
    return judge_claims([claim], tables, 0.05).iloc[0]


def test_a_difference_that_every_seed_has_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    common = rng.normal(10, 3, SEEDS)  # a pairing takes away what a seed does to both
    low, high = common.tolist(), (common + rng.uniform(0.1, 0.2, SEEDS)).tolist()
    found = judged(tmp_path, {"a": low, "b": high}, "a", "b")
    assert found["verdict"] == Verdict.HOLDS
    assert found["p"] == pytest.approx(1 / 2**SEEDS)
    assert found["seeds"] == SEEDS
    assert "±" in found["figures"]


def test_the_reverse_of_what_holds_is_contradicted(tmp_path: Path) -> None:
    figures = {"a": [1.0, 1.1, 1.2, 1.0, 1.3, 1.1], "b": [2.0, 2.2, 2.1, 2.3, 2.0, 2.4]}
    assert judged(tmp_path, figures, "b", "a")["verdict"] == Verdict.CONTRADICTED


def test_a_mean_in_order_among_noise_may_be_chance_and_out_of_order_fails(tmp_path: Path) -> None:
    figures = {"a": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "b": [2.0, 1.0, 4.0, 3.0, 6.0, 5.3]}
    assert judged(tmp_path, figures, "a", "b")["verdict"] == Verdict.NOT_SHOWN
    assert judged(tmp_path, figures, "b", "a")["verdict"] == Verdict.FAILS


def test_a_chain_is_as_weak_as_its_weakest_step(tmp_path: Path) -> None:
    base = np.array([1.0, 1.1, 1.2, 1.0, 1.3, 1.1])
    noise = np.array([0.2, -0.1, 0.2, -0.1, 0.2, -0.1])
    figures = {"a": base, "b": base + 0.3 + noise / 100, "c": base + 0.3 + noise}
    chain = judged(tmp_path, {k: v.tolist() for k, v in figures.items()}, "a", "b", "c")
    last = paired_test(figures["c"] - figures["b"])
    assert chain["verdict"] == Verdict.NOT_SHOWN
    assert chain["p"] == last.p


def test_ties_fail_what_says_less_and_not_what_says_no_more(tmp_path: Path) -> None:
    figures: dict[str, list[float | None]] = {"a": [1.0] * 3, "b": [1.0] * 3}
    assert judged(tmp_path, figures, "a", "b")["verdict"] == Verdict.FAILS
    found = judged(tmp_path, figures, "a", "b", strict=False)
    assert found["verdict"] == Verdict.NOT_SHOWN
    assert found["test"] == "equal for every seed"


@pytest.mark.parametrize("seeds", [1, 2])
def test_no_test_is_made_of_one_or_two_seeds(tmp_path: Path, seeds: int) -> None:
    found = judged(tmp_path, {"a": [1.0, 1.1][:seeds], "b": [5.0, 6.1][:seeds]}, "a", "b")
    assert found["verdict"] == Verdict.UNTESTED
    assert found["p"] is None
    assert found["test"] == f"no test: {seeds} seed{'s' * (seeds > 1)}"
    assert ("±" in found["figures"]) == (seeds > 1)
    assert judged(tmp_path, {"a": [9.0], "b": [5.0]}, "a", "b")["verdict"] == Verdict.FAILS


def test_what_is_missing_is_not_run_and_named(tmp_path: Path) -> None:
    figures: dict[str, list[float | None]] = {"a": [1.0, 1.0], "b": [None, None]}
    found = judged(tmp_path, figures, "a", "c")
    assert found["verdict"] == Verdict.NOT_RUN
    assert found["test"] == "made_up has no row 'c'; it has a"
    assert "a 1 ± 0" in found["figures"]
    assert judged(tmp_path, figures, "a", "b")["test"] == "b of made_up failed: it diverged"
    claim = ClaimConfig(
        sentence="s", paper="p", table="absent", metric="error", ascending=("a", "b")
    )
    assert judge_claims([claim], {}, 0.05).iloc[0]["test"] == "absent has not been run"
    column = claim.model_copy(update={"table": "made_up", "metric": "speed"})
    tables = read_figure_tables(tmp_path, ["made_up"])
    lacking = judge_claims([column], tables, 0.05).iloc[0]["test"]
    assert lacking.startswith("a of made_up has no 'speed'; it has error")


def test_only_seeds_of_both_rows_are_paired(tmp_path: Path) -> None:
    found = judged(tmp_path, {"a": [1.0, None, 1.2, 1.1], "b": [2.0, 0.1, None, 2.5]}, "a", "b")
    assert found["seeds"] == 2
    assert found["verdict"] == Verdict.UNTESTED
    apart = judged(tmp_path, {"a": [1.0, None], "b": [None, 2.0]}, "a", "b")
    assert (apart["verdict"], apart["test"]) == (
        Verdict.NOT_RUN, "the rows have no seed in common",
    )  # fmt: skip


def test_places_may_be_columns_of_one_row(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"member": "full", "seed": range(3), "status": "finished", "T5": [1.0, 1.1, 1.2],
         "T1": [1.5, 1.7, 1.6], "reason": None}
    )  # fmt: skip
    table.to_csv(tmp_path / "passes_runs_table.csv", index=False)
    claim = ClaimConfig(
        sentence="s", paper="p", table="passes", metric="T5",
        ascending=("full", {"row": "full", "metric": "T1"}),
    )  # fmt: skip
    found = judge_claims([claim], read_figure_tables(tmp_path, ["passes"]), 0.05).iloc[0]
    assert found["verdict"] == Verdict.HOLDS
    assert found["p"] == pytest.approx(stats.ttest_rel([1.5, 1.7, 1.6], [1.0, 1.1, 1.2]).pvalue / 2)


def test_tables_of_pipelines_and_plain_metrics_are_read_as_one_run(tmp_path: Path) -> None:
    pd.DataFrame({"model": ["mean hand", "ours"], "error": [2.0, np.nan]}).to_csv(
        tmp_path / "results_table.csv", index=False
    )
    (tmp_path / "probe_metrics.json").write_text(
        json.dumps({"known": {"error": 3.0, "deep": {"x": 1}}, "steps": 7, "kind": "none"})
    )
    found = read_figure_tables(tmp_path, ["results", "probe", "absent"])
    assert set(found) == {"results", "probe"}
    assert found["results"].seeds("mean hand", "error").tolist() == [2.0]
    assert found["results"].lacks("ours", "error").startswith("results has no row 'ours'")
    assert found["probe"].seeds("known", "error").tolist() == [3.0]
    assert found["probe"].seeds("probe", "steps").tolist() == [7.0]


def test_a_damaged_table_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "made_up_runs_table.csv").write_text("")
    with pytest.raises(ValueError, match=r"made_up's results in .* cannot be read"):
        read_figure_tables(tmp_path, ["made_up"])
    (tmp_path / "made_up_runs_table.csv").write_text("member,seed\na,0\n")
    with pytest.raises(ValueError, match="status"):
        read_figure_tables(tmp_path, ["made_up"])


def test_sign_flips_are_those_of_scipy(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for seeds in (5, 8):
        differences = rng.normal(0.5, 1, seeds)
        expected = stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", alternative="greater",
            n_resamples=np.inf,
        ).pvalue  # fmt: skip
        assert paired_test(differences).p == pytest.approx(expected)


def test_few_seeds_are_tested_by_t_and_equal_differences_never_pass_for_sure() -> None:
    differences = np.array([0.4, 0.5, 0.3, 0.45])
    found = paired_test(differences)
    assert found.how == "paired t-test, 4 seeds"
    expected = stats.ttest_1samp(differences, 0, alternative="greater").pvalue
    assert found.p == pytest.approx(expected)
    assert paired_test(np.full(3, 0.1)).p == pytest.approx(1 / 8)


def test_false_claims_pass_no_oftener_than_stated() -> None:
    rng = np.random.default_rng(2)
    for seeds, most in itertools.product((3, 6), (0.05,)):
        passed = [(paired_test(rng.normal(size=seeds)).p or 1) <= most for _ in range(2000)]
        assert np.mean(passed) < most + 3 * np.sqrt(most * (1 - most) / 2000)


def test_a_table_without_figures_lacks_every_row() -> None:
    empty = FigureTable("empty", pd.DataFrame(columns=["row", "metric", "seed", "value"]))
    assert empty.lacks("a", "error") == "empty has no row 'a'; it has none"
