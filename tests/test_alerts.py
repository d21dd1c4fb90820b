"""The example alerts: parsed by a PromQL parser, about metrics and labels that exist, and right about real ledgers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.promql import Labels, Scrapes, check_selector, scraped, selectors
from tests.test_readme import ours, parses
from worker.config.webhooks import EventType
from worker.execution.app_context import AppContext
from worker.ledger import deliveries, rechecks
from worker.ledger.damage import check
from worker.ledger.deliveries import Wanted
from worker.ledger.keys import OURS
from worker.ledger.runs import Run, Runs
from worker.ledger.schema.keys import Key
from worker.ledger.types import Settlement
from worker.model.states import Lane
from worker.model.target import Target
from worker.services import metrics

FILE = Path(__file__).parents[1] / "docs" / "alerts.yml"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
}
POLICY = '[policies.old]\nprojects = ["p"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\nreason = "T-1"\n'
POLICY += 'schedule = "30 3 * * 0"\n'
WEBHOOK = '[webhooks.crm]\nurl = "https://crm.example.com/"\nsecret_envs = ["CRM_SECRET"]\n'


@dataclass
class Scene:
    """A ledger that is well, and what may happen to it."""

    app: AppContext
    undertaker: Undertaker

    @property
    def gate(self) -> str:
        return self.undertaker.ledger.prefix + "gate"

    def page(self) -> bytes:
        return metrics.exposition(self.app)[1]

    def worker(self, seconds_ago: float = 0.0) -> None:
        redis = self.app.redis
        redis.zadd(OURS.workers, {"w1": (time.time() - seconds_ago) * 1000})
        redis.hset(OURS.worker_info, "w1", json.dumps({"threads": 16}))
        redis.set(OURS.dispatcher, "w1")
        redis.hset("eraser:schedule", mapping={"at": time.time() * 1000, "problem": ""})

    def overdue(self, lane: Lane, seconds: float) -> None:
        self.undertaker.request("late", lane=lane)
        index = f"{self.undertaker.ledger.prefix}due:{lane.value}"
        self.app.redis.zadd(index, {f"{PROJECT}/late": (time.time() - seconds) * 1000})

    def abandon(self, account: str) -> None:
        """An account that the settings do not name, with a deletion of project p."""
        Undertaker(self.undertaker.url, account=account, project="p").request("left-behind", delay_s=3600)
        self.app.redis.sadd(OURS.accounts, account)

    def lose_leases(self, number: int) -> None:
        self.undertaker.request(*(f"lost-{n}" for n in range(number)))
        for _ in range(number):
            lease = self.undertaker.take()
            self.app.redis.zadd(f"{self.undertaker.ledger.prefix}running", {str(lease.ref): 1})
        self.undertaker.ledger.rescue(alive=[], counts=True)

    def come_back(self) -> None:
        self.undertaker.end("a", to="deleted")
        rechecks.record(self.undertaker.ledger, None, {Target(PROJECT, "a"): "back"}, looks=["x-1"])

    def damage(self) -> None:
        self.undertaker.request("a")
        self.app.redis.hset(f"{self.undertaker.ledger.prefix}d:{PROJECT}/a", "at", "yesterday")
        check(self.undertaker.ledger, [Target(PROJECT, "a")])

    def fill_redis(self) -> None:
        self.app.redis.config_set("maxmemory", int(int(self.app.redis.info("memory")["used_memory"]) * 1.25))

    def tell(self, *, late_s: float = 0.0, dead: bool = False) -> None:
        """There is a message for the endpoint, which was made so long ago, or is given up."""
        ledger, endpoints = self.app.ledger("default"), [Wanted("crm", EventType, None)]
        deliveries.fan_out(ledger, endpoints)
        self.undertaker.end("a", to="deleted")
        deliveries.fan_out(ledger, endpoints)
        for one in deliveries.take(ledger, "crm", 1):
            self.app.redis.zincrby(f"{ledger.prefix}{Key.DELIVERIES_WAITING}crm", -late_s * 1000, one.id)
            deliveries.settle(ledger, "crm", one, status=500, ms=1, why="x", delay_s=None if dead else 60)

    def stop_sweep(self) -> None:
        run = Run("r1", "old", "h", "default", time.time() * 1000, stopped_by="cap")
        Runs(self.app.ledger("default")).write(run)

    def throttle(self, number: int) -> None:
        self.undertaker.request(*(f"job-{n}" for n in range(number)))
        for _ in range(number):
            lease = self.undertaker.take()
            settles = Settlement(
                lease.ref, lease.token, "pending", delay_s=60, called=True, attempt={"outcome": "throttled"}
            )
            self.undertaker.ledger.take(worker="w1", key="k1", settlement=settles, want=False)


@pytest.fixture
def scene(redis_url: str, undertaker: Undertaker, tmp_path: Path) -> Any:
    (tmp_path / "eraser.toml").write_text(POLICY + WEBHOOK)
    environ = {"ERASER_REDIS_URL": redis_url, "ERASER_CONFIG": str(tmp_path / "eraser.toml"), "ERASER_PROJECTS": "*"}
    environ["ERASER_REGION"] = "cn-north-4"
    made = Scene(AppContext.load(environ), undertaker)
    made.worker()
    yield made
    made.app.redis.config_set("maxmemory", 0)
    made.app.redis.close()


def fired(then: bytes, now: bytes) -> set[str]:
    scrapes = Scrapes(then, now)
    found = {name for name, rule in RULES.items() if scrapes.fires(rule["expr"])}
    if shutil.which("promtool"):
        prometheus_finds(found, then, now)
    return found


def prometheus_finds(names: set[str], then: bytes, now: bytes) -> None:
    """Fail unless Prometheus's own engine finds the same: the first page was scraped for an hour, the second once."""
    before, after = scraped(then), scraped(now)
    series = [
        {"series": text_of(labels), "values": f"{before.get(labels, '_')}x60 {after.get(labels, 'stale')}"}
        for labels in before.keys() | after.keys()
    ]
    expected = [
        {
            "expr": f"count({rule['expr']}) > bool 0 or vector(0)",
            "eval_time": "61m",
            "exp_samples": [{"labels": "{}", "value": int(name in names)}],
        }
        for name, rule in RULES.items()
    ]
    test = {"rule_files": [str(FILE)], "evaluation_interval": "1m"}
    test["tests"] = [{"interval": "1m", "input_series": series, "promql_expr_test": expected}]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        json.dump(test, file)
        file.flush()
        done = subprocess.run(["promtool", "test", "rules", file.name], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def text_of(labels: Labels) -> str:
    """A series as PromQL writes it."""
    named = dict(labels)
    name = named.pop("__name__")
    return name + "{" + ",".join(f"{label}={json.dumps(value)}" for label, value in named.items()) + "}"


HAPPENED: dict[str, Callable[[Scene], object]] = {
    "EraserNoWorkers": lambda s: (s.undertaker.request("a"), s.worker(60)),
    "EraserNobodyLooks": lambda s: s.app.redis.delete(OURS.dispatcher),
    "EraserPersonWaits": lambda s: s.overdue(Lane.USER, 300),
    "EraserBulkIsBehind": lambda s: s.overdue(Lane.BULK, 7 * 3600),
    "EraserDeadLettersGrow": lambda s: s.undertaker.end(*(f"job-{n}" for n in range(11))),
    "EraserLedgerDamaged": lambda s: s.damage(),
    "EraserJobsCameBack": lambda s: s.come_back(),
    "EraserDeadLettersWait": lambda s: s.undertaker.end("a"),
    "EraserCredentialsBlocked": lambda s: s.undertaker.ledger.block_account("credentials", "no key"),
    "EraserGateClosed": lambda s: s.undertaker.ledger.pause(why="T-1"),
    "EraserThrottled": lambda s: s.throttle(51),
    "EraserClockIsWrong": lambda s: s.app.redis.hset(s.gate, mapping={"skew": 90_000, "skew_at": 1}),
    "EraserLeasesLost": lambda s: s.lose_leases(6),
    "EraserRedisFillsUp": Scene.fill_redis,
    "EraserLeftBehind": lambda s: s.app.redis.hset(f"{s.undertaker.ledger.prefix}verdicts", "partial", 1),
    "EraserSweepStopped": Scene.stop_sweep,
    "EraserProjectElsewhere": lambda s: (s.abandon("a"), s.app.redis.hset(OURS.projects, "p", "a")),
    "EraserAccountGone": lambda s: s.abandon("a"),
    "EraserLedgerElsewhere": lambda s: s.app.redis.hset(f"{s.undertaker.ledger.prefix}account", "endpoint", "x"),
    "EraserWebhooksGivenUp": lambda s: s.tell(dead=True),
    "EraserWebhooksWait": lambda s: s.tell(late_s=3600),
    "EraserScheduleStopped": lambda s: s.app.redis.delete("eraser:schedule"),
}
COMES_ALONG = {"EraserDeadLettersGrow": {"EraserDeadLettersWait"}, "EraserProjectElsewhere": {"EraserAccountGone"}}


def test_nothing_fires_where_all_is_well(scene: Scene) -> None:
    then = scene.page()
    scene.undertaker.end(*(f"job-{n}" for n in range(20)), to="deleted")
    scene.undertaker.request("later", delay_s=3600)
    assert fired(then, scene.page()) == set()


@pytest.mark.parametrize("alert", HAPPENED)
def test_each_fires_for_what_it_is_about_and_for_nothing_else(scene: Scene, alert: str) -> None:
    then = scene.page()
    HAPPENED[alert](scene)
    assert fired(then, scene.page()) == {alert} | COMES_ALONG.get(alert, set())


def test_a_ledger_that_is_away_fires_alone(scene: Scene) -> None:
    away = Scene(AppContext.load({"ERASER_REDIS_URL": "redis://127.0.0.1:1"}), scene.undertaker).page()
    assert fired(scene.page(), away) == {"EraserLedgerUnreachable"}
    assert fired(scene.page(), b"") == {"EraserLedgerUnreachable"}, "nobody answers the scrape"


def test_what_a_person_has_repaired_is_silent_again(scene: Scene) -> None:
    scene.undertaker.end("a")
    then = scene.page()
    scene.undertaker.ledger.discard([Target(PROJECT, "a")], why="T-1")
    assert fired(then, scene.page()) == set()


def test_every_alert_was_seen_to_fire() -> None:
    assert {*HAPPENED, "EraserLedgerUnreachable"} == set(RULES)


@pytest.mark.parametrize("alert", RULES)
def test_what_a_rule_selects_exists(scene: Scene, alert: str) -> None:
    """Metrics, labels and each word among the labels' values: a typing error would never fire."""
    samples = [dict(labels) for labels in scraped(scene.page())]
    for selector in selectors(promql.parse(RULES[alert]["expr"])):
        check_selector(selector, samples)


@pytest.mark.parametrize("alert", RULES)
def test_each_says_what_to_type_next(alert: str) -> None:
    rule = RULES[alert]
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert promql.parse_duration(rule.get("for", "1m"))
    (command,) = re.findall(r"Next: `(.+?)`", rule["annotations"]["summary"])
    typed = command.replace("{{ $labels.policy }}", "old")
    if ours(typed) is None:
        assert typed in ("celery -A worker worker", "celery -A worker beat")
    else:
        parses(typed)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed: apt install prometheus")
def test_prometheus_itself_takes_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", FILE], check=True, timeout=30)
