"""The command line: each sub-command is loaded when it is called, so that help is quick."""

import importlib
from typing import ClassVar

import click

from hand_pipeline import __version__


class _LazyGroup(click.Group):
    COMMANDS: ClassVar[dict[str, str]] = {
        "predict": "Reconstruct the hands in photos and videos.",
        "generate": "Draw hands from words, or from nothing.",
        "export": "Write what a benchmark's leaderboard takes.",
        "score": "Print a benchmark's official scores of a prediction file.",
        "synth": "Render synthetic hands in FreiHAND's layout.",
        "photos": "Say which photos the collect stage reads.",
        "mano": "Convert a licensed MANO model file.",
        "check-data": "Say whether a copy of a data set is whole and reads right.",
        "upload-records": "Send records that were kept while MLflow was away.",
        "sweeps": "Run the papers' experiments, all or some, with a line each.",
        "show": "Print the scores of the last run.",
        "dvcgen": "Write dvc.yaml from the Kedro pipelines.",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(importlib.import_module(f"hand_pipeline.commands.{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.COMMANDS.items()))


@click.command(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hand_pipeline")
def main() -> None:
    """Learn 3D hand meshes from images.

    Training runs through `dvc repro` and `kedro run --pipelines NAME`; these commands are for what
    comes before and after.
    """
