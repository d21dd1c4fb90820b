"""What an answer means, and what becomes of the deletion. Pure: no I/O, time and randomness are arguments.

    DELETE ──▶ meaning() ──▶ deleted           200 or 204 that nothing in the body contradicts, and nothing else
                             failed            5xx, reset, timeout: the outcome is unknown, try again later
                             ask               400, 404 from MetaStudio, odd 2xx: only a list query can tell
                             throttled, credentials, clock      about the account, not about the job
                             forbidden         403, wrong URL: a control GET tells the account from the job
    ask ──▶ found() ──▶ absent | present | unknown ──▶ gone, not deletable yet, refused, or another try

Classify by HTTP status first and by code second: sources disagree on the low MSS codes (API reference, section 2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from worker.deletion import ID, Cause, Evidence, State, WaitingFor
from worker.ledger.moves import ABSENT_ONCE, Lease, Lesson, Settlement
from worker.metastudio.answer import Answer, Body, JobRow, Listing, Silence
from worker.metastudio.states import is_deletable
from worker.schedule import Schedule

REFUSALS = 3  # times MetaStudio may refuse a job that looks deletable before a person has to see it

NOT_ASKED: Final = Listing(Answer(None, Silence.NOT_SENT, None, "not asked", None, 0), None, None)
"""Stands in the place of an answer where pace, lease or Redis let no question go; it teaches nothing."""


class Meaning(StrEnum):
    """What the answer to one DELETE says."""

    DELETED = "deleted"
    ASK = "ask"
    FAILED = "failed"
    THROTTLED = "throttled"
    CREDENTIALS = "credentials"
    CLOCK = "clock"
    FORBIDDEN = "forbidden"


class Found(StrEnum):
    """What asking for one job by its id says."""

    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


# (status, code) pairs that mean something else than their status alone (API reference, 2 and 3.1)
_BY_CODE: dict[tuple[int, str], Meaning] = {
    (400, "MSS.00010008"): Meaning.CREDENTIALS,  # "Invalid token in the header": an auth failure with a 400
    (400, "MSS.00010009"): Meaning.FORBIDDEN,  # the project is not the credential's
    (400, "MSS.00010003"): Meaning.FORBIDDEN,  # wrong URL
    (400, "MSS.00010004"): Meaning.FORBIDDEN,  # wrong method
    (400, "APIGW.0104"): Meaning.FAILED,  # faults on the gateway's side
    (400, "APIGW.0105"): Meaning.FAILED,
    (400, "APIGW.0106"): Meaning.FAILED,
    (400, "APIGW.0607"): Meaning.FORBIDDEN,  # wrong protocol
    (404, "APIGW.0101"): Meaning.FORBIDDEN,  # wrong URL, host or region: never "already deleted"
    (404, "APIGW.0103"): Meaning.FAILED,  # the gateway has no backend
}
_JOB_STATE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_CLOCK_WORDS = ("signature expired",)
_LOCK_WORDS = ("failed to reach the limit",)


def meaning(answer: Answer) -> Meaning:
    """What the answer to a DELETE says."""
    status = answer.status
    if status is None:
        return Meaning.FAILED
    if answer.of_iam:  # it may refuse us, or not; about the job and MetaStudio's pace it knows nothing
        return Meaning.CREDENTIALS if 400 <= status < 500 and status not in (408, 429) else Meaning.FAILED
    special = _BY_CODE.get((status, answer.code or ""))
    if special:
        return special
    match status:
        case 200 | 204:
            return Meaning.ASK if _contradicts_itself(answer) else Meaning.DELETED
        case 429:
            return Meaning.THROTTLED
        case 401:
            skewed = answer.server_time is not None and any(w in (answer.message or "") for w in _CLOCK_WORDS)
            return Meaning.CLOCK if skewed else Meaning.CREDENTIALS
        case 403 | 405:
            return Meaning.FORBIDDEN
        case 408:
            return Meaning.FAILED
    if status >= 500 or 300 <= status < 400:
        return Meaning.FAILED
    return Meaning.ASK


def _contradicts_itself(answer: Answer) -> bool:
    """Whether a success brings a proxy's page, an error, or a body that was cut short and may have been one."""
    return answer.truncated or answer.body in (Body.HTML, Body.OTHER) or bool(answer.code or answer.message)


