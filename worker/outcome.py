"""What becomes of a deletion after an answer. Pure: no I/O, time and randomness are arguments.

`worker.meaning` says what the answer means and `worker.lessons` what the account's gate learns from it; the `Judge`
makes a settlement of both: over, again later, or dead.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from worker import lessons
from worker.deletion import ID, Cause, Evidence, Outcome, State, WaitingFor
from worker.ledger.moves import ABSENT_ONCE, Lease, Lesson, Settlement
from worker.ledger.schema.fields import Field
from worker.meaning import NOT_ASKED, Found, Looked, Meaning, meaning, outcome_unknown
from worker.metastudio.answer import Answer, Body, JobRow, Listing
from worker.metastudio.states import is_deletable
from worker.schedule import Schedule

REFUSALS = 3  # times MetaStudio may refuse a job that looks deletable before a person has to see it

_JOB_STATE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def sighting(looked: Looked) -> dict[str, Any]:
    """What to remember of a look that found the job there: the DELETE may go, and what is related to it."""
    return {Field.LOOKUP_COUNT: "0"} | (_seen(looked.row, None) if looked.row else {})


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns answers into settlements. `key` is the credential's fingerprint, `random` a number in [0, 1)."""

    schedule: Schedule
    key: str
    random: float

    # -- without a call --------------------------------------------------------------------------------------------

    def give_back(self, lease: Lease) -> Settlement:
        """Nothing was sent: the lease would not cover the call, or something came between. The next take decides."""
        return self._waits(lease, lesson=self._nothing(lease))

    def unsendable(self, lease: Lease, why: str) -> Settlement:
        """Nothing could be sent, and nothing would be at once: a credential is gone, or the id must not reach a URL."""
        event = {"event": "deletion.postponed", "error": why[:200]}
        lesson = self._nothing(lease)
        return self._waits(lease, delay_s=self._patience(1), lesson=lesson, event=event)

    def without_token(self, lease: Lease, answer: Answer) -> Settlement:
        """IAM gave no token, so nothing was sent and no attempt is used. Its refusal closes the gate; its silence, or a
        no for this project, counts as a failure, and the job waits a step: the gate is open until five have failed.
        """
        lesson = self.lesson(answer, lease)
        wait = 0.0 if lesson.kind == "credentials" else self._patience(1)
        event = {"event": "deletion.postponed", **_said(answer)}
        return self._waits(lease, delay_s=wait, lesson=lesson, event=event)

    # -- after a DELETE ----------------------------------------------------------------------------------------------

    def after_delete(self, lease: Lease, answer: Answer) -> Settlement:
        """Everything that the answer alone decides; `ASK` and `FORBIDDEN` need `after_asking` or `after_control`."""
        match meaning(answer):
            case Meaning.DELETED:
                return self._ends(lease, State.DELETED, answer, lesson=self.lesson(answer, lease))
            case Meaning.FAILED:
                return self.failed(lease, answer)
            case Meaning.THROTTLED:
                wait = self._throttled(lease, answer)
                return self._waits(lease, answer, Outcome.THROTTLED, wait, lesson=self.lesson(answer, lease))
            case Meaning.CREDENTIALS | Meaning.CLOCK as about_the_account:
                return self._waits(lease, answer, Outcome(about_the_account), lesson=self.lesson(answer, lease))
            case Meaning.ASK | Meaning.FORBIDDEN as unfinished:
                raise ValueError(f"{unfinished} needs another call")

    def renewed(self, lease: Lease, answer: Answer) -> Settlement:
        """The token of the call was refused and will not be used again: the gate learns nothing, the job goes on."""
        lesson = self._nothing(lease)
        return self._waits(lease, answer, Outcome.CREDENTIALS, lesson=lesson)

    def failed(self, lease: Lease, answer: Answer) -> Settlement:
        """A failure that uses an attempt: wait for the next, or die."""
        return self._uses_an_attempt(lease, answer, Outcome.FAILED, Cause.SERVER_ERROR, self.lesson(answer, lease))

    def after_asking(self, lease: Lease, answer: Answer, looked: Looked) -> Settlement:
        """A DELETE that only a look can explain."""
        listing, row = looked.listing, looked.row
        lesson = self.lesson(answer, lease) if listing is NOT_ASKED else self._lesson_of(listing, lease, answer)
        match looked.what:
            case Found.ABSENT:
                return self._absent(lease, answer, listing, unknown=lease.unknown or outcome_unknown(answer))
            case Found.PRESENT if row is not None and not is_deletable(row.state):
                return self._not_deletable(lease, row, answer, listing)
            case Found.PRESENT if row is not None:
                if meaning(answer) is Meaning.FAILED:
                    return replace(self.failed(lease, answer), fields=_seen(row, answer))
                if outcome_unknown(answer):
                    failed = self._uses_an_attempt(lease, answer, Outcome.FAILED, Cause.SERVER_ERROR, lesson)
                    return replace(failed, fields=_seen(row, answer))
                return self._refused(lease, answer, lesson, _seen(row, answer))
            case _ if meaning(answer) is Meaning.FAILED:
                return self.failed(lease, answer)
            case Found.UNSEEN:
                return self._unseen(lease, answer, listing)
            case _:
                return self._look_later(lease, answer, listing, lesson)

    def after_control(self, lease: Lease, answer: Answer, control: Answer) -> Settlement:
        """A DELETE that was forbidden: is it the whole account, or this job alone?"""
        said = meaning(control)
        if said in (Meaning.CREDENTIALS, Meaning.CLOCK):
            return self._waits(lease, answer, Outcome.FORBIDDEN, lesson=self.lesson(control, lease))
        if said is Meaning.THROTTLED:
            wait = self._throttled(lease, control)
            return self._waits(lease, answer, Outcome.FORBIDDEN, wait, lesson=self.lesson(control, lease))
        if said is Meaning.FORBIDDEN:
            lesson = replace(self.lesson(answer, lease), kind="misconfigured")
            return self._waits(lease, answer, Outcome.MISCONFIGURED, self._patience(_spared(lease)), lesson=lesson)
        if said is Meaning.DELETED and control.body is Body.JSON:  # a proxy's page would be no list of jobs
            why = f"DELETE is refused while GET is answered: {lessons.why(answer)}"
            lesson = replace(self.lesson(answer, lease), kind="forbidden", why=why)
            return self._refused(lease, answer, lesson, {})
        lesson = self.lesson(control, lease)
        if control is NOT_ASKED.answer:
            lesson = self._nothing(lease)
        elif lesson.kind == "ok":  # of a list; the DELETE itself was forbidden
            lesson = replace(lesson, kind="listed")
        return self._waits(lease, answer, Outcome.FORBIDDEN, self._patience(_spared(lease)), lesson=lesson)

    # -- after a look ------------------------------------------------------------------------------------------------

    def after_look(self, lease: Lease, looked: Looked) -> Settlement | None:
        """A look without a DELETE. None: it is there and deletable, so the DELETE may go now."""
        listing, what, row = looked.listing, looked.what, looked.row
        if lease.who and what is not Found.PRESENT and not (what is Found.ABSENT and (lease.unknown or lease.seen)):
            return self._nobody_says_whose(lease, listing, what)
        if what is Found.ABSENT:
            return self._absent(lease, None, listing, unknown=lease.unknown)
        if what is Found.UNSEEN:
            return self._unseen(lease, None, listing)
        if what is Found.UNKNOWN or row is None:
            return self._look_later(lease, None, listing, self._lesson_of(listing, lease))
        if lease.cancel_wanted:
            return self._settles(
                lease, State.CANCELLED, event=_looked(listing, what), lesson=self._lesson_of(listing, lease)
            )
        if not is_deletable(row.state):
            return self._not_deletable(lease, row, None, listing)
        return None

    def unwanted(self, lease: Lease, looked: Looked, why: str) -> Settlement:
        """No policy that asked for it means it any more, and nobody else asked: withdrawn before the call."""
        event = _looked(looked.listing, Found.PRESENT) | {"no_longer_matches": why[:80]}
        return self._settles(lease, State.CANCELLED, event=event, lesson=self._lesson_of(looked.listing, lease))

    def _nobody_says_whose(self, lease: Lease, listing: Listing, what: Found) -> Settlement:
        """It may be an app user's that is on hold: nothing is sent until a look says, or no such hold is left."""
        blind = what is Found.UNSEEN
        lesson = self._nothing(lease) if blind else self._lesson_of(listing, lease)
        event, fields = _looked(listing, what), {Field.LOOKUP_COUNT.value: str(_next_look(lease))}
        settled = self._settles(lease, State.HELD, event=event, lesson=lesson)
        return replace(settled, delay_s=self._patience(_looks(lease) + 1), fields=fields)

    def _absent(self, lease: Lease, answer: Answer | None, listing: Listing, *, unknown: bool) -> Settlement:
        """It is not there, and control questions showed other jobs. How sure may we be that it was, and is no more?"""
        event, lesson = _looked(listing, Found.ABSENT), self._lesson_of(listing, lease, answer)
        if unknown or lease.seen:
            evidence = Evidence.AFTER_OUR_CALL if unknown else Evidence.SEEN_BEFORE
            return self._ends(lease, State.GONE, answer, evidence=evidence, event=event, lesson=lesson)
        if lease.absent_once:
            return self._ends(lease, State.GONE, answer, evidence=Evidence.NEVER_SEEN, event=event, lesson=lesson)
        fields: dict[str, Any] = {Field.LOOKUP_COUNT: str(ABSENT_ONCE + 1), Field.EMPTY_LOOKUP_COUNT: "0"}
        wait = self.schedule.look_again(random=self.random)
        return self._waits(lease, answer, Outcome.ABSENT, wait, fields=fields, event=event, lesson=lesson)

    def _unseen(self, lease: Lease, answer: Answer | None, listing: Listing) -> Settlement:
        """The whole project looks empty: it may be, or this key is blind there. Asked again over hours, then dead."""
        times = lease.unseen + 1
        event, lesson = _looked(listing, Found.UNSEEN), self._nothing(lease)
        fields = {Field.LOOKUP_COUNT: str(_next_look(lease)), Field.EMPTY_LOOKUP_COUNT: str(times)} | _unknown(answer)
        wait = self.schedule.while_unseen(times, random=self.random)
        if wait is None and lease.cancel_wanted:  # nobody waits for it: looked for until its deadline
            wait = self._patience(times)
        if wait is None:
            ended = self._ends(lease, State.DEAD, answer, cause=Cause.NOT_VISIBLE, event=event, lesson=lesson)
            return replace(ended, fields=fields)
        return self._waits(lease, answer, Outcome.UNSEEN, wait, fields=fields, event=event, lesson=lesson)

    def _look_later(self, lease: Lease, answer: Answer | None, listing: Listing, lesson: Lesson) -> Settlement:
        """Asking was not answered: ask again later, ever more patiently. Uses no attempt."""
        wait = self._patience(max(_looks(lease) + 1, _spared(lease)))
        fields = {Field.LOOKUP_COUNT: str(_next_look(lease))} | _unknown(answer)
        event = _looked(listing, Found.UNKNOWN)
        return self._waits(lease, answer, Outcome.UNKNOWN, wait, fields=fields, event=event, lesson=lesson)

    def _not_deletable(self, lease: Lease, row: JobRow, answer: Answer | None, listing: Listing) -> Settlement:
        later = lease.later + 1
        # its state explains the refusals so far
        fields = _seen(row, answer) | {
            Field.NOT_DELETABLE_COUNT: str(later),
            Field.LOOKUP_COUNT: "0",
            Field.REFUSED_COUNT: "0",
        }
        state = row.state if _JOB_STATE.fullmatch(row.state) else "unreadable"
        event = _looked(listing, Found.PRESENT) | {"job_state": state}
        wait = self.schedule.while_not_deletable(later, random=self.random)
        return replace(
            self._waits(lease, answer, Outcome.NOT_DELETABLE_YET, wait, fields=fields, event=event),
            wait=WaitingFor.NOT_DELETABLE_YET.value,
            lesson=self._lesson_of(listing, lease, answer),
        )

    # -- the account -------------------------------------------------------------------------------------------------

    def lesson(self, answer: Answer, lease: Lease) -> Lesson:
        """What this answer teaches the gate."""
        return lessons.of_answer(answer, lease, self.key)

    def _lesson_of(self, listing: Listing, lease: Lease, answer: Answer | None = None) -> Lesson:
        """answer: of the DELETE before it, which was a sign of life if MetaStudio said anything of the job."""
        lesson = lessons.of_listing(listing, lease, self.key)
        answered = answer is not None and meaning(answer) is Meaning.ASK
        return replace(lesson, kind="ok") if answered and lesson.kind == "listed" else lesson

    def _nothing(self, lease: Lease) -> Lesson:
        return lessons.nothing(lease, self.key)

    # -- waits -------------------------------------------------------------------------------------------------------

    def _patience(self, times: int) -> float:
        return self.schedule.patiently(times, random=self.random)

    def _throttled(self, lease: Lease, answer: Answer) -> float:
        return self.schedule.while_throttled(_spared(lease), random=self.random, retry_after_s=answer.retry_after_s)

    # -- settlements -------------------------------------------------------------------------------------------------

    def _refused(self, lease: Lease, answer: Answer, lesson: Lesson, fields: dict[str, Any]) -> Settlement:
        refused = lease.refused + 1
        fields = fields | {Field.REFUSED_COUNT: str(refused)}
        if refused >= REFUSALS:
            ended = self._ends(lease, State.DEAD, answer, cause=Cause.REFUSED, lesson=lesson, outcome=Outcome.REFUSED)
            return replace(ended, used=True, fields=ended.fields | fields)
        again = self._uses_an_attempt(lease, answer, Outcome.REFUSED, Cause.REFUSED, lesson)
        return replace(again, fields=again.fields | fields)

    def _uses_an_attempt(
        self, lease: Lease, answer: Answer, outcome: Outcome, cause: Cause, lesson: Lesson
    ) -> Settlement:
        wait = self.schedule.after_failure(lease.used + 1, random=self.random, retry_after_s=answer.retry_after_s)
        if wait is None:
            ended = self._ends(lease, State.DEAD, answer, cause=cause, lesson=lesson, outcome=outcome)
            return replace(ended, used=True, fields=_unknown(answer))
        settled = self._waits(lease, answer, outcome, wait, fields=_unknown(answer), lesson=lesson)
        return replace(settled, used=True, wait=WaitingFor.RETRY.value)

    def _ends(
        self,
        lease: Lease,
        state: State,
        answer: Answer | None,
        *,
        lesson: Lesson,
        cause: Cause | None = None,
        evidence: Evidence | None = None,
        event: dict[str, Any] | None = None,
        outcome: Outcome | None = None,
    ) -> Settlement:
        settled = self._settles(lease, state, answer, outcome or Outcome(state), event=event, lesson=lesson)
        return replace(settled, cause=cause.value if cause else None, evidence=evidence.value if evidence else None)

    def _waits(
        self,
        lease: Lease,
        answer: Answer | None = None,
        outcome: Outcome | None = None,
        delay_s: float = 0.0,
        *,
        fields: dict[str, Any] | None = None,
        event: dict[str, Any] | None = None,
        lesson: Lesson | None = None,
    ) -> Settlement:
        settled = self._settles(lease, State.PENDING, answer, outcome, event=event, lesson=lesson)
        looks = lease.looks or (fields or {}).get(Field.LOOKUP_COUNT, "0") != "0"
        wait = WaitingFor.RETRY if lease.calls or answer or looks else WaitingFor.TURN
        return replace(settled, delay_s=delay_s, wait=wait.value, fields=fields or {})

    def _settles(
        self,
        lease: Lease,
        state: State,
        answer: Answer | None = None,
        outcome: Outcome | None = None,
        *,
        event: dict[str, Any] | None = None,
        lesson: Lesson | None = None,
    ) -> Settlement:
        return Settlement(
            ref=lease.ref,
            token=lease.token,
            to=state.value,
            called=answer is not None,
            ms=answer.ms if answer else 0.0,
            attempt=_said(answer) | {"ms": answer.ms, "outcome": outcome} if answer else None,
            event=event,
            status=answer.status if answer else None,
            code=answer.code if answer else None,
            lesson=lesson,
            nth=lease.nth,
            left_ms=max(0.0, (answer.sent_at - lease.taken) * 1000) if answer and answer.sent_at else None,
        )


