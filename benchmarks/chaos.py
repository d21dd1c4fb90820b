"""The campaign: thousands of deletions while everything around them is killed, frozen, cut off, filled up and skewed.

    python -m benchmarks.chaos [--deletions 10000] [--kills 300] [--seed N]

At the end the judge of the acceptance tests reads the ledger and MetaStudio's own log of calls: nothing that was
accepted may be lost, nothing deleted twice, nothing called deleted that was not; two calls of one job may only have
overlapped where a process was frozen.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.acceptance.fleet import LEASE_S, Fleet, Process
from tests.acceptance.judge import judge
from worker.deletion import State
from worker.errors import EraserError
from worker.ledger.moves import Ref

WORKERS = 3
SETTINGS = {"ERASER_RATE": "60", "ERASER_RETRY_SCHEDULE": ",".join(["0.2s", "0.4s"] + ["1s"] * 40)}
SIMULATOR = ("--latency", "0.02", "--jitter", "0.02")


class Cut:
    """A way to Redis that can be cut: a unix socket in front of the real one."""

    def __init__(self, directory: Path, target: str) -> None:
        self.path = directory / "cut.sock"
        self._target = target
        self._open: list[socket.socket] = []
        self._whole = threading.Event()
        self._whole.set()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(128)
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection breaks, and new ones break too."""
        self._whole.clear()
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._open.clear()

    def mend(self) -> None:
        self._whole.set()

    def _accept(self) -> None:
        while True:
            near, _ = self._listener.accept()
            far = socket.socket(socket.AF_UNIX)
            try:
                if not self._whole.is_set():
                    raise ConnectionError
                far.connect(self._target)
            except OSError:
                near.close()
                far.close()
                continue
            self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                sink.sendall(chunk)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


