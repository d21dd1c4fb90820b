"""`eraser metrics`: printed once, or served until Ctrl-C, Redis or not."""

from __future__ import annotations

import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.command import Command
from tests.support.dead_letters import Undertaker
from tests.support.waiting import PATIENCE_S

NOWHERE = "redis://127.0.0.1:1"


@contextmanager
def served(redis_url: str) -> Iterator[str]:
    """The address that a running `eraser metrics --serve` says; Ctrl-C ends it well."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from worker.interfaces.cli import main; main()", "metrics", "--serve", "--port", "0"],
        env={"PATH": os.environ["PATH"], "ERASER_REDIS_URL": redis_url, "HOME": "/nonexistent"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        first_line = process.stderr.readline()
        found = re.search(r"http://\S+/metrics", first_line)
        assert found, first_line + process.stderr.read()
        yield found[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def get(url: str, **headers: str) -> tuple[int, str, bytes]:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE_S) as response:
        return response.status, response.headers["Content-Type"], response.read()


def test_it_prints_the_page(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("a")
    ended = command("metrics")
    assert ended.code == 0
    assert 'avatar_eraser_dead_letters{account="default",cause="server_error"} 1.0' in ended.out.splitlines()


def test_json_is_one_sample_a_line(command: Command) -> None:
    samples = command("metrics", "--json").json
    assert {"name": "avatar_eraser_workers", "labels": {}, "value": 0} in samples


def test_without_redis_it_exits_4(command: Command) -> None:
    ended = command("metrics", ERASER_REDIS_URL=NOWHERE)
    assert (ended.code, ended.out) == (4, "")


def test_it_serves_what_it_would_print(redis_url: str, undertaker: Undertaker) -> None:
    with served(redis_url) as url:
        undertaker.end("a", to="deleted")
        status, content_type, page = get(url)
        assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        line = 'avatar_eraser_deletions{account="default",state="deleted"} 1.0'
        assert line in page.decode().splitlines()
        _, openmetrics, page = get(url, Accept="application/openmetrics-text; version=1.0.0")
        assert openmetrics.startswith("application/openmetrics-text; version=1.0.0")
        assert page.endswith(b"# EOF\n")
        assert line in gzip.decompress(get(url, **{"Accept-Encoding": "gzip"})[2]).decode()
        assert get(f"{url}?name[]=avatar_eraser_up")[2].decode().splitlines()[2:] == ["avatar_eraser_up 1.0"]


def test_without_redis_the_page_says_so() -> None:
    with served(NOWHERE) as url:
        status, _, page = get(url)
        assert (status, page.decode().splitlines()[2:]) == (200, ["avatar_eraser_up 0.0"])


def test_a_port_that_is_taken_is_said(command: Command) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = command("metrics", "--serve", "--port", str(taken.getsockname()[1]))
    assert ended.code == 2
    assert "choose another --port" in ended.err


def test_an_address_without_serving_is_refused_not_passed_over(command: Command) -> None:
    ended = command("metrics", "--port", "9712")
    assert (ended.code, ended.out) == (2, "")
    assert "add --serve" in ended.err
