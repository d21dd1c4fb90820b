"""Whatever the terminal is, each command runs to its end: few characters, no width, no colours, no home."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.dead_letters import PROJECT, Undertaker
from worker.interfaces.cli.terminal import colour, prepare

# Each command in one process, as from its own: what is imported is imported once.
EACH = """
import json, os, sys, traceback
from worker.interfaces.cli import main
codes = {}
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    try:
        main()
        codes[" ".join(words)] = 0
    except SystemExit as end:
        codes[" ".join(words)] = end.code or 0
    except BaseException:
        codes[" ".join(words)] = traceback.format_exc()
with open(os.environ["CODES"], "w", encoding="utf-8") as file:
    json.dump(codes, file)
"""
CHINESE = "训练任务不存在"  # MetaStudio's messages, now and then
COMMANDS = {
    "status": 0,
    "show dead-1": 0,
    "show nobody": 1,
    "list": 0,
    "lst": 2,
    "dead groups": 0,
    "dead list": 0,
    "dead show server_error-500-MSS.00000004": 0,
    "dead replay --all --reason T-1": 3,
    "replay status": 2,
    "replay list": 0,
    "retention runs": 0,
    "hold list": 0,
    "audit": 0,
    "receipts export": 0,
    "metrics": 0,
    "health": 0,
    "doctor": 1,
    "request late-1 --json": 0,
    "show dead-1 --json": 0,
    "cancel late-1 --reason T-1": 0,
    "demo --jobs 1": 2,
    "request " + "x" * 70: 1,
    "--help": 0,
}


@pytest.fixture
def environ(redis_url: str, tmp_path: Path) -> dict[str, str]:
    """The least that there can be, and a ledger in which something stands in each place."""
    undertaker = Undertaker(redis_url)
    undertaker.end("dead-1", message=CHINESE)
    undertaker.end("deleted-1", to="deleted")
    undertaker.request("late-1", why="T-7")
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ERASER_REDIS_URL": redis_url,
        "ERASER_ENDPOINT": "http://127.0.0.1:1",  # nobody
        "HUAWEICLOUD_SDK_AK": "AKEXAMPLE0000000000A",
        "HUAWEICLOUD_SDK_SK": "secret",
        "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT,
        "CODES": str(tmp_path / "codes.json"),
    }


def each(environ: dict[str, str], *, terminal: tuple[int, int] | None = None) -> tuple[str, dict[str, object]]:
    """All commands, on a terminal of so many lines and columns or on a pipe: what they wrote, and how each ended."""
    command = [sys.executable, "-c", EACH, json.dumps([words.split() for words in COMMANDS])]
    if terminal is None:
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        written = done.stdout
    else:
        ours, theirs = pty.openpty()
        os.set_blocking(ours, True)
        subprocess.run(["stty", "rows", str(terminal[0]), "cols", str(terminal[1])], stdin=theirs, check=True)
        with subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            written = b"".join(iter(lambda: _read(ours), b""))
        os.close(ours)
        assert process.returncode is not None
    text = written.decode(environ.get("PYTHONIOENCODING", "utf-8").partition(":")[0])
    return text, json.loads(Path(environ["CODES"]).read_text(encoding="utf-8"))


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side is closed
        return b""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk"])
def test_a_terminal_that_knows_few_characters_shows_what_it_can(environ: dict[str, str], encoding: str) -> None:
    text, codes = each(environ | {"PYTHONIOENCODING": f"{encoding}:strict"})
    assert codes == COMMANDS
    assert "Traceback" not in text
    documents = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert CHINESE in str(documents), "JSON stays whole"


@pytest.mark.parametrize(
    ("terminal", "more"),
    [
        ((0, 0), {}),
        ((1, 1), {}),
        ((24, 20), {"TERM": "dumb"}),
        ((24, 80), {"TERM": "no-such-terminal", "COLUMNS": "0", "LINES": "0"}),
        ((24, 80), {"TERM": "xterm", "COLUMNS": "1"}),
        ((24, 80), {"TERM": "xterm", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    ],
    ids=lambda each: " ".join(each.values()) if isinstance(each, dict) else "x".join(map(str, each)),
)
def test_each_command_ends_on_any_terminal(
    environ: dict[str, str], terminal: tuple[int, int], more: dict[str, str]
) -> None:
    text, codes = each(environ | more, terminal=terminal)
    assert codes == COMMANDS
    assert "Traceback" not in text
    assert "dead-1" in re.sub(r"\s", "", text)


@pytest.mark.parametrize(("more", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)])
def test_whoever_wants_no_colours_gets_none(environ: dict[str, str], more: dict[str, str], coloured: bool) -> None:
    text, _ = each(environ | {"TERM": "xterm"} | more, terminal=(50, 160))
    assert bool(re.search(r"\x1b\[[0-9;]*3[0-9]", text)) is coloured
    assert bool(re.search(r"\x1b\[31meraser: |\x1b\[31m\x1b\[1meraser: ", text)) is coloured


def test_a_dumb_terminal_gets_no_escapes(environ: dict[str, str]) -> None:
    text, _ = each(environ | {"TERM": "dumb"}, terminal=(50, 160))
    assert "\x1b" not in text
    assert colour({"TERM": "dumb"}) is False
    assert colour({"TERM": "xterm"}) is colour({}) is None


@pytest.mark.parametrize("home", [None, "/dev/null"])
def test_a_home_that_is_not_there_or_takes_nothing_costs_nothing(environ: dict[str, str], home: str | None) -> None:
    environ = {name: value for name, value in environ.items() if name != "HOME"}
    _, codes = each(environ if home is None else environ | {"HOME": home})
    assert codes == COMMANDS


def test_with_all_three_streams_closed_a_command_does_its_work(environ: dict[str, str]) -> None:
    """What is opened next would get their numbers: Redis would be told what was meant for a person."""
    words = json.dumps([words.split() for words in COMMANDS])
    closed = ["sh", "-c", 'exec "$0" -c "$1" "$2" <&- >&- 2>&-', sys.executable, EACH, words]
    subprocess.run(closed, env=environ, check=True)
    assert json.loads(Path(environ["CODES"]).read_text(encoding="utf-8")) == COMMANDS


STAYS_OPEN = """
import gc, os, sys
from worker.interfaces.cli.output import lasting
from worker.interfaces.cli.terminal import prepare
prepare()
with lasting(print):
    gc.collect()
    told = [os.fstat(stream.fileno()).st_rdev == os.stat(os.devnull).st_rdev for stream in (sys.stdout, sys.stderr)]
with open(sys.argv[1], "w") as file:
    file.write(str(told))
"""


def test_what_takes_the_place_of_a_closed_stream_stays_open(tmp_path: Path) -> None:
    result = tmp_path / "told"
    closed = ["sh", "-c", 'exec "$0" -c "$1" "$2" <&- >&- 2>&-', sys.executable, STAYS_OPEN, str(result)]
    subprocess.run(closed, check=True)
    assert result.read_text() == "[True, True]"


def test_a_stream_keeps_what_it_has_and_changes_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="gbk"))
    prepare()
    sys.stdout.write("训练 ✓ ✗ → … é \udcff\n")
    sys.stdout.flush()
    assert raw.getvalue().decode("gbk") == "训练 + x → … é ?\n"
