"""README and docs are complete and true: every command, setting, state and event is there, and their commands parse."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from enum import StrEnum
from pathlib import Path

import click
import pytest

from worker import __version__
from worker.config.accounts import Account, read_accounts
from worker.config.settings import KNOWN, NOT_DELETABLE_SCHEDULE, RETRY_SCHEDULE
from worker.config.webhooks import TEST, WEBHOOKS, EventType, read_webhooks
from worker.demo.scenario import PLAIN, TROUBLES
from worker.interfaces.cli import COMMANDS, eraser
from worker.ledger.schema.states import VERSION
from worker.metastudio import credentials
from worker.model.errors import EraserError
from worker.model.states import Cause, Evidence, State, WaitingFor
from worker.retention.policy_file import KEYS, PolicyFile
from worker.simulator import commands as simulated
from worker.simulator.kinds import FAMILIES
from worker.simulator.library_behaviour import LibraryBehaviour

ROOT = Path(__file__).parents[1]
PAGES = {
    path: path.read_text(encoding="utf-8") for path in [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]
}
README = PAGES[ROOT / "README.md"]
EVERYTHING = "\n".join(PAGES.values())
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", EVERYTHING, re.M | re.S)
LEVELS = ("debug", "info", "warning", "error", "exception")
EVENT = re.compile(
    r"""["']((?:deletion|worker|redis|child|wakeup|fallback|dispatcher|credentials|sweep|replay|webhook)\.[a-z_]+)["']"""
)


def shown() -> list[str]:
    """Every command line that is shown: those of shell blocks, and those after a prompt."""
    lines = []
    for kind, block in BLOCKS:
        for line in block.splitlines():
            if (kind == "text" and line.startswith("$ ")) or (kind == "sh" and line):
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


@pytest.mark.parametrize(
    "name", ["accounts", "config", "console", "dead", "hold", "parked", "receipts", "related", "replay", "retention"]
)
def test_every_part_of_a_command_is_named(name: str) -> None:
    group = eraser.get_command(click.Context(eraser), name)
    assert isinstance(group, click.Group)
    (line,) = re.findall(rf"^\| `eraser {name}` \|.*$", README, re.M)
    assert set(re.findall(r"`([a-z]+)`", line)) == set(group.commands)


def test_every_type_of_error_is_named() -> None:
    def types(error: type[EraserError]) -> set[str]:
        return {error.type}.union(*map(types, error.__subclasses__()))

    (named,) = re.findall(r"^With `--json` .*?\n\n", README, re.M | re.S)
    assert types(EraserError) <= set(re.findall(r"`([a-z_-]+)`", named))


@pytest.mark.parametrize("name", [name for name in KNOWN if not name.endswith("_FILE")])
def test_every_setting_is_in_the_table(name: str) -> None:
    assert re.search(rf"^\| .*`{name}`.* \|", PAGES[ROOT / "docs/settings.md"], re.M)


@pytest.mark.parametrize("name", [credentials.AK, credentials.SK, credentials.TOKEN, credentials.PROJECT])
def test_every_name_of_the_official_sdk_is_in_the_table(name: str) -> None:
    assert re.search(rf"^\| .*`{name}`.* \|", PAGES[ROOT / "docs/settings.md"], re.M)


def test_the_page_on_upgrading_names_the_versions_of_this_program() -> None:
    assert f"| {__version__} | {VERSION} |" in PAGES[ROOT / "docs/upgrading.md"]


def test_no_setting_that_is_named_is_made_up() -> None:
    assert set(re.findall(r"\bERASER_[A-Z_]+\b", EVERYTHING)) <= set(KNOWN)


def test_the_defaults_are_the_real_ones() -> None:
    assert f"`{RETRY_SCHEDULE}`" in EVERYTHING
    assert f"`{NOT_DELETABLE_SCHEDULE}`" in EVERYTHING


@pytest.mark.parametrize("words", [State, WaitingFor, Cause, Evidence])
def test_every_word_of_a_record_is_explained(words: type[StrEnum]) -> None:
    assert [word.value for word in words if f"\n| `{word}` |" not in EVERYTHING] == []


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
    modules = {"worker.execution.wakeups", "worker.log"}
    messages = {*EventType, TEST}  # of webhooks, which have a page of their own
    assert {
        event for event in events - files - modules - messages if f"`{event}`" not in PAGES[ROOT / "docs/events.md"]
    } == set()


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