def outcome_unknown(answer: Answer) -> bool:
    """Whether the job may have been deleted although nobody said so."""
    if answer.of_iam:
        return False
    match meaning(answer):
        case Meaning.FAILED:
            return answer.silence is not Silence.NOT_SENT and not (answer.status and 300 <= answer.status < 500)
        case Meaning.ASK:
            return answer.status is not None and answer.status < 300
        case _:
            return False


def sighting(listing: Listing, job_id: str) -> dict[str, Any]:
    """What to remember of a look that found the job there: the DELETE may go, and what is related to it."""
    _, row = found(listing, job_id)
    return {"look": "0"} | (_seen(row, None) if row else {})


def found(listing: Listing, job_id: str) -> tuple[Found, JobRow | None]:
    """Present: a row with exactly this id. Absent: a well-formed 200 that counts none. Anything else is unknown."""
    if listing.answer.status == 200 and listing.rows is not None and listing.count is not None:
        for row in listing.rows:
            if row.job_id == job_id:
                return Found.PRESENT, row
        if listing.count == 0 and not listing.rows:
            return Found.ABSENT, None
    return Found.UNKNOWN, None


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns answers into settlements. `key` is the credential's fingerprint, `random` a number in [0, 1)."""

    schedule: Schedule
    key: str
    random: float

    # -- without a call --------------------------------------------------------------------------------------------

    def give_back(self, lease: Lease) -> Settlement:
        """Nothing was sent: the lease would not have covered the call."""
        return self._waits(lease, lesson=Lesson("none", key=self.key, probe=bool(lease.probe)))

    def unsendable(self, lease: Lease, why: str) -> Settlement:
        """Nothing could be sent, and nothing would be at once: a credential is gone, or the id must not reach a URL."""
        event = {"event": "deletion.postponed", "error": why[:200]}
        lesson = Lesson("none", key=self.key, probe=bool(lease.probe))
        return self._waits(lease, delay_s=self._patience(1), lesson=lesson, event=event)

    def without_token(self, lease: Lease, answer: Answer) -> Settlement:
        """IAM gave no token, so nothing was sent and no attempt is used. Its refusal closes the gate; its silence
        counts as MetaStudio's would, and the job waits a step because the gate is open until five have failed.
        """
        wait = 0.0 if meaning(answer) is Meaning.CREDENTIALS else self._patience(1)
        event = {"event": "deletion.postponed", **_said(answer)}
        return self._waits(lease, delay_s=wait, lesson=self.lesson(answer, lease), event=event)

    def probe_failed(self, lease: Lease, trial: Listing) -> Settlement:
        """The harmless call that tries whether the gate may open was not answered well: no attempt is used.

        The job waits a step, because the gate itself stays open while fewer than five jobs have failed.
        """
        event = {"event": "deletion.postponed", "probe": lease.probe, **_said(trial.answer)}
        lesson = self._lesson_of(trial, lease)
        wait = 0.0 if lesson.kind == "clock" else self._patience(1)
        return self._waits(lease, delay_s=wait, lesson=lesson, event=event)

    def key_is_good(self, lease: Lease, trial: Listing) -> Settlement:
        """The harmless call was answered: the gate may open to all, and this job takes its turn."""
        return self._waits(lease, lesson=Lesson("ok", key=self.key, ms=trial.answer.ms, probe=True))

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
                return self._waits(lease, answer, "throttled", wait, lesson=self.lesson(answer, lease))
            case Meaning.CREDENTIALS | Meaning.CLOCK as about_the_account:
                return self._waits(lease, answer, about_the_account.value, lesson=self.lesson(answer, lease))
            case Meaning.ASK | Meaning.FORBIDDEN as unfinished:
                raise ValueError(f"{unfinished} needs another call")

    def renewed(self, lease: Lease, answer: Answer) -> Settlement:
        """The token of the call was refused and will not be used again: the gate learns nothing, the job goes on."""
        lesson = Lesson("none", key=self.key, probe=bool(lease.probe))
        return self._waits(lease, answer, Meaning.CREDENTIALS.value, lesson=lesson)

    def failed(self, lease: Lease, answer: Answer, *, list_ok: bool = False) -> Settlement:
        """A failure that uses an attempt: wait for the next, or die."""
        lesson = replace(self.lesson(answer, lease), list_ok=list_ok)
        return self._uses_an_attempt(lease, answer, "failed", Cause.SERVER_ERROR, lesson)

    def after_asking(self, lease: Lease, answer: Answer, listing: Listing, *, sees_jobs: bool | None) -> Settlement:
        """A DELETE that only a list query can explain. `sees_jobs`: see `absent`."""
        unknown = lease.unknown or outcome_unknown(answer)
        what, row = found(listing, lease.ref.job_id)
        lesson = self.lesson(answer, lease) if listing is NOT_ASKED else self._lesson_of(listing, lease)
        match what:
            case Found.ABSENT:
                return self._absent(lease, answer, listing, unknown=unknown, sees_jobs=sees_jobs)
            case Found.PRESENT if row is not None and not is_deletable(row.state):
                return self._not_deletable(lease, row, answer, listing)
            case Found.PRESENT if row is not None:
                if meaning(answer) is Meaning.FAILED:
                    return replace(self.failed(lease, answer, list_ok=True), fields=_seen(row, answer))
                if outcome_unknown(answer):
                    failed = self._uses_an_attempt(lease, answer, "failed", Cause.SERVER_ERROR, lesson)
                    return replace(failed, fields=_seen(row, answer))
                return self._refused(lease, answer, lesson, _seen(row, answer))
            case _ if meaning(answer) is Meaning.FAILED:
                return self.failed(lease, answer)
            case _:
                return self._look_later(lease, answer, listing, lesson)

    def after_control(self, lease: Lease, answer: Answer, control: Answer) -> Settlement:
        """A DELETE that was forbidden: is it the whole account, or this job alone?"""
        said = meaning(control)
        if said in (Meaning.CREDENTIALS, Meaning.CLOCK):
            return self._waits(lease, answer, "forbidden", lesson=self.lesson(control, lease))
        if said is Meaning.THROTTLED:
            wait = self._throttled(lease, control)
            return self._waits(lease, answer, "forbidden", wait, lesson=self.lesson(control, lease))
        if said is Meaning.FORBIDDEN:
            why = _why(answer)
            lesson = Lesson("misconfigured", key=self.key, probe=bool(lease.probe), why=why)
            return self._waits(lease, answer, "misconfigured", lesson=lesson)
        if said is Meaning.DELETED and control.body is Body.JSON:  # a proxy's page would be no list of jobs
            why = f"DELETE is refused while GET is answered: {_why(answer)}"
            lesson = Lesson("fail", key=self.key, probe=bool(lease.probe), list_ok=True, forbidden=True, why=why)
            return self._refused(lease, answer, lesson, {})
        lesson = self.lesson(control, lease)
        if control is NOT_ASKED.answer:
            lesson = Lesson("none", key=self.key, probe=bool(lease.probe))
        return self._waits(lease, answer, "forbidden", self._patience(_spared(lease)), lesson=lesson)

    # -- after a look ------------------------------------------------------------------------------------------------

    def after_look(self, lease: Lease, listing: Listing, *, sees_jobs: bool | None) -> Settlement | None:
        """A look without a DELETE. None: it is there and deletable, so the DELETE may go now."""
        what, row = found(listing, lease.ref.job_id)
        if lease.who and what is not Found.PRESENT and not (what is Found.ABSENT and (lease.unknown or lease.seen)):
            return self._nobody_says_whose(lease, listing, what)
        if what is Found.ABSENT:
            return self._absent(lease, None, listing, unknown=lease.unknown, sees_jobs=sees_jobs)
        if what is Found.UNKNOWN or row is None:
            return self._look_later(lease, None, listing, self._lesson_of(listing, lease))
        if lease.cancel_wanted:
            return self._settles(
                lease, State.CANCELLED, event=_looked(listing, what), lesson=self._alive(lease, listing)
            )
        if not is_deletable(row.state):
            return self._not_deletable(lease, row, None, listing)
        return None

    def unwanted(self, lease: Lease, listing: Listing, why: str) -> Settlement:
        """No policy that asked for it means it any more, and nobody else asked: withdrawn before the call."""
        event = _looked(listing, Found.PRESENT) | {"no_longer_matches": why[:80]}
        return self._settles(lease, State.CANCELLED, event=event, lesson=self._alive(lease, listing))

    def knows_whose(self, lease: Lease, listing: Listing, user: str) -> Settlement:
        """The look said whose job it is (`user`: the hash); whether that is on hold, the next take decides."""
        fields = sighting(listing, lease.ref.job_id) | {"au": user}
        return self._waits(lease, fields=fields, lesson=self._alive(lease, listing))

    def _nobody_says_whose(self, lease: Lease, listing: Listing, what: Found) -> Settlement:
        """It may be an app user's that is on hold: nothing is sent until a look says, or no such hold is left."""
        event, lesson = _looked(listing, what), self._lesson_of(listing, lease)
        fields = {"look": str(_next_look(lease))}
        settled = self._settles(lease, State.HELD, event=event, lesson=lesson)
        return replace(settled, delay_s=self._patience(_looks(lease) + 1), fields=fields)

    def _absent(
        self, lease: Lease, answer: Answer | None, listing: Listing, *, unknown: bool, sees_jobs: bool | None
    ) -> Settlement:
        """It is not there. How sure may we be that it was, and is no more? `sees_jobs`: whether the credential sees any
        job at all in the project (None: not known)."""
        event, lesson = _looked(listing, Found.ABSENT), self._alive(lease, listing)
        if unknown or lease.seen:
            evidence = Evidence.AFTER_OUR_CALL if unknown else Evidence.SEEN_BEFORE
            return self._ends(lease, State.GONE, answer, evidence=evidence, event=event, lesson=lesson)
        if lease.absent_once and sees_jobs is True:
            return self._ends(lease, State.GONE, answer, evidence=Evidence.NEVER_SEEN, event=event, lesson=lesson)
        if lease.absent_once and sees_jobs is False:
            return self._ends(lease, State.DEAD, answer, cause=Cause.NOT_VISIBLE, event=event, lesson=lesson)
        wait, look = self.schedule.look_again(random=self.random), ABSENT_ONCE + 1
        if lease.absent_once:  # but whether the credential sees any job at all was not answered
            wait, look = max(wait, self._patience(_looks(lease))), _next_look(lease)
        fields = {"look": str(look)} | _unknown(answer)
        return self._waits(lease, answer, "absent", wait, fields=fields, event=event, lesson=lesson)

    def _look_later(self, lease: Lease, answer: Answer | None, listing: Listing, lesson: Lesson) -> Settlement:
        """Asking was not answered: ask again later, ever more patiently. Uses no attempt."""
        wait = self._patience(max(_looks(lease) + 1, _spared(lease)))
        fields = {"look": str(_next_look(lease))} | _unknown(answer)
        event = _looked(listing, Found.UNKNOWN)
        return self._waits(lease, answer, "unknown", wait, fields=fields, event=event, lesson=lesson)

    def _not_deletable(self, lease: Lease, row: JobRow, answer: Answer | None, listing: Listing) -> Settlement:
        later = lease.later + 1
        # its state explains the refusals so far
        fields = _seen(row, answer) | {"later": str(later), "look": "0", "refused": "0"}
        state = row.state if _JOB_STATE.fullmatch(row.state) else "unreadable"
        event = _looked(listing, Found.PRESENT) | {"job_state": state}
        wait = self.schedule.while_not_deletable(later, random=self.random)
        return replace(
            self._waits(lease, answer, "not_deletable_yet", wait, fields=fields, event=event),
            wait=WaitingFor.NOT_DELETABLE_YET.value,
            lesson=self._alive(lease, listing),
        )

    # -- the account -------------------------------------------------------------------------------------------------

    def lesson(self, answer: Answer, lease: Lease) -> Lesson:
        """What this answer teaches the gate."""
        said = meaning(answer)
        common = Lesson("ok", key=self.key, ms=answer.ms, probe=bool(lease.probe), why=_why(answer))
        match said:
            case Meaning.DELETED | Meaning.ASK:
                return replace(common, why=None)
            case Meaning.THROTTLED:
                retry_after = answer.retry_after_s * 1000 if answer.retry_after_s else None
                return replace(common, kind="throttled", retry_after=retry_after)
            case Meaning.CLOCK if answer.server_time is not None:
                skew = answer.server_time.timestamp() * 1000 - (lease.redis_ms + answer.ms)
                if lease.skew_ms is None or abs(lease.skew_ms - skew) > 60_000:
                    return replace(common, kind="clock", skew=skew)
                return replace(common, kind="credentials")  # it was signed with that clock already
            case Meaning.CREDENTIALS | Meaning.CLOCK:
                # IAM locks the user after five wrong passwords, whichever of all workers tried them
                wrong_password = answer.of_iam and answer.status == 401
                locked = wrong_password or any(words in (answer.message or "") for words in _LOCK_WORDS)
                return replace(common, kind="credentials", locked=locked)
            case Meaning.FORBIDDEN:
                return replace(common, kind="misconfigured")
            case _:
                return replace(common, kind="fail")

    def _lesson_of(self, listing: Listing, lease: Lease) -> Lesson:
        """The same of a list query: a 200 that is no list of jobs is not MetaStudio's."""
        lesson = self.lesson(listing.answer, lease)
        if listing.answer.status == 200 and listing.count is None:
            return replace(lesson, kind="fail", why="200, but no list of jobs")
        return lesson

    def _alive(self, lease: Lease, listing: Listing) -> Lesson:
        return Lesson("ok", key=self.key, ms=listing.answer.ms, probe=bool(lease.probe))

    # -- waits -------------------------------------------------------------------------------------------------------

    def _patience(self, times: int) -> float:
        return self.schedule.patiently(times, random=self.random)

    def _throttled(self, lease: Lease, answer: Answer) -> float:
        return self.schedule.while_throttled(_spared(lease), random=self.random, retry_after_s=answer.retry_after_s)

    # -- settlements -------------------------------------------------------------------------------------------------

    def _refused(self, lease: Lease, answer: Answer, lesson: Lesson, fields: dict[str, Any]) -> Settlement:
        refused = lease.refused + 1
        fields = fields | {"refused": str(refused)}
        if refused >= REFUSALS:
            ended = self._ends(lease, State.DEAD, answer, cause=Cause.REFUSED, lesson=lesson, outcome="refused")
            return replace(ended, used=True, fields=ended.fields | fields)
        again = self._uses_an_attempt(lease, answer, "refused", Cause.REFUSED, lesson)
        return replace(again, fields=again.fields | fields)

    def _uses_an_attempt(self, lease: Lease, answer: Answer, outcome: str, cause: Cause, lesson: Lesson) -> Settlement:
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
        outcome: str | None = None,
    ) -> Settlement:
        settled = self._settles(lease, state, answer, outcome or state.value, event=event, lesson=lesson)
        return replace(settled, cause=cause.value if cause else None, evidence=evidence.value if evidence else None)

    def _waits(
        self,
        lease: Lease,
        answer: Answer | None = None,
        outcome: str | None = None,
        delay_s: float = 0.0,
        *,
        fields: dict[str, Any] | None = None,
        event: dict[str, Any] | None = None,
        lesson: Lesson | None = None,
    ) -> Settlement:
        settled = self._settles(lease, State.PENDING, answer, outcome, event=event, lesson=lesson)
        wait = WaitingFor.RETRY if lease.calls or answer or lease.looks else WaitingFor.TURN
        return replace(settled, delay_s=delay_s, wait=wait.value, fields=fields or {})

    def _settles(
        self,
        lease: Lease,
        state: State,
        answer: Answer | None = None,
        outcome: str | None = None,
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


def _why(answer: Answer) -> str:
    """One line for people: what was answered."""
    who = "IAM: " if answer.of_iam else ""
    if answer.status is None:
        return f"{who}no answer ({answer.silence})"
    return who + " ".join(str(part) for part in (answer.status, answer.code, answer.message) if part)


def _looked(listing: Listing, what: Found) -> dict[str, Any]:
    return {"event": "deletion.looked", "found": what.value, **_said(listing.answer)}


def _seen(row: JobRow, answer: Answer | None) -> dict[str, Any]:
    # of a list's body only what is surely an id goes on
    related = {"asset": row.asset_id, "voice": row.voice_train_job_id}
    ids = {name: value for name, value in related.items() if value and ID.fullmatch(value)}
    return {"seen": "1"} | ids | _unknown(answer)


def _unknown(answer: Answer | None) -> dict[str, Any]:
    return {"unk": "1"} if answer is not None and outcome_unknown(answer) else {}
