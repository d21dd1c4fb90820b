"""How a settlement is made: over, again later, or dead; with what the gate learns. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from worker.ledger.schema.fields import Field
from worker.ledger.types import GateSignal, Lease, Settlement
from worker.metastudio.response import Listing, Response
from worker.model.erasure import Related
from worker.model.states import Cause, Evidence, Outcome, State, WaitingFor
from worker.model.target import JOB
from worker.rules import gate_signals
from worker.rules.backoff import Backoff
from worker.rules.classify import ResponseKind, classify, outcome_unknown

REFUSALS = 3  # times MetaStudio may refuse a job that looks deletable before it becomes a dead letter


@dataclass(frozen=True, slots=True)
class Settlements:
    """Makes settlements. `key` is the credential's fingerprint, `random` a number in [0, 1)."""

    schedule: Backoff
    key: str
    random: float

    def signal(self, response: Response, lease: Lease) -> GateSignal:
        """The gate signal of this answer."""
        return gate_signals.of_answer(response, lease, self.key)

    def _signal_of(self, listing: Listing, lease: Lease, response: Response | None = None) -> GateSignal:
        """answer: of the DELETE before it, which showed that MetaStudio works if it said anything about the job."""
        signal = gate_signals.of_listing(listing, lease, self.key)
        answered = response is not None and classify(response) is ResponseKind.ASK
        return replace(signal, kind="ok") if answered and signal.kind == "listed" else signal

    def _nothing(self, lease: Lease) -> GateSignal:
        return gate_signals.nothing(lease, self.key)

    def _patience(self, times: int) -> float:
        return self.schedule.patiently(times, random=self.random)

    def _throttled(self, lease: Lease, response: Response) -> float:
        return self.schedule.while_throttled(spared(lease), random=self.random, retry_after_s=response.retry_after_s)

    def _refused(self, lease: Lease, response: Response, signal: GateSignal, fields: dict[str, Any]) -> Settlement:
        refused = lease.refused_count + 1
        fields = fields | {Field.REFUSED_COUNT: str(refused)}
        if refused >= REFUSALS:
            ended = self._ends(lease, State.DEAD, response, cause=Cause.REFUSED, signal=signal, outcome=Outcome.REFUSED)
            return replace(ended, used=True, fields=ended.fields | fields)
        again = self._uses_an_attempt(lease, response, Outcome.REFUSED, Cause.REFUSED, signal)
        return replace(again, fields=again.fields | fields)

    def _uses_an_attempt(
        self, lease: Lease, response: Response, outcome: Outcome, cause: Cause, signal: GateSignal
    ) -> Settlement:
        used, after = lease.attempts_used + 1, response.retry_after_s
        wait = self.schedule.after_failure(used, random=self.random, retry_after_s=after)
        if wait is None:
            ended = self._ends(lease, State.DEAD, response, cause=cause, signal=signal, outcome=outcome)
            return replace(ended, used=True, fields=unknown_outcome(response))
        settled = self._waits(lease, response, outcome, wait, fields=unknown_outcome(response), signal=signal)
        return replace(settled, used=True, wait=WaitingFor.RETRY.value)

    def _ends(
        self,
        lease: Lease,
        state: State,
        response: Response | None,
        *,
        signal: GateSignal,
        cause: Cause | None = None,
        evidence: Evidence | None = None,
        event: dict[str, Any] | None = None,
        outcome: Outcome | None = None,
    ) -> Settlement:
        why = {"cause": cause.value if cause else None, "evidence": evidence.value if evidence else None}
        return self._settles(lease, state, response, outcome or Outcome(state), event=event, signal=signal, **why)

    def _waits(
        self,
        lease: Lease,
        response: Response | None = None,
        outcome: Outcome | None = None,
        delay_s: float = 0.0,
        *,
        fields: dict[str, Any] | None = None,
        event: dict[str, Any] | None = None,
        signal: GateSignal | None = None,
    ) -> Settlement:
        looks = lease.lookup_count or (fields or {}).get(Field.LOOKUP_COUNT, "0") != "0"
        wait = WaitingFor.RETRY if lease.calls or response or looks else WaitingFor.TURN
        how = {"delay_s": delay_s, "wait": wait.value, "fields": fields or {}}
        return self._settles(lease, State.PENDING, response, outcome, event=event, signal=signal, **how)

    def _settles(
        self,
        lease: Lease,
        state: State,
        response: Response | None = None,
        outcome: Outcome | None = None,
        *,
        event: dict[str, Any] | None = None,
        signal: GateSignal | None = None,
        **more: Any,
    ) -> Settlement:
        return Settlement(
            ref=lease.ref,
            token=lease.token,
            to=state.value,
            called=response is not None,
            ms=response.ms if response else 0.0,
            attempt=described(response) | {"ms": response.ms, "outcome": outcome} if response else None,
            event=event,
            status=response.status if response else None,
            code=response.code if response else None,
            signal=signal,
            call_seq=lease.call_seq,
            departed_ms=max(0.0, (response.sent_at - lease.taken) * 1000) if response and response.sent_at else None,
            **more,
        )


def spared(lease: Lease) -> int:
    """How many calls of this round used no attempt, including this one: such deletions must slow down."""
    return max(0, lease.calls - lease.attempts_used) + 1


def described(response: Response) -> dict[str, Any]:
    fields = {
        "status": response.status,
        "code": response.code,
        "message": f"{response.issuer}: {response.message or 'no token'}" if response.of_iam else response.message,
        "request_id": response.request_id,
        "failure": response.failure.value if response.failure else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def unknown_outcome(response: Response | None) -> dict[str, Any]:
    return {Field.OUTCOME_UNKNOWN: "1"} if response is not None and outcome_unknown(response) else {}


def with_erasure(settled: Settlement, lease: Lease, first_look_s: float) -> Settlement:
    """The same, and where it ends what a job leaves behind: somebody looks for it so many seconds later."""
    of_job = lease.ref.kind == JOB and lease.related not in (None, Related.LEAVE)
    if settled.to == State.PENDING or not (of_job or lease.parent):
        return settled
    return replace(settled, erasure={"related": lease.related, "first_look_ms": first_look_s * 1000})
