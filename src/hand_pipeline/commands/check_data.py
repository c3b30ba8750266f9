"""`python -m hand_pipeline check-data`: check that a copy of a data set is complete and correct."""

from pathlib import Path
from typing import Any

import click
import pandas as pd

from hand_pipeline.data.manifest import DataSetError
from hand_pipeline.data.readers.accounting import GO_ON
from hand_pipeline.data.readers.check import SplitCheck, check_split, find_splits
from hand_pipeline.data.readers.check_labels import Spread
from hand_pipeline.data.readers.check_photos import Extent
from hand_pipeline.data.readers.hand_sets import HAND_SETS
from hand_pipeline.files import DiskFullError, atomic_write
from hand_pipeline.geometry.mano import ManoHand
from hand_pipeline.viz.labels import Tile, label_sheet, labelled_hands

FIGURE = "data/08_reporting/check_{name}.png"
_LISTED = 20  # absent or unreadable photos named one by one


@click.command("check-data")
@click.argument("name", metavar="SET", type=click.Choice(list(HAND_SETS)))
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--split", help="Only this split.  [default: every split found]")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False),
    help=f"Figure to write.  [default: {FIGURE.format(name='SET')}]",
)  # fmt: skip
@click.option("--sample", type=click.IntRange(0), default=8, show_default=True,
              help="Hands to draw per split; 0: no figure.")  # fmt: skip
@click.option(
    "--images", type=click.Choice(["all", "sample", "none"]), default="sample", show_default=True,
    help="Photos to open: all, 200 of each split, or none. All are looked for.",
)  # fmt: skip
@click.option("--mano", type=click.Path(path_type=Path, dir_okay=False),
              help="Converted MANO_RIGHT.npz. Without it poses are checked against vertices and "
              "joints only in sets made with the open hand.")  # fmt: skip
@click.option("--partial", is_flag=True,
              help="A part of the set will do: what is absent is only noted.")  # fmt: skip
def check_data(
    name: str, path: Path, split: str | None, out: Path | None, sample: int, partial: bool,
    **how: Any,
) -> None:  # fmt: skip
    """Check the copy of the data set SET in the folder PATH.

    Counts hands and photos, compares 2D joints, 3D joints, cameras, meshes and MANO parameters with
    each other and with the size of a hand, and draws some hands with all their labels. Ends with
    "looks right", or with a list of errors and exit code 1.
    """
    images: Extent = how["images"]
    mano: Path | None = how["mano"]
    try:
        hand = ManoHand(mano, tips=HAND_SETS[name].tips)
        splits = [split] if split else find_splits(name, path)
    except (DataSetError, ValueError, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    checks: list[SplitCheck] = []
    drawn: list[Tile] = []
    for each in splits:
        check = check_split(name, path, each, hand, mano is not None, images, sample)
        if check.manifest is not None and images != "none":
            drawn += labelled_hands(check.manifest, check.sample[:sample].tolist(), hand)
        checks.append(check)
    click.echo(f"{HAND_SETS[name].title} in {path}\n")
    _print_table([_counts(check) for check in checks])
    _print_table([_agreement(check) for check in checks if check.labels is not None])
    if drawn:
        target = out or Path(FIGURE.format(name=name))
        _save(target, drawn)
        click.echo(f"{len(drawn)} hands with their labels: {target}\n")
    _print_files(checks)
    _conclude(checks, partial)


def _save(target: Path, drawn: list[Tile]) -> None:
    try:
        with atomic_write(target.with_suffix(".png")) as temporary:
            label_sheet(drawn).save(temporary)
    except (OSError, DiskFullError) as error:
        raise click.ClickException(f"the figure cannot be written: {error}") from error


def _counts(check: SplitCheck) -> dict[str, Any]:
    found, photos = check.manifest, check.photos
    published = "not stated" if check.published is None else f"{check.published:,}"
    row: dict[str, Any] = {"split": check.split, "hands": "unread", "published": published}
    if found is None:
        return row
    row["hands"] = f"{len(found):,}"
    if check.published is not None:
        row["published"] += " (differs)" if check.differs else " (agrees)"
    row["photos"] = f"{photos.named:,}" if photos else "-"
    row["absent"] = f"{sum(map(len, check.absent.values())):,}"
    row["unreadable"] = f"{len(photos.unreadable):,} of {photos.opened:,}" if photos else "-"
    shares = {
        "2D": found.has_joints_2d, "3D": found.has_joints_3d, "camera": found.has_intrinsics,
        "MANO": found.has_mano,
    }  # fmt: skip
    row |= {label: f"{flags.mean():.0%}" for label, flags in shares.items()}
    row["mesh"] = "100%" if found.vertices is not None else "-"
    row["right"], row["left"] = f"{found.is_right.sum():,}", f"{(~found.is_right).sum():,}"
    row["groups"] = f"{len(set(found.groups)):,}"
    return row


def _agreement(check: SplitCheck) -> dict[str, Any]:
    assert check.labels is not None
    labels = check.labels
    return {
        "split": check.split,
        "3D on 2D, px": _shown(labels.projection_px),
        "wrist to knuckle, mm": _shown(labels.palm_mm, "longest"),
        "MANO to mesh, mm": _shown(labels.mano_vertices_mm),
        "MANO to 3D, mm": _shown(labels.mano_joints_mm),
        "in the image": "-" if labels.inside is None else f"{labels.inside:.1%}",
    }


def _shown(spread: Spread | None, extreme: str = "worst") -> str:
    """Median and largest."""
    return "-" if spread is None else f"{spread.median:.2f} ({extreme} {spread.worst:.2f})"


def _print_table(rows: list[dict[str, Any]]) -> None:
    """Print a row per split, without columns that are empty for all splits."""
    table = pd.DataFrame(rows).fillna("-")
    table = table.loc[:, (table != "-").any()]
    if table.shape[1] > 1:
        click.echo(table.to_string(index=False) + "\n")


def _print_files(checks: list[SplitCheck]) -> None:
    """Print the first absent or unreadable photos of each split."""
    for check in checks:
        bad = [f"absent      {name}" for names in check.absent.values() for name in names]
        unreadable = check.photos.unreadable if check.photos else {}
        bad += [f"unreadable  {name} ({why})" for name, why in unreadable.items()]
        for line in bad[:_LISTED]:
            click.echo(f"{check.split}: {line}")
        if len(bad) > _LISTED:
            click.echo(f"{check.split}: ... and {len(bad) - _LISTED:,} more")


def _conclude(checks: list[SplitCheck], partial: bool) -> None:
    if differing := [check.split for check in checks if check.differs]:
        click.echo(
            f"note: not the published number of hands: {', '.join(differing)}. A part of the set, "
            "or another release? If neither was meant, copy it again"
        )
    for check in checks:
        for note in (*check.notes, *(check.absent if partial else ())):
            click.echo(f"note: {check.split}: {note}")
    faults = [
        f"{check.split}: {fault}"
        for check in checks
        for fault in (*check.faults, *(() if partial else check.absent))
    ]
    if not faults:
        click.echo("looks right")
        return
    click.echo(f"wrong, {len(faults)}:")
    for fault in faults:
        click.echo(f"  {fault}")
    if not partial and any(check.absent for check in checks):
        click.echo(f"if a part of the set will do: {GO_ON}")
    raise SystemExit(1)
