"""What operators do: each move leaves one entry in the audit."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Unpack

from worker.ledger.account import AccountLedger
from worker.ledger.audit_actions import ActionName, AuditAction, Who, explained
from worker.ledger.redis_read import read_redis
from worker.ledger.schema.keys import Key
from worker.ledger.types import Rebound, lean
from worker.model.states import Lane
from worker.model.target import Target

RESTORABLE_S = 30 * 86400.0  # how long a discarded letter can be taken back


class OperatorMoves(AccountLedger):
    """The moves of operators."""

    def cancel(self, refs: Iterable[Target], *, run: str | None = None, **who: Unpack[Who]) -> list[tuple[Target, str]]:
        """Withdraw all claims, or only the run's. Results: see `lua/cancel.lua`."""
        return self.results("cancel", lean({"run": run}) | explained(ActionName.CANCELLED, who, run=run), refs)

    def replay(
        self,
        refs: Iterable[Target],
        *,
        deadline_s: float,
        run: str | None = None,
        lane: Lane | None = None,
        mark: int | None = None,
        **who: Unpack[Who],
    ) -> list[tuple[Target, str]]:
        """Open a new round for each dead letter. Returns each one's state now.

        mark: a death's number; what died later is left alone, and its result is `newer`.
        """
        options = lean({"run": run, "lane": lane.value if lane else None, "mark": mark})
        options |= {"deadline": deadline_s * 1000, "gate": self.gate_options}
        return self.results("replay", options | explained(ActionName.REPLAYED, who, run=run), refs)

    def discard(self, refs: Iterable[Target], **who: Unpack[Who]) -> list[tuple[Target, str]]:
        """Give dead letters up."""
        return self.results("discard", explained(ActionName.DISCARDED, who), refs)

    def restore(self, refs: Iterable[Target], **who: Unpack[Who]) -> list[tuple[Target, str]]:
        """Take discarded dead letters back."""
        options = {"within": RESTORABLE_S * 1000} | explained(ActionName.RESTORED, who)
        return self.results("restore", options, refs)

    def pause(self, **who: Unpack[Who]) -> bool:
        """Stop all calls of this account. Returns whether it was paused before."""
        return bool(self.run_script("pause", explained(ActionName.PAUSED, who))["was"])

    def resume(self, **who: Unpack[Who]) -> tuple[str | None, list[str]]:
        """Let calls go again; what was closed is tried first. Returns what that was, and names of the records of
        refused keys (see `KeyBudget.retry`).
        """
        response = self.run_script("resume", {"gate": self.gate_options} | explained(ActionName.RESUMED, who))
        return response.get("was"), list(response["records"])

    def place(self, project: str, place: str, *, expect: str | None = None) -> bool:
        """Say whether anything of a project may be done here (see `lua/place.lua`). Returns whether it is so now."""
        return bool(self.run_script("place", lean({"project": project, "place": place, "expect": expect}))["done"])

    def place_now(self, project: str) -> str:
        """What the account says of it; empty: nothing."""
        place: Any = read_redis(self.client.hget, self.prefix + Key.PROJECTS, project)
        return place.decode() if place else ""

    def rebind(self, endpoint: str, *, why: str | None, by: str | None, plan: bool) -> Rebound:
        """Give the account another address. This ledger must have been made without one. plan: only look."""
        action = AuditAction(of=endpoint).named(ActionName.REBOUND, by=by, why=why)
        response = self.run_script("rebind", {"endpoint": endpoint, "act": action, "plan": plan})
        return Rebound(response.get("was"), response["bound"], response["waits"])

    def redact(
        self, refs: Iterable[Target], *, texts: Collection[str], acts: Collection[str], **who: Unpack[Who]
    ) -> list[tuple[Target, str]]:
        """Take texts of who and why out of records, and of acts of the audit. Results: see `lua/redact_record.lua`."""
        options = {"texts": sorted(texts), "acts": [*acts, "-"]}  # an empty Lua table would come out as {}
        return self.results("redact_record", options | explained(ActionName.REDACTED, who), refs)

    def note(self, action: dict[str, Any], result: str, number: int) -> None:
        """Write an act into the audit that no move of the ledger did: so many of one result."""
        self.run_script("note", {"act": action, "result": result, "number": number})
