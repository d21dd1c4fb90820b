"""What all commands that act share: the approval from their options, and the command to repeat."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from worker.interfaces.cli.acting import acting, max_option, yes_option
from worker.services.act import Approval

found: list[Approval] = []


@click.command()
@click.argument("what", nargs=-1)
@click.option("--all", "every", is_flag=True)
@click.option("--project", multiple=True)
@acting(max_option, yes_option)
def act(what: tuple[str, ...], every: bool, project: tuple[str, ...], approval: Approval) -> None:
    found.append(approval)


@click.command()
@acting(max_option, reason=False)
def request(approval: Approval) -> None:
    found.append(approval)


def approved(command: click.Command, *words: str) -> Approval:
    found.clear()
    ended = CliRunner().invoke(command, words)
    assert ended.exit_code == 0, ended.output
    return found[0]


def test_who_why_and_what_was_confirmed_come_as_one_approval() -> None:
    one = approved(act, "--reason", "T-1", "--by", "ops-7", "--yes", "--max", "300")
    assert (one.by, one.reason, one.yes, one.most) == ("ops-7", "T-1", True, 300)
    assert approved(act, "--reason", "T-1").yes is False, "a plan comes first"
    assert approved(request).yes is True, "a command without --yes has no plan"


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (["--reason", "T 1"], "eraser --reason 'T 1'"),
        (["b", "a", "--all", "--reason", "T-1", "--yes", "--max", "7", "--json"], "eraser b a --all --reason T-1"),
        (["--project", "p", "--project", "q", "--reason", "T-1"], "eraser --project p --project q --reason T-1"),
    ],
)
def test_the_command_to_repeat_is_as_typed_without_its_confirmation(words: list[str], again: str) -> None:
    assert approved(act, *words).again == again


def test_a_command_that_has_no_yes_is_never_told_to_add_it() -> None:
    assert approved(request, "--max", "7").again == ""


def test_a_reason_is_asked_for_where_it_is_needed() -> None:
    assert CliRunner().invoke(act, []).exit_code == 2
    assert approved(request).reason is None
