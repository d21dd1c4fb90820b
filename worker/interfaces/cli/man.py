"""The man page, made from the help: `python -m worker.interfaces.cli.man > eraser.1`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from worker import __version__
from worker.interfaces.cli import eraser

EXIT_CODES = (
    ("0", "done"),
    ("1", "something failed"),
    ("2", "usage or settings; nothing was attempted"),
    ("3", "refused by a safety rule, or a plan that lacks --yes"),
    ("4", "Redis or MetaStudio cannot be reached, or too few replicas confirmed"),
    ("5", "accepted, not finished (--wait)"),
)


def page() -> str:
    """The page in the language of man (roff)."""
    context = click.Context(eraser, info_name="eraser")
    lines = [f'.TH ERASER 1 "" "avatar-eraser {__version__}" "User commands"', ".ad l", ".SH NAME"]
    lines += [r"eraser \- delete MetaStudio avatar training jobs, with proof", ".SH SYNOPSIS", ".B eraser"]
    lines += [r"\fICOMMAND\fR [\fIOPTION\fR]...", ".SH DESCRIPTION", *_text(eraser.help or ""), ".SH OPTIONS"]
    lines += [*_options(eraser, context), ".SH COMMANDS", *_commands(eraser, context)]
    lines.append(".SH EXIT STATUS")
    for code, text in EXIT_CODES:
        lines += [".TP", f".B {code}", _escaped(text)]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        yield f".SS {_escaped(' '.join([inner.command_path, *command.collect_usage_pieces(inner)]))}"
        yield from _text(command.help or "")
        yield from _options(command, inner)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for param in command.get_params(context):
        if record := param.get_help_record(context):
            yield from (".TP", f".B {_escaped(record[0])}", _escaped(record[1]))


def _text(help_text: str) -> Iterator[str]:
    """Paragraphs; what stands after a \\b keeps its lines."""
    for paragraph in help_text.split("\n\n"):
        kept = paragraph.lstrip("\n").startswith("\b")
        lines = [_escaped(line) for line in paragraph.replace("\b", "").strip("\n").splitlines()]
        yield from ([".PP", ".nf", *lines, ".fi"] if kept else [".PP", *lines])


def _escaped(line: str) -> str:
    text = line.strip().replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", text)


if __name__ == "__main__":
    click.echo(page(), nl=False)
