"""The ledger of one account: every method is one move, one Lua script, all or nothing."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import redis

from worker.clock import PROCESS, Clocks, elapsed, spoken
from worker.deletion import Lane
from worker.errors import RefusedBySafetyRule, Unreachable
from worker.keys import OURS, Keys
from worker.ledger import scripts
from worker.ledger.acts import Act, ActName
from worker.ledger.app_users import AppUsers
from worker.ledger.ask import ask, info
from worker.ledger.away import why_away
from worker.ledger.mover import BATCH, Mover, connect
from worker.ledger.moves import (
    Accepted,
    Book,
    Claim,
    GatePolicy,
    Lease,
    Rebound,
    Ref,
    Settlement,
    Trial,
    Tried,
    Turn,
    lean,
)
from worker.ledger.schema.keys import Key

__all__ = ["BATCH", "Ledger", "connect"]

FULL_SHARE = 0.85  # of maxmemory; above it nothing new is accepted
ROOM_CHECK_S = 1.0  # how long "there is room" is believed
RESTORABLE_S = 30 * 86400.0  # how long a discarded letter can be taken back
REDATE_MOVES = 100  # of 500 each, in one turn of the dispatcher
_DAY_MS = 86_400_000
KEPT_FOR_MS = {"ops": 3_600_000, "idem": _DAY_MS, "plans": _DAY_MS, Key.POLICY_TEXTS_WANTED: 1_200_000}
_BEGINNING = {"ops": "0", "idem": "0", Key.POLICY_TEXTS_WANTED: "0"}


def _accepted(refs: Sequence[Ref], answer: dict[str, Any]) -> Iterator[Accepted]:
    for ref, state in zip(refs, answer["results"], strict=True):
        yield Accepted(ref, state.removeprefix("="), deduplicated=state.startswith("="))


class Ledger(Mover):
    """The record of every deletion of one account. Thread-safe.

    Every method raises `Unreachable` when Redis does not answer within `patience_s`; what was asked may or may not have
    been done then, and asking again is safe: all moves merge or are fenced.
    """

    def __init__(
        self,
        client: redis.Redis,
        account: str,
        gate: GatePolicy,
        keys: Keys = OURS,
        *,
        endpoint: str | None = None,
        placer: Callable[[str, str], None] | None = None,
        patience_s: float = 4.0,
        clocks: Clocks = PROCESS.witnesses,
        clock: str | None = None,
    ) -> None:
        super().__init__(
            client,
            account,
            keys.account(account),
            endpoint=endpoint,
            placer=placer,
            patience_s=patience_s,
            clocks=clocks,
            clock=clock,
        )
        self.keys = keys
        self.policy = gate
        self._gate = asdict(gate)
        self.strays: set[str] = set()  # projects that this process's settings give to another account: not to be taken
        self.users = AppUsers(client, account, keys)
        self._room_checked = -ROOM_CHECK_S
        self._forget_from: dict[str, str] = _BEGINNING

    def now_ms(self) -> float:
        """The ledger's time, in ms since 1970."""
        script = scripts.load("what_time", clock=self._clock)
        return float(ask(script.run, self.client, self.prefix, "-", spoken(self.clocks())))

    @property
    def gate_options(self) -> dict[str, Any]:
        """The gate's knobs as the scripts take them."""
        return self._gate

    # -- what producers do ---------------------------------------------------------------------------------------

    def request(
        self, refs: Iterable[Ref], claim: Claim, *, assets: Mapping[Ref, str] | None = None
    ) -> tuple[list[Accepted], list[str]]:
        """Record each deletion or merge it into the one that is there. Returns what was accepted, and doorbells.

        assets: ids of the jobs' assets, where they are known. Raises `RefusedBySafetyRule` when Redis is nearly full:
        what is pending needs the rest to drain.
        """
        self.refuse_when_nearly_full()
        options = self._said(claim) | lean({"seen": claim.seen, "act": claim.act}) | {"gate": self._gate}
        accepted: list[Accepted] = []
        bells: list[str] = []

        def about(batch: list[Ref]) -> dict[str, Any]:
            return {"assets": [assets.get(ref, False) for ref in batch]} if assets else {}

        for batch, answer in self.in_batches("request", options, refs, about=about):
            accepted += _accepted(batch, answer)
            if answer.get("ring"):
                bells.append(answer["ring"])
        return accepted, bells

    def request_each(self, wanted: Sequence[tuple[Ref, Claim]]) -> tuple[list[Accepted], list[str]]:
        """The same for at most 500 deletions that different callers ask for, each with a claim of its own."""
        self.refuse_when_nearly_full()
        options = {"each": [self._said(claim) for _, claim in wanted], "gate": self._gate}
        refs = [ref for ref, _ in wanted]
        answer = self.move("request", options, refs)
        return list(_accepted(refs, answer)), [answer["ring"]] if answer.get("ring") else []

    def _said(self, claim: Claim) -> dict[str, Any]:
        """A claim as the script takes it."""
        said = {
            "lane": claim.lane.value,
            "by": claim.by,
            "why": claim.why,
            "run": claim.run,
            "user": claim.app_user,
            "au": self.users.hashed(claim.app_user) if claim.app_user else None,
            "force": claim.force,
            "policy": claim.policy,
            "book": claim.book.as_options() if claim.book else None,
        }
        times = {"delay": claim.delay_s * 1000, "deadline": claim.deadline_s * 1000, "after": claim.after_ms}
        return lean(said | times)

    # -- what hands do -------------------------------------------------------------------------------------------

    def take(
        self,
        *,
        worker: str,
        key: str,
        settlement: Settlement | None = None,
        want: bool = True,
        bell: str | None = None,
        book: Book | None = None,
        tried: Tried | None = None,
        until_recorded: Callable[[], bool] | None = None,
    ) -> Turn:
        """Settle the last deletion and lease the next, in one move.

        worker: this process's id; key: the credential's fingerprint; bell: the doorbell that called this hand;
        book: the policies that this worker goes by: without them it takes nothing that only policies ask for; tried:
        what came of the last turn's trial.
        until_recorded: with a settlement, keep trying while it returns True (the answer must not be lost).
        """
        token = secrets.token_hex(8)
        options: dict[str, Any] = {"worker": worker, "token": token, "key": key, "gate": self._gate}
        if want:
            options["want"] = True
        if self.strays:
            options["strays"] = sorted(self.strays)
        if bell:
            options["bell"] = bell
        if book:
            options["book"] = book.as_options()
        if settlement:
            options["settle"] = settlement.as_options()
        if tried:
            options["tried"] = tried.as_options()
        asked = elapsed()
        answer = self.move("take", options, keep_trying=until_recorded if settlement else None)
        go, trial = answer.get("go"), answer.get("try")
        return Turn(
            lease=self._lease(go, token, answer["now"], asked) if go else None,
            trial=self._trial(trial, answer["now"], asked) if trial else None,
            wait_s=answer["wait"] / 1000 if "wait" in answer else None,
            settled=answer.get("settled"),
            bell=answer.get("ring"),
            next_ms=answer.get("next"),
        )

    def _trial(self, trial: dict[str, Any], now_ms: float, asked: float) -> Trial:
        return Trial(
            name=trial["name"],
            project_id=trial.get("project"),
            skew_ms=trial.get("skew"),
            skew_ago_ms=trial.get("skew_ago", math.inf),
            redis_ms=now_ms,
            taken=asked,
        )

    def _lease(self, go: dict[str, Any], token: str, now_ms: float, asked: float) -> Lease:
        return Lease(
            ref=Ref.parse(go["ref"]),
            token=token,
            lane=Lane(go["lane"]),
            round=go["round"],
            used=go["used"],
            calls=go["calls"],
            later=go["later"],
            refused=go["refused"],
            looks=go["look"],
            unknown=go["unknown"],
            seen=go["seen"],
            unseen=go["unseen"],
            cancel_wanted=go.get("wish") == "cancel",
            app_user=go.get("user"),
            probe=go.get("probe"),
            skew_ms=go.get("skew"),
            skew_ago_ms=go.get("skew_ago", math.inf),
            redis_ms=now_ms,
            taken=asked,
            expires=asked + self.policy.lease / 1000,
            deadline_left_s=go["left"] / 1000,
            ahead_s=go["ahead"] / 1000,
            nth=go["nth"],
            who=go.get("who", False),
            policies=tuple(go.get("policies", ())),
            unsent=go.get("unsent", False),
        )

    def confirm(self, lease: Lease, *, key: str, owner: str | None = None, book: Book | None = None) -> bool:
        """Right before a DELETE: whether it may still leave, whatever came since the take. The lease begins anew then.

        owner: the hash of the app user whose job it is, where a look has just said so.
        book: the text by which policies were asked.
        """
        said: dict[str, Any] = {"ref": str(lease.ref), "token": lease.token, "key": key}
        said |= {"probe": lease.probe, "owner": owner, "book": book.as_options() if book else None}
        return bool(self.move("confirm", lean(said) | {"gate": self._gate})["go"])

    def renew(self, lease: Lease) -> bool:
        """Whether the lease is still ours; it begins anew then."""
        said = {"ref": str(lease.ref), "token": lease.token, "lease": self.policy.lease}
        return bool(self.move("renew", said)["ours"])

    def look(self, *, patience_s: float = 2.0) -> float | None:
        """A slot for one GET: seconds to wait for it, or None when it is further away than the patience."""
        answer = self.move("look", {"gate": self._gate, "patience": patience_s * 1000})
        return answer["wait"] / 1000 if "wait" in answer else None

    def bar(self, cause: str, why: str) -> float | None:
        """This worker has nothing to call with: `credentials` or `misconfigured`. Until when (ms) that closes."""
        until: float | None = self.move("bar", {"cause": cause, "why": why, "gate": self._gate}).get("until")
        return until

    # -- what the dispatcher does ----------------------------------------------------------------------------------

    def ring(self, key: str | None = None) -> tuple[str | None, float | None, list[str]]:
        """Does somebody have to be called? The doorbell, the Redis time (ms) when to look again, replays to drive.

        key: the fingerprint of the caller's credential, where it has one.
        """
        answer = self.move("ring", lean({"key": key}) | {"gate": self._gate})
        return answer.get("ring"), answer.get("next"), answer.get("replays", [])

    def rescue(
        self, *, alive: Sequence[str], counts: bool, limit: int = 200
    ) -> tuple[list[tuple[Ref, str]], float | None]:
        """Bring back what leases that ran out held. Returns each one's new state, and when the next lease ends (ms)."""
        # an empty Lua table would come out as {}: the sentinel keeps it a list
        answer = self.move("rescue", {"alive": [*alive, "-"], "counts": counts, "limit": limit})
        return [(Ref.parse(ref), state) for ref, state in answer.get("rescued", [])], answer.get("next")

    def forget(self, *, keep_s: float, limit: int = BATCH) -> int:
        """Drop what is older than `keep_s` or was only kept for a restore. Dead letters stay for ever.

        Returns how many went, or 1 where there is more to look at.
        """
        options = {"keep": keep_s * 1000, "restorable": RESTORABLE_S * 1000, "limit": limit}
        answer = self.move("forget", options | {"kept_for": KEPT_FOR_MS, "places": self._forget_from})
        self._forget_from = _BEGINNING | answer.get("places", {})
        return int(answer["forgotten"]) or int("places" in answer)

    def look_at_clocks(self) -> float:
        """The ledger's time (ms). What a clock that erred has dated is dated anew. See `lua/look_at_clocks.lua`."""
        answer = self.move("look_at_clocks", {})
        more, moves = bool(answer.get("check")), 0
        while more and moves < REDATE_MOVES:
            more, moves = bool(self.move("redate", {}).get("more")), moves + 1
        return float(answer["now"])

    # -- what operators do -----------------------------------------------------------------------------------------

    def cancel(
        self,
        refs: Iterable[Ref],
        *,
        why: str,
        by: str | None = None,
        run: str | None = None,
        act: Act | None = None,
    ) -> list[tuple[Ref, str]]:
        """Withdraw all claims, or only the run's. Results: see `lua/cancel.lua`."""
        said = (act or Act()).named(ActName.CANCELLED, by=by, why=why, run=run)
        return self.results("cancel", lean({"why": why, "actor": by, "run": run, "act": said}), refs)

    def replay(
        self,
        refs: Iterable[Ref],
        *,
        why: str,
        deadline_s: float,
        by: str | None = None,
        run: str | None = None,
        lane: Lane | None = None,
        act: Act | None = None,
        mark: int | None = None,
    ) -> tuple[list[tuple[Ref, str]], list[str]]:
        """Open a new round for each dead letter. Returns each one's state now, and doorbells to ring.

        mark: a death's number; what died later is left alone and told as `newer`.
        """
        options = lean({"why": why, "by": by, "run": run, "lane": lane.value if lane else None, "mark": mark})
        options |= {"deadline": deadline_s * 1000, "gate": self._gate}
        options["act"] = (act or Act()).named(ActName.REPLAYED, by=by, why=why, run=run)
        results: list[tuple[Ref, str]] = []
        bells: list[str] = []
        for batch, answer in self.in_batches("replay", options, refs):
            results += zip(batch, answer["results"], strict=True)
            if answer.get("ring"):
                bells.append(answer["ring"])
        return results, bells

    def discard(
        self, refs: Iterable[Ref], *, why: str, by: str | None = None, act: Act | None = None
    ) -> list[tuple[Ref, str]]:
        """Give dead letters up."""
        said = (act or Act()).named(ActName.DISCARDED, by=by, why=why)
        return self.results("discard", lean({"why": why, "by": by, "act": said}), refs)

    def restore(
        self, refs: Iterable[Ref], *, why: str | None, by: str | None = None, act: Act | None = None
    ) -> list[tuple[Ref, str]]:
        """Take discarded dead letters back."""
        said = (act or Act()).named(ActName.RESTORED, by=by, why=why)
        return self.results("restore", lean({"why": why, "by": by, "act": said, "within": RESTORABLE_S * 1000}), refs)

    def regroup(self, refs: Iterable[Ref]) -> int:
        """Give dead letters of an earlier version their group. Returns how many had none."""
        return sum(answer["grouped"] for _, answer in self.in_batches("regroup", {}, refs))

    def pause(self, *, why: str, by: str | None = None, act: Act | None = None) -> bool:
        """Stop all calls of this account. Returns whether it was paused before."""
        said = (act or Act()).named(ActName.PAUSED, by=by, why=why)
        return bool(self.move("pause", lean({"why": why, "by": by, "act": said}))["was"])

    def resume(
        self, *, why: str, by: str | None = None, act: Act | None = None
    ) -> tuple[str | None, str | None, list[str]]:
        """Let calls go again; what was closed is tried first. Returns what that was, a doorbell, and names of the
        records of refused keys (see `Budget.retry`).
        """
        said = (act or Act()).named(ActName.RESUMED, by=by, why=why)
        answer = self.move("resume", {"gate": self._gate, "act": said})
        return answer.get("was"), answer.get("ring"), list(answer["records"])

    def place(self, project: str, place: str, *, expect: str | None = None) -> bool:
        """Say whether anything of a project may be done here (see `lua/place.lua`). Returns whether it is so now."""
        return bool(self.move("place", lean({"project": project, "place": place, "expect": expect}))["done"])

    def place_now(self, project: str) -> str:
        """What is said of it; empty: nothing was."""
        said: Any = ask(self.client.hget, self.prefix + Key.PROJECTS, project)
        return said.decode() if said else ""

    def rebind(self, endpoint: str, *, why: str | None, by: str | None, plan: bool) -> Rebound:
        """Give the account another address. This ledger must have been made without one. plan: only look."""
        act = Act(of=endpoint).named(ActName.REBOUND, by=by, why=why)
        answer = self.move("rebind", {"endpoint": endpoint, "act": act, "plan": plan})
        return Rebound(answer.get("was"), answer["bound"], answer["waits"])

    def note(self, act: dict[str, Any], result: str, number: int) -> None:
        """Write an act into the audit that no move of the ledger did: so many of one result."""
        self.move("note", {"act": act, "result": result, "number": number})

    def refuse_when_nearly_full(self) -> None:
        """Raises `RefusedBySafetyRule` when nothing new is accepted: what is pending needs the rest to drain."""
        now = time.monotonic()
        if now < self._room_checked + ROOM_CHECK_S:
            return
        try:
            memory = info(self.client, "memory")
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
