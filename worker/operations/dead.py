"""Dead letters: in groups by what killed them, and chosen by job or group."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import redis

from worker.deletion import State, why_bad_id
from worker.errors import Unreachable, UsageError
from worker.ledger.ask import ask
from worker.ledger.glance import Letter, LetterGroup
from worker.ledger.moves import Ref
from worker.ledger.replays import ReplayBook
from worker.operations.times import absolute, rfc3339
from worker.runtime import Runtime

FEW = 10

_UNSAFE = re.compile(r"[^0-9A-Za-z._]+")


def group_of(letter: Letter) -> str:
    """The group's id: the same in every call, and fit to be typed. `server_error-500-MSS.00000004`."""
    return group_name(letter.cause, letter.status, letter.code)


def group_name(cause: str, status: int | str | None, code: str | None) -> str:
    """As `lua/_groups.lua` makes it."""
    parts = [cause, status, code]
    return "-".join(_UNSAFE.sub("_", str(part)) for part in parts if part not in (None, ""))


@dataclass(slots=True)
class Group:
    """Dead letters that died of the same. Times in ms since 1970, Redis's clock."""

    group: str
    cause: str
    status: int | None
    code: str | None
    count: int = 0
    first_seen: float = float("inf")
    last_seen: float = 0.0
    last_replay: float | None = None
    oldest_deadline: float = float("inf")

    def add(self, one: LetterGroup, replayed: float | None) -> None:
        """An account's share of it."""
        self.count += one.count
        self.first_seen = min(self.first_seen, one.first_died)
        self.last_seen = max(self.last_seen, one.last_died)
        self.oldest_deadline = min(self.oldest_deadline, one.oldest_deadline)
        self.last_replay = max(filter(None, (self.last_replay, replayed)), default=None)

    def as_json(self) -> dict[str, Any]:
        """The contract's form."""
        return {
            "group": self.group,
            "cause": self.cause,
            "status": self.status,
            "code": self.code,
            "count": self.count,
            "first_seen": rfc3339(self.first_seen),
            "last_seen": rfc3339(self.last_seen),
            "last_replay": rfc3339(self.last_replay),
            "oldest_deadline": rfc3339(self.oldest_deadline),
        }


@dataclass(frozen=True, slots=True)
class Filter:
    """Which dead letters are meant. Times in ms since 1970."""

    cause: str | None = None
    code: str | None = None
    lane: str | None = None
    run: str | None = None  # or replay, that asked for it
    project: str | None = None
    since: float | None = None
    until: float | None = None
    job: str | None = None  # how the job id begins

    def passes(self, letter: Letter) -> bool:
        return (
            (self.cause is None or letter.cause == self.cause)
            and (self.code is None or letter.code == self.code)
            and (self.lane is None or letter.lane == self.lane)
            and (self.run is None or self.run in (letter.run, letter.replay))
            and (self.project is None or letter.ref.project_id == self.project)
            and (self.since is None or letter.finished_at >= self.since)
            and (self.until is None or letter.finished_at <= self.until)
            and (self.job is None or letter.ref.job_id.startswith(self.job))
        )

    @property
    def words(self) -> list[str]:
        """For people: `cause server_error`, `since 2026-11-22 05:10:03 UTC`."""
        said = ((name, getattr(self, name)) for name in self.__slots__)
        return [f"{name} {absolute(x) if isinstance(x, float) else x}" for name, x in said if x is not None]


NO_FILTER = Filter()


@dataclass(frozen=True, slots=True)
class Selection:
    """Letters that were chosen, frozen, and the words that chose none, with the reason."""

    letters: tuple[Letter, ...]
    groups: tuple[str, ...]  # named; empty where only jobs were
    skipped: tuple[tuple[str, str], ...]
    what: str = ""  # the choice in words
    named: bool = False  # job by job, nothing else
    marks: Mapping[str, int] = field(default_factory=dict)  # each account's latest death before anybody looked

    @property
    def at_once(self) -> bool:
        """A single job that was named: nobody has to be asked."""
        return self.named and len(self.letters) + len(self.skipped) == 1

    @property
    def few(self) -> bool:
        """So few jobs, each of them named, that a replay needs neither a plan nor a canary."""
        return self.named and len(self.letters) <= FEW


# -- looking ---------------------------------------------------------------------------------------------------------


def letters(running: Runtime, state: State = State.DEAD) -> Iterator[Letter]:
    """Every dead (or discarded) letter of every account, newest first."""
    each = (running.glance(account).letters(state) for account in running.settings.accounts)
    return heapq.merge(*each, key=lambda letter: -letter.finished_at)


def groups(running: Runtime) -> list[Group]:
    """The dead letters in groups, the largest first. The ledger keeps them so: no letter is read."""
    found: dict[str, Group] = {}
    replays = _replays(running)
    for account in running.settings.accounts:
        for one in _grouped(running, account):
            group = found.setdefault(one.group, Group(one.group, one.cause, one.status, one.code))
            group.add(one, replays.get(f"{account} {one.group}"))
    return sorted(found.values(), key=lambda group: (-group.count, group.group))


def _grouped(running: Runtime, account: str) -> list[LetterGroup]:
    glance = running.glance(account)
    found, left_over = glance.groups()
    if left_over:
        running.ledger(account).regroup(glance.refs(State.DEAD))
        found, _ = glance.groups()
    return found


