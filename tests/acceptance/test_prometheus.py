"""A real Prometheus scrapes a run with all kinds of trouble: each query of the dashboard finds something, each alert is
one that it can evaluate.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.acceptance.fleet import ATTEMPTS, BYSTANDER, IMPATIENT, OPEN, Fleet
from tests.support.ports import free_ports
from tests.support.prometheus import Prometheus, as_grafana_sends
from tests.support.webhook_receiver import Receiver
from tests.test_alerts import POLICY
from worker.model.states import Lane, State
from worker.services.dashboard_panels import ROWS
from worker.simulator import DEMO_PROJECT
from worker.simulator.faults import FaultKind

# What may stay at zero in this run; everything else is seen to move.
QUIET = {
    *(
        "A person waits",
        "Age of the oldest due deletion",
        "Came back",
        "Damaged entries",
        "Given up",
        "Parked messages",
    ),
    *("Settings and ledger disagree", "Settings and ledger disagree B", "Settings and ledger disagree C"),
    *("Retention that stopped", "Retention that stopped B", "Memory of Redis B"),
}
RATE_S = 3600  # longer than the run: what moved is seen however seldom a busy machine was scraped
SETTINGS = IMPATIENT | {"ERASER_RATE": "40", "ERASER_RELATED_SCHEDULE": "1s,2s"}


@contextlib.contextmanager
def scraped_fleet(
    folder: Path, receiver: Receiver, simulator: Sequence[str] = (), **settings: str
) -> Iterator[tuple[Fleet, Prometheus]]:
    """An installation with a webhook, a policy, two workers, its page of metrics and a Prometheus."""
    policy = POLICY.replace('["p"]', f'["{DEMO_PROJECT}"]')
    config = f"[accounts.default]\n{receiver.toml(folder)}{policy}"
    how: Any = {"config": config, "simulator": simulator, "application": "tests.acceptance.quick_webhooks"}
    with Fleet(settings=SETTINGS | settings, **how) as fleet:
        (port,) = free_ports(1)
        eraser = Path(sys.executable).with_name("eraser")
        fleet.start("metrics", [eraser, "metrics", "--serve", "--port", str(port)])
        fleet.plant(BYSTANDER)
        fleet.start_workers(2)
        with Prometheus(port) as prometheus:
            yield fleet, prometheus


def trouble(fleet: Fleet, receiver: Receiver, beat: Callable[[], object]) -> None:
    """One thing after the other, and a beat after each."""

    def settled(*jobs: str) -> None:
        fleet.wait(lambda: all(fleet.state(job) not in OPEN for job in jobs), f"{jobs} are settled")
        beat()

    fleet.metastudio.add_avatars({"job_id": f"model-{n}", "voice": n % 2 == 1} for n in range(6))
    fleet.ask("model-0", "model-1", "model-2", related="verify")
    fleet.ask("model-3", "model-4", "model-5", related="delete")
    settled(*(f"model-{n}" for n in range(6)))
    fleet.ask("never-was-1", "never-was-2", lane=Lane.USER, app_user="app-user-1")
    settled("never-was-1", "never-was-2")
    for job in fleet.plant("broken-1", "broken-2", "broken-3"):
        fleet.metastudio.fault(FaultKind.ERROR, job, times=ATTEMPTS)
    fleet.ask("broken-1", "broken-2", "broken-3")
    settled("broken-1", "broken-2", "broken-3")
    fleet.metastudio.fault(FaultKind.THROTTLED, times=3)
    fleet.ask(*fleet.plant("paced-1", "paced-2"))
    settled("paced-1", "paced-2")
    receiver.status = 503
    fleet.ask(*fleet.plant("told-1", "told-2"))
    settled("told-1", "told-2")
    receiver.status = 204
    fleet.plant("hangs")
    fleet.metastudio.fault(FaultKind.HANG, "hangs")
    fleet.ask("hangs")
    fleet.wait(lambda: fleet.state("hangs") is State.RUNNING, "its call is under way")
    for worker in fleet.workers:
        worker.kill()
    fleet.start_worker()
    fleet.start_worker()
    settled("hangs")
    fleet.metastudio.outage("503")
    late = fleet.plant(*(f"late-{n}" for n in range(12)))
    fleet.ask(*late)
    fleet.wait(lambda: fleet.queries.gate().gate == "outage", "the gate closes")
    beat()
    fleet.metastudio.outage(None)
    settled(*late)


def is_nothing(value: str) -> bool:
    return not float(value) > 0  # nor NaN


def panels() -> Iterator[tuple[str, list[str]]]:
    for row in ROWS.values():
        for panel in row:
            yield panel.title, [one.query for one in panel.series]


def test_each_query_of_the_dashboard_finds_something_and_each_alert_is_evaluated(tmp_path: Path) -> None:
    began = time.time()
    with Receiver() as receiver, scraped_fleet(tmp_path, receiver) as (fleet, prometheus):

        def beat() -> None:
            before = prometheus.scrapes()
            fleet.wait(lambda: prometheus.scrapes() >= before + 2, "two more scrapes")

        beat()
        trouble(fleet, receiver, beat)
        found: dict[str, list[Any]] = {}
        for title, queries in panels():
            for n, query in enumerate(queries):
                name = title if not n else f"{title} {'ABC'[n]}"
                found[name] = prometheus.series(as_grafana_sends(query, RATE_S), began, time.time(), 1)
        rules = prometheus.rules()
    assert [name for name, series in found.items() if not series] == []
    still = {n for n, series in found.items() if all(is_nothing(v) for one in series for _, v in one["values"])}
    assert still <= QUIET
    assert {rule["name"]: rule["lastError"] for rule in rules if rule["health"] != "ok"} == {}
    states = {rule["name"]: rule["state"] for rule in rules}
    assert {states[name] for name in ("EraserDeadLettersWait", "EraserLeftBehind")} <= {"pending", "firing"}
    assert {states[name] for name in ("EraserLedgerUnreachable", "EraserNoWorkers")} == {"inactive"}
