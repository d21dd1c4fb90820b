"""Dead letters: in groups by their cause, and selected by job, group or filter."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import redis

from worker.execution.app_context import AppContext
from worker.ledger.bulk_queries import DeadLetter, DeadLetterGroup
from worker.ledger.damage import check
from worker.ledger.redis_read import read_redis
from worker.ledger.replays import Replays
from worker.model.errors import Unreachable, UsageError
from worker.model.shares import grouped
from worker.model.states import State
from worker.model.target import Target
from worker.services.times import absolute

FEW = 10

_UNSAFE = re.compile(r"[^0-9A-Za-z._]+")


def group_of(letter: DeadLetter) -> str:
    """The group's id: stable, and easy to type. `server_error-500-MSS.00000004`."""
    return group_name(letter.cause, letter.status, letter.code)


def group_name(cause: str, status: int | str | None, code: str | None) -> str:
    """As `lua/_groups.lua` makes it."""
    parts = [cause, status, code]
    return "-".join(_UNSAFE.sub("_", str(part)) for part in parts if part not in (None, ""))


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """A filter of dead letters. Times in ms since 1970."""

    cause: str | None = None
    code: str | None = None
    lane: str | None = None
    run: str | None = None  # the run or replay that requested it
    project: str | None = None
    since: float | None = None
    until: float | None = None
    job: str | None = None  # prefix of the job id

    def passes(self, letter: DeadLetter) -> bool:
        return (
            all(getattr(self, name) in (None, getattr(letter, name)) for name in ("cause", "code", "lane"))
            and (self.run is None or self.run in (letter.run, letter.replay))
            and (self.project is None or letter.ref.project_id == self.project)
            and (self.since is None or letter.finished_at >= self.since)
            and (self.until is None or letter.finished_at <= self.until)
            and (self.job is None or letter.ref.name.startswith(self.job))
        )

    @property
    def words(self) -> list[str]:
        """For people: `cause server_error`, `since 2026-11-22 05:10:03 UTC`."""
        values = ((name, getattr(self, name)) for name in self.__slots__)
        return [f"{name} {absolute(x) if isinstance(x, float) else x}" for name, x in values if x is not None]


NO_FILTER = DeadLetterFilter()


@dataclass(frozen=True, slots=True)
class Selection:
    """Selected dead letters, fixed at that moment, and the words that selected none, with the reason."""

    letters: tuple[DeadLetter, ...]
    skipped: tuple[tuple[str, str], ...]
    what: str = ""  # the selection in words
    named: bool = False  # only jobs were named
    marks: Mapping[str, int] = field(default_factory=dict)  # each account's number of the latest failure at that moment

    @property
    def at_once(self) -> bool:
        """A single named job: no confirmation is needed."""
        return self.named and len(self.letters) + len(self.skipped) == 1

    @property
    def few(self) -> bool:
        """A few named jobs: a replay needs neither a plan nor a canary."""
        return self.named and len(self.letters) <= FEW


# -- reading --------------------------------------------------------------------------------------------------------


def letters(app: AppContext, state: State = State.DEAD) -> Iterator[DeadLetter]:
    """Every dead (or discarded) letter of every account, newest first."""
    each = (app.bulk_queries(account).letters(state) for account in app.settings.accounts)
    return heapq.merge(*each, key=lambda letter: -letter.finished_at)


def groups(app: AppContext) -> list[DeadLetterGroup]:
    """The groups of dead letters, the largest first. The ledger keeps their counts: no record is read."""
    found: dict[str, DeadLetterGroup] = {}
    replays = _replays(app)
    for account in app.settings.accounts:
        for share in _grouped(app, account):
            one = replace(share, last_replay=replays.get(f"{account} {share.group}"))
            found[one.group] = _joined(found[one.group], one) if one.group in found else one
    return sorted(found.values(), key=lambda group: (-group.count, group.group))


def _joined(one: DeadLetterGroup, other: DeadLetterGroup) -> DeadLetterGroup:
    """The shares of two accounts."""
    return replace(
        one,
        count=one.count + other.count,
        first_seen=min(one.first_seen, other.first_seen),
        last_seen=max(one.last_seen, other.last_seen),
        oldest_deadline=min(one.oldest_deadline, other.oldest_deadline),
        last_replay=max(filter(None, (one.last_replay, other.last_replay)), default=None),
    )


def _grouped(app: AppContext, account: str) -> list[DeadLetterGroup]:
    bulk_queries = app.bulk_queries(account)
    found, left_over = bulk_queries.groups()
    if left_over:
        check(app.ledger(account), bulk_queries.refs(State.DEAD))
        found, _ = bulk_queries.groups()
    return found


def matching(word: str, names: Iterable[str]) -> list[str]:
    """The groups that a word names: the one of this name, or with a `*` at the end those that begin so."""
    known = sorted(names)
    if word in known:
        return [word]
    return [name for name in known if name.startswith(word[:-1])] if word.endswith("*") else []


