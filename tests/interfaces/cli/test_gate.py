"""`eraser pause` and `eraser resume`: the emergency stop."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.dead_letters import Undertaker


@pytest.fixture
def two_accounts(tmp_path: Path) -> str:
    config = tmp_path / "eraser.toml"
    config.write_text('[accounts.a]\nprojects = ["p1"]\n[accounts.b]\nprojects = ["p2"]\n')
    return str(config)


def test_pause_and_resume_tell_what_they_did(command: Command) -> None:
    assert "no call is sent until: eraser resume --reason R" in command("pause", "--reason", "T-1").out
    assert "was paused before; the reason is replaced" in command("pause", "--reason", "T-2", "--by", "ops-1").out
    (paused,) = command("status", "--json").json
    assert (paused["accounts"][0]["gate"], paused["accounts"][0]["reason"]) == ("paused", "T-2 (by ops-1)")
    assert "it was paused by an operator" in command("resume", "--reason", "T-3").out
    assert "is already open" in command("resume", "--reason", "T-3").out


def test_json_has_one_line_an_account(command: Command) -> None:
    assert command("pause", "--reason", "T-1", "--json").json == [{"account": "default", "gate": "paused", "was": None}]
    assert command("resume", "--reason", "T-3", "--json").json == [
        {"account": "default", "gate": "ok", "was": "paused"}
    ]


def test_a_pause_needs_a_reason(command: Command) -> None:
    ended = command("pause")
    assert ended.code == 2
    assert "--reason" in ended.err


@pytest.mark.parametrize("verb", [["pause", "--reason", "T"], ["resume", "--reason", "T"]])
def test_with_several_accounts_one_has_to_be_named(command: Command, two_accounts: str, verb: list[str]) -> None:
    ended = command(*verb, ERASER_CONFIG=two_accounts)
    assert ended.code == 2
    assert "--account a" in ended.err
    assert "--all" in ended.err
    assert command(*verb, "--account", "a", "--all", ERASER_CONFIG=two_accounts).code == 2
    assert len(command(*verb, "--all", "--json", ERASER_CONFIG=two_accounts).json) == 2


def test_of_several_accounts_the_one_that_was_paused_is_named_in_the_next_command(
    command: Command, two_accounts: str
) -> None:
    done = command("pause", "--account", "a", "--reason", "T-1", ERASER_CONFIG=two_accounts)
    assert "until: eraser resume --account a --reason R" in done.out


def test_an_account_that_is_not_there_is_named_with_the_nearest(command: Command) -> None:
    ended = command("pause", "--account", "defalt", "--reason", "T")
    assert ended.code == 2
    assert "did you mean default?" in ended.err


def test_a_resume_calls_an_executor_for_what_is_due(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    command("pause", "--reason", "T")
    undertaker.redis.delete("{eraser:wakeups}:now")
    assert command("resume", "--reason", "T-3").code == 0
    assert undertaker.redis.zrange("{eraser:wakeups}:now", 0, -1) == [b"default"]
