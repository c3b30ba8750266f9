"""Options of `predict`: grouped in its help, and those that control how hypotheses are sampled."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import click
from pydantic import ValidationError

from hand_pipeline.config import Config
from hand_pipeline.training.method import Reconstructor

PHOTO_HYPOTHESES = 6
_REST = "Other"  # heading of options without a group
_CHANCE = 1.0  # temperature: the network's own probabilities


class GroupedOption(click.Option):
    """An option that is listed under the heading `group`."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """Lists its `GroupedOption`s by group, the groups in the order of their first options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write every group's options; those without a group come last."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                group = parameter.group if isinstance(parameter, GroupedOption) else _REST
                groups.setdefault(group, []).append(record)
        for group, records in sorted(groups.items(), key=lambda item: item[0] == _REST):
            with formatter.section(group):
                formatter.write_dl(records)


@dataclass(frozen=True)
class SamplingOptions:
    """The user's sampling options; None: not given."""

    hypotheses: int | None = None
    iterations: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None

    def of(self, model: Reconstructor) -> tuple[Config | None, Config | None]:
        """Sampling configurations for photos and for video frames; None if the model has none.

        Options not given are the model's, except that photos get `PHOTO_HYPOTHESES`, and that the
        temperature is 1 instead of 0 with several hypotheses or with top-k or top-p.

        Raises:
            click.UsageError: the model does not sample, or options contradict each other.
        """
        given = {name: value for name, value in asdict(self).items() if value is not None}
        own = model.sampling
        if own is None:
            if given:
                raise click.UsageError(
                    f"{type(model).__name__} gives one hand without a confidence; "
                    f"{_flags(given)} need a model that samples several (--method maskhand)"
                )
            return None, None
        given.pop("seed", None)
        restrictions = given.keys() & {"top_k", "top_p"}
        if given.get("temperature") == 0 and restrictions:
            raise click.UsageError(
                f"at temperature 0 the likeliest code is taken and {_flags(restrictions)} "
                "have no effect; give a temperature above 0"
            )
        if given.get("temperature") == 0:
            given = {"hypotheses": 1} | given
        return _drawn(own, {"hypotheses": PHOTO_HYPOTHESES} | given), _drawn(own, given)


def _drawn(own: Config, given: dict[str, Any]) -> Config:
    values = own.model_dump() | given
    chance = values["hypotheses"] > 1 or given.keys() & {"top_k", "top_p"}
    if chance and values["temperature"] == 0 and "temperature" not in given:
        values["temperature"] = _CHANCE
    try:
        return type(own)(**values)
    except ValidationError as error:
        raise click.UsageError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def _flags(names: Iterable[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in sorted(names))


def sampling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command, whose keywords then are those of `SamplingOptions`."""
    option = partial(click.option, cls=GroupedOption, group="Hypotheses (--method maskhand)")
    for add in (
        option(
            "--seed", type=click.IntRange(0, 2**32 - 1),
            help="Seed of the sampling. Default: 0.",
        ),
        option(
            "--top-p", type=click.FloatRange(0, 1, min_open=True),
            help="Sample from the likeliest codes that have this total probability.",
        ),
        option("--top-k", type=click.IntRange(1), help="Sample from the K likeliest codes."),
        option(
            "--temperature", type=click.FloatRange(0),
            help="0: only the likeliest hand; higher: more varied. Default: 1 for several hands.",
        ),
        option(
            "--iterations", type=click.IntRange(1),
            help="Sampling passes. Default: the model's.",
        ),
        option(
            "--hypotheses", type=click.IntRange(1),
            help="Hypotheses for each hand of a photo, ranked by confidence; 1: no figure of them. "
            f"Default: {PHOTO_HYPOTHESES}. Videos show the most confident one.",
        ),
    ):  # fmt: skip
        command = add(command)
    return command
