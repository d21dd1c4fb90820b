"""The ledger of one account: every method is one move, one Lua script, all or nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import redis

from worker.ledger.account import BEGINNING, ROOM_CHECK_S
from worker.ledger.archived import Leaving
from worker.ledger.connection import connect, server_of
from worker.ledger.erasures import Erasures
from worker.ledger.experiments import Experiments
from worker.ledger.leases import Leases
from worker.ledger.operator_moves import RESTORABLE_S, OperatorMoves
from worker.ledger.redis_errors import why_away
from worker.ledger.redis_read import AccountReader, info
from worker.ledger.schema.keys import Key
from worker.ledger.script_runner import BATCH
from worker.ledger.types import Accepted, DeletionRequest, Look, lean
from worker.ledger.values import as_options
from worker.model.errors import RefusedBySafetyRule, Unreachable
from worker.model.target import Target

__all__ = ["BATCH", "Ledger", "LedgerReader", "connect"]

FULL_SHARE = 0.85  # of maxmemory; above it nothing new is accepted
REDATE_MOVES = 100  # of 500 each, in one turn of the dispatcher
_DAY_MS = 86_400_000
KEPT_FOR_MS = {"ops": 3_600_000, "idem": _DAY_MS, "plans": _DAY_MS, Key.POLICY_TEXTS_WANTED: 1_200_000}


def _accepted(refs: Sequence[Target], response: dict[str, Any]) -> Iterator[Accepted]:
    for ref, result in zip(refs, response["results"], strict=True):
        yield Accepted(ref, result.lstrip("=+"), result.startswith("="), new_round="+" in result)


class Ledger(Leases, Erasures, Experiments, OperatorMoves):
    """The record of every deletion of one account. Thread-safe.

    Every method raises `Unreachable` when Redis does not answer within `patience_s`; what was asked may or may not have
    been done then, and asking again is safe: all moves merge or are fenced.
    """

    # -- what producers do ---------------------------------------------------------------------------------------

    def request(
        self, refs: Iterable[Target], terms: DeletionRequest, *, assets: Mapping[Target, str] | None = None
    ) -> list[Accepted]:
        """Record each deletion or merge it into the one that is there.

        assets: ids of the jobs' assets, where they are known. Raises `RefusedBySafetyRule` when Redis is nearly full:
        what is pending needs the rest to drain.
        """
        self.refuse_when_nearly_full()
        options = self._claim(terms) | lean({"act": terms.action}) | {"gate": self.gate_options}
        accepted: list[Accepted] = []

        def about(batch: list[Target]) -> dict[str, Any]:
            return {"assets": [assets.get(ref, False) for ref in batch]} if assets else {}

        for batch, response in self.in_batches("request", options, refs, about=about):
            accepted += _accepted(batch, response)
        return accepted

    def request_each(self, wanted: Sequence[tuple[Target, DeletionRequest]]) -> list[Accepted]:
        """The same for at most 500 deletions that different callers ask for, each with a claim of its own."""
        self.refuse_when_nearly_full()
        options = {"each": [self._claim(terms) for _, terms in wanted], "gate": self.gate_options}
        refs = [ref for ref, _ in wanted]
        return list(_accepted(refs, self.run_script("request", options, refs)))

    def _claim(self, terms: DeletionRequest) -> dict[str, Any]:
        """A claim as the script takes it."""
        user = {"user_hash": self.users.hashed(terms.app_user)} if terms.app_user else {}
        return as_options(terms) | user

    # -- what the dispatcher does ----------------------------------------------------------------------------------

    def due_wakeup(self, key: str | None = None) -> Look:
        """Does an executor have to be called?

        key: the fingerprint of the caller's credential, where it has one.
        """
        response = self.run_script("due_wakeup", lean({"key": key}) | {"gate": self.gate_options})
        found = response.get("wakeup"), response.get("next"), response.get("replays", []), response.get("lost", False)
        return Look(*found)

    def rescue(
        self, *, alive: Sequence[str], counts: bool, limit: int = 200
    ) -> tuple[list[tuple[Target, str]], float | None]:
        """Bring back what leases that ran out held. Returns each one's new state, and when the next lease ends (ms)."""
        # an empty Lua table would come out as {}: the sentinel keeps it a list
        response = self.run_script("rescue", {"alive": [*alive, "-"], "counts": counts, "limit": limit})
        return [(Target.parse(ref), state) for ref, state in response.get("rescued", [])], response.get("next")

    def forget(self, *, keep_s: float, limit: int = BATCH) -> int:
        """Drop what is older than `keep_s` or was only kept for a restore. Dead letters stay for ever.

        Returns how many went, or 1 where there is more to look at.
        """
        options = {"keep": keep_s * 1000, "restorable": RESTORABLE_S * 1000, "limit": limit}
        response = self.run_script("forget", options | {"kept_for": KEPT_FOR_MS, "places": self._forget_from})
        self._forget_from = BEGINNING | response.get("places", {})
        return int(response["forgotten"]) or int("places" in response or "more" in response)

    def archive_records(self, leaving: Sequence[Leaving], *, was: int, upto: int) -> int | None:
        """Let the records of deletions leave whose receipts are archived: at most 500. Returns how many did; None:
        another worker was faster. was: the receipt up to which this was done; upto: the last one of these."""
        ends = [[one.n, one.state, one.finished_at, one.verdict or False] for one in leaving]
        options = {"was": was, "upto": upto, "ends": ends}
        left = self.run_script("archive_records", options, [one.ref for one in leaving]).get("left")
        return None if left is None else int(left)

    def look_at_clocks(self) -> float:
        """The ledger's time (ms). What a clock that erred has dated is dated anew. See `lua/look_at_clocks.lua`."""
        response = self.run_script("look_at_clocks", {})
        more, moves = bool(response.get("check")), 0
        while more and moves < REDATE_MOVES:
            more, moves = bool(self.run_script("redate", {}).get("more")), moves + 1
        return float(response["now"])

    def mark_schema(self) -> None:
        """Store this program's version of the schema, as every move does if it is newer."""
        self.run_script("check", {"keys": False})

    # -- what operators do -----------------------------------------------------------------------------------------

    def refuse_when_nearly_full(self) -> None:
        """Raises `RefusedBySafetyRule` when nothing new is accepted: what is pending needs the rest to drain."""
        now = time.monotonic()
        if now < self._room_checked + ROOM_CHECK_S:
            return
        try:
            memory = info(server_of(self.client, self.prefix), "memory")
        except redis.exceptions.TimeoutError as error:
            raise Unreachable(why_away(error)) from None  # it hangs: the move would wait as long again
        except redis.exceptions.RedisError:
            return  # the move itself will say what is wrong
        limit, used = int(memory.get("maxmemory", 0)), int(memory.get("used_memory", 0))
        if limit and used > limit * FULL_SHARE:
            raise RefusedBySafetyRule(
                "memory",
                f"Redis uses {used / limit:.0%} of its maxmemory and requests stop at {FULL_SHARE:.0%}: nothing was "
                "recorded; give it more memory, or let work finish, then try again",
            )
        self._room_checked = now


class LedgerReader(AccountReader):
    """What reads one account's ledger and makes its moves."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger.client, ledger.account, ledger.keys)
        self._ledger = ledger
