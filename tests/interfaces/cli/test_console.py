"""`eraser console`: makes tokens that are shown once, and serves until it is asked to end."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT
from tests.support.waiting import PATIENCE_S, wait_until
from worker.config import api_tokens
from worker.execution import app_context
from worker.execution.app_context import AppContext
from worker.interfaces.cli.console import way_in


@pytest.fixture
def file(tmp_path: Path, command: Command) -> Path:
    path = tmp_path / "tokens.toml"
    command.environ["ERASER_API_TOKENS_FILE"] = str(path)
    return path


def test_a_token_is_shown_once_and_only_its_hash_is_kept(command: Command, file: Path) -> None:
    made = command("console", "token", "shop", "--scope", "request", "--scope", "read", "--project", PROJECT)
    assert made.code == 0
    secret = made.out.strip()
    (kept,) = api_tokens.read(file.read_text(), "file")
    assert (kept.name, kept.scopes, kept.projects) == ("shop", {"request", "read"}, {PROJECT})
    assert api_tokens.find([kept], secret) is kept
    assert secret not in made.err + file.read_text()
    as_json = command("console", "tokens", "create", "till", "--scope", "operate", "--json").json[0]
    assert set(as_json) == {"name", "token", "scopes", "file"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["Shop", "--scope", "read"], "lower-case"),
        (["shop"], "--scope"),
        (["shop", "--scope", "all"], "'all'"),
        (["shop", "--scope", "read", "--project", "a/b"], "project id"),
    ],
)
def test_a_token_that_cannot_be_is_refused(command: Command, file: Path, words: list[str], expected: str) -> None:
    refused = command("console", "token", *words)
    assert refused.code == 2
    assert expected in refused.all
    assert not file.exists()


def test_the_lines_may_be_printed_for_a_file_that_stands_elsewhere(command: Command, file: Path) -> None:
    printed = command("console", "token", "shop", "--scope", "request", "--print")
    (kept,) = api_tokens.read(printed.out, "stdout")
    secret = next(word for word in printed.err.split() if api_tokens.LOOKS.fullmatch(word))
    assert api_tokens.find([kept], secret) is kept
    assert secret not in printed.out
    assert not file.exists()


def test_without_the_variable_it_stands_beside_the_data_of_up(command: Command, tmp_path: Path) -> None:
    command("console", "token", "shop", "--scope", "read", XDG_DATA_HOME=str(tmp_path))
    assert (tmp_path / "avatar-eraser" / "api-tokens.toml").exists()


def test_tokens_are_listed_rotated_and_revoked(command: Command, file: Path) -> None:
    assert "No token in" in command("console", "tokens", "list").out
    old = command("console", "tokens", "create", "shop", "--scope", "read", "--project", PROJECT).out.strip()
    command("console", "tokens", "create", "till", "--scope", "operate")
    new = command("console", "tokens", "rotate", "shop", "--overlap", "24h", "--reason", "T-1")
    assert new.out.strip() not in ("", old)
    assert "works for 24 h more" in new.err or "works for 1 d more" in new.err
    shop, till = command("console", "tokens", "list", "--json").json
    assert set(shop) == {"name", "scopes", "projects", "made_at", "previous_until"}
    assert (shop["name"], shop["scopes"], shop["projects"]) == ("shop", ["read"], [PROJECT])
    assert shop["previous_until"] > shop["made_at"]
    assert (till["projects"], till["previous_until"]) == ([], None)
    shown = command("console", "tokens", "list").out
    assert "shop" in shown
    assert not api_tokens.LOOKS.search(shown)
    assert "sha256" not in shown
    once = command("console", "tokens", "rotate", "shop", "--json", "--reason", "T-1").json[0]
    assert api_tokens.LOOKS.fullmatch(once["token"])
    assert command("console", "tokens", "list", "--json").json[0]["previous_until"] is None
    assert command("console", "tokens", "revoke", "shop", "--json", "--reason", "T-1").json[0]["revoked"] is True
    assert [each["name"] for each in command("console", "tokens", "list", "--json").json] == ["till"]
    unknown = command("console", "tokens", "revoke", "tell", "--reason", "T-1")
    assert unknown.code == 2
    assert "did you mean till" in unknown.err


def test_a_token_is_revoked_while_redis_is_away_and_the_command_says_that_the_audit_lacks_it(
    command: Command, file: Path, tmp_path: Path
) -> None:
    command.environ["ERASER_REDIS_URL"] = f"unix://{tmp_path}/none.sock"
    made = command("console", "tokens", "create", "shop", "--scope", "read")
    assert (made.code, api_tokens.LOOKS.fullmatch(made.out.strip()) is not None) == (0, True)
    revoked = command("console", "tokens", "revoke", "shop", "--reason", "T-1")
    assert revoked.code == 0
    for ended in (made, revoked):
        assert "It is done, but not in the audit: Redis at" in ended.err
        assert "nothing was done" not in ended.err
    assert api_tokens.read(file.read_text(), "file") == ()


def test_it_serves_until_it_is_asked_to_end(command: Command, file: Path, tmp_path: Path) -> None:
    secret = command("console", "token", "shop", "--scope", "request").out.strip()
    log = tmp_path / "log"
    with log.open("wb") as output:
        words = [sys.executable, "-c", "from worker.interfaces.cli import main; main()", "console", "--port", "0"]
        served = subprocess.Popen(words, env={**command.environ, "PATH": "/usr/bin"}, stdout=output, stderr=output)
    try:
        wait_until(
            lambda: "eraser console link --url http://127.0.0.1:" in log.read_text(), what="it prints where it listens"
        )
        address = json.loads(log.read_text().splitlines()[0])["address"]
        headers = {"Authorization": f"Bearer {secret}"}
        response = httpx2.post(
            f"{address}/api/projects/{PROJECT}/deletions", json={"job_id": "j"}, headers=headers, timeout=PATIENCE_S
        )
        assert response.status_code == 202
        assert "server" not in response.headers
        # Java's default client offers HTTP/2 with each request that is not encrypted
        offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAA"}
        url = f"{address}/api/projects/{PROJECT}/deletions"
        assert httpx2.post(url, json={"job_id": "java"}, headers=headers | offer, timeout=PATIENCE_S).status_code == 202
    finally:
        served.send_signal(signal.SIGTERM)
        assert served.wait(PATIENCE_S) in (0, -signal.SIGTERM)
    assert secret not in log.read_text()
    assert "?link=" not in log.read_text(), "a link in a log opens the console to whoever reads it"
    assert "http.answered" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_at_its_end_it_stops_the_runs_that_it_started(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(_app: object, **_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("worker.interfaces.web.serve.serve", serve)
    assert command("console").code == 0
    assert app_context.app_context().stopping.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("terminal", [True, False])
def test_a_link_is_printed_only_to_a_terminal(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    app = AppContext.load({"ERASER_REDIS_URL": redis_url, "ERASER_REGION": "cn-north-4"})
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    text = way_in(app, "http://0.0.0.0:8710")
    assert text.startswith("http://127.0.0.1:8710/login?link=" if terminal else "eraser console link")
    assert len(list(app.redis.scan_iter("eraser:console:link:*"))) == terminal, "none is made that nobody reads"


def test_a_port_that_somebody_has_is_told(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = command("console", "--port", str(taken.getsockname()[1]))
    assert refused.code == 2
    assert re.search(r"cannot listen on 127.0.0.1:\d+ \(Address already in use\): choose another", refused.all)


def test_a_port_that_the_simulator_cannot_have_is_told(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = command("simulator", "--port", str(port := taken.getsockname()[1]))
    assert refused.code == 1
    assert refused.err == f"eraser: another program has port {port}; name another --port, or 0 for any\n"


def test_a_wrong_setting_is_told_before_it_listens(command: Command) -> None:
    refused = command("console", "--port", "0", ERASER_ALLOWED_HOSTS="https://eraser.example.com")
    assert refused.code == 2
    assert "names of hosts without scheme" in refused.all
