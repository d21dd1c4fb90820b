"""What an answer teaches about the account: the gate learns from it. Pure."""

from __future__ import annotations

from dataclasses import replace

from worker.ledger.moves import Lease, Lesson
from worker.meaning import Meaning, meaning
from worker.metastudio.answer import Answer, Listing

_LOCK_WORDS = ("failed to reach the limit",)
_ABOUT_THE_PROJECT = (400, 403, 404)  # of IAM: whether this user may work there says nothing about its password
_SAME_CLOCK_MS = 60_000.0  # what was signed with a time that differs by less was signed with the server's clock


def nothing(lease: Lease, key: str) -> Lesson:
    """Nothing was asked, or what was asked said nothing."""
    return Lesson("none", key=key, probe=bool(lease.probe))


def alive(listing: Listing, lease: Lease, key: str) -> Lesson:
    """A list of jobs was answered."""
    return Lesson("ok", key=key, ms=listing.answer.ms, probe=bool(lease.probe))


def unseen(listing: Listing, lease: Lease, key: str) -> Lesson:
    """A list of jobs was answered and shows none: so does a service half of which is away, and that opens no gate."""
    if lease.probe == "outage":
        return Lesson("fail", key=key, ms=listing.answer.ms, probe=True, why="lists are answered, and show no job")
    return alive(listing, lease, key) if lease.probe else nothing(lease, key)


def of_answer(answer: Answer, lease: Lease, key: str) -> Lesson:
    """`key` is the fingerprint of the credential that was used."""
    common = Lesson("ok", key=key, ms=answer.ms, probe=bool(lease.probe), why=why(answer))
    match meaning(answer):
        case Meaning.DELETED | Meaning.ASK:
            return replace(common, why=None)
        case Meaning.THROTTLED:
            retry_after = answer.retry_after_s * 1000 if answer.retry_after_s else None
            return replace(common, kind="throttled", retry_after=retry_after)
        case Meaning.CLOCK if answer.server_time is not None:
            server_ms = answer.server_time.timestamp() * 1000
            if answer.signed_at is not None and abs(server_ms - answer.signed_at.timestamp() * 1000) <= _SAME_CLOCK_MS:
                return replace(common, kind="credentials")  # it was signed with that clock already
            return replace(common, kind="clock", skew=server_ms - (lease.redis_ms + answer.ms))
        case Meaning.CREDENTIALS if answer.of_iam and answer.status in _ABOUT_THE_PROJECT:
            return replace(common, kind="fail", forbidden=True)  # it closes the account where many jobs meet it
        case Meaning.CREDENTIALS | Meaning.CLOCK:
            # IAM locks the user after five wrong passwords, whichever of all workers tried them
            wrong_password = answer.of_iam and answer.status == 401
            locked = wrong_password or any(words in (answer.message or "") for words in _LOCK_WORDS)
            return replace(common, kind="credentials", locked=locked)
        case Meaning.FORBIDDEN:
            return replace(common, kind="misconfigured")
        case _:
            return replace(common, kind="fail")


def of_listing(listing: Listing, lease: Lease, key: str) -> Lesson:
    """The same of a list query: a 200 that is no list of jobs is not MetaStudio's."""
    lesson = of_answer(listing.answer, lease, key)
    if listing.answer.status == 200 and listing.count is None:
        return replace(lesson, kind="fail", why="200, but no list of jobs")
    return lesson


def why(answer: Answer) -> str:
    """One line for people: what was answered."""
    who = "IAM: " if answer.of_iam else ""
    if answer.status is None:
        return f"{who}no answer ({answer.silence})"
    return who + " ".join(str(part) for part in (answer.status, answer.code, answer.message) if part)
