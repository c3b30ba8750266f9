"""`show` prints the table of the last run, or says what to run first."""

from pathlib import Path

import pandas as pd
from click.testing import CliRunner

from hand_pipeline.commands.show import COLUMNS, ON_PHOTOS, show


def test_without_results_it_says_what_to_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(show, ["--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "run `dvc repro` or `make demo` first" in result.output


def test_each_table_that_was_made_is_shown_with_its_page(tmp_path: Path) -> None:
    folder = tmp_path / "08_reporting"
    folder.mkdir()
    rows = [{"model": name, "num_samples": 4, **dict.fromkeys(COLUMNS, 1.0)} for name in "ab"]
    pd.DataFrame(rows).to_csv(folder / "maskhand_table.csv", index=False)
    result = CliRunner().invoke(show, ["--data", str(tmp_path)])
    assert result.exit_code == 0
    assert "maskhand.html" in result.output
    assert "report.html" not in result.output


def test_models_beside_the_shipped_ones_are_printed_once(tmp_path: Path) -> None:
    folder = tmp_path / "08_reporting"
    folder.mkdir()
    row = {"num_samples": 4, **dict.fromkeys(COLUMNS, 1.0)}
    trained = [{**row, "model": name} for name in ("mean hand", "trained here: ours")]
    pd.DataFrame(trained).drop(columns=ON_PHOTOS).to_csv(folder / "results_table.csv", index=False)
    alone = CliRunner().invoke(show, ["--data", str(tmp_path)]).output
    assert "Photos: real ones" not in alone
    trained[0][ON_PHOTOS] = None
    both = [*trained, {**row, "model": "shipped: other", ON_PHOTOS: 2.125}]
    pd.DataFrame(both).to_csv(folder / "shipped_table.csv", index=False)
    result = CliRunner().invoke(show, ["--data", str(tmp_path)])
    assert result.exit_code == 0
    assert result.output.count("trained here: ours  ") == 1
    assert "2.125" in result.output
    assert "NaN" not in result.output
    assert result.output.count("report.html") == 1


def test_photos_without_labels_have_their_2d_errors_and_their_page(tmp_path: Path) -> None:
    folder = tmp_path / "08_reporting"
    folder.mkdir()
    rows = [{"model": name, "num_samples": 4, **dict.fromkeys(COLUMNS, 1.0)} for name in "ab"]
    pd.DataFrame(rows).to_csv(folder / "s2hand_table.csv", index=False)
    errors = [
        {"model": name, "hands": 41, "error_mean_px": value, "error_median_px": 2.0}
        for name, value in (("before", 12.345), ("after", 6.789))
    ]
    pd.DataFrame(errors).to_csv(folder / "s2hand_photos_table.csv", index=False)
    result = CliRunner().invoke(show, ["--data", str(tmp_path)])
    assert result.exit_code == 0
    for text in ("hands of photos: 41", "12.35", "6.79", "mean px", "s2hand_photos.html"):
        assert text in result.output
    assert "s2hand.html" in result.output


def test_it_prints_every_metric_and_how_far_below_the_mean_hand(tmp_path: Path) -> None:
    folder = tmp_path / "08_reporting"
    folder.mkdir()
    rows = [{"model": name, "num_samples": 400, **dict.fromkeys(COLUMNS, value)}
            for name, value in (("mean hand", 10.0), ("ours", 7.5))]  # fmt: skip
    pd.DataFrame(rows).to_csv(folder / "results_table.csv", index=False)
    result = CliRunner().invoke(show, ["--data", str(tmp_path)])
    assert result.exit_code == 0
    assert all(title in result.output for title in COLUMNS.values())
    assert "ours: 25.0% PA-MPVPE, 25.0% root-rel. MPVPE" in result.output
