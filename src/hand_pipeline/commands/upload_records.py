"""`python -m hand_pipeline upload-records`: what was kept while MLflow was away."""

import os
from pathlib import Path

import click
import yaml

from hand_pipeline import delivery
from hand_pipeline.spool import Spool
from hand_pipeline.tracking import without_password


@click.command("upload-records")
@click.option(
    "--spool", "folder", type=click.Path(path_type=Path), default=Path("mlflow/spool"),
    show_default=True, help="Where the records are kept.",
)  # fmt: skip
@click.option("--uri", default=None, help="The server. Default: as for runs.")
@click.option(
    "--unfinished", is_flag=True,
    help="Also runs without an end: killed ones. They are closed as KILLED.",
)  # fmt: skip
def upload_records(folder: Path, uri: str | None, unfinished: bool) -> None:
    """Send the records of runs that went on while the MLflow server could not be reached."""
    spool = Spool(folder)
    if not folder.is_dir() or not spool.runs():
        click.echo(f"nothing waits in {folder}")
        return
    uri = uri or _configured()
    try:
        for line in delivery.upload(delivery.Deliverer(spool, uri), unfinished):
            click.echo(line)
    except Exception as error:
        if not delivery.is_away(error):
            raise
        raise click.ClickException(
            f"{without_password(uri)} cannot be reached; nothing is lost, call this again later"
        ) from error


def _configured() -> str:
    settings = yaml.safe_load(Path("conf/base/mlflow.yml").read_text())
    return os.environ.get("MLFLOW_TRACKING_URI") or str(settings["tracking_uri"])