def named(word: str, names: Iterable[str]) -> str:
    """The group meant by its id or the beginning of it. Raises `UsageError`."""
    known = sorted(names)
    if word in known:
        return word
    near = [name for name in known if name.startswith(word)] if word else []
    if len(near) == 1:
        return near[0]
    if near:
        raise UsageError(f"{word!r} matches {len(near)} groups: {', '.join(near[:5])}; be more specific")
    what = f"there are: {', '.join(known[:5])}" if known else "there are no dead letters"
    job = "" if why_bad_id(word) else f"; one job: `eraser show {word}`"
    raise UsageError(f"there is no group {word[:80]!r}; {what} (see `eraser dead groups`{job})")


# -- choosing --------------------------------------------------------------------------------------------------------


def choose(
    running: Runtime,
    words: Sequence[str],
    *,
    every: bool = False,
    wanted: Filter = NO_FILTER,
    state: State = State.DEAD,
    limit: int | None = None,
    snapshot: Mapping[str, int] | None = None,
) -> Selection:
    """The letters meant by job ids, groups and filters, or all of them, as they stand now. Raises `UsageError`.

    snapshot: each account's death number, from an earlier look: letters that died later are left out.
    """
    if every and words:
        raise UsageError("give jobs or groups, or --all, not both")
    if not (every or words or wanted.words):
        raise UsageError("give jobs or groups, a filter such as --cause, or --all")
    marks = {account: ReplayBook(running.ledger(account)).mark() for account in running.settings.accounts}
    marks = {account: min(mark, (snapshot or marks).get(account, 0)) for account, mark in marks.items()}
    there = [letter for letter in letters(running, state) if wanted.passes(letter)]
    if state is State.DEAD:
        there = [letter for letter in there if letter.death <= marks[letter.account]]
    if words:
        return _by_words(running, words, there, wanted, state, limit, marks)
    what = ", ".join(wanted.words) or "all"
    return Selection(tuple(there[:limit]), ("all",), (), what=what, marks=marks)


def _by_words(
    running: Runtime,
    words: Sequence[str],
    there: list[Letter],
    wanted: Filter,
    state: State,
    limit: int | None,
    marks: Mapping[str, int],
) -> Selection:
    by_job: dict[str, list[Letter]] = {}
    by_group: dict[str, list[Letter]] = {}
    for letter in there:
        by_job.setdefault(letter.ref.job_id, []).append(letter)
        by_group.setdefault(group_of(letter), []).append(letter)
    chosen: dict[Ref, Letter] = {}
    named_groups, jobs_named, skipped = [], [], []
    for word in dict.fromkeys(words):
        if jobs := by_job.get(word):
            _refuse_twins(word, jobs)
            jobs_named.append(word)
            chosen[jobs[0].ref] = jobs[0]
        elif word in by_group or len([name for name in by_group if name.startswith(word)]) == 1:
            name = named(word, by_group)
            named_groups.append(name)
            chosen.update({letter.ref: letter for letter in by_group[name]})
        else:
            skipped.append((word, _why_not(running, word, wanted.project, by_group, state)))
    jobs_said = [f"{len(jobs_named):,} jobs" if len(jobs_named) > 1 else f"job {jobs_named[0]}"] if jobs_named else []
    return Selection(
        tuple(chosen.values())[:limit],
        tuple(named_groups),
        tuple(skipped),
        what=", ".join([*named_groups, *jobs_said, *wanted.words]),
        named=not named_groups,
        marks=marks,
    )


def _refuse_twins(word: str, jobs: list[Letter]) -> None:
    if len(jobs) > 1:
        projects = " or ".join(f"--project {letter.ref.project_id}" for letter in jobs[:3])
        raise UsageError(f"job {word} exists in {len(jobs)} projects: add {projects}")


def _why_not(running: Runtime, word: str, project: str | None, by_group: dict[str, Any], state: State) -> str:
    """Why a word chose nothing."""
    default = project or running.settings.default_project()
    projects = [default] if default else [each for one in running.settings.accounts.values() for each in one.projects]
    for one in projects:
        account = running.home_of(one)
        for _, found in running.glance(account).states([Ref(one, word)]):
            if found is not None:
                where = f" in project {one}" if len(projects) > 1 else ""
                return f"it is {found.value}{where}, not {state.value}"
    near = [name for name in by_group if name.startswith(word)]
    if near:
        return f"it matches {len(near)} groups: {', '.join(sorted(near)[:5])}; be more specific"
    return f"not a {state.value} job and not a group"


def _replays(running: Runtime) -> dict[str, float]:
    raw: Any = ask(running.redis.hgetall, running.keys.replays)
    return {name.decode(): float(at) for name, at in raw.items()}


def note_replay(running: Runtime, replayed: Sequence[Letter]) -> None:
    """Remember when each group was replayed: its letters leave it, so nothing else would tell.

    Best effort: the replay has begun, whatever becomes of the note.
    """
    if not replayed:
        return
    with suppress(Unreachable, redis.RedisError):
        now = running.redis_ms()
        running.redis.hset(
            running.keys.replays, mapping={f"{letter.account} {group_of(letter)}": now for letter in replayed}
        )
