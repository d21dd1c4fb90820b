"""What it costs in calls to find out what deleted jobs left behind.

    python -m benchmarks.looks [--jobs 1000] [--voices 60] [--looks 2]

A sweep of jobs that leave a model asset (or, with a voice, three parts) is deleted with `related=verify`; the simulated
MetaStudio counts its calls: those before the DELETEs, and those of the looks after them.
"""

from __future__ import annotations

import argparse
from collections import Counter

from tests.acceptance.fleet import Fleet
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

FIRST_S, BETWEEN_S = 30, 15  # the looks begin when the sweep is over, as they do after the minute of production


def calls_of(jobs: int, looks: int, *, voice: bool) -> str:
    """Delete so many jobs, look so many times, and count."""
    names = [f"job-{n:05d}" for n in range(jobs)]
    schedule = ",".join(f"{FIRST_S + n * BETWEEN_S}s" for n in range(looks))
    settings = {"ERASER_RELATED": "verify", "ERASER_RELATED_SCHEDULE": schedule}
    with Fleet(settings=settings, simulator=("--latency", "0.005")) as fleet:
        fleet.metastudio.add_avatars({"job_id": name, "voice": voice} for name in names)
        fleet.start_workers(1)
        fleet.ask(*names)
        fleet.wait_until_settled(jobs)
        before = counted(fleet)
        refs = [Target(DEMO_PROJECT, name) for name in names]
        fleet.wait(lambda: all((found := fleet.queries.erasure(ref)) and found.closed for ref in refs), "the last look")
        after = counted(fleet) - before
    lookups = ", ".join(f"{what} {count / jobs:.3f}" for what, count in sorted(before.items()))
    looked = ", ".join(f"{what} {count / jobs / looks:.3f}" for what, count in sorted(after.items()))
    return f"{jobs} jobs, {looks} looks: until the DELETE {lookups} a job; after it {looked} a job and look"


def counted(fleet: Fleet) -> Counter[str]:
    """Calls by kind and operation."""
    return Counter(f"{call['kind']} {call['operation']}" for call in fleet.metastudio.calls())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--voices", type=int, default=60)
    parser.add_argument("--looks", type=int, default=2)
    options = parser.parse_args()
    print("model assets:", calls_of(options.jobs, options.looks, voice=False), flush=True)
    print("with voices: ", calls_of(options.voices, options.looks, voice=True), flush=True)


if __name__ == "__main__":
    main()
