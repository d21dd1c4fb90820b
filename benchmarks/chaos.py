"""The campaign: thousands of deletions while everything around them is killed, frozen, cut off, filled up and skewed.

    python -m benchmarks.chaos [--deletions 10000] [--kills 300] [--seed N]
    python -m benchmarks.chaos --related [the same]: see `benchmarks.leftovers`
    python -m benchmarks.chaos --sentinel [--kills 20] [--seed N]: see `benchmarks.failovers`, as for --address
    python -m benchmarks.chaos --cluster [--kills 12] [--moves 6] [--seed N]: see `benchmarks.clusters`

Beside it operators cancel and hold what waits, and keep what was acknowledged. Redis fails over to a replica and back,
MetaStudio has brownouts (empty lists, 500 for all else), and a NAT on the way to it forgets idle connections. At the
end `benchmarks.reckoning` reads the ledger, MetaStudio's own log of calls and its inventory, and counts.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections import Counter

from benchmarks import clusters, failovers
from benchmarks.campaign import SETTINGS, Campaign, socket_of
from benchmarks.leftovers import Leftovers, fleet_of_leftovers
from benchmarks.nat import BehindNat
from benchmarks.reckoning import end_of
from tests.acceptance.judge import everything
from tests.acceptance.test_failover import replica_of
from tests.support.between import Between

SIMULATOR = ("--latency", "0.02", "--jitter", "0.02")


def print_reckoning(found: dict[str, list[str]], campaign: Campaign) -> None:
    """The table of the README."""
    fleet, stats = campaign.fleet, campaign.fleet.metastudio.stats()
    print(f"events: {dict(campaign.events)}; operators: {dict(campaign.operators.results)}")
    print(f"ends: {dict(Counter(map(end_of, everything(fleet).values())))}, of {len(campaign.accepted)} accepted")
    print(f"DELETE calls {stats['by_operation'].get('delete')}, effects {stats['effects']}, ", end="")
    print(f"jobs whose call was frozen {len(campaign.frozen)}, acknowledged words {len(campaign.operators.words)}")
    for what, jobs in found.items():
        print(f"{len(jobs):>5}  {what}" + (f": {jobs[:5]}" if jobs else ""))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deletions", type=int, default=10_000)
    parser.add_argument("--kills", type=int, help="300; with --sentinel 20, with --cluster 12")
    parser.add_argument("--rate", default="60", help="DELETEs a second; from some 200 on leases are taken ahead")
    parser.add_argument("--cluster", action="store_true", help="only kills and moved slots of a Redis Cluster")
    parser.add_argument("--moves", type=int, default=6, help="with --cluster")
    parser.add_argument("--sentinel", action="store_true", help="only failovers, behind Sentinels")
    parser.add_argument("--address", action="store_true", help="only planned failovers, behind one address")
    parser.add_argument("--usual", action="store_true", help="with --sentinel: the periods of production")
    for name, number in (("plans", 4), ("partitions", 3), ("replicas", 0)):
        parser.add_argument(f"--{name}", type=int, default=number, help="with --sentinel, --address")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--related", action="store_true", help="what the jobs leave behind is verified and deleted")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.kills is None:
        options.kills = 20 if options.sentinel else 12 if options.cluster else 300
    print(f"{options.deletions} deletions, {options.kills} kills, seed {options.seed}, pid {os.getpid()}", flush=True)
    if options.cluster:
        return clusters.campaign(options.kills, options.moves, options.seed)
    if options.sentinel or options.address:
        acts = (0, options.plans, 0) if options.address else (options.kills, options.plans, options.partitions)
        how = {"address": options.address, "usual": options.usual}
        return failovers.campaign(acts, replicas=options.replicas, seed=options.seed, **how)
    began = time.monotonic()
    kind, fleet_of = (Leftovers, fleet_of_leftovers) if options.related else (Campaign, BehindNat)
    settings = SETTINGS | {"ERASER_RATE": options.rate}
    with Between(0) as way, fleet_of(settings=settings | {"ERASER_REDIS_URL": way.url}, simulator=SIMULATOR) as fleet:
        way.server = socket_of(fleet)
        with replica_of(fleet) as (other, own, _):
            numbers = options.deletions, options.kills
            campaign = kind(fleet, way, other, own, numbers, random.Random(options.seed))
            try:
                campaign.run()
            finally:
                campaign.done.set()
            found = campaign.reckon()
            print_reckoning(found, campaign)
            print(f"took {time.monotonic() - began:.0f} s")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
