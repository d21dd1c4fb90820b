"""The ledger in a Redis Cluster: what happens to one server concerns the accounts that lie there, and no others."""

from __future__ import annotations

import contextlib
import itertools
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.acceptance.fleet import IMPATIENT, Fleet, tell
from tests.acceptance.judge import no_calls_overlapped
from tests.support.redis_servers import HOST, PASSWORD, ClusterSet
from tests.support.tls_front import TlsFront
from tests.support.waiting import wait_until
from worker.ledger.keys import OURS
from worker.model.states import State

RATE = 25
JOBS = 300  # of each account: twelve seconds' work
LONGEST_GAP_S = 2.0  # between two calls of one account: of a busy machine; on an idle one it is some slots


@pytest.fixture
def cluster() -> Iterator[ClusterSet]:
    with ClusterSet() as every:
        yield every


def accounts_of_servers(cluster: ClusterSet) -> list[str]:
    """One account of each server."""
    found = {cluster.owner(OURS.account(name)): name for name in (f"a{n}" for n in range(40))}
    return [*found.values()]


def accounts_of(cluster: ClusterSet) -> list[str]:
    """One account of each server, the first where the hints of all accounts are; and another one of the last."""
    where = {name: cluster.owner(OURS.account(name)) for name in (f"a{n}" for n in range(40))}
    found = {server: name for name, server in where.items()}
    names = [found.pop(cluster.owner(OURS.wakeups)), *found.values()]
    return [*names, next(name for name, server in where.items() if server is where[names[-1]] and name not in names)]


def test_a_killed_primary_and_a_slot_that_moves_stop_their_own_accounts_only(cluster: ClusterSet) -> None:
    *names, quiet = accounts_of(cluster)
    projects = {name: f"project{n}0id" for n, name in enumerate([*names, quiet])}
    config = "\n".join(f'[accounts.{name}]\nprojects = ["{id_}"]\nrate = {RATE}' for name, id_ in projects.items())
    words = [word for id_ in projects.values() for word in ("--project", id_)]
    settings = IMPATIENT | {"ERASER_RATE": None, "ERASER_REDIS_URL": cluster.url, "HUAWEICLOUD_SDK_PROJECT_ID": None}
    fleet = Fleet(settings=settings, config=config, account=names[0], simulator=(*words, "--latency", "0.03"))
    fleet.change(ERASER_BROKER_URL=fleet.redis_server.url)
    with fleet:
        for name in names:
            fleet.plant(*(f"{name}-{n:03d}" for n in range(JOBS)), project=projects[name])
            fleet.ask(*(f"{name}-{n:03d}" for n in range(JOBS)), project=projects[name])
        fleet.plant("early", "late", "never", project=projects[quiet])
        fleet.ask("early", project=projects[quiet])
        workers = fleet.start_workers(2)
        moved_before: dict[str, int] = {}

        def done(name: str) -> int:
            """By MetaStudio: it answers while Redis does not."""
            return sum(call["project"] == projects[name] and bool(call["effect"]) for call in fleet.metastudio.calls())

        def goes_on(*some: str, by: int) -> None:
            fleet.wait(lambda: all(done(name) >= moved_before[name] + by for name in some), f"{some} go on")

        def look() -> None:
            moved_before.update({name: done(name) for name in names})

        look()
        goes_on(*names, by=25)
        fleet.wait(lambda: done(quiet) == 1, "the quiet one has nothing left")
        killed = cluster.owner(OURS.account(names[0]))
        killed.kill()
        look()
        fleet.ask("late", project=projects[quiet])
        fleet.wait(lambda: done(quiet) == 2, "who is woken by nobody is found all the same", 30.0)
        goes_on(*names[1:], by=50)
        killed.start()
        cluster.wait_until_complete()
        look()
        goes_on(*names, by=10)

        moves, to = names[1], cluster.owner(OURS.account(names[2]))
        with cluster.moving(OURS.account(moves), to) as carry:
            carry(20)
            look()
            goes_on(names[0], names[2], by=40)
            stood = done(moves) - moved_before[moves]
        tell(f"{stood} calls of the account whose slot moved were still under way, or answered, when it began")
        assert stood <= 2 * RATE, "it waits"
        assert cluster.owner(OURS.account(moves)) is to

        for name in names:
            fleet.wait(
                lambda name=name: fleet.app.queries(name).status().states[State.DELETED] == JOBS,  # type: ignore[misc]
                f"everything of {name} is deleted",
            )
        calls = fleet.metastudio.calls()
        no_calls_overlapped(calls)
        gaps = {name: longest_gap_s(calls, projects[name]) for name in names}
        tell(f"the longest gap between two calls: {gaps}; {names[0]}'s server was killed, {moves}'s slot moved")
        assert gaps[names[2]] < LONGEST_GAP_S
        assert all(worker.alive for worker in workers)


