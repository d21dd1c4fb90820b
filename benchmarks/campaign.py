"""One campaign: work goes on while everything around it is killed, frozen, cut off, filled up and skewed."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import redis

from benchmarks.nat import NAT_IDLE_S, BehindNat
from benchmarks.operators import Operators
from benchmarks.reckoning import reckon
from tests.acceptance.fleet import BYSTANDER, LEASE_S, Fleet, Process
from tests.acceptance.test_failover import follow, listen, server_of
from tests.support.between import Between
from tests.support.waiting import wait_until
from worker.model.errors import EraserError
from worker.model.target import Target

SETTINGS = {
    "ERASER_RATE": "60",
    "ERASER_RETRY_SCHEDULE": ",".join(["0.2s", "0.4s"] + ["1s"] * 40),
    "ERASER_CONNECT_TIMEOUT": "1s",
    "ERASER_CALL_TIMEOUT": "2.5s",
    "ERASER_LEASE": f"{LEASE_S:g}s",
}

WORKERS = 3
Act = Callable[[], None]


def socket_of(fleet: Fleet) -> str:
    return str(fleet.redis_server.url).split("?")[0].removeprefix("unix://")


class Campaign:
    """One run. `way` is what leads to Redis, `other` the replica and `other_port` its port."""

    def __init__(
        self,
        fleet: Fleet,
        way: Between,
        other: redis.Redis,
        other_port: int,
        numbers: tuple[int, int],
        chance: random.Random,
    ) -> None:
        self.deletions, self.kills = numbers
        self.fleet = fleet
        self.chance = chance
        self.jobs = self.plan()
        self.accepted: list[str] = []
        self.done = threading.Event()
        self.events: Counter[str] = Counter()
        self.frozen: set[str] = set()
        self.way, self.other, self.other_port = way, other, other_port
        self.socket = socket_of(fleet)
        self.cut = Between(self.socket)  # the first worker's way, which can be cut
        self.crew: list[Process] = []
        self.operators = Operators(fleet, random.Random(chance.random()), cancel=self.may_cancel)

    # -- what a campaign is about -------------------------------------------------------------------------------------

    may_cancel = True

    def plan(self) -> list[str]:
        """The jobs, in the order in which they are asked for."""
        return [f"job-{n:05d}" for n in range(self.deletions)]

    def prepare(self) -> None:
        """Before the killing begins."""
        self.fleet.plant(*self.jobs, BYSTANDER)

    def ask(self, jobs: Sequence[str]) -> None:
        self.fleet.ask(*jobs)

    def is_over(self) -> bool:
        with contextlib.suppress(EraserError):  # the last event may have been Redis's
            return self.fleet.settled() >= len(self.jobs)
        return False

    def acts(self) -> list[tuple[Act, int]]:
        """What happens, and how often beside the others."""
        return [
            (self.kill_worker, 65),
            (self.kill_redis, 12),
            (self.freeze_worker, 8),
            (self.cut_network, 5),
            (self.fail_over, 5),
            (self.outage, 3),
            (self.brownout, 3),
            (self.silence, 3),
            (self.skew, 2),
            (self.fill_redis, 2),
        ]

    def at_least_once(self) -> list[Act]:
        return [self.fail_over, self.brownout, self.silence, self.cut_network]

    def run(self) -> None:
        with self.cut:
            self.crew = [self._hire(n) for n in range(WORKERS)]
            self.prepare()
            threading.Thread(target=self._produce, daemon=True).start()
            self.operators.start()
            every, first = self.acts(), self.at_least_once()
            acts, weights = [act for act, _ in every], [weight for _, weight in every]
            while self.events["kill worker"] + self.events["kill Redis"] < self.kills:
                act = first.pop() if first else self.chance.choices(acts, weights)[0]
                act()
                time.sleep(self.chance.uniform(0.2, 2.0))
            self.fleet.wait(lambda: len(self.accepted) == len(self.jobs), "everything is accepted", 600)
            self.operators.stop()
            began = time.monotonic()
            self.fleet.wait(self.is_over, "everything has ended", timeout=1800)
            print(f"settled {time.monotonic() - began:.1f} s after the last event", flush=True)

    def reckon(self) -> dict[str, list[str]]:
        """Each way to break a promise, and the jobs with which it happened."""
        if isinstance(self.fleet, BehindNat):
            self.events["forgotten connections that were used"] = self.fleet.nat.forgotten
        words, withdrawn = self.operators.words, self.operators.tried_to_cancel
        return reckon(self.fleet, self.accepted, frozen=self.frozen, words=words, withdrawn=withdrawn).counts()

    # -- the people ----------------------------------------------------------------------------------------------------

    def _hire(self, place: int) -> Process:
        """The worker in the first place goes to Redis by the way that can be cut."""
        env = self.fleet.env
        if place == 0:
            env = env | {"ERASER_REDIS_URL": self.cut.url}
        return self.fleet.start_worker("--concurrency", "8", env=env)

    def _produce(self) -> None:
        """A few at a time for as long as the killing goes on, and asked again where nothing was promised."""
        rest = list(self.jobs)
        pause = max(0.02, self.kills * 1.9 / (len(rest) / 10))
        while rest and not self.done.is_set():
            batch = rest[:10]
            self.operators.asked_for(batch)
            try:
                self.ask(batch)
            except EraserError:
                self.done.wait(0.2)
                continue
            self.accepted.extend(batch)
            rest = rest[10:]
            self.done.wait(pause)

    def _note(self, event: str) -> None:
        self.events[event] += 1
        if sum(self.events.values()) % 25 == 0:
            states: object = "Redis is away"
            with contextlib.suppress(EraserError):
                states = self.fleet.states()
            print(f"{dict(self.events)}  {len(self.accepted)} accepted, {states}", flush=True)

    # -- the acts ------------------------------------------------------------------------------------------------------

    def kill_worker(self) -> None:
        place = self.chance.randrange(WORKERS)
        self.crew[place].kill()
        self.crew[place] = self._hire(place)
        self._note("kill worker")

    def kill_redis(self) -> None:
        self.fleet.kill_redis()
        time.sleep(self.chance.uniform(0.0, 2.0))
        self.fleet.start_redis()
        follow(self.other, listen(server_of(self.fleet)))  # what was set at run time is forgotten
        self._note("kill Redis")

    def freeze_worker(self) -> None:
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
        app: Any = client.zrange(prefix + "running", 0, -1)
        jobs = set()
        for ref in app:
            holder: Any = client.hget(f"{prefix}d:{ref.decode()}", "wrk")
            if holder and holder.decode().split(":")[1] == str(worker.pid):
                jobs.add(Target.parse(ref.decode()).id)
        return jobs

    def cut_network(self) -> None:
        self.cut.server = "/nowhere"
        self.cut.break_off()
        time.sleep(self.chance.uniform(0.5, 5.0))
        self.cut.server = self.socket
        self._note("cut the network to Redis")

    def outage(self) -> None:
        self.fleet.metastudio.outage(self.chance.choice(["503", "500", "hang"]))
        time.sleep(self.chance.uniform(1.0, 4.0))
        self.fleet.metastudio.outage(None)
        self._note("outage of MetaStudio")

    def brownout(self) -> None:
        self.fleet.metastudio.outage("brownout")
        time.sleep(self.chance.uniform(2.0, 8.0))
        self.fleet.metastudio.outage(None)
        self._note("brownout of MetaStudio: empty lists, 500 for all else")

    def silence(self) -> None:
        """Long enough for the NAT to forget what the workers hold open."""
        try:
            self.fleet.ledger.pause(why="T-2")
            time.sleep(2 * NAT_IDLE_S)
        finally:
            self._surely(lambda: self.fleet.ledger.resume(why="T-2"))
        self._note("silence in which the NAT forgets")

    def _surely(self, action: Callable[[], object]) -> None:
        while True:
            with contextlib.suppress(EraserError, redis.RedisError):
                action()
                return

    def fail_over(self) -> None:
        """To the replica, which loses nothing, and back. The first worker's way still leads to the old one."""
        own = server_of(self.fleet)
        settings: Any = own.config_get("port")
        if self._hand_over(own, self.other, self.other_port):
            self.way.server = self.other_port
            self.way.break_off()
            time.sleep(self.chance.uniform(1.0, 6.0))
            while not self._hand_over(self.other, own, int(settings["port"])):
                pass
            self.way.server = self.socket
            self.way.break_off()
            self._note("failover to the replica and back")
        own.close()

    def _hand_over(self, primary: redis.Redis, replica: redis.Redis, port: int) -> bool:
        linked: Any = lambda: replica.info("replication").get("master_link_status") == "up"  # noqa: E731
        wait_until(linked, 60.0, "the replica is up", every=0.05)
        with contextlib.suppress(redis.RedisError):
            command: Any = primary.execute_command
            command("FAILOVER", "TO", "127.0.0.1", port, "TIMEOUT", 5000)
        role: Any = lambda client: client.info("replication")["role"]  # noqa: E731
        with contextlib.suppress(AssertionError):
            wait_until(lambda: role(primary) == "slave" and role(replica) == "master", 10.0, every=0.02)
        return bool(role(primary) == "slave")

    def skew(self) -> None:
        self.fleet.metastudio.set_clock(self.chance.choice([-1500.0, 1500.0]))
        time.sleep(self.chance.uniform(1.0, 3.0))
        self.fleet.metastudio.set_clock(0.0)
        self._note("MetaStudio's clock 25 minutes off")

    def fill_redis(self) -> None:
        self.fleet.client.config_set("maxmemory", "1mb")
        time.sleep(self.chance.uniform(0.5, 2.0))
        self.fleet.client.config_set("maxmemory", "0")
        self._note("Redis full")
