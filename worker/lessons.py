"""What an answer teaches about the account: the gate learns from it. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from worker.ledger.moves import Lease, Lesson, Trial
from worker.meaning import Meaning, meaning
from worker.metastudio.answer import Answer, Listing

_ABOUT_THE_PROJECT = (400, 403, 404)  # of IAM: whether this user may work there says nothing about its password
_SAME_CLOCK_MS = 60_000.0  # what was signed with a time that differs by less was signed with the server's clock


def nothing(lease: Lease, key: str) -> Lesson:
    """Nothing was asked, or what was asked said nothing."""
    return Lesson("none", key=key, probe=lease.probe)


def of_answer(answer: Answer, under: Lease | Trial, key: str) -> Lesson:
    """`key` is the fingerprint of the credential that was used, `under` what the call was allowed by."""
    probe = under.probe if isinstance(under, Lease) else None
    common = Lesson("ok", key=key, ms=answer.ms, probe=probe, why=why(answer))
    match meaning(answer):
        case Meaning.DELETED | Meaning.ASK:
            return replace(common, why=None)
        case Meaning.THROTTLED:
            retry_after = answer.retry_after_s * 1000 if answer.retry_after_s else None
            return replace(common, kind="throttled", retry_after=retry_after)
        case Meaning.CLOCK if (told := told_the_time(answer)) is not None:
            return replace(common, kind="clock", skew=told.timestamp() * 1000 - (under.redis_ms + answer.ms))
        case Meaning.CREDENTIALS if answer.of_iam and answer.status in _ABOUT_THE_PROJECT:
            return replace(common, kind="misconfigured")
        case Meaning.CREDENTIALS | Meaning.CLOCK:
            return replace(common, kind="credentials")
        case Meaning.FORBIDDEN:
            return replace(common, kind="misconfigured")
        case _:
            return replace(common, kind="fail")


def told_the_time(answer: Answer) -> datetime | None:
    """What time it is by a server that refused a call for its clock; None where it was signed with that one already."""
    told, signed = answer.server_time, answer.signed_at
    same = told is not None and signed is not None and abs((told - signed).total_seconds()) * 1000 <= _SAME_CLOCK_MS
    return None if same else told


def of_listing(listing: Listing, under: Lease | Trial, key: str) -> Lesson:
    """The same of a list query. It says nothing of DELETEs; and a 2xx that is no list of jobs is not MetaStudio's."""
    lesson, status = of_answer(listing.answer, under, key), listing.answer.status
    if listing.count is None and status is not None and 200 <= status < 300:
        return replace(lesson, kind="fail", why=f"{status}, but no list of jobs")
    return replace(lesson, kind="listed") if lesson.kind == "ok" else lesson


def why(answer: Answer) -> str:
    """One line for people: what was answered."""
    who = "IAM: " if answer.of_iam else ""
    if answer.status is None:
        return f"{who}no answer ({answer.silence})"
    return who + " ".join(str(part) for part in (answer.status, answer.code, answer.message) if part)
