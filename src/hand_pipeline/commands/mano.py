"""`python -m hand_pipeline mano`: convert a licensed MANO model file."""

from pathlib import Path

import click

from hand_pipeline.files import DiskFullError
from hand_pipeline.geometry.mano_file import convert_mano, load_mano


@click.group()
def mano() -> None:
    """Convert a licensed MANO model file.

    It is optional: by default the open hand that comes with the package is used. Metrics that are
    compared with papers need MANO itself, from https://mano.is.tue.mpg.de (free for research).
    """


@mano.command()
@click.argument("pickle", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write.  [default: data/01_raw/mano/MANO_RIGHT.npz, or MANO_LEFT.npz]",
)
def convert(pickle: Path, out: Path | None) -> None:
    """Turn PICKLE, the official MANO_RIGHT.pkl or MANO_LEFT.pkl, into a plain .npz file.

    Needs no chumpy. The pickle's code is not run: a file with anything but arrays is rejected. An
    existing output file is replaced only when the new one is complete.
    """
    try:
        target = convert_mano(pickle, out)
    except (FileNotFoundError, ValueError, DiskFullError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Wrote {target}, a {load_mano(target).side()} hand.")
