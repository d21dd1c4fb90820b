"""How many commands a deletion costs Redis: each one that is added to a turn is paid for each deletion."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import redis

from tests.support.ledgers import POLICY, Bench
from worker.ledger.types import KindPace, Lease, Settlement

KINDS = tuple(KindPace(kind, f"{kind}s", 100.0, f"{kind}s", 100.0) for kind in ("asset", "voice"))
EACH = 40
NOT_OURS = ("info", "config|resetstat", "set", "get")  # of the test and its clock, which stands for TIME


def commands(client: redis.Redis) -> dict[str, int]:
    """Of all since the last look, those of scripts included."""
    found = {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in client.info("commandstats").items()}
    client.config_resetstat()
    return {name: calls for name, calls in found.items() if name not in NOT_OURS}


class Fleet(Bench):
    """Executors of one process, and the leases that are there for them."""

    ahead: tuple[Lease, ...] = ()


def next_lease(bench: Fleet, settlement: Settlement | None, **more: Any) -> Lease:
    """As an executor does it: where it has to wait, it asks again."""
    while (turn := bench.turn(settlement, policy_text=None, **more)).lease is None:
        assert turn.wait_s is not None
        bench.pass_time(turn.wait_s + 0.001)
        settlement, more = None, {}
    bench.ahead += turn.ahead
    return turn.lease


def settled(bench: Bench, lease: Lease) -> Settlement:
    return bench.settlement(lease, call_seq=lease.call_seq, departed_ms=1.0)


# without TIME; 100 ms: a call ends between two slots, and while people ask a turn settles it, and another one leases
@pytest.mark.parametrize(("interval_ms", "people", "at_most"), [(1.0, 0, 24.5), (100.0, 0, 24.5), (100.0, 1, 39.5)])
def test_a_deletion_costs_no_more_commands_than_so_many(
    client: redis.Redis, interval_ms: float, people: int, at_most: float
) -> None:
    bench = Fleet(client, replace(POLICY, interval=interval_ms, kinds=KINDS))
    bench.open()
    if people:
        client.hset(bench.p + "gate", "person_at", str(bench.now))
    bench.request(*(f"job-{n:02d}" for n in range(EACH + 10)))
    lease = next_lease(bench, None)
    for _ in range(5):
        lease = next_lease(bench, settled(bench, lease))
    commands(client)
    for _ in range(EACH):
        bench.pass_time(lease.ahead_s + 0.05)
        lease = next_lease(bench, settled(bench, lease))
    each = {name: calls / EACH for name, calls in commands(client).items()}
    total = sum(each.values())
    assert total <= at_most, (total, each)


def test_what_a_take_does_for_several_executors_costs_less(client: redis.Redis) -> None:
    bench = Fleet(client, replace(POLICY, interval=1.0, kinds=KINDS))
    bench.open()
    client.hset(bench.p + "gate", "call_ms", "50")
    bench.request(*(f"job-{n:02d}" for n in range(EACH + 50)))
    done, lease = 0, next_lease(bench, None)
    commands(client)
    while done < EACH:
        bench.pass_time(0.05)
        earlier, bench.ahead = [settled(bench, one) for one in bench.ahead], ()
        lease = next_lease(bench, settled(bench, lease), earlier=earlier, ahead=4)
        done += 1 + len(earlier)
    each = {name: calls / done for name, calls in commands(client).items()}
    total = sum(each.values())

    assert total <= 15.3, (total, each)
