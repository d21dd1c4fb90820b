"""Workers and Redis are killed with -9 at random moments under load, and nothing that was accepted is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count

from tests.acceptance.fleet import BYSTANDER, IMPATIENT, LEASE_S, PATIENCE_S, Fleet, Process, seeded, tell
from tests.acceptance.judge import judge
from worker.model.errors import Unreachable
from worker.model.states import Evidence, State

KILLS = 20
BACKLOG = 300  # more than the workers do while one comes back
RESCUED_WITHIN_S = 90.0  # of the last lease's end
BUSY = IMPATIENT | {"ERASER_RATE": "120"}
LATENCY = ("--latency", "0.03", "--jitter", "0.05")
SILENT = timedelta(seconds=15)  # a consumer that has no connection says so every three


def is_away(worker: Process) -> bool:
    """Whether the worker's dispatcher has missed Redis and not found it again."""
    return worker.text.rfind("redis.away") > worker.text.rfind("redis.back")


def works_again(worker: Process) -> bool:
    """Whether the worker found Redis, its consumer too, and has deleted something since then."""
    before, _, since = worker.text.rpartition("consumer: Cannot connect")
    connected = since.partition("Connected to")[2]
    if before and not connected:  # it met the end of a connection in a later step, which connects without a word
        last = datetime.fromisoformat(before.rpartition('"time": "')[2].partition('"')[0])
        connected = since if datetime.now(UTC) - last > SILENT else ""
    return not is_away(worker) and "deletion.deleted" in connected


def test_twenty_killed_workers_lose_nothing_and_delete_nothing_twice() -> None:
    chance = seeded("twenty kills")
    jobs = [f"job-{n:04d}" for n in range(3_000)]
    with Fleet(
        settings=BUSY | {"ERASER_RATE": "500"}, simulator=LATENCY
    ) as fleet:  # so close that leases are taken ahead
        fleet.plant(*jobs, BYSTANDER)
        crew = fleet.start_workers(3)
        fleet.ask(*jobs)
        for threshold in sorted(chance.sample(range(20, 2_900), KILLS)):
            fleet.wait_until_settled(threshold)
            victim = chance.choice(crew)
            victim.kill()
            crew[crew.index(victim)] = fleet.start_worker()
        killed = time.monotonic()
        fleet.wait_until_settled(len(jobs), timeout=LEASE_S + RESCUED_WITHIN_S)
        tell(f"settled {time.monotonic() - killed:.1f} s after the last of {KILLS} kills")

        deletions = judge(fleet, jobs)
        ends = Counter((d.state, d.evidence) for d in deletions.values())
        tell(str(ends))
        assert set(ends) <= {(State.DELETED, None), (State.GONE, Evidence.AFTER_OUR_CALL)}
        assert len(fleet.metastudio.effects()) == len(jobs)
        assert fleet.metastudio.job_ids() == [BYSTANDER]


def test_four_killed_redis_servers_lose_nothing_that_was_accepted() -> None:
    chance = seeded("four dead Redis")
    accepted: list[str] = []
    enough = threading.Event()
    with Fleet(settings=BUSY, simulator=LATENCY) as fleet:
        fleet.plant(BYSTANDER)
        fleet.start_workers(2)

        def produce() -> None:
            """Somebody asks all the while, a few at a time, and asks again where nothing was promised: until the end
            there is work for whoever comes back last."""
            for n in count():
                batch = fleet.plant(*(f"job-{n:04d}-{m:02d}" for m in range(20)))
                while not is_accepted(batch):
                    pass
                while len(accepted) - fleet.metastudio.stats()["effects"] > BACKLOG and not enough.is_set():
                    enough.wait(0.1)
                if enough.is_set():
                    return

        def is_accepted(batch: tuple[str, ...]) -> bool:
            try:
                fleet.ask(*batch)
            except Unreachable:
                return False
            accepted.extend(batch)
            return True

        producer = threading.Thread(target=produce, daemon=True)
        producer.start()
        try:
            for threshold in sorted(chance.sample(range(20, 1_000), 4)):
                fleet.wait_until_settled(threshold)
                fleet.kill_redis()
                fleet.wait(lambda: all(is_away(worker) for worker in fleet.workers), "every worker misses Redis")
                fleet.start_redis()
                back = time.monotonic()
                fleet.wait(lambda: all(works_again(worker) for worker in fleet.workers), "every worker goes on")
                tell(f"killed at {threshold} settled: all went on {time.monotonic() - back:.1f} s after the start")
        finally:
            enough.set()
            producer.join(PATIENCE_S)
        assert not producer.is_alive()
        tell(f"{len(accepted)} were accepted")
        fleet.wait_until_settled(len(accepted))

        deletions = judge(fleet, accepted)
        ends = Counter((d.state, d.evidence, d.cause) for d in deletions.values())
        tell(str(ends))
        assert set(ends) <= {(State.DELETED, None, None), (State.GONE, Evidence.AFTER_OUR_CALL, None)}
        assert len(fleet.metastudio.effects()) == len(accepted)
        assert all(worker.alive for worker in fleet.workers)
