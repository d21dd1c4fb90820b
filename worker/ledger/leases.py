"""What executors do: lease a deletion, renew the lease, confirm the call, settle."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from worker.config.clock import elapsed
from worker.ledger.account import AccountLedger
from worker.ledger.types import Lease, PolicyText, Settlement, TakeResult, Trial, Tried, lean
from worker.ledger.values import Shape, as_options
from worker.model.target import JOB, Target

_LEASE, _TRIAL = Shape(Lease), Shape(Trial)


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
        related: str | None = None,
        earlier: Sequence[Settlement] = (),
        ahead: int = 0,
        until_recorded: Callable[[], bool] | None = None,
    ) -> TakeResult:
        """Settle the last deletion and lease the next, in one move.

        earlier: settlements that go before it; ahead: up to so many more leases, where the next slots are as near.

        worker: this process's id; key: the credential's fingerprint; wakeup: the one that called this executor;
        policy_text: the policies that this worker goes by: without them it takes nothing that only policies ask for;
        tried: the result of the last turn's trial; related: what is done about what a job leaves behind, where its
        request does not say.
        until_recorded: with a settlement, keep trying while it returns True (the answer must not be lost).
        """
        token = secrets.token_hex(8)
        options: dict[str, Any] = {"worker": worker, "token": token, "key": key, "want": want}
        options |= {"gate": self.gate_options, "strays": sorted(self.strays) or None, "wakeup": wakeup}
        options["related"] = related
        options |= {"policy_text": as_options(policy_text) if policy_text else None}
        options |= {"settle": settlement.as_options() if settlement else None}
        options |= {"earlier": [one.as_options() for one in earlier] or None, "others": ahead or None}
        options |= {"tried": as_options(tried) if tried else None}
        options["waited"], self._caller.waits = self._caller.waits or None, True  # it may, should no answer come
        started = elapsed()
        response = self.run_script("take", lean(options), keep_trying=until_recorded if settlement else None)
        self._caller.waits = "wait" in response
        go, trial, now = response.get("go"), response.get("try"), {"redis_ms": response["now"], "taken": started}
        return TakeResult(
            lease=self._lease(go, token, now) if go else None,
            ahead=tuple(self._lease(one, token, now) for one in response.get("others", ())),
            trial=_TRIAL.read(trial, **now) if trial else None,
            wait_s=response["wait"] / 1000 if "wait" in response else None,
            settled=response.get("settled"),
            earlier=tuple(response.get("earlier", ())),
            wakeup=response.get("wakeup"),
            erasures=response.get("erasures", False),
            next_ms=response.get("next"),
        )

    def _lease(self, go: dict[str, Any], token: str, now: dict[str, float]) -> Lease:
        expires = now["taken"] + self.policy.lease / 1000
        return _LEASE.read(go, ref=Target.parse(go["ref"]), token=token, expires=expires, **now)

    def confirm(
        self,
        lease: Lease,
        *,
        key: str,
        owner: str | None = None,
        policy_text: PolicyText | None = None,
        inventory: dict[str, Any] | None = None,
        ahead_s: float | None = None,
    ) -> Lease | None:
        """Right before a DELETE: its lease begun anew, if it may still leave, whatever came since the take.

        owner: the hash of the app user whose job it is, where a lookup has just shown it.
        policy_text: the text by which policies were asked; inventory: what belongs to the job, see `lua/confirm.lua`.
        ahead_s: until the slot of a lease that has only that; the answer says when the call may leave.
        """
        fields: dict[str, Any] = {"ref": str(lease.ref), "token": lease.token, "key": key}
        fields |= {"probe": lease.probe, "owner": owner, "inventory": inventory}
        fields["policy_text"] = as_options(policy_text) if policy_text else None
        fields["ahead"] = ahead_s * 1000 if ahead_s is not None and lease.call_seq is None else None
        started = elapsed()
        response = self.run_script("confirm", lean(fields) | {"gate": self.gate_options})
        if not response.pop("go"):
            return None
        changed = {name: response[name] for name in ("ahead_s", "call_seq") if name in response}
        return replace(lease, expires=started + self.policy.lease / 1000, **changed)

    def renew(self, lease: Lease) -> bool:
        """Whether the lease is still ours; it begins anew then."""
        fields = {"ref": str(lease.ref), "token": lease.token, "lease": self.policy.lease}
        return bool(self.run_script("renew", fields)["ours"])

    def reserve_lookup(self, *, kind: str = JOB, patience_s: float = 2.0, urgent: bool = False) -> float | None:
        """A slot for one GET: seconds to wait for it, or None when it is further away than the patience.

        urgent: a person waits.
        """
        options = {"gate": self.gate_options, "kind": kind, "patience": patience_s * 1000, "urgent": urgent}
        response = self.run_script("reserve_lookup", options)
        return response["wait"] / 1000 if "wait" in response else None

    def pause_lookups(self, seconds: float, *, kind: str = JOB) -> None:
        """A GET was answered 429: nobody sends another one of its family for so long."""
        self.run_script(
            "reserve_lookup", {"gate": self.gate_options, "kind": kind, "patience": 0, "throttled": seconds * 1000}
        )

    def note_quota(self, quota: dict[str, Any]) -> None:
        """Keep what the gateway says of its limit, as `GateSignal.quota`."""
        self.run_script("note_quota", quota)

    def block_account(self, cause: str, why: str) -> float | None:
        """This worker has nothing to call with: `credentials` or `misconfigured`. Until when (ms) that closes."""
        options = {"cause": cause, "why": why, "gate": self.gate_options}
        until: float | None = self.run_script("block_account", options).get("until")
        return until
