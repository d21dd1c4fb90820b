"""What waits in a queue costs, and what a kill -9 costs it: ours beside plain Celery (acks_late) and Dramatiq.

Each way gets the same jobs. Three times its worker is killed in mid-run and started again; then it has `PATIENCE_S` to
finish. Not deleted: jobs that MetaStudio still has then. Twice: DELETEs beyond one a job, harmless but for their cost.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.figures import used_memory
from benchmarks.processes import rss

if TYPE_CHECKING:
    from benchmarks.cost import Bench, Row

KILLS = 3
KILLED_JOBS = 1_500
LATENCY_S = 0.05
PATIENCE_S = 180.0  # after the last kill; Celery's own visibility timeout is an hour


@dataclass(frozen=True, slots=True)
class Found:
    """Of one way."""

    accepted_per_s: float
    bytes_each: float
    rss: int
    lost: int
    doubled: int
    finished_s: float | None  # after the last kill; None: not within the patience

    def cells(self) -> str:
        done = f"{self.finished_s:.0f} s" if self.finished_s is not None else f"not in {PATIENCE_S:.0f} s"
        return (
            f" {self.accepted_per_s:,.0f} | {self.bytes_each:,.0f} | {self.rss / 1e6:.0f} MB | {self.lost} | "
            f"{self.doubled} | {done} |"
        )


def find(bench: Bench, row: Row, count: int) -> Found:
    """Fill its queue with `count` and look at it; then kill its workers at a smaller number."""
    bench.empty(count, LATENCY_S)
    before, began = used_memory(bench.fleet), time.monotonic()
    bench.fill_queue(row, count)
    took = time.monotonic() - began
    each = (used_memory(bench.fleet) - before) / count
    with _worker(bench, row, count) as worker:
        bench.fleet.wait(lambda: bench.deleted() > 100, f"{row.title} deletes")
        resident = rss(worker)
    bench.leave(row)
    lost, doubled, finished = kills(bench, row)
    return Found(count / took, each, resident, lost, doubled, finished)


def kills(bench: Bench, row: Row) -> tuple[int, int, float | None]:
    """Jobs lost, DELETEs beyond one a job, and seconds from the last kill to the end."""
    bench.empty(KILLED_JOBS, LATENCY_S)
    bench.fill_queue(row, KILLED_JOBS)
    for n in range(1, KILLS + 1):
        some = KILLED_JOBS * n // (KILLS + 2)
        with _worker(bench, row, KILLED_JOBS):
            bench.fleet.wait(lambda some=some: bench.deleted() >= some, f"{row.title} deletes")  # type: ignore[misc]
    killed, finished = time.monotonic(), None
    with _worker(bench, row, KILLED_JOBS):
        while finished is None and time.monotonic() < killed + PATIENCE_S:
            time.sleep(0.2)
            if bench.deleted() >= KILLED_JOBS:
                finished = time.monotonic() - killed
    stats = bench.fleet.metastudio.stats()
    bench.leave(row)
    return KILLED_JOBS - stats["effects"], stats["by_operation"]["delete"] - stats["effects"], finished


@contextlib.contextmanager
def _worker(bench: Bench, row: Row, jobs: int) -> Iterator[int]:
    process = bench.start(row, jobs)
    try:
        yield process.pid
    finally:
        bench.end(process)


def table(found: dict[str, Found], count: int) -> str:
    heads = (
        "accepted /s",
        "bytes of Redis each",
        "a worker with them",
        "not deleted",
        "DELETEs too many",
        "done after",
    )
    lines = [f"| {count:,} waiting; then 3 x kill -9 | {' | '.join(heads)} |", "|---|" + "---:|" * len(heads)]
    return "\n".join([*lines, *(f"| {title} |{one.cells()}" for title, one in found.items())])
