"""Ledger and broker behind Sentinels: whichever server they name is followed, by everybody."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.acceptance.fleet import BYSTANDER, IMPATIENT, PATIENCE_S, Fleet, Process, tell
from tests.acceptance.judge import judge
from tests.support.redis_servers import SentinelSet, Server
from tests.support.waiting import wait_until
from worker.simulator import DEMO_PROJECT

JOBS = [f"job-{n:03d}" for n in range(500)]
BUSY = IMPATIENT | {"ERASER_RATE": "60"}
LATENCY = ("--latency", "0.03", "--jitter", "0.05")
SENTINELS_PASSWORD = "only-the-sentinels"


@pytest.fixture
def servers() -> Iterator[SentinelSet]:
    with SentinelSet(sentinel_password=SENTINELS_PASSWORD) as every:
        yield every


def pause_until_copied(primary: Server, replica: Server) -> None:
    """The primary takes no writes, and its replica has all of them: what a failover loses is Redis's affair."""
    with primary.client() as client:
        client.client_pause(int(PATIENCE_S * 1000), all=False)
    wait_until(
        lambda: primary.info()["master_repl_offset"] == replica.info()["slave_repl_offset"],
        what="the replica has everything",
    )


def test_a_killed_primary_and_a_planned_failover_end_no_process_and_lose_nothing(servers: SentinelSet) -> None:
    url = f"{servers.url}?sentinel_password={SENTINELS_PASSWORD}"
    with Fleet(settings=BUSY | {"ERASER_REDIS_URL": url}, simulator=LATENCY) as fleet:
        fleet.plant(*JOBS, "late", BYSTANDER)
        workers = fleet.start_workers(2)
        beat = fleet.start("beat", fleet.celery("beat", "-s", str(fleet.directory / "beat")))
        fleet.ask(*JOBS)
        fleet.wait_until_settled(50)
        old = servers.primary()
        pause_until_copied(old, *servers.replicas())
        old.kill()
        servers.wait_for_another(old)
        there, back = _done(fleet), time.monotonic()
        fleet.wait(lambda: _done(fleet) > there, "work goes on")
        tell(f"went on {time.monotonic() - back:.1f} s after the new primary took writes")
        assert fleet.command("status").returncode == 0

        old.start()
        servers.wait_until_complete()
        pause_until_copied(servers.primary(), old)
        assert servers.fail_over() is old
        there, back = _done(fleet), time.monotonic()
        fleet.wait(lambda: _done(fleet) > there, "work goes on again")
        tell(f"went on {time.monotonic() - back:.1f} s after a planned failover")
        fleet.producer().send_task("eraser.delete", args=[DEMO_PROJECT, "late"], queue="eraser")
        fleet.wait_until_settled(len(JOBS) + 1)
        judge(fleet, [*JOBS, "late"], frozen=JOBS)
        ended = [process for process in (*workers, beat) if not process.alive]
        assert not ended, [_tail(process) for process in ended]
        assert fleet.metastudio.job_ids() == [BYSTANDER]


def _done(fleet: Fleet) -> int:
    """Jobs that are gone at MetaStudio: it answers while Redis does not."""
    return int(fleet.metastudio.stats()["effects"])


def _tail(process: Process) -> str:
    return process.text[-2000:]
