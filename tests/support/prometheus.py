"""A real Prometheus for a test or a benchmark: it scrapes one address each second, and has docs/alerts.yml."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

import pytest

from tests.support import scratch
from tests.support.ports import HOST, free_ports
from tests.support.waiting import wait_until

ALERTS = Path(__file__).parents[2] / "docs" / "alerts.yml"
SCRAPE_S = 1
CONFIG = """
global: {{scrape_interval: {every}s, evaluation_interval: {every}s}}
rule_files: [{rules}]
scrape_configs: [{{job_name: avatar-eraser, static_configs: [{{targets: ["{target}"]}}]}}]
"""


class Prometheus:
    """`with Prometheus(port) as prometheus:` it scrapes that port. Skips the test where it is not installed."""

    def __init__(self, target: int) -> None:
        self._program = shutil.which("prometheus")
        if self._program is None:
            pytest.skip("no Prometheus here: on Debian or Ubuntu, apt-get install prometheus")
        self.directory = scratch.directory("prometheus-")
        (self._port,) = free_ports(1)
        config = CONFIG.format(every=SCRAPE_S, rules=ALERTS, target=f"{HOST}:{target}")
        (self.directory / "prometheus.yml").write_text(config, encoding="utf-8")

    def __enter__(self) -> Self:
        with (self.directory / "log").open("wb") as log:
            self._running = subprocess.Popen(
                [
                    *(str(self._program), f"--config.file={self.directory / 'prometheus.yml'}"),
                    *(f"--storage.tsdb.path={self.directory / 'data'}", f"--web.listen-address={HOST}:{self._port}"),
                ],
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._scrapes, what="Prometheus has scraped the page")
        except BaseException:
            self.__exit__()
            raise
        return self

    def _scrapes(self) -> bool:
        assert self._running.poll() is None, (self.directory / "log").read_text(encoding="utf-8")
        try:
            return bool(self.query("up == 1"))
        except OSError:  # it does not listen yet, or reads its files
            return False

    def __exit__(self, *_: object) -> None:
        self._running.kill()
        self._running.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def ask(self, what: str, **parameters: Any) -> Any:
        """`data` of an answer of its API; an expression that it refuses is an `HTTPError`."""
        url = f"http://{HOST}:{self._port}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression finds now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def series(self, expression: str, begin: float, end: float, step: float) -> list[dict[str, Any]]:
        """What it found from one time to another; `metric`: labels, `values`: pairs of a time and a number as text."""
        found: list[dict[str, Any]] = self.ask("query_range", query=expression, start=begin, end=end, step=step)[
            "result"
        ]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """The alerts, each with its `health` and `state`."""
        return [rule for group in self.ask("rules")["groups"] for rule in group["rules"]]

    def scrapes(self) -> int:
        """How often it has got the page: a scrape that took too long found nothing."""
        (one,) = self.query("sum_over_time(up[1d])")
        return int(one["value"][1])


def as_grafana_sends(query: str, rate_interval_s: int) -> str:
    """A query of the dashboard, for all accounts."""
    return query.replace("$account", ".*").replace("$__rate_interval", f"{rate_interval_s}s")
