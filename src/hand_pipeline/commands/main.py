"""The command line. A sub-command is imported only when it is called, so that help is fast."""

import importlib
from typing import ClassVar

import click

from hand_pipeline import __version__


class _LazyGroup(click.Group):
    COMMANDS: ClassVar[dict[str, str]] = {
        "predict": "Reconstruct the hands in photos and videos.",
        "generate": "Sample hands from texts, or without any.",
        "export": "Write a submission to a benchmark's leaderboard.",
        "score": "Print a benchmark's official scores of a prediction file.",
        "synth": "Render synthetic hands in FreiHAND's layout.",
        "photos": "Choose the photos for pretraining.",
        "mano": "Convert a licensed MANO model file.",
        "check-data": "Check that a copy of a data set is complete and correct.",
        "upload-records": "Send records that were kept while MLflow was unreachable.",
        "sweeps": "Run all or some of the papers' experiments.",
        "show": "Print the metrics of the last run.",
        "dvcgen": "Write dvc.yaml from the Kedro pipelines.",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        try:
            module = importlib.import_module(f"hand_pipeline.commands.{name}")
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("hand_pipeline"):
                raise
            raise click.ClickException(
                f"{cmd_name} needs {error.name}, which the plain package lacks: install it with "
                "the pipelines, pip install 'hand-pipeline[pipeline]' (from a clone: make setup)"
            ) from error
        command = getattr(module, name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.COMMANDS.items()))


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hand_pipeline")
def main() -> None:
    """Learn 3D hand meshes from images.

    Train with `dvc repro` or `kedro run --pipelines NAME`; these commands are for what comes before
    and after.
    """
