"""What the ledger's tests share: a clock that stands still, short names, and the invariant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis

from tests.support.redis_keys import wrong_keys
from tests.support.still import Still
from worker.ledger import counters
from worker.ledger.archived import counts, key_of, read_mark
from worker.ledger.counters import Counters
from worker.ledger.deletions import Ledger
from worker.ledger.holds import HoldList
from worker.ledger.types import DeletionRequest, GatePolicy, GateSignal, Lease, PolicyText, Settlement, TakeResult
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services.dead_letters import group_name
from worker.services.metrics import EVENTS

# The tests' clock in the place of Redis's; and what a cluster would refuse is refused: a key outside the script's slot.
CLOCK = """
local redis_time, watched = nil, {}
each_call(function()
  for name, ours in pairs({ call = redis.call, pcall = redis.pcall }) do
    watched[name] = function(command, ...)
      local keys = (command == 'DEL' or command == 'EXISTS' or command == 'RENAME') and select('#', ...) or 1
      for i = 1, command == 'TIME' and 0 or keys do
        local key = tostring(select(i, ...))
        if string.sub(key, 1, #KEYS[1]) ~= KEYS[1] then error(command .. ' of another slot: ' .. key) end
      end
      return ours(command, ...)
    end
  end
  local get = redis.call
  redis_time = function() return tonumber(get('GET', 'test:clock')) end
  watched.sha1hex = redis.sha1hex
end)
local redis = watched
"""
START_MS = 1_800_000_000_000
LEASE_MS = 60_000
POLICY = GatePolicy(interval=100.0, lease=LEASE_MS, look_interval=200.0)
INDEXES = ("due:user", "due:bulk", "running", "held", "deleted", "gone", "dead", "cancelled", "discarded")
PROJECT = "p"


POLICY_TEXT = PolicyText("a-text", 1.0)  # the policies that everybody has


class Bench:
    """A ledger whose clock only the test moves: Redis's and the callers', or Redis's alone."""

    def __init__(self, client: redis.Redis, policy: GatePolicy = POLICY, account: str = "default") -> None:
        self.client = client
        self.view: Any = client  # what is looked at: this moment's Redis, or one that stands still
        self.apart_s = 0.0  # how far Redis's clock is ahead of the callers'
        self.woken: list[bool] = []  # of each move that made work: whether an executor is wanted at once
        self.ledger = Ledger(
            client, account, policy, clock=CLOCK, clocks=self.clocks, patience_s=0.2, wake=self.woken.append
        )
        self.holds = HoldList(self.ledger)
        self.p = self.ledger.prefix
        self.set_clock(START_MS)

    # -- the clock ---------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return float(self.client.get("test:clock"))  # type: ignore[arg-type]

    def set_clock(self, ms: float) -> None:
        self.client.set("test:clock", repr(float(ms)))

    def pass_time(self, seconds: float) -> None:
        self.set_clock(self.now + seconds * 1000)

    def jump(self, seconds: float) -> None:
        """Redis's clock alone steps, ahead or back."""
        self.apart_s += seconds
        self.pass_time(seconds)

    @property
    def true_now(self) -> float:
        """What time it is by the callers' clocks."""
        return self.now - self.apart_s * 1000

    def clocks(self) -> tuple[float, ...]:
        return (self.true_now / 1000,)

    # -- short forms -------------------------------------------------------------------------------------------------

    def request(self, *jobs: str, **claim: Any) -> list[str]:
        claim.setdefault("lane", Lane.BULK)
        accepted = self.ledger.request([Target(PROJECT, job) for job in jobs], DeletionRequest(**claim))
        return [("=" if a.deduplicated else "") + a.state for a in accepted]

    def turn(self, settlement: Settlement | None = None, **more: Any) -> TakeResult:
        more = {"worker": "w1", "key": "k1", "policy_text": POLICY_TEXT} | more
        return self.ledger.take(settlement=settlement, **more)

    def take(self, **more: Any) -> Lease:
        """A lease, whatever time has to pass for its slot."""
        for _ in range(100):
            turn = self.turn(**more)
            if turn.lease:
                return turn.lease
            assert turn.wait_s is not None or turn.next_ms is not None, f"nothing to take: {turn}"
            # without a wait: those at work are enough now, and the dispatcher looks again
            self.pass_time(0.1 if turn.wait_s is None else turn.wait_s + 0.001)
        raise AssertionError("no lease after a hundred slots")

    def settle(self, lease: Lease, to: str = "deleted", **more: Any) -> str | None:
        """Settle a lease the way an executor would after one DELETE, unless told otherwise."""
        return self.turn(self.settlement(lease, to, **more), want=False).settled

    @staticmethod
    def settlement(lease: Lease, to: str = "deleted", **more: Any) -> Settlement:
        """How an executor would settle it."""
        signal = more.pop("signal", GateSignal("ok", key="k1", ms=50, probe=lease.probe))
        fields: dict[str, Any] = {"called": True, "used": True, "ms": 50.0, "status": 200, "policy_text": POLICY_TEXT}
        fields |= {"attempt": {"status": 200, "outcome": to}} | more
        return Settlement(ref=lease.ref, token=lease.token, to=to, signal=signal, **fields)

    def open(self) -> None:
        """Make the key a known good one, so that the gate asks for no probe."""
        self.client.hset(self.p + "gate", "good:k1", str(self.now))

    # -- reading ----------------------------------------------------------------------------------------------------

    @contextmanager
    def still(self) -> Iterator[None]:
        """Inside, nothing is changed: everything is looked at as it was at the beginning."""
        self.view = Still(self.client)
        try:
            yield
        finally:
            self.view = self.client

    def state(self, job: str) -> str:
        return self.record(job)["state"]

    def record(self, job: str) -> dict[str, str]:
        raw: Any = self.view.hgetall(f"{self.p}d:{PROJECT}/{job}")
        return {name.decode(): value.decode() for name, value in raw.items()}

    def gate(self) -> dict[str, str]:
        raw: Any = self.view.hgetall(self.p + "gate")
        return {name.decode(): value.decode() for name, value in raw.items()}

    def counters(self) -> Counters:
        return counters.read(self.view, self.p)

    def indexes(self) -> dict[str, list[str]]:
        """Every deletion, and the indexes it stands in."""
        found: dict[str, list[str]] = {}
        for index in INDEXES:
            members: Any = self.view.zrange(self.p + index, 0, -1)
            for member in members:
                found.setdefault(member.decode(), []).append(index)
        return found

    def check_invariant(self) -> None:
        """Each record stands in exactly one index, the one its state names; no index names what has no record."""
        if self.view is self.client:
            with self.still():
                return self.check_invariant()
        prefix = f"{self.p}d:"
        records = {key.decode().removeprefix(prefix) for key in self.view.scan_iter(f"{prefix}*")}
        indexes = self.indexes()
        assert set(indexes) == records
        twice = {ref: where for ref, where in indexes.items() if len(where) != 1}
        assert not twice, f"in more than one index: {twice}"
        for ref, (index,) in indexes.items():
            state, lane = self.view.hmget(prefix + ref, "state", "lane")
            expected = f"due:{lane.decode()}" if state == b"pending" else state.decode()
            assert index == expected, f"{ref} is {state} but stands in {index}"
        marks = self._check_marks(records)
        self._check_counters(len(indexes) + marks)
        self._check_groups([ref for ref, where in indexes.items() if where == ["dead"]])
        wrong = wrong_keys(self.view)
        assert wrong == [], wrong
        return None

    def _check_marks(self, records: set[str]) -> int:
        """What was archived has a mark and no record, and is counted by its state. Returns how many there are."""
        prefix, found = f"{self.p}archived:", Counter[tuple[str, State]]()
        for key in self.view.scan_iter(f"{prefix}*"):
            project = key.decode().removeprefix(prefix).partition("/")[0]
            for name, text in self.view.hgetall(key.decode()).items():
                ref, mark = Target.parse(f"{project}/{name.decode()}"), read_mark(text.decode())
                assert key_of(self.p, ref)[0] == key.decode()
                assert str(ref) not in records
                assert mark is not None
                found[project, mark.state] += 1
        counted = counts(self.view.hgetall(f"{self.p}archived"))
        assert found == {(project, state): n for project, each in counted.items() for state, n in each.items()}
        return found.total()

    def _check_counters(self, known: int) -> None:
        """Each record was counted once when it came."""
        counted = self.counters()
        names = (("deletion.requested", "new"), ("deletion.moved", "in"), ("deletion.moved", "out"))
        new, came, left = (counted.events.get(event, 0) for event in names)
        over = sum(counted.events.get((event, ""), 0) for event in ("deletion.forgotten", "deletion.damaged"))
        assert new + came - left - over == known
        assert {event for event in counted.events if event[1] != "unknown"} <= set(EVENTS), "not in the metrics' list"

    def _check_groups(self, dead: list[str]) -> None:
        """Each dead letter stands in the group that its record names, with its deadline; nothing else does."""
        expected = {ref: self.view.hmget(f"{self.p}d:{ref}", "cause", "sc", "code", "dl") for ref in dead}
        names = {
            ref: group_name(
                *[v.decode() if v else other for v, other in zip(stored, ("unknown", "", ""), strict=False)]
            )
            for ref, stored in expected.items()
        }
        groups = {name.decode() for name in self.view.hkeys(f"{self.p}groups")}  # type: ignore[union-attr]
        assert groups == set(names.values())
        for kind, scores in (("letters", {r: self.view.zscore(f"{self.p}dead", r) for r in dead}),
                             ("deadlines", {r: float(stored[3]) for r, stored in expected.items()})):  # fmt: skip
            keys = {key.decode() for key in self.view.scan_iter(f"{self.p}{kind}:*")}
            assert keys == {f"{self.p}{kind}:{group}" for group in groups}
            found = {r.decode(): (key.rpartition(":")[2], score) for key in keys
                     for r, score in self.view.zrange(key, 0, -1, withscores=True)}  # fmt: skip
            assert found == {ref: (names[ref], scores[ref]) for ref in dead}
