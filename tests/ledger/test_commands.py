"""How many commands a deletion costs Redis: each one that is added to a turn is paid for each deletion."""

from __future__ import annotations

from dataclasses import replace

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


def next_lease(bench: Bench, settlement: Settlement | None) -> Lease:
    """As an executor does it: where it has to wait, it asks again."""
    while (turn := bench.turn(settlement, policy_text=None)).lease is None:
        assert turn.wait_s is not None
        bench.pass_time(turn.wait_s + 0.001)
        settlement = None
    return turn.lease


@pytest.mark.parametrize(
    ("interval_ms", "at_most"),  # without TIME
    [
        (1.0, 24.5),  # one turn settles and leases
        (100.0, 39.5),  # two turns: after a call somebody waits for the next slot
    ],
)
def test_a_deletion_costs_no_more_commands_than_so_many(
    client: redis.Redis, interval_ms: float, at_most: float
) -> None:
    bench = Bench(client, replace(POLICY, interval=interval_ms, kinds=KINDS))
    bench.open()
    bench.request(*(f"job-{n:02d}" for n in range(EACH + 10)))
    lease = next_lease(bench, None)
    for _ in range(5):
        lease = next_lease(bench, bench.settlement(lease))
    commands(client)
    for _ in range(EACH):
        bench.pass_time(0.05)
        lease = next_lease(bench, bench.settlement(lease, call_seq=lease.call_seq, departed_ms=1.0))
    each = {name: calls / EACH for name, calls in commands(client).items()}
    total = sum(each.values())
    assert total <= at_most, (total, each)
