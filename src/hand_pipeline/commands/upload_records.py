"""`python -m hand_pipeline upload-records`: send records kept while MLflow was unreachable."""

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
@click.option("--uri", default=None, help="Address of the server. Default: that of runs.")
@click.option(
    "--unfinished", is_flag=True,
    help="Also send runs that have no end, and close them as KILLED.",
)  # fmt: skip
def upload_records(folder: Path, uri: str | None, unfinished: bool) -> None:
    """Send the records of runs that continued while the MLflow server was unreachable."""
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
            f"{without_password(uri)} cannot be reached; nothing is lost, run this again later"
        ) from error


def _configured() -> str:
    settings = yaml.safe_load(Path("conf/base/mlflow.yml").read_text())
    return os.environ.get("MLFLOW_TRACKING_URI") or str(settings["tracking_uri"])
