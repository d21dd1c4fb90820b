"""How well the gate uses an account's limit, and how soon a person's deletion passes a sweep.

    python -m benchmarks.gate [limit] [person] [neighbours] [outage] [--related verify] [--voice] [--latency 0]

`--related verify` or `delete`: each job has a model asset (`--voice`: a voice, too), which is found out before its
DELETE (`limit` and `person`). `--latency`: of the simulated MetaStudio, in seconds.

Each figure is taken on a whole installation (Redis with AOF always, three Celery workers, a simulated MetaStudio that
enforces the limit with a sliding one-second window), from MetaStudio's own log of calls.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.acceptance.fleet import Fleet
from worker.config.accounts import DEFAULT
from worker.ledger.types import DeletionRequest
from worker.model.erasure import Related
from worker.model.states import Lane
from worker.model.target import Target
from worker.services.request import record
from worker.simulator import DEMO_PROJECT

RATE = 10
EARNEST: dict[str, str | None] = {  # the settings of production
    "ERASER_RATE": str(RATE),
    "ERASER_RETRY_SCHEDULE": None,
    "ERASER_NOT_DELETABLE_SCHEDULE": None,
    "ERASER_CONNECT_TIMEOUT": None,
    "ERASER_CALL_TIMEOUT": None,
    "ERASER_LEASE": None,
}
LIMITED = ("--delete-per-s", str(RATE))
SLOW = (*LIMITED, "--latency", "0.05", "--jitter", "0.02")


@dataclass(frozen=True)
class Terms:
    """What is done about what a job leaves behind, and how the simulated MetaStudio answers."""

    related: Related = Related.LEAVE
    simulator: tuple[str, ...] = SLOW
    voice: bool = False

    def fleet(self) -> Fleet:
        return Fleet(settings=EARNEST | {"ERASER_RELATED": self.related.value}, simulator=self.simulator)

    def plant(self, fleet: Fleet, jobs: Iterable[str]) -> None:
        if self.related is Related.LEAVE:
            fleet.plant(*jobs)
        else:
            fleet.metastudio.add_avatars({"job_id": job, "voice": self.voice} for job in jobs)


def deletes(fleet: Fleet) -> list[dict[str, Any]]:
    calls = [call for call in fleet.metastudio.calls(kind="job") if call["operation"] == "delete"]
    return sorted(calls, key=lambda call: call["started"])


def share(calls: list[dict[str, Any]]) -> float:
    """How much of the limit was used between the first and the last deletion that took effect."""
    starts = [call["started"] for call in calls if call["effect"]]
    return (len(starts) - 1) / (starts[-1] - starts[0]) / RATE


def limit(terms: Terms, deletions: int = 300) -> str:
    """3 workers, 10/s, 50 ms latency with jitter."""
    jobs = [f"job-{n:04d}" for n in range(deletions)]
    with terms.fleet() as fleet:
        terms.plant(fleet, jobs)
        fleet.start_workers(3)
        fleet.ask(*jobs)
        fleet.wait_until_settled(deletions, timeout=deletions / RATE * 2 + 30)
        calls = deletes(fleet)
        throttled = sum(call["status"] == 429 for call in calls)
        return f"{share(calls):.1%} of {RATE}/s used over {deletions} deletions, {throttled} answers 429"


def person(terms: Terms, waiting: int = 100_000, people: int = 200) -> str:
    """A user's deletion while 100,000 wait in bulk at 10/s: accepted to DELETE at the server."""
    with terms.fleet() as fleet:
        terms.plant(fleet, [f"bulk-{n:06d}" for n in range(5_000)] + [f"person-{n:04d}" for n in range(people)])
        fleet.start_workers(3)
        fleet.ask(*(f"bulk-{n:06d}" for n in range(waiting)))
        fleet.wait_until_settled(20)
        requested_at: dict[str, float] = {}
        for n in range(people):
            ref = Target(DEMO_PROJECT, f"person-{n:04d}")
            requested_at[ref.id] = time.time()
            list(record(fleet.app, [ref], DeletionRequest(lane=Lane.USER)))
            time.sleep(random.uniform(0.2, 0.8))
        fleet.wait(lambda: requested_at.keys() <= {call["job_id"] for call in deletes(fleet)}, "every DELETE is sent")
        arrived = {call["job_id"]: call["started_at"] for call in reversed(deletes(fleet))}
        waits = sorted((arrived[job] - at) * 1000 for job, at in requested_at.items())
        p99 = waits[int(len(waits) * 0.99) - 1]
        return (
            f"p50 {statistics.median(waits):.0f} ms, p99 {p99:.0f} ms, longest {waits[-1]:.0f} ms over {people} people"
        )