class Campaign:
    """One run. `log` tells each event."""

    def __init__(self, fleet: Fleet, deletions: int, kills: int, chance: random.Random) -> None:
        self.fleet = fleet
        self.jobs = [f"job-{n:05d}" for n in range(deletions)]
        self.kills = kills
        self.chance = chance
        self.accepted: list[str] = []
        self.done = threading.Event()
        self.events: Counter[str] = Counter()
        self.frozen: set[str] = set()
        self.cut = Cut(fleet.directory, str(fleet.redis_server.url).split("?")[0].removeprefix("unix://"))
        self.crew: list[Process] = []

    def run(self) -> None:
        self.fleet.plant(*self.jobs)
        self.crew = [self._hire(n) for n in range(WORKERS)]
        producer = threading.Thread(target=self._produce, daemon=True)
        producer.start()
        acts: list[tuple[Callable[[], None], int]] = [
            (self._kill_worker, 70),
            (self._kill_redis, 12),
            (self._freeze_worker, 8),
            (self._cut_network, 6),
            (self._outage, 3),
            (self._skew, 2),
            (self._fill_redis, 2),
        ]
        while self.events["kill worker"] + self.events["kill Redis"] < self.kills:
            (act,) = self.chance.choices([a for a, _ in acts], [w for _, w in acts])
            act()
            time.sleep(self.chance.uniform(0.2, 2.0))
        self.fleet.wait(lambda: len(self.accepted) == len(self.jobs), "everything is accepted", 600)
        began = time.monotonic()
        self.fleet.wait_until_settled(len(self.jobs), timeout=900)
        print(f"settled {time.monotonic() - began:.1f} s after the last event", flush=True)

    # -- the people ----------------------------------------------------------------------------------------------------

    def _hire(self, place: int) -> Process:
        """The worker in the first place goes to Redis by the way that can be cut."""
        env = self.fleet.env
        if place == 0:
            env = env | {"ERASER_REDIS_URL": f"unix://{self.cut.path}"}
        return self.fleet.start_worker("--concurrency", "8", env=env)

    def _produce(self) -> None:
        """A few at a time for as long as the killing goes on, and asked again where nothing was promised."""
        rest = list(self.jobs)
        pause = max(0.02, self.kills * 1.9 / (len(rest) / 10))
        while rest and not self.done.is_set():
            batch = rest[:10]
            try:
                self.fleet.ask(*batch)
            except EraserError:
                self.done.wait(0.2)
                continue
            self.accepted.extend(batch)
            rest = rest[10:]
            self.done.wait(pause)

    def _note(self, event: str) -> None:
        self.events[event] += 1
        if sum(self.events.values()) % 25 == 0:
            print(f"{dict(self.events)}  {len(self.accepted)} accepted, {self.fleet.states()}", flush=True)

    # -- the acts ------------------------------------------------------------------------------------------------------

    def _kill_worker(self) -> None:
        place = self.chance.randrange(WORKERS)
        self.crew[place].kill()
        self.crew[place] = self._hire(place)
        self._note("kill worker")

    def _kill_redis(self) -> None:
        self.fleet.kill_redis()
        time.sleep(self.chance.uniform(0.0, 2.0))
        self.fleet.start_redis()
        self._note("kill Redis")

    def _freeze_worker(self) -> None:
        worker = self.chance.choice(self.crew)
        worker.freeze()
        self.frozen |= self._held_by(worker)
        time.sleep(self.chance.uniform(1.1, 3.0) * LEASE_S)
        self.frozen |= self._held_by(worker)
        worker.thaw()
        self._note("freeze worker for more than its lease")

    def _held_by(self, worker: Process) -> set[str]:
        """The jobs whose lease this process holds."""
        client, prefix = self.fleet.client, self.fleet.ledger.prefix
        running: Any = client.zrange(prefix + "running", 0, -1)
        jobs = set()
        for ref in running:
            holder: Any = client.hget(f"{prefix}d:{ref.decode()}", "wrk")
            if holder and holder.decode().split(":")[1] == str(worker.pid):
                jobs.add(Ref.parse(ref.decode()).job_id)
        return jobs

    def _cut_network(self) -> None:
        self.cut.cut()
        time.sleep(self.chance.uniform(0.5, 5.0))
        self.cut.mend()
        self._note("cut the network to Redis")

    def _outage(self) -> None:
        self.fleet.metastudio.outage(self.chance.choice(["503", "500", "hang"]))
        time.sleep(self.chance.uniform(1.0, 4.0))
        self.fleet.metastudio.outage(None)
        self._note("outage of MetaStudio")

    def _skew(self) -> None:
        self.fleet.metastudio.set_clock(self.chance.choice([-1500.0, 1500.0]))
        time.sleep(self.chance.uniform(1.0, 3.0))
        self.fleet.metastudio.set_clock(0.0)
        self._note("MetaStudio's clock 25 minutes off")

    def _fill_redis(self) -> None:
        self.fleet.client.config_set("maxmemory", "1mb")
        time.sleep(self.chance.uniform(0.5, 2.0))
        self.fleet.client.config_set("maxmemory", "0")
        self._note("Redis full")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deletions", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    print(f"{options.deletions} deletions, {options.kills} kills, seed {options.seed}, pid {os.getpid()}", flush=True)
    began = time.monotonic()
    with Fleet(settings=SETTINGS, simulator=SIMULATOR) as fleet:
        campaign = Campaign(fleet, options.deletions, options.kills, random.Random(options.seed))
        try:
            campaign.run()
        finally:
            campaign.done.set()
        deletions = judge(fleet, campaign.accepted, frozen=campaign.frozen)
        ends = Counter(
            f"{d.state}{f' {d.evidence}' if d.evidence else ''}{f' {d.cause}' if d.cause else ''}"
            for d in deletions.values()
        )
        stats = fleet.metastudio.stats()
        left = len(fleet.metastudio.job_ids())
        wrong = {end: n for end, n in ends.items() if not end.startswith((State.DELETED, "gone after_our_call"))}
        print(f"events: {dict(campaign.events)}")
        print(f"ends: {dict(ends)}; wrong ends: {wrong}; jobs left at MetaStudio: {left}")
        print(f"DELETE calls {stats['by_operation'].get('delete')}, effects {stats['effects']}, ", end="")
        print(f"jobs whose call was frozen {len(campaign.frozen)}, overlaps seen {stats['overlaps']}")
        print(f"took {time.monotonic() - began:.0f} s")
    return 1 if wrong or left else 0


if __name__ == "__main__":
    sys.exit(main())
