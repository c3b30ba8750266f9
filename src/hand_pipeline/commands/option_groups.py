"""Help of a command with many options: each group of them under its own heading."""

from typing import Any

import click

_REST = "Other"


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