def neighbours(_: Terms, deletions: int = 300) -> str:
    """Two accounts; one answers nothing (30 s timeouts). How much of its limit does the other keep?"""
    jobs = [f"job-{n:04d}" for n in range(deletions)]
    with Fleet(settings=EARNEST, simulator=SLOW) as dead, Fleet(settings=EARNEST, simulator=SLOW) as fleet:
        config = fleet.directory / "accounts.toml"
        config.write_text(two_accounts(dead, fleet), encoding="utf-8")
        env = fleet.env | {"ERASER_CONFIG": str(config)}
        env.pop("HUAWEICLOUD_SDK_PROJECT_ID")
        fleet.plant(*jobs)
        for _ in range(3):
            fleet.start_worker(env=env)
        fleet.wait(lambda: fleet.live_workers() >= 3, "three workers")
        dead_ledger = type(fleet.ledger)(fleet.client, "dead", fleet.ledger.policy)
        dead.plant(*jobs)
        dead_ledger.request([Target(DEMO_PROJECT, job) for job in jobs], DeletionRequest())
        fleet.app.wake("dead", 0)
        fleet.wait(lambda: dead.metastudio.stats()["effects"] > 10, "the other account works well at first")
        dead.metastudio.outage("hang")
        fleet.ask(*jobs)
        fleet.wait_until_settled(deletions, timeout=deletions / RATE * 3 + 60)
        calls = deletes(fleet)
        hung = dead.metastudio.stats()["under_way"]
        return f"{share(calls):.1%} of its {RATE}/s kept, while the other answers nothing ({hung} of its calls hang)"


def two_accounts(dead: Fleet, living: Fleet) -> str:
    keys = 'ak_env = "HUAWEICLOUD_SDK_AK"\nsk_env = "HUAWEICLOUD_SDK_SK"\n'
    return (
        f'[accounts.{DEFAULT}]\nendpoint = "{living.metastudio.url}"\nrate = {RATE}\n{keys}'
        f'[accounts.dead]\nendpoint = "{dead.metastudio.url}"\nrate = {RATE}\nprojects = ["another-project"]\n{keys}'
    )


def outage(_: Terms, due: int = 20_000, seconds: float = 120.0) -> str:
    """A long outage with 20,000 due: what it costs, and how soon the full pace is back."""
    with Fleet(settings=EARNEST, simulator=SLOW) as fleet:
        fleet.plant(*(f"job-{n:05d}" for n in range(due)))
        fleet.start_workers(3)
        fleet.metastudio.outage("503")
        fleet.ask(*(f"job-{n:05d}" for n in range(due)))
        fleet.wait(lambda: fleet.queries.gate().gate == "outage", "the gate is closed")
        before, began = [rss(worker.pid) for worker in fleet.workers], fleet.metastudio.stats()["total"]
        time.sleep(seconds)
        after, probes = [rss(worker.pid) for worker in fleet.workers], fleet.metastudio.stats()["total"] - began
        dead = fleet.queries.status().states
        fleet.metastudio.outage(None)
        fleet.wait(lambda: fleet.queries.gate().gate == "ok", "a probe found it well", 400)
        good = time.time()
        fleet.wait(lambda: fleet.settled() >= 60, "it goes on", 60)
        starts = [call["started_at"] for call in deletes(fleet) if call["effect"]]
        full = next(t for t in starts if sum(t <= s < t + 1 for s in starts) >= RATE - 1)
        return (
            f"{seconds:.0f} s of outage: {probes} calls, {dict(dead).get('dead', 0)} dead, worker memory "
            f"{max(b / a for a, b in zip(before, after, strict=True)):.2f} x, full pace {full - min(starts):.1f} s "
            f"after the first good probe (gate open since {time.time() - good:.0f} s)"
        )


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


FIGURES: dict[str, Callable[[Terms], str]] = {
    "limit": limit,
    "person": person,
    "neighbours": neighbours,
    "outage": outage,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", choices=[*FIGURES, []])
    parser.add_argument("--related", type=Related, default=Related.LEAVE, choices=list(Related))
    parser.add_argument("--voice", action="store_true")
    parser.add_argument("--latency", type=float, default=0.05)
    options = parser.parse_args()
    latency = ("--latency", str(options.latency), "--jitter", "0.02" if options.latency else "0")
    for name in options.figures or FIGURES:
        print(f"{name:<11} {FIGURES[name](Terms(options.related, (*LIMITED, *latency), options.voice))}", flush=True)


if __name__ == "__main__":
    main()
