"""Redis fails over under load: no process ends, nothing is lost, and work goes on when the new primary answers."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import Any

import redis
from celery import Celery

from tests.acceptance.fleet import BYSTANDER, IMPATIENT, PATIENCE_S, Fleet, tell
from tests.acceptance.judge import judge
from tests.acceptance.test_kills import is_away
from tests.support.between import Between
from tests.support.waiting import wait_until
from worker.local.embedded import EmbeddedRedis
from worker.model.errors import Unreachable
from worker.simulator import DEMO_PROJECT

JOBS = [f"job-{n:03d}" for n in range(600)]
BUSY = IMPATIENT | {"ERASER_RATE": "60"}
LATENCY = ("--latency", "0.03", "--jitter", "0.05")


def server_of(fleet: Fleet) -> redis.Redis:
    """The fleet's own server, whatever lies between."""
    return redis.Redis.from_url(fleet.redis_server.url, socket_timeout=PATIENCE_S)


def listen(client: redis.Redis) -> int:
    """Let a server be reached by TCP, on loopback only. Returns its port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    client.config_set("bind", "127.0.0.1")
    client.config_set("port", port)
    return port


@contextlib.contextmanager
def replica_of(fleet: Fleet) -> Iterator[tuple[redis.Redis, int, int]]:
    """A second server that follows the fleet's: its client, its port, and the port of the fleet's own."""
    with EmbeddedRedis(fleet.directory / "replica") as server:
        settings: Any = server_of(fleet).config_get("port")
        port = int(settings["port"]) or listen(server_of(fleet))
        client = redis.Redis.from_url(server.url, socket_timeout=PATIENCE_S)
        own = listen(client)
        client.replicaof("127.0.0.1", str(port))
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", PATIENCE_S, "the replica is up")  # type: ignore[index]
        yield client, own, port
        client.close()


def promote(client: redis.Redis) -> None:
    client.replicaof("NO", "ONE")


def follow(client: redis.Redis, port: int) -> None:
    client.replicaof("127.0.0.1", str(port))


def hand_over(old: redis.Redis, new: redis.Redis, port: int) -> None:
    """As docs/redis.md says, with writes paused: what a failover without that loses is Redis's affair."""
    old.client_pause(int(PATIENCE_S * 1000), all=False)

    def has_all() -> bool:
        before, after = (server.info("replication")["master_repl_offset"] for server in (old, new))  # type: ignore[index]
        return bool(before == after)

    wait_until(has_all, what="the replica has everything")
    promote(new)
    follow(old, port)
    old.client_unpause()


def test_a_replica_of_for_some_seconds_ends_no_worker_and_work_goes_on() -> None:
    with Fleet(settings=BUSY, simulator=LATENCY) as fleet, replica_of(fleet) as (other, own, _):
        fleet.plant(*JOBS, "late", BYSTANDER)
        workers = fleet.start_workers(2)
        fleet.ask(*JOBS)
        fleet.wait_until_settled(50)
        hand_over(server_of(fleet), other, own)
        fleet.wait(lambda: all(map(is_away, workers)), "every dispatcher is told that nothing can be written")
        fleet.wait(lambda: all("broker.refuses" in worker.text for worker in workers), "every consumer too")
        there = fleet.settled()
        promote(server_of(fleet))
        back = time.monotonic()
        fleet.wait(lambda: fleet.settled() > there, "work goes on")
        tell(f"went on {time.monotonic() - back:.1f} s after the primary took writes again")
        fleet.producer().send_task("eraser.delete", args=[DEMO_PROJECT, "late"], queue="eraser")
        fleet.wait_until_settled(len(JOBS) + 1)
        judge(fleet, [*JOBS, "late"], frozen=JOBS)
        assert all(worker.alive for worker in workers)
        assert not any("Unrecoverable" in worker.text for worker in workers)
        assert fleet.metastudio.job_ids() == [BYSTANDER]