def named(word: str, names: Iterable[str]) -> str:
    """The one group that a word names. Raises `UsageError`."""
    known = sorted(names)
    found = matching(word, known)
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{word!r} matches {len(found)} groups: {', '.join(found[:5])}; name one of them")
    what = f"there are: {', '.join(known[:5])}" if known else "there are no dead letters"
    job = "" if Target.why_not_named(word) else f"; one job: `eraser show {word}`"
    raise UsageError(f"there is no group {word[:80]!r}{_prefix(word, known)}; {what} (see `eraser dead groups`{job})")


def _prefix(word: str, names: Iterable[str]) -> str:
    """What to type if only the beginning of a group's name was given."""
    near = [name for name in names if word and name.startswith(word)]
    return f"; for those that begin so ({', '.join(near[:5])}) write '{word}*'" if near else ""


# -- choosing --------------------------------------------------------------------------------------------------------


def choose(
    app: AppContext,
    words: Sequence[str],
    *,
    every: bool = False,
    wanted: DeadLetterFilter = NO_FILTER,
    state: State = State.DEAD,
    limit: int | None = None,
    snapshot: Mapping[str, int] | None = None,
) -> Selection:
    """Select dead letters by job ids, groups and filters, or all, as they are now. Raises `UsageError`.

    snapshot: each account's number of the latest failure in an earlier plan: later failures are excluded.
    """
    if every and words:
        raise UsageError("give jobs or groups, or --all, not both")
    if not (every or words or wanted.words):
        raise UsageError("give jobs or groups, a filter such as --cause, or --all")
    marks = {account: Replays(app.ledger(account)).mark() for account in app.settings.accounts}
    marks = {account: min(mark, (snapshot or marks).get(account, 0)) for account, mark in marks.items()}
    there = [letter for letter in letters(app, state) if wanted.passes(letter)]
    if state is State.DEAD:
        there = [letter for letter in there if letter.death <= marks[letter.account]]
    if not words:
        return Selection(tuple(there[:limit]), (), what=", ".join(wanted.words) or "all", marks=marks)
    by_job, by_group = grouped(there, lambda letter: letter.ref.name), grouped(there, group_of)
    chosen: dict[Target, DeadLetter] = {}
    groups, jobs, skipped = [], [], []
    for word in dict.fromkeys(words):
        found: list[DeadLetter] = []
        if word in by_job:
            found = by_job[word]
            _refuse_twins(word, found)
            jobs.append(word)
        elif near := matching(word, by_group):
            found = [letter for name in near for letter in by_group[name]]
            groups += near
        else:
            skipped.append((word, _why_not(app, word, wanted.project, by_group, state)))
        chosen |= {letter.ref: letter for letter in found}
    named_jobs = [f"{len(jobs):,} jobs" if len(jobs) > 1 else f"job {jobs[0]}"] if jobs else []
    what = ", ".join([*groups, *named_jobs, *wanted.words])
    return Selection(tuple(chosen.values())[:limit], tuple(skipped), what=what, named=not groups, marks=marks)


def these(app: AppContext, refs: Sequence[Target], state: State) -> Selection:
    """Those of these deletions that are dead (or discarded) now."""
    accounts = app.settings.accounts
    marks = {account: Replays(app.ledger(account)).mark() for account in accounts}
    found = tuple(letter for account in accounts for letter in app.bulk_queries(account).letters(state, refs))
    return Selection(found, (), what=f"{len(found):,} chosen", named=True, marks=marks)


def _refuse_twins(word: str, jobs: list[DeadLetter]) -> None:
    if len(jobs) > 1:
        projects = " or ".join(f"--project {letter.ref.project_id}" for letter in jobs[:3])
        raise UsageError(f"job {word} exists in {len(jobs)} projects: add {projects}")


def _why_not(app: AppContext, word: str, project: str | None, names: Iterable[str], state: State) -> str:
    """Why a word selected nothing. names: of the groups that are there."""
    default = project or app.settings.default_project()
    projects = [default] if default else [each for one in app.settings.accounts.values() for each in one.projects]
    for one in projects:
        account = app.home_of(one)
        for _, found in app.bulk_queries(account).states([Target.named(one, word)]):
            if found is not None:
                where = f" in project {one}" if len(projects) > 1 else ""
                return f"it is {found.value}{where}, not {state.value}"
    return f"not a {state.value} job and not a group{_prefix(word, sorted(names))}"


def _replays(app: AppContext) -> dict[str, float]:
    raw: Any = read_redis(app.redis.hgetall, app.keys.replays)
    return {name.decode(): float(at) for name, at in raw.items()}


def note_replay(app: AppContext, replayed: Sequence[DeadLetter]) -> None:
    """Remember when each group was replayed: replayed dead letters leave the group, so nothing else records it.

    Best effort: the replay has started in any case.
    """
    if not replayed:
        return
    with suppress(Unreachable, redis.RedisError):
        now = app.redis_ms()
        app.redis.hset(app.keys.replays, mapping={f"{letter.account} {group_of(letter)}": now for letter in replayed})
