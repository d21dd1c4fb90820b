"""How an error ends a command: what stands on stderr, and the exit code."""

from __future__ import annotations

import pytest

from tests.command import Command
from worker.operations.cli.errors import RENAMED

CALLS = {  # an option of today -> a command that has it, and what else it needs
    "--force": ("request", "job-1"),
    "--snapshot": ("dead", "replay", "server_error", "--reason", "T-1"),
}


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
@pytest.mark.parametrize("value", ["", "=7"])
def test_an_old_option_is_refused_with_the_name_of_now(command: Command, old: str, new: str, value: str) -> None:
    ended = command(*CALLS[new], f"{old}{value}")
    assert ended.code == 2
    assert f"{old} is called {new} now" in ended.err
    assert not ended.out


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_where_it_never_was_an_old_option_is_simply_unknown(command: Command, old: str, new: str) -> None:
    ended = command("status", old)
    assert ended.code == 2
    assert "No such option" in ended.err
    assert new not in ended.err