def _spared(lease: Lease) -> int:
    """How many calls of this round used no attempt, this one included: what goes on like that has to slow down."""
    return max(0, lease.calls - lease.used) + 1


def _looks(lease: Lease) -> int:
    return lease.looks % ABSENT_ONCE


def _next_look(lease: Lease) -> int:
    return lease.looks - _looks(lease) + min(_looks(lease) + 1, ABSENT_ONCE - 1)


def _said(answer: Answer) -> dict[str, Any]:
    said = {
        "status": answer.status,
        "code": answer.code,
        "message": f"IAM: {answer.message or 'no token'}" if answer.of_iam else answer.message,
        "request_id": answer.request_id,
        "silence": answer.silence.value if answer.silence else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _looked(listing: Listing, what: Found) -> dict[str, Any]:
    return {"event": "deletion.looked", "found": what.value, **_said(listing.answer)}


def _seen(row: JobRow, answer: Answer | None) -> dict[str, Any]:
    # of a list's body only what is surely an id goes on
    related = {Field.ASSET_ID: row.asset_id, Field.VOICE_JOB_ID: row.voice_train_job_id}
    ids = {name: value for name, value in related.items() if value and ID.fullmatch(value)}
    return {Field.SEEN: "1"} | ids | _unknown(answer)


def _unknown(answer: Answer | None) -> dict[str, Any]:
    return {Field.OUTCOME_UNKNOWN: "1"} if answer is not None and outcome_unknown(answer) else {}
