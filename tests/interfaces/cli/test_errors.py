"""How an error ends a command: what stands on stderr, and the exit code; with --json for programs."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
import redis

from tests.support.command import Command, Ended
from tests.support.dead_letters import Undertaker
from worker.interfaces.cli import status
from worker.interfaces.cli.errors import RENAMED
from worker.model.errors import EraserError, Unreachable

CALLS = {  # an option of today -> a command that has it, and what else it needs
    "--force": ("request", "job-1"),
    "--snapshot": ("dead", "replay", "server_error*", "--reason", "T-1"),
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


def error(ended: Ended) -> dict[str, Any]:
    """The object that the last line of stderr is."""
    printed = json.loads(ended.err.splitlines()[-1])
    assert list(printed) == ["error"]
    found: dict[str, Any] = printed["error"]
    assert {"type", "message", "hint", "exit_code"} <= set(found)
    assert found["exit_code"] == ended.code
    return found


OLD = next(iter(RENAMED))
ERRORS = [  # words, environment, type, exit code, a word of the message, what else the object has
    (("status", "--nonsense"), {}, "invalid", 2, "No such option", {"hint": "eraser status --help"}),
    (("show",), {}, "invalid", 2, "Missing argument", {"hint": "eraser show --help"}),
    (("staus",), {}, "invalid", 2, "did you mean status", {"hint": "eraser --help"}),
    (("audit", "--limit", "0"), {}, "invalid", 2, "--limit", {"hint": "eraser audit --help"}),
    (("request", "job-1", OLD), {}, "invalid", 2, f"{OLD} is called {RENAMED[OLD]} now", {}),
    (("request",), {}, "invalid", 2, "give job ids", {"hint": None}),
    (("request", "a", "--lane", "user", "--deadline", "x"), {}, "invalid", 2, "--deadline", {}),
    (("status",), {"ERASER_RATE": "0"}, "settings", 2, "above 0", {"setting": "ERASER_RATE"}),
    (("status",), {"ERASER_KEEP": "1d"}, "settings", 2, "no such setting", {"setting": "ERASER_KEEP"}),
    (("show", "nobody"), {}, "unknown-deletion", 1, "nobody", {}),
    (("replay", "status", "replay-1"), {}, "invalid", 2, "replay-1", {}),
    (("dead", "discard", "--all", "--reason", "T-1"), {}, "refused", 3, "Dry run", {"rule": "plan first"}),
    (("request", "a", "--project", "other"), {}, "unknown-project", 3, "other", {"rule": "project"}),
    (("status",), {"ERASER_REDIS_URL": "redis://127.0.0.1:1"}, "unreachable", 4, "127.0.0.1:1", {"hint": None}),
]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("staus",), "eraser --help"),
        (("show",), "eraser show --help"),
        (("status", "--nonsense"), "eraser status --help"),
        (("request",), None),
        (("request", "a", "--project", "other"), None),
    ],
)
def test_people_read_every_error_in_one_style(command: Command, words: tuple[str, ...], hint: str | None) -> None:
    ended = command(*words)
    assert (ended.code in (2, 3), ended.out) == (True, "")
    lines = ended.err.splitlines()
    assert lines[0].startswith("eraser: ")
    assert lines[1:] == ([f"  {hint}"] if hint else [])


@pytest.mark.parametrize(("words", "environ", "name", "code", "word", "more"), ERRORS)
def test_with_json_an_error_is_an_object(
    command: Command,
    undertaker: Undertaker,
    words: tuple[str, ...],
    environ: dict[str, str],
    name: str,
    code: int,
    word: str,
    more: dict[str, Any],
) -> None:
    """The last line of stderr; the exit code is the same as for people, who read the same message."""
    undertaker.end("dead-1", "dead-2")
    ended = command(*words, "--json", **environ)
    found = error(ended)
    assert (ended.code, found["type"]) == (code, name)
    assert word in found["message"]
    assert found | more == found
    plain = command(*words, **environ)
    assert plain.code == code
    assert found["message"] in plain.err
    assert '"error"' not in plain.all


def test_a_plan_stays_whole_on_stdout_and_the_refusal_says_what_to_type(
    command: Command, undertaker: Undertaker
) -> None:
    undertaker.end(*(f"dead-{n}" for n in range(12)))
    ended = command("dead", "replay", "--all", "--reason", "T-1", "--json")
    (plan,) = ended.json
    assert plan["will_be_replayed"] == 12
    hint = error(ended)["hint"]
    assert hint == "eraser dead replay --all --reason T-1 --snapshot 12 --yes"
    assert command(*hint.split()[1:], "--no-wait", "--json").code == 5


def test_what_is_all_on_hold_is_no_result(command: Command, undertaker: Undertaker) -> None:
    undertaker.end(*(f"dead-{n}" for n in range(12)))
    for n in range(12):
        assert command("hold", "add", f"dead-{n}", "--reason", "C-1", "--by", "l-1").code == 0
    ended = command("dead", "replay", "--all", "--reason", "T-1", "--json")
    assert ended.code == 1
    assert error(ended)["type"] == "failed"
    assert [plan["on_hold"] for plan in ended.json] == [12]


def test_a_process_says_it_too(command: Command) -> None:
    ended = command.process("show", "nobody", "--json")
    assert error(ended)["type"] == "unknown-deletion"
    assert not ended.out


@pytest.mark.parametrize(
    ("raised", "name", "code"),
    [
        (RuntimeError("c4n4ry"), "fault", 1),
        (click.Abort(), "aborted", 1),
        (click.FileError("ids.txt", "no space"), "failed", 1),
        (EraserError("no"), "failed", 1),
        (redis.ConnectionError("gone"), "unreachable", 4),
    ],
)
def test_whatever_ends_a_command_is_an_object(
    command: Command, monkeypatch: pytest.MonkeyPatch, raised: Exception, name: str, code: int
) -> None:
    def fails(*_: Any) -> None:
        raise raised

    monkeypatch.setattr(status.whole, "look", fails)
    ended = command("status", "--json")
    assert (error(ended)["type"], ended.code) == (name, code)
    assert ("Traceback" in ended.err) == (name == "fault")
    assert "c4n4ry" not in json.dumps(error(ended))
    if name == "fault":
        with pytest.raises(RuntimeError):
            command("status")


def test_an_outage_that_is_waited_out_is_an_object_too(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def look(_: Any) -> Any:
        nonlocal looked
        looked += 1
        if looked == 1:
            raise Unreachable("Redis is away")
        raise KeyboardInterrupt

    monkeypatch.setattr(status.whole, "look", look)
    monkeypatch.setattr(status, "EVERY_S", 0.0)
    ended = command("status", "--watch", "--json")
    assert json.loads(ended.err.splitlines()[0])["error"]["message"] == "Redis is away"
    assert ended.code == 0
