"""The README is complete and true: every command, setting, state and event is in it, and its commands parse."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

import click
import pytest

from worker.deletion import Cause, Evidence, State, WaitingFor
from worker.metastudio import credentials
from worker.operations.cli import COMMANDS, eraser
from worker.operations.demo.scenario import PLAIN, TROUBLES
from worker.settings import KNOWN, NOT_DELETABLE_SCHEDULE, RETRY_SCHEDULE

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(sh|text)\n(.*?)^```", README, re.M | re.S)
LEVELS = ("debug", "info", "warning", "error", "exception")
EVENT = re.compile(
    r"""["']((?:deletion|worker|redis|child|doorbell|dispatcher|credentials|sweep|replay)\.[a-z_]+)["']"""
)


def shown() -> list[str]:
    """Every command line that the README shows: those of shell blocks, and those after a prompt."""
    lines = []
    for kind, block in BLOCKS:
        for line in block.splitlines():
            if line.startswith("$ ") or (kind == "sh" and line):
                lines += line.removeprefix("$ ").split(" && ")
    return lines


def ours(line: str) -> list[str] | None:
    words = shlex.split(line)
    return words[1:] if words and words[0].removeprefix(".venv/bin/") == "eraser" else None


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_table(name: str) -> None:
    assert re.search(rf"^\| `eraser {name}` \|", README, re.M)


def test_every_command_of_the_table_exists() -> None:
    assert set(re.findall(r"^\| `eraser ([a-z]+)` \|", README, re.M)) == set(COMMANDS)


@pytest.mark.parametrize("name", ["console", "dead", "hold", "receipts", "replay", "retention"])
def test_every_part_of_a_command_is_named(name: str) -> None:
    group = eraser.get_command(click.Context(eraser), name)
    assert isinstance(group, click.Group)
    (line,) = re.findall(rf"^\| `eraser {name}` \|.*$", README, re.M)
    assert set(re.findall(r"`([a-z]+)`", line)) == set(group.commands)


@pytest.mark.parametrize("name", [name for name in KNOWN if not name.endswith("_FILE")])
def test_every_setting_is_in_the_table(name: str) -> None:
    assert re.search(rf"^\| .*`{name}`.* \|", README, re.M)


@pytest.mark.parametrize("name", [credentials.AK, credentials.SK, credentials.TOKEN, credentials.PROJECT])
def test_every_name_of_the_official_sdk_is_in_the_table(name: str) -> None:
    assert re.search(rf"^\| .*`{name}`.* \|", README, re.M)


def test_no_setting_of_the_readme_is_made_up() -> None:
    assert set(re.findall(r"\bERASER_[A-Z_]+\b", README)) <= set(KNOWN)


def test_the_defaults_are_the_real_ones() -> None:
    assert f"`{RETRY_SCHEDULE}`" in README
    assert f"`{NOT_DELETABLE_SCHEDULE}`" in README


@pytest.mark.parametrize("words", [State, WaitingFor, Cause, Evidence])
def test_every_word_of_a_record_is_explained(words: type[StrEnum]) -> None:
    assert [word.value for word in words if f"| `{word}` |" not in README] == []


def logged() -> set[str]:
    """The message of each log line that the code writes, the simulator's aside."""
    found = set()
    for path in [*(ROOT / "worker").rglob("*.py"), *(ROOT / "tasks").rglob("*.py")]:
        if "simulator" in path.parts:
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match call:
                case ast.Call(ast.Attribute(ast.Name("log"), level), [ast.Constant(str() as message), *_]) if (
                    level in LEVELS
                ):
                    found.add(message)
    return found


def test_every_log_line_is_an_event() -> None:
    """A noun and what became of it, `deletion.<past participle>`: no sentences, and nothing put into them."""
    assert len(logged()) > 20
    assert [message for message in logged() if not re.fullmatch(r"[a-z]+\.[a-z_]+", message)] == []


def test_every_event_of_the_code_is_in_the_table() -> None:
    texts = [path.read_text(encoding="utf-8") for kind in ("*.py", "*.lua") for path in (ROOT / "worker").rglob(kind)]
    events = {event for text in texts for event in EVENT.findall(text)} | logged()
    files = {"redis.start", "redis.alive", "redis.sock", "redis.at", "redis.log", "redis.pid"}
    modules = {"worker.bells", "worker.log"}
    assert {event for event in events - files - modules if f"`{event}`" not in README} == set()


@pytest.mark.parametrize("line", sorted({line for line in shown() if ours(line) is not None}))
def test_every_command_of_ours_that_is_shown_parses(line: str) -> None:
    parses(line)


def parses(line: str) -> None:
    """Raises for a command or an option that does not exist."""
    words = [word for word in ours(line) or () if not word.startswith("#")]
    command: click.Command = eraser
    context = click.Context(eraser, info_name="eraser")
    while isinstance(command, click.Group):
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no {words[0]!r}"
        command, words = found, words[1:]
    command.make_context("eraser", list(words), parent=context)  # raises for what it does not know


@pytest.mark.parametrize("line", [line for line in shown() if line.startswith("celery ")])
def test_every_celery_command_that_is_shown_has_its_options(line: str) -> None:
    words = shlex.split(line)
    asked = [sys.executable, "-m", *words[:4], "--help"]
    said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    assert [word for word in words[4:] if word.startswith("--") and word not in said.stdout] == []


def test_the_troubles_in_the_demos_output_exist() -> None:
    titles = re.findall(r"^✓ (.+?)  +\d+  ", README, re.M)
    assert len(titles) >= 8
    assert set(titles) <= {trouble.title for trouble in (PLAIN, *TROUBLES)}
    assert f"{len(TROUBLES)} kinds of trouble" in README


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(tests/[\w/.]+|worker/[\w/.]+)`", README))))
def test_every_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_link_leads_somewhere() -> None:
    headings = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", README, re.M)}
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.removeprefix("#") in headings if target.startswith("#") else (ROOT / target).exists()