@pytest.mark.parametrize("line", sorted({line for line in shown() if "curl " in line}))
def test_every_curl_command_that_is_shown_works_with_curl_7_68(line: str) -> None:
    """That of Ubuntu 20.04; --json came with 7.82, --fail-with-body with 7.76."""
    options = {word for word in shlex.split(line) if re.fullmatch("--?[A-Za-z][A-Za-z-]*", word)}
    assert options <= {"-s", "-H", "-d", "-o", "--cacert", "--data-binary"}


@pytest.mark.parametrize("line", [line for line in shown() if line.startswith("celery ")])
def test_every_celery_command_that_is_shown_has_its_options(line: str) -> None:
    words = shlex.split(line)
    command = [sys.executable, "-m", *words[:4], "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert [word for word in words[4:] if word.startswith("--") and word not in done.stdout] == []


def test_the_troubles_in_the_demos_output_exist() -> None:
    titles = re.findall(r"^✓ (.+?)  +\d+  ", README, re.M)
    assert len(titles) >= 8
    assert set(titles) <= {trouble.title for trouble in (PLAIN, *TROUBLES)}
    assert f"{len(TROUBLES)} kinds of failure" in README


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|worker|docs)/[\w/.]+)`", EVERYTHING))))
def test_every_file_that_is_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


def linked() -> list[tuple[Path, str]]:
    """Every link of every page, but for the web's; of benchmarks/README.md too, which the README leads to."""
    pages = {**PAGES, (other := ROOT / "benchmarks/README.md"): other.read_text(encoding="utf-8")}
    links = [(page, target) for page, text in pages.items() for target in re.findall(r"\]\(([^)]+)\)", text)]
    return [(page, target) for page, target in links if not target.startswith("https://")]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "target"), linked(), ids=lambda part: getattr(part, "name", part))
def test_every_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (page.parent / path) if path else page
    assert found.exists()
    assert not anchor or anchor in anchors(found)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name)
def test_the_readme_leads_to_every_page(page: Path) -> None:
    assert f"]({page.relative_to(ROOT)})" in README


@pytest.mark.parametrize("name", [*simulated.COMMANDS, *(each.name for each in fields(LibraryBehaviour)), *FAMILIES])
def test_everything_that_controls_the_simulator_is_on_its_page(name: str) -> None:
    assert f"`{name}`" in PAGES[ROOT / "docs/simulator.md"]


def test_every_command_and_switch_on_the_simulators_page_exists() -> None:
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGES[ROOT / "docs/simulator.md"], re.M)
    named = {name for row in rows for name in re.findall(r"\w+", row)}
    assert named == {*simulated.COMMANDS, *(each.name for each in fields(LibraryBehaviour))}


@pytest.mark.parametrize("text", [block for kind, block in BLOCKS if kind == "toml"])
def test_every_file_of_settings_that_is_shown_is_read(text: str, tmp_path: Path) -> None:
    (path := tmp_path / "eraser.toml").write_text(text, encoding="utf-8")
    nowhere = Account("default", endpoint=None, region=None, rate=1.0)
    accounts, webhooks = read_accounts(path, around=nowhere, rate=None), read_webhooks(path)
    assert accounts or webhooks or PolicyFile(path, lambda _: "default").current()


def test_every_key_of_a_policy_is_shown() -> None:
    assert set(KEYS) <= set(re.findall(r"^#? ?([a-z_]+) = ", PAGES[ROOT / "docs/retention.md"], re.M))


def test_every_key_and_event_of_a_webhook_is_explained() -> None:
    page = PAGES[ROOT / "docs/webhooks.md"]
    assert set(WEBHOOKS.keys) <= {*re.findall(r"^#? ?([a-z_]+) = ", page, re.M), *re.findall(r"(\w+) = \[", page)}
    assert {f"`{event}`" for event in EventType} <= set(re.findall(r"`[a-z.]+`", page))


def test_the_page_on_how_it_is_built_names_what_is_there() -> None:
    page = PAGES[ROOT / "docs/architecture.md"]
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_.]*)`", page))
    there = [ROOT / name for name in named] + [ROOT / "worker" / name for name in named]
    missing = {
        name for name in named if not any(path.exists() for path in there if str(path).endswith(name.rstrip("/")))
    }
    assert len(named) > 20
    assert missing == set()
    for folder in (ROOT / "worker").iterdir():
        assert not (folder / "__init__.py").exists() or f"{folder.name}/" in page, folder.name
