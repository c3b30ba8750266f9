"""`python -m hand_pipeline score`: official scores of a prediction file."""

import json
from pathlib import Path

import click

from hand_pipeline.evaluation.scorers.benchmarks import BENCHMARKS, score_files
from hand_pipeline.files import DiskFullError


@click.command()
@click.option("--benchmark", type=click.Choice(BENCHMARKS), required=True)
@click.option(
    "--gt", type=click.Path(path_type=Path), required=True,
    help="Labels. FreiHAND, HO-3D: folder with evaluation_xyz.json and evaluation_verts.json. "
    "DexYCB: its root, or a JSON {index: 21x3 metres}. HInt: HaMeR's .npz, a folder of these, or "
    "the annotation folder.",
)  # fmt: skip
@click.option(
    "--pred", type=click.Path(path_type=Path), required=True,
    help="The submission: pred.json or pred.zip; DexYCB's text file; HInt's 2D joints (for several "
    "parts a folder with a file each).",
)  # fmt: skip
@click.option("--split", "splits", multiple=True,
              help="DexYCB: e.g. s0_test (default). HInt: a part, e.g. TEST_newdays_img; may be "
              "repeated.")  # fmt: skip
@click.option("--no-reflection", is_flag=True,
              help="Never mirror hands to align them; the official programs do.")  # fmt: skip
@click.option("--partial", is_flag=True,
              help="Score the hands whose photos lie in --gt, as a partial export has "
              "them.")  # fmt: skip
@click.option("--per-sample", type=click.Path(path_type=Path, dir_okay=False),
              help="Also write every hand's scores to this .csv or .json.")  # fmt: skip
def score(
    benchmark: str, gt: Path, pred: Path, splits: tuple[str, ...], no_reflection: bool,
    per_sample: Path | None, partial: bool,
) -> None:  # fmt: skip
    """Print the official scores of a prediction file as one JSON object.

    Keys and units are the official program's (FreiHAND and HO-3D: centimetres; DexYCB:
    millimetres), followed by ours, which end in _mm. Warnings, also printed to stderr, say if
    predictions look mirrored or seem to have wrong units, joint order or axes.
    """
    if per_sample is not None and per_sample.suffix not in (".csv", ".json"):
        raise click.ClickException(f"--per-sample takes a .csv or .json file, not {per_sample}")
    try:
        found = score_files(benchmark, gt, pred, not no_reflection, splits, partial)
        if per_sample is not None:
            found.write_per_sample(per_sample)
    except (OSError, ValueError, DiskFullError) as error:
        raise click.ClickException(str(error)) from error
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    for warning in found.warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(json.dumps(found.as_json(), indent=1, allow_nan=False))
