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

JOBS, MORE = [f"job-{n:03d}" for n in range(400)], [f"more-{n:03d}" for n in range(200)]
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


def test_a_primary_that_is_killed_replaced_or_cut_off_ends_no_process_and_loses_nothing(servers: SentinelSet) -> None:
    url = f"{servers.url}?sentinel_password={SENTINELS_PASSWORD}"
    with Fleet(settings=BUSY | {"ERASER_REDIS_URL": url}, simulator=LATENCY) as fleet:
        fleet.plant(*JOBS, *MORE, "late", BYSTANDER)
        workers = fleet.start_workers(2)
        beat = fleet.start("beat", fleet.celery("beat", "-s", str(fleet.directory / "beat")))
        fleet.ask(*JOBS)
        fleet.wait_until_settled(50)
        old = servers.primary()
        pause_until_copied(old, *servers.replicas())
        old.kill()
        servers.wait_for_another(old)
        _work_goes_on(fleet, "the new primary took writes")
        assert fleet.command("status").returncode == 0

        old.start()
        servers.wait_until_complete()
        replaced = servers.primary()
        if servers.is_valkey_9():  # the servers see to it themselves
            assert servers.fail_over("COORDINATED") is old
        else:
            pause_until_copied(replaced, old)
            assert servers.fail_over() is old
        _work_goes_on(fleet, "a planned failover")

        replaced.client().client_unpause()
        servers.wait_until_complete()
        fleet.ask(*MORE)
        pause_until_copied(old, replaced)  # and nobody can tell it later that it was replaced
        servers.cut_off(old)
        servers.wait_for_another(old)
        fleet.producer().send_task("eraser.delete", args=[DEMO_PROJECT, "late"], queue="eraser")
        _work_goes_on(fleet, "another took the place of one that was cut off")
        fleet.wait_until_settled(len(JOBS) + len(MORE) + 1)
        judge(fleet, [*JOBS, *MORE, "late"], frozen=[*JOBS, *MORE])
        ended = [process for process in (*workers, beat) if not process.alive]
        assert not ended, [_tail(process) for process in ended]
        assert fleet.metastudio.job_ids() == [BYSTANDER]


def _work_goes_on(fleet: Fleet, after: str) -> None:
    there, back = _done(fleet), time.monotonic()
    fleet.wait(lambda: _done(fleet) > there, "work goes on")
    tell(f"went on {time.monotonic() - back:.1f} s after {after}")


def _done(fleet: Fleet) -> int:
    """Jobs that are gone at MetaStudio: it answers while Redis does not."""
    return int(fleet.metastudio.stats()["effects"])


def _tail(process: Process) -> str:
    return process.text[-2000:]