def test_an_address_that_leads_to_another_primary_is_followed() -> None:
    """The old one answers on, as a replica, whoever keeps a connection to it."""
    with Between(0) as between, Fleet(settings=BUSY | {"ERASER_REDIS_URL": between.url}, simulator=LATENCY) as fleet:
        between.server = listen(server_of(fleet))
        with replica_of(fleet) as (other, own, _):
            fleet.plant(*JOBS, "late", BYSTANDER)
            workers = fleet.start_workers(2)
            fleet.ask(*JOBS)
            fleet.wait_until_settled(50)
            between.server = own
            hand_over(server_of(fleet), other, own)
            promoted = time.monotonic()
            there = fleet.settled()
            fleet.wait(lambda: fleet.settled() > there + 20, "work goes on")
            tell(f"went on {time.monotonic() - promoted:.1f} s after the other one took writes")
            producer = Celery("somebody-elses", broker=between.url, set_as_current=False)
            producer.send_task("eraser.delete", args=[DEMO_PROJECT, "late"], queue="eraser")
            fleet.wait_until_settled(len(JOBS) + 1)
            judge(fleet, [*JOBS, "late"], frozen=JOBS)
            assert all(worker.alive for worker in workers)
            assert fleet.metastudio.job_ids() == [BYSTANDER]


REFUSALS = (
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "NOREPLICAS Not enough good replicas to write.",
    "CLUSTERDOWN Hash slot not served",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "NOAUTH Authentication required.",
    "NOPERM User default has no permissions to run the 'evalsha' command",
    "ERR unknown command 'EVALSHA', with args beginning with: ",
    "ERR max number of clients reached",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
)


def test_whatever_redis_refuses_ends_no_process_and_nothing_is_lost() -> None:
    with Between(0) as between, Fleet(settings=BUSY | {"ERASER_REDIS_URL": between.url}, simulator=LATENCY) as fleet:
        between.server = listen(server_of(fleet))
        (worker,) = fleet.start_workers(1)
        beat = fleet.start("beat", fleet.celery("beat", "-s", str(fleet.directory / "beat")))
        requested: list[str] = []
        for n, refusal in enumerate(REFUSALS):
            fleet.wait(lambda: not is_away(worker), "the dispatcher has found Redis")
            batch = fleet.plant(*(f"job-{n:02d}-{m:02d}" for m in range(40)))
            fleet.ask(*batch)
            requested += batch
            fleet.wait_until_settled(len(requested) - 20)
            between.refuse(refusal)
            fleet.wait(lambda: is_away(worker), f"the dispatcher misses Redis: {refusal}")
            before = between.refused
            fleet.wait(lambda before=before: between.refused > before + 20, "everybody who asks is refused")  # type: ignore[misc]
            assert worker.alive, refusal
            if n % 3 == 0:
                between.break_off()
            between.refuse(None)
            back = time.monotonic()
            fleet.wait_until_settled(len(requested))
            tell(f"done {time.monotonic() - back:.1f} s after {refusal.split()[0]}")
        fleet.plant("last", BYSTANDER)
        between_us = Celery("somebody-elses", broker=between.url, set_as_current=False)
        between_us.send_task("eraser.delete", args=[DEMO_PROJECT, "last"], queue="eraser")
        fleet.wait_until_settled(len(requested) + 1)
        judge(fleet, [*requested, "last"])
        assert worker.alive
        assert beat.alive
        assert "Unrecoverable" not in worker.text
        assert len(fleet.metastudio.effects()) == len(requested) + 1


def test_a_paused_redis_and_killed_connections_cost_nothing_but_time() -> None:
    with Fleet(settings=BUSY, simulator=LATENCY) as fleet:
        fleet.plant(*JOBS[:300], BYSTANDER)
        workers = fleet.start_workers(2)
        fleet.ask(*JOBS[:300])
        for n in range(50, 300, 50):
            fleet.wait(lambda n=n: fleet.metastudio.stats()["effects"] >= n, f"{n} are deleted")  # type: ignore[misc]
            fleet.client.client_kill_filter(_type="normal", skipme=True)
            fleet.client.client_pause(7000, all=n % 100 == 0)  # longer than any timeout of ours; or writes only

        def settled() -> bool:
            try:
                return fleet.settled() >= 300
            except Unreachable:  # whoever asks is paused too
                return False

        fleet.wait(settled, "300 deletions are settled")
        judge(fleet, JOBS[:300])
        assert all(worker.alive for worker in workers)
        assert len(fleet.metastudio.effects()) == 300
