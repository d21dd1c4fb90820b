"""What people read before they type: whole descriptions, completion in their shell, and a man page."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from tests.support.command import Command
from worker.interfaces.cli import COMMANDS, eraser, man

MAIN = "import sys; sys.argv[0] = 'eraser'; from worker.interfaces.cli import main; main()"


def completed(**environ: str) -> str:
    """What the command prints for a shell, as a process."""
    words = [sys.executable, "-c", MAIN]
    return subprocess.run(words, env={**os.environ, **environ}, capture_output=True, text=True, check=False).stdout


def every(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        yield inner.command_path, command
        if isinstance(command, click.Group):
            yield from every(command, inner)


ALL = [("eraser", eraser), *every(eraser, click.Context(eraser, info_name="eraser"))]


@pytest.mark.parametrize(("path", "group"), [each for each in ALL if isinstance(each[1], click.Group)])
def test_no_description_in_the_help_of_a_group_is_cut(command: Command, path: str, group: click.Group) -> None:
    shown = command(*path.split()[1:], "--help").out
    listed = " ".join(shown.partition("Commands:")[2].split())
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        assert " ".join(found.get_short_help_str(limit=10_000).split()) in listed
    assert "..." not in listed


@pytest.mark.parametrize(
    ("shell", "words", "found"),
    [
        ("bash", {"COMP_WORDS": "eraser sta", "COMP_CWORD": "1"}, "plain,status"),
        ("bash", {"COMP_WORDS": "eraser dead re", "COMP_CWORD": "2"}, "plain,replay"),
        ("zsh", {"COMP_WORDS": "eraser retention r", "COMP_CWORD": "2"}, "runs"),
        ("fish", {"COMP_WORDS": "eraser request --la", "COMP_CWORD": "--la"}, "plain,--lane"),
    ],
)
def test_each_shell_completes_commands_and_options(shell: str, words: dict[str, str], found: str) -> None:
    assert found in completed(_ERASER_COMPLETE=f"{shell}_complete", **words)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_that_it_can_read(shell: str) -> None:
    made = completed(_ERASER_COMPLETE=f"{shell}_source")
    assert f"_ERASER_COMPLETE={shell}_complete" in made
    if path := shutil.which(shell):
        subprocess.run([path, "-n"], input=made, text=True, check=True)


def test_a_misspelt_command_is_told_with_the_nearest_one(command: Command) -> None:
    assert command("requst").err.startswith("eraser: No such command 'requst' (did you mean request?)\n")


def test_the_man_page_has_every_command_and_option() -> None:
    page = man.page().replace(r"\-", "-")
    assert page.startswith(".TH ERASER 1 ")
    for path, command in ALL:
        assert path in page
        for param in command.params:
            if isinstance(param, click.Option) and not param.hidden:
                assert all(name in page for name in param.opts), (path, param.opts)
    assert len(COMMANDS) <= page.count("\n.SS eraser ")


def test_man_reads_the_page_without_a_warning() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        [groff, "-man", "-ww", "-Tutf8"], input=man.page(), text=True, capture_output=True, check=True
    )
    assert done.stderr == ""
    assert "eraser request" in done.stdout
