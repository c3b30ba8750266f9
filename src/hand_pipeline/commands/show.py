"""`python -m hand_pipeline show`: the metrics of the last run, and the paths of its reports."""

from pathlib import Path

import click
import pandas as pd

REPORTING = "08_reporting"
ON_PHOTOS = "photos_percent"
COLUMNS = {
    "pa_mpjpe_mm": "PA-MPJPE",
    "pa_mpvpe_mm": "PA-MPVPE",
    "mpjpe_mm": "MPJPE",
    "rr_mpvpe_mm": "root-rel. MPVPE",
    "auc_pa_vertices": "AUC",
    "f5": "F@5",
    "f15": "F@15",
    ON_PHOTOS: "photos",
}
"""Columns: errors in mm, AUC and F-scores from 0 to 1 (Procrustes-aligned vertices), and in tables
with what is shipped how far joints are from those seen in real photos, % of the hand."""

PHOTO_COLUMNS = {
    "error_mean_px": "mean px", "error_median_px": "median px", "joints_near": "within 10 px",
}  # fmt: skip

RESULTS, BESIDE_SHIPPED = "results_table.csv", "shipped_table.csv"
"""The fine-tuned models, and the same rows with those of what is shipped."""
TABLES = {
    RESULTS: "report.html",
    BESIDE_SHIPPED: "report.html",
    "maskhand_table.csv": "maskhand.html",
    "s2hand_table.csv": "s2hand.html",
}
"""Tables of models, and the page of each."""
PHOTOS = ("s2hand_photos_table.csv", "s2hand_photos.html")
"""Table and page of S2HAND on photos, which have only 2D errors."""


@click.command("show")
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path("data"), show_default=True,
    help="Root of the profile's data: data, data/smoke, data/bench or data/paper.",
)  # fmt: skip
def show(data: Path) -> None:
    """Print the results tables of the last runs and the paths of their reports."""
    folder = data / REPORTING
    made = [name for name in TABLES if (folder / name).is_file()]
    if not made:
        raise click.ClickException(f"no results in {folder}: run `dvc repro` or `make demo` first")
    if {RESULTS, BESIDE_SHIPPED} <= set(made):
        made.remove(RESULTS)
    for name in made:
        _show_table(pd.read_csv(folder / name).set_index("model"))
    photos_table, photos_page = PHOTOS
    if (folder / photos_table).is_file():
        _show_photos(pd.read_csv(folder / photos_table))
    if (folder / "collect_table.csv").is_file():
        click.echo("\nPhotos (columns without any photo left out)")
        photos = pd.read_csv(folder / "collect_table.csv").set_index("set")
        click.echo(
            photos.loc[:, (photos != 0).any()].T.to_string(
                float_format=lambda value: f"{value:.10g}"
            )
        )
    pages = [page for table, page in TABLES.items() if table in made]
    pages += [photos_page] * (folder / photos_table).is_file()
    click.echo("\n" + "\n".join(f"report    {(folder / page).resolve()}" for page in pages))
    click.echo("runs      make ui, then http://127.0.0.1:5000\n")


def _show_photos(results: pd.DataFrame) -> None:
    """Print 2D errors on held-out photos, before and after training."""
    click.echo(
        f"\nHeld-out hands of photos: {int(results['hands'].iloc[0])}. Projected joints from"
    )
    click.echo("the detected ones, px of a 224 px crop.\n")
    table = results.set_index("model").drop(columns="hands")
    table.columns = [PHOTO_COLUMNS.get(name, name) for name in table.columns]
    click.echo(table.to_string(float_format=lambda value: f"{value:.2f}"))


def _show_table(results: pd.DataFrame) -> None:
    """Print models and their gain over the first one, the mean hand."""
    table = results[[name for name in COLUMNS if name in results]].rename(columns=COLUMNS)
    click.echo(f"\nHeld-out hands: {int(results['num_samples'].iloc[0])}. Lengths in mm; AUC and F")
    click.echo("of vertices after Procrustes alignment. Open hand: no reproduction of a paper.")
    if ON_PHOTOS in results:
        click.echo("Photos: real ones; joints from those that a detector saw, % of the hand.")
    click.echo()
    click.echo(table.to_string(float_format=lambda value: f"{value:.3f}", na_rep=""))
    baseline = results.iloc[0]
    click.echo("\nBelow the mean hand by")
    for name, row in results.iloc[1:].iterrows():
        lower = {c: 1 - row[c] / baseline[c] for c in ("pa_mpvpe_mm", "rr_mpvpe_mm")}
        gains = ", ".join(f"{share:.1%} {COLUMNS[c]}" for c, share in lower.items())
        click.echo(f"  {name}: {gains}")
