"""`python -m hand_pipeline synth`: render labelled synthetic hands."""

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from hand_pipeline.files import DiskFullError


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True,
    help="Folder to write; created if missing.",
)  # fmt: skip
@click.option(
    "--count", "num_training", type=click.IntRange(min=0), default=2000, show_default=True,
    help="Training images.",
)  # fmt: skip
@click.option(
    "--eval-count", "num_evaluation", type=click.IntRange(min=0), default=0, show_default=True,
    help="Evaluation images, of other hands.",
)  # fmt: skip
@click.option(
    "--size", "image_size", type=int, default=224, show_default=True, help="Image side, pixels."
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True,
    help="A different seed gives different hands.",
)  # fmt: skip
@click.option(
    "--occluders", "occluder_probability", type=click.FloatRange(0, 1), default=0.3,
    show_default=True,
    help="Share of hands that hold something or are partly occluded.",
)  # fmt: skip
@click.option(
    "--backgrounds", "background_photos", type=click.Path(path_type=Path, file_okay=False),
    help="Folder of photos to put behind the hands.  [default: none]",
)  # fmt: skip
@click.option(
    "--mano", "mano_model", type=click.Path(path_type=Path, dir_okay=False),
    help="Converted MANO file.  [default: the open hand]",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True,
    help="Rendering processes.",
)  # fmt: skip
def synth(out: Path, workers: int, **settings: Any) -> None:
    """Render synthetic hands with labels, in FreiHAND's layout.

    Each image depends only on the seed and its number. After an interruption the same command
    resumes where it stopped; with a larger --count it adds images to the existing ones.
    """
    from hand_pipeline.data.synthetic.config import SyntheticConfig
    from hand_pipeline.data.synthetic.hands import generate

    try:
        summary = generate(SyntheticConfig(**settings), out, workers)
    except ValidationError as error:
        listed = "; ".join(f"{e['loc'][0] if e['loc'] else ''}: {e['msg']}" for e in error.errors())
        raise click.ClickException(listed) from error
    except (OSError, ValueError, RuntimeError, DiskFullError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(
        f"{summary['training']} training and {summary['evaluation']} evaluation hands in {out} "
        f"({summary['drawn']} drawn in {summary['seconds']} s, {summary['kept']} were there)."
    )
