"""What ERASER_REDIS_REPLICAS=1 costs whoever requests: single requests, one after the other and from many threads.

    python -m benchmarks.replicas [--requests 4000]

A primary with one replica under Sentinels, all on this machine, so the way to the replica takes no time: a real one's
round trip comes on top. Without and with it in turn, three times; the table has what all rounds together gave.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

from tests.support.ledgers import POLICY
from tests.support.redis_servers import SentinelSet
from worker.ledger.confirmation import Confirmation
from worker.ledger.connection import connect
from worker.ledger.deletions import Ledger
from worker.ledger.types import DeletionRequest
from worker.model.target import Target

ROUNDS, THREADS = 3, 16


def one(ledger: Ledger, job: str) -> float:
    """Milliseconds of one request."""
    began = time.perf_counter()
    ledger.request([Target("p", job)], DeletionRequest())
    return (time.perf_counter() - began) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=4000, help="of each row")
    each = parser.parse_args().requests // ROUNDS
    taken: dict[int | None, list[float]] = {None: [], 1: []}
    spent = dict.fromkeys(taken, 0.0)
    with SentinelSet() as servers, connect(servers.url) as client, ThreadPoolExecutor(THREADS) as threads:
        for n in range(ROUNDS):
            for value, times in taken.items():
                confirmation = None if value is None else Confirmation(value)
                ledger = Ledger(client, f"account-{value}", POLICY, confirmation=confirmation)
                times += [one(ledger, f"alone-{n}-{m}") for m in range(each)]
                began = time.perf_counter()
                list(threads.map(lambda m, to=ledger, n=n: one(to, f"beside-{n}-{m}"), range(each)))
                spent[value] += time.perf_counter() - began
    print(
        f"| ERASER_REDIS_REPLICAS | one request: p50, p99, longest ms | {THREADS} threads: requests/s |\n|---|---|---|"
    )
    for value, times in taken.items():
        times.sort()
        shown = ", ".join(f"{times[at]:.2f}" for at in (len(times) // 2, len(times) * 99 // 100, -1))
        print(f"| {'not set' if value is None else value} | {shown} | {ROUNDS * each / spent[value]:,.0f} |")


if __name__ == "__main__":
    main()
