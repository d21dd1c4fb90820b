"""A group of commands whose help has each command's whole description."""

from __future__ import annotations

import click


class CommandGroup(click.Group):
    """click cuts the descriptions in a group's help with "..."; here they wrap."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(limit=1000)) for name, command in found if command]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
