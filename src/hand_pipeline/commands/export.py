"""`python -m hand_pipeline export`: predict a benchmark's photos and write a submission."""

import logging
from pathlib import Path
from typing import Any

import click

from hand_pipeline.api.models import load_model
from hand_pipeline.evaluation.leaderboard import BENCHMARKS, LeaderboardConfig, export_benchmark


@click.command("export")
@click.option("--benchmark", required=True, type=click.Choice(list(BENCHMARKS)))
@click.option(
    "--data", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the data set.",
)  # fmt: skip
@click.option(
    "--checkpoint", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A trained model that reconstructs hands.",
)  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
@click.option(
    "--split", "splits", multiple=True,
    help="Split of the data set, instead of the benchmark's (DexYCB: s0_test); can be repeated.",
)  # fmt: skip
@click.option(
    "--partial", is_flag=True, help="Allow fewer hands than published; not for a leaderboard."
)
@click.option(
    "--known-wrist", is_flag=True,
    help="Move each hand to the wrist position that HO-3D publishes for its evaluation photos.",
)  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="Where the model runs.")
@click.option("--batch-size", default=64, show_default=True, type=click.IntRange(1))
@click.option(
    "--num-workers", default=0, show_default=True, type=click.IntRange(0),
    help="Processes that load photos.",
)  # fmt: skip
def export(
    benchmark: str,
    data: Path,
    checkpoint: Path,
    out: Path,
    device: str,
    num_workers: int,
    **leaderboard: Any,
) -> None:
    """Predict the evaluation photos of a benchmark and write a submission to its leaderboard.

    Writes pred.json and pred.zip (FreiHAND, HO-3D), SPLIT.txt (DexYCB) or SPLIT.json (HInt) in the
    set's own order, units, axes and fingertips. The files are read back and compared first.
    """
    logging.basicConfig(format="%(message)s")
    cfg = LeaderboardConfig(**leaderboard)
    try:
        model = load_model(checkpoint, device)
        exported = export_benchmark(benchmark, model, data, out, cfg, device, num_workers)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    for part in exported:
        published = f" of {part.published}" if part.published is not None else ""
        size = f"{part.num_bytes / 1e6:.1f} MB"
        verdict = "" if part.complete else ": PARTIAL, not for the leaderboard"
        click.echo(
            f"{benchmark} {part.split}: {part.hands}{published} hands, {size}, "
            f"{part.files[-1]}{verdict}"
        )