def longest_gap_s(calls: list[dict[str, Any]], project: str) -> float:
    starts = sorted(call["started"] for call in calls if call["project"] == project and call["operation"] == "delete")
    return max(after - before for before, after in itertools.pairwise(starts))


def test_a_cluster_is_reached_by_tls_and_with_a_password_only(cluster: ClusterSet, tmp_path: Path) -> None:
    """Each server announces the port where TLS is spoken for it, as behind stunnel."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(HOST).configure_cert(context)
    authority.cert_pem.write_to_path(bundle := tmp_path / "ca.pem")
    trustme.CA().cert_pem.write_to_path(other := tmp_path / "other.pem")
    names = accounts_of_servers(cluster)
    with contextlib.ExitStack() as stack:
        fronts = [stack.enter_context(TlsFront(server.port, context)) for server in cluster.servers]
        for server, front in zip(cluster.servers, fronts, strict=True):
            with server.client() as client:
                client.config_set("cluster-announce-bus-port", server.port + 10_000)
                client.config_set("cluster-announce-port", front.port)
        wait_until(
            lambda: all(
                f"{HOST}:{front.port}" in str(cluster.command(server, "NODES"))
                for server in cluster.servers
                for front in fronts
            ),
            what="each server names the ports of all fronts",
            every=0.1,
        )

        def url(password: str, ca: Path) -> str:
            return f"redis+cluster://:{password}@{HOST}:{fronts[0].port}?ssl=true&ssl_ca_certs={ca}"

        config = "\n".join(f'[accounts.{name}]\nprojects = ["{name}project"]\nrate = {RATE}' for name in names)
        words = [word for name in names for word in ("--project", f"{name}project")]
        settings = {"ERASER_RATE": None, "ERASER_REDIS_URL": url(PASSWORD, bundle), "HUAWEICLOUD_SDK_PROJECT_ID": None}
        fleet = Fleet(settings=settings, config=config, account=names[0], simulator=words)
        fleet.change(ERASER_BROKER_URL=fleet.redis_server.url)
        with fleet:
            for name in names:
                jobs = fleet.plant(*(f"{name}-{n}" for n in range(10)), project=f"{name}project")
                fleet.ask(*jobs, project=f"{name}project")
            fleet.start_workers(1)
            for name in names:
                fleet.wait(
                    lambda name=name: fleet.app.queries(name).status().states[State.DELETED] == 10,  # type: ignore[misc]
                    f"everything of {name} is deleted",
                )
            assert all(front.served for front in fronts), "each server was reached by TLS"
            checks = {}
            for line in fleet.command("doctor", "--offline", "--json").stdout.splitlines():
                checks[json.loads(line)["check"]] = json.loads(line)["verdict"]
            assert checks["redis"] == "ok"
            assert PASSWORD not in json.dumps(checks)
            for password, ca in ((PASSWORD, other), ("wrong", bundle)):
                done = fleet.command("status", env=fleet.env | {"ERASER_REDIS_URL": url(password, ca)})
                assert done.returncode == 4, done.stderr
                assert password == PASSWORD or password not in done.stderr
