"""Decides what follows for a deletion from an answer. Pure: no I/O; time and randomness are arguments.

`worker.rules.classify` says what the answer means and `worker.rules.gate_signals` what the account's gate learns from
it; the `OutcomeRules` makes a settlement of both: over, again later, or dead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from worker.ledger.schema.fields import Field
from worker.ledger.types import ABSENT_ONCE, GateSignal, Lease, Settlement
from worker.metastudio.response import Body, Listing, Response, TransportFailure
from worker.metastudio.targets.adapter import Row
from worker.metastudio.targets.registry import adapter_of
from worker.model.ids import ID
from worker.model.states import Cause, Evidence, Outcome, State, WaitingFor
from worker.model.target import Target
from worker.rules.classify import NOT_SENT, Lookup, Presence, ResponseKind, classify, outcome_unknown
from worker.rules.parts import why_not_own
from worker.rules.settlements import Settlements, described, spared, unknown_outcome

_JOB_STATE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def sighting(looked: Lookup) -> dict[str, Any]:
    """What to remember of a lookup that found the job: that the DELETE may be sent, and related assets."""
    return {Field.LOOKUP_COUNT: "0"} | (_listed(looked.row, None) if looked.row else {})


@dataclass(frozen=True, slots=True)
class OutcomeRules(Settlements):
    """Turns answers into settlements. `key` is the credential's fingerprint, `random` a number in [0, 1)."""

    # -- without a call --------------------------------------------------------------------------------------------

    def give_back(self, lease: Lease) -> Settlement:
        """Nothing was sent: the lease would not cover the call, or something changed. The next take decides."""
        return self._waits(lease, signal=self._nothing(lease))

    def unsendable(self, lease: Lease, why: str) -> Settlement:
        """Nothing could be sent, and it would not change at once: a credential is missing, or the id is invalid."""
        event = {"event": "deletion.postponed", "error": why[:200]}
        signal = self._nothing(lease)
        return self._waits(lease, delay_s=self._patience(1), signal=signal, event=event)

    def without_token(self, lease: Lease, response: Response) -> Settlement:
        """IAM gave no token, so nothing was sent and no attempt is used. A refusal closes the gate; no answer, or a
        refusal of this project, counts as a failure, and the job waits a step: the gate stays open until five have
        failed.
        """
        signal = self.signal(response, lease)
        wait = 0.0 if signal.kind == "credentials" else self._patience(1)
        event = {"event": "deletion.postponed", **described(response)}
        return self._waits(lease, delay_s=wait, signal=signal, event=event)

    # -- after a DELETE ----------------------------------------------------------------------------------------------

    def after_delete(self, lease: Lease, response: Response) -> Settlement:
        """Every case that the answer alone decides; `ASK` and `FORBIDDEN` need `after_asking` or `after_control`."""
        match classify(response):
            case ResponseKind.DELETED:
                return self._ends(lease, State.DELETED, response, signal=self.signal(response, lease))
            case ResponseKind.FAILED if response.failure is TransportFailure.NOT_SENT:
                return self._not_sent(lease, response)
            case ResponseKind.FAILED:
                return self.failed(lease, response)
            case ResponseKind.THROTTLED:
                wait = self._throttled(lease, response)
                return self._waits(lease, response, Outcome.THROTTLED, wait, signal=self.signal(response, lease))
            case ResponseKind.CREDENTIALS | ResponseKind.CLOCK as about_the_account:
                return self._waits(lease, response, Outcome(about_the_account), signal=self.signal(response, lease))
            case ResponseKind.ASK | ResponseKind.FORBIDDEN as unfinished:
                raise ValueError(f"{unfinished} needs another call")

    def _not_sent(self, lease: Lease, response: Response) -> Settlement:
        """There was no connection, so MetaStudio heard nothing of the job: no attempt is used. It counts as a failure
        of the account, whose gate closes for an outage after five."""
        wait, signal = self._patience(spared(lease)), self.signal(response, lease)
        return self._waits(lease, response, Outcome.FAILED, wait, signal=signal)

    def renewed(self, lease: Lease, response: Response) -> Settlement:
        """The token of the call was refused and will not be used again: no signal for the gate, and the job
        continues.
        """
        signal = self._nothing(lease)
        return self._waits(lease, response, Outcome.CREDENTIALS, signal=signal)

    def failed(self, lease: Lease, response: Response) -> Settlement:
        """A failure that uses an attempt: wait for the next one, or become a dead letter."""
        return self._uses_an_attempt(lease, response, Outcome.FAILED, Cause.SERVER_ERROR, self.signal(response, lease))

    def after_asking(self, lease: Lease, response: Response, looked: Lookup) -> Settlement:
        """A DELETE whose answer needs a lookup."""
        listing, row = looked.listing, looked.row
        signal = self.signal(response, lease) if listing is NOT_SENT else self._signal_of(listing, lease, response)
        match looked.what:
            case Presence.ABSENT:
                unknown = lease.outcome_unknown or outcome_unknown(response)
                return self._absent(lease, response, listing, unknown=unknown)
            case Presence.PRESENT if row is not None and not adapter_of(lease.ref.kind).is_deletable(row.state):
                return self._not_deletable(lease, row, response, listing)
            case Presence.PRESENT if row is not None:
                if classify(response) is ResponseKind.FAILED:
                    return replace(self.failed(lease, response), fields=_listed(row, response))
                if outcome_unknown(response):
                    failed = self._uses_an_attempt(lease, response, Outcome.FAILED, Cause.SERVER_ERROR, signal)
                    return replace(failed, fields=_listed(row, response))
                return self._refused(lease, response, signal, _listed(row, response))
            case _ if classify(response) is ResponseKind.FAILED:
                return self.failed(lease, response)
            case Presence.UNSEEN:
                return self._unseen(lease, response, listing)
            case _:
                return self._look_later(lease, response, listing, signal)

    def after_control(self, lease: Lease, response: Response, control: Response) -> Settlement:
        """A DELETE that was forbidden: decides whether the whole account is forbidden, or only this job."""
        response_kind = classify(control)
        if response_kind in (ResponseKind.CREDENTIALS, ResponseKind.CLOCK):
            return self._waits(lease, response, Outcome.FORBIDDEN, signal=self.signal(control, lease))
        if response_kind is ResponseKind.THROTTLED:
            wait = self._throttled(lease, control)
            return self._waits(lease, response, Outcome.FORBIDDEN, wait, signal=self.signal(control, lease))
        if response_kind is ResponseKind.FORBIDDEN:
            signal = replace(self.signal(response, lease), kind="misconfigured")
            return self._waits(lease, response, Outcome.MISCONFIGURED, self._patience(spared(lease)), signal=signal)
        if (
            response_kind is ResponseKind.DELETED and control.body is Body.JSON
        ):  # a proxy's page would not be a list of jobs
            why = f"DELETE is refused while GET is answered: {response.in_words()}"
            signal = replace(self.signal(response, lease), kind="forbidden", why=why)
            return self._refused(lease, response, signal, {})
        signal = self.signal(control, lease)
        if control is NOT_SENT.response:
            signal = self._nothing(lease)
        elif signal.kind == "ok":  # this answer is of a list; the DELETE itself was forbidden
            signal = replace(signal, kind="listed")
        return self._waits(lease, response, Outcome.FORBIDDEN, self._patience(spared(lease)), signal=signal)

    # -- an erasure --------------------------------------------------------------------------------------------------

    def inventory_later(self, lease: Lease, problem: Response, wait_s: float) -> Settlement:
        """Nobody could say what belongs to the job: asked again. What the answer says of the account counts."""
        signal = self.signal(problem, lease)
        counts = signal.kind not in ("credentials", "clock", "misconfigured") and lease.probe is None
        fields: dict[str, Any] = {Field.INVENTORY_TRIES: str(lease.inventory_tries + 1)} if counts else {}
        signal = replace(signal, kind="none") if signal.kind in ("ok", "throttled") or not problem.status else signal
        event = {"event": "deletion.inventory_postponed", **described(problem)}
        wait_s = wait_s if counts else 0.0
        return self._waits(lease, delay_s=wait_s, signal=signal, event=event, fields=fields)

    def not_to_be_deleted(self, lease: Lease, looked: Lookup, *, to_bin: bool) -> Settlement | None:
        """What a job left behind has to be that job's own, right before it is deleted: else a person decides. What is
        in the recycle bin already, and was to go no further, is over."""
        row = next((row for row in looked.listing.rows or () if row.id == lease.ref.id), None)
        if lease.parent is None or lease.cancel_requested or row is None or row.erased:
            return None
        adapter, signal = adapter_of(lease.ref.kind), self._signal_of(looked.listing, lease)
        why = why_not_own(lease.ref.kind, row, lease.ref.project_id, Target.parse(lease.parent).id)
        if why := "another job named it, too" if lease.shared else why:
            event = {"event": "deletion.not_ours", "why": why}
            return self._ends(lease, State.DEAD, None, cause=Cause.NOT_OURS, signal=signal, event=event)
        binned = to_bin and not lease.for_good and row.state in adapter.in_bin
        return self._ends(lease, State.GONE, None, evidence=Evidence.SEEN_BEFORE, signal=signal) if binned else None

    # -- after a lookup ----------------------------------------------------------------------------------------------

    def after_look(self, lease: Lease, looked: Lookup) -> Settlement | None:
        """A lookup before a DELETE. None: the job exists and is deletable, so the DELETE may be sent now."""
        listing, what, row = looked.listing, looked.what, looked.row
        if (
            lease.owner_lookup
            and what is not Presence.PRESENT
            and not (what is Presence.ABSENT and (lease.outcome_unknown or lease.listed))
        ):
            return self._nobody_says_whose(lease, listing, what)
        if what is Presence.ABSENT:
            return self._absent(lease, None, listing, unknown=lease.outcome_unknown)
        if what is Presence.UNSEEN:
            return self._unseen(lease, None, listing)
        if what is Presence.UNKNOWN or row is None:
            return self._look_later(lease, None, listing, self._signal_of(listing, lease))
        if lease.cancel_requested:
            return self._settles(
                lease, State.CANCELLED, event=_looked(listing, what), signal=self._signal_of(listing, lease)
            )
        if not adapter_of(lease.ref.kind).is_deletable(row.state):
            return self._not_deletable(lease, row, None, listing)
        return None

    def unwanted(self, lease: Lease, looked: Lookup, why: str) -> Settlement:
        """No policy that requested it covers it any more, and nobody else requested it: cancelled before the call."""
        event = _looked(looked.listing, Presence.PRESENT) | {"no_longer_matches": why[:80]}
        return self._settles(lease, State.CANCELLED, event=event, signal=self._signal_of(looked.listing, lease))

    def _nobody_says_whose(self, lease: Lease, listing: Listing, what: Presence) -> Settlement:
        """The job may belong to an app user on hold: nothing is sent until a lookup tells, or no such hold is left."""
        blind = what is Presence.UNSEEN
        signal = self._nothing(lease) if blind else self._signal_of(listing, lease)
        event, fields = _looked(listing, what), {Field.LOOKUP_COUNT.value: str(_next_look(lease))}
        settled = self._settles(lease, State.HELD, event=event, signal=signal)
        return replace(settled, delay_s=self._patience(_looks(lease) + 1), fields=fields)

    def _absent(self, lease: Lease, response: Response | None, listing: Listing, *, unknown: bool) -> Settlement:
        """The job is absent, and control questions showed other jobs. Decides how sure it is that it existed and is
        gone.
        """
        event, signal = _looked(listing, Presence.ABSENT), self._signal_of(listing, lease, response)
        if unknown or lease.listed:
            evidence = Evidence.AFTER_OUR_CALL if unknown else Evidence.SEEN_BEFORE
            return self._ends(lease, State.GONE, response, evidence=evidence, event=event, signal=signal)
        if lease.absent_once:
            return self._ends(lease, State.GONE, response, evidence=Evidence.NEVER_SEEN, event=event, signal=signal)
        fields: dict[str, Any] = {Field.LOOKUP_COUNT: str(ABSENT_ONCE + 1), Field.EMPTY_LOOKUP_COUNT: "0"}
        wait = self.schedule.look_again(random=self.random)
        return self._waits(lease, response, Outcome.ABSENT, wait, fields=fields, event=event, signal=signal)

    def _unseen(self, lease: Lease, response: Response | None, listing: Listing) -> Settlement:
        """The whole project looks empty: it is, or this key cannot see its jobs. Looked up again over hours, then
        dead.
        """
        times = lease.empty_lookup_count + 1
        event, signal = _looked(listing, Presence.UNSEEN), self._nothing(lease)
        fields = {Field.LOOKUP_COUNT: str(_next_look(lease)), Field.EMPTY_LOOKUP_COUNT: str(times)} | unknown_outcome(
            response
        )
        wait = self.schedule.while_unseen(times, random=self.random)
        if wait is None and lease.cancel_requested:  # no person waits for it: looked up until its deadline
            wait = self._patience(times)
        if wait is None:
            ended = self._ends(lease, State.DEAD, response, cause=Cause.NOT_VISIBLE, event=event, signal=signal)
            return replace(ended, fields=fields)
        return self._waits(lease, response, Outcome.UNSEEN, wait, fields=fields, event=event, signal=signal)

    def _look_later(self, lease: Lease, response: Response | None, listing: Listing, signal: GateSignal) -> Settlement:
        """The lookup had no usable answer: look up again later, at growing intervals. Uses no attempt."""
        wait = self._patience(max(_looks(lease) + 1, spared(lease)))
        fields = {Field.LOOKUP_COUNT: str(_next_look(lease))} | unknown_outcome(response)
        event = _looked(listing, Presence.UNKNOWN)
        return self._waits(lease, response, Outcome.UNKNOWN, wait, fields=fields, event=event, signal=signal)

    def _not_deletable(self, lease: Lease, row: Row, response: Response | None, listing: Listing) -> Settlement:
        later = lease.not_deletable_count + 1
        # its state explains the refusals so far
        fields = _listed(row, response) | {
            Field.NOT_DELETABLE_COUNT: str(later),
            Field.LOOKUP_COUNT: "0",
            Field.REFUSED_COUNT: "0",
        }
        state = row.state if _JOB_STATE.fullmatch(row.state) else "unreadable"
        event = _looked(listing, Presence.PRESENT) | {"job_state": state}
        wait = self.schedule.while_not_deletable(later, random=self.random)
        return replace(
            self._waits(lease, response, Outcome.NOT_DELETABLE_YET, wait, fields=fields, event=event),
            wait=WaitingFor.NOT_DELETABLE_YET.value,
            signal=self._signal_of(listing, lease, response),
        )

    # -- the account -------------------------------------------------------------------------------------------------

    # -- waits -------------------------------------------------------------------------------------------------------

    # -- settlements -------------------------------------------------------------------------------------------------


def _looks(lease: Lease) -> int:
    return lease.lookup_count % ABSENT_ONCE


def _next_look(lease: Lease) -> int:
    return lease.lookup_count - _looks(lease) + min(_looks(lease) + 1, ABSENT_ONCE - 1)


def _looked(listing: Listing, what: Presence) -> dict[str, Any]:
    return {"event": "deletion.looked", "found": what.value, **described(listing.response)}


def _listed(row: Row, response: Response | None) -> dict[str, Any]:
    # of a list's body only a valid id is kept
    ids = {Field[name.upper()]: id for name, id in row.related().items() if id and ID.fullmatch(id)}
    return {Field.LISTED: "1"} | ids | unknown_outcome(response)
