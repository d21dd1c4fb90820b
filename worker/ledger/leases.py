"""What executors do: lease a deletion, renew the lease, confirm the call, settle."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from typing import Any

from worker.config.clock import elapsed
from worker.ledger.account import AccountLedger
from worker.ledger.types import Lease, PolicyText, Settlement, TakeResult, Trial, Tried, lean
from worker.model.states import Lane
from worker.model.target import JOB, Target


class Leases(AccountLedger):
    """The moves of executors."""

    def take(
        self,
        *,
        worker: str,
        key: str,
        settlement: Settlement | None = None,
        want: bool = True,
        wakeup: str | None = None,
        policy_text: PolicyText | None = None,
        tried: Tried | None = None,
        until_recorded: Callable[[], bool] | None = None,
    ) -> TakeResult:
        """Settle the last deletion and lease the next, in one move.

        worker: this process's id; key: the credential's fingerprint; wakeup: the one that called this executor;
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
        if wakeup:
            options["wakeup"] = wakeup
        if policy_text:
            options["policy_text"] = policy_text.as_options()
        if settlement:
            options["settle"] = settlement.as_options()
        if tried:
            options["tried"] = tried.as_options()
        started = elapsed()
        response = self.run_script("take", options, keep_trying=until_recorded if settlement else None)
        go, trial = response.get("go"), response.get("try")
        return TakeResult(
            lease=self._lease(go, token, response["now"], started) if go else None,
            trial=self._trial(trial, response["now"], started) if trial else None,
            wait_s=response["wait"] / 1000 if "wait" in response else None,
            settled=response.get("settled"),
            wakeup=response.get("wakeup"),
            next_ms=response.get("next"),
        )

    def _trial(self, trial: dict[str, Any], now_ms: float, asked: float) -> Trial:
        return Trial(
            name=trial["name"],
            kind=trial.get("kind", JOB),
            project_id=trial.get("project"),
            skew_ms=trial.get("skew"),
            skew_ago_ms=trial.get("skew_ago", math.inf),
            redis_ms=now_ms,
            taken=asked,
        )

    def _lease(self, go: dict[str, Any], token: str, now_ms: float, asked: float) -> Lease:
        return Lease(
            ref=Target.parse(go["ref"]),
            token=token,
            lane=Lane(go["lane"]),
            round=go["round"],
            used=go["attempts_used"],
            calls=go["calls"],
            later=go["not_deletable_count"],
            refused=go["refused_count"],
            looks=go["lookup_count"],
            unknown=go["outcome_unknown"],
            seen=go["seen"],
            unseen=go["empty_lookup_count"],
            cancel_wanted=go["cancel_requested"],
            app_user=go.get("app_user"),
            probe=go.get("probe"),
            skew_ms=go.get("skew"),
            skew_ago_ms=go.get("skew_ago", math.inf),
            redis_ms=now_ms,
            taken=asked,
            expires=asked + self.policy.lease / 1000,
            deadline_left_s=go["deadline_left"] / 1000,
            ahead_s=go["ahead"] / 1000,
            call_seq=go["call_seq"],
            who=go.get("owner_lookup", False),
            policies=tuple(go.get("policies", ())),
            unsent=go.get("unsent", False),
        )

    def confirm(
        self, lease: Lease, *, key: str, owner: str | None = None, policy_text: PolicyText | None = None
    ) -> bool:
        """Right before a DELETE: whether it may still leave, whatever came since the take. The lease begins anew then.

        owner: the hash of the app user whose job it is, where a look has just said so.
        book: the text by which policies were asked.
        """
        fields: dict[str, Any] = {"ref": str(lease.ref), "token": lease.token, "key": key}
        fields |= {"probe": lease.probe, "owner": owner}
        fields["policy_text"] = policy_text.as_options() if policy_text else None
        return bool(self.run_script("confirm", lean(fields) | {"gate": self._gate})["go"])

    def renew(self, lease: Lease) -> bool:
        """Whether the lease is still ours; it begins anew then."""
        fields = {"ref": str(lease.ref), "token": lease.token, "lease": self.policy.lease}
        return bool(self.run_script("renew", fields)["ours"])

    def reserve_lookup(self, *, kind: str = JOB, patience_s: float = 2.0) -> float | None:
        """A slot for one GET: seconds to wait for it, or None when it is further away than the patience."""
        response = self.run_script("reserve_lookup", {"gate": self._gate, "kind": kind, "patience": patience_s * 1000})
        return response["wait"] / 1000 if "wait" in response else None

    def block_account(self, cause: str, why: str) -> float | None:
        """This worker has nothing to call with: `credentials` or `misconfigured`. Until when (ms) that closes."""
        until: float | None = self.run_script("block_account", {"cause": cause, "why": why, "gate": self._gate}).get(
            "until"
        )
        return until
