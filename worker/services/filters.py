"""The filters of lists of deletions: the same words on the command line, in the API and in the console. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.ledger.records import Deletion
from worker.model.erasure import Verdict
from worker.model.errors import UsageError
from worker.model.ids import why_bad_id
from worker.model.states import State, WaitingFor
from worker.model.target import KINDS, Target
from worker.services.times import parse_period

ALL = "all"  # states
ORDERS = ("asc", "desc")
GROUP = re.compile(r"[0-9A-Za-z._-]{1,200}")  # as `dead_letters.group_name` makes it
EVERY = {  # each filter, in words
    "state": f"Some of {', '.join(State)}, with commas between them, or {ALL}.",
    "waiting_for": f"What a pending one waits for: {', '.join(WaitingFor)}.",
    "project": "The project.",
    "kind": f"The kind of target: {', '.join(KINDS)}.",
    "job": "How the id begins.",
    "run": "The run that requested it, or the replay that replayed it. A `*` at the end: how it begins.",
    "by": "Who requested it. A `*` at the end: how it begins.",
    "reason": "The reason. A `*` at the end: how it begins.",
    "erasure": f"What became of all that the job left behind: {', '.join(Verdict)}.",
    "group": "The group of dead letters.",
    "since": "Finished after this, or due after it: a time, or how long ago, such as 24h.",
    "until": "Finished before this, or due before it.",
    "order": "By the time it finished or is due: desc, latest first, or asc.",
}
WAITS = (State.PENDING, State.HELD, State.RUNNING)


@dataclass(frozen=True, slots=True)
class DeletionFilter:
    """Which deletions, and in which order. Times in ms since 1970: when they finished, or are due."""

    states: tuple[State, ...] = tuple(State)
    waiting_for: str | None = None
    project: str | None = None
    kind: str | None = None
    job: str = ""  # prefix of the id
    run: str | None = None
    by: str | None = None
    reason: str | None = None
    erasure: str | None = None
    group: str | None = None  # of dead letters
    since: float | None = None
    until: float | None = None
    order: str | None = None  # None: what waits soonest first, all else latest first

    @property
    def newest_first(self) -> bool:
        return self.order == "desc" if self.order else not set(self.states) <= set(WAITS)

    @property
    def by_record(self) -> bool:
        """Whether the records must be read to know."""
        return any((self.waiting_for, self.run, self.by, self.reason, self.erasure))

    def passes_target(self, ref: Target) -> bool:
        return (
            self.project in (None, ref.project_id) and self.kind in (None, ref.kind) and ref.name.startswith(self.job)
        )

    def passes(self, d: Deletion) -> bool:
        """Whether one request of its is what all of `by`, `run` and `reason` say, and it is all else that is wanted."""
        if self.waiting_for not in (None, d.waiting_for):
            return False
        if self.erasure not in (None, d.whole.verdict if d.whole else None):
            return False
        first = {"by": d.requested_by, "why": d.reason, "run": d.run}
        return any(
            _fits(self.by, claim.get("by"))
            and _fits(self.reason, claim.get("why"))
            and _fits(self.run, claim.get("run"), d.replay)
            for claim in (first, *d.claims)
        )


def read(fields: Mapping[str, str | None], now: float, *, prefix: str = "") -> DeletionFilter:
    """The filter from the texts of these fields; what is empty or missing filters nothing. Raises `UsageError`.

    prefix: before the name of a field in an error, as whoever typed it knows it.
    """
    found = {name: fields.get(name) or None for name in EVERY}

    def word(name: str, known: Iterable[str]) -> str | None:
        text = found[name]
        if text is not None and text not in known:
            raise _wrong(prefix, name, f"expected one of {', '.join(known)}")
        return text

    for name, check in (("job", Target.why_not_named), ("project", why_bad_id)):
        if (text := found[name]) and (why := check(text.removesuffix(":") if name == "job" else text)):
            raise _wrong(prefix, name, why)
    states = _states(found["state"], prefix)
    waiting_for, group = word("waiting_for", list(WaitingFor)), found["group"]
    if group is not None and not GROUP.fullmatch(group):
        raise _wrong(prefix, "group", "no group of dead letters has such a name")
    for name, value, state in (("waiting_for", waiting_for, State.PENDING), ("group", group, State.DEAD)):
        if value is not None:
            if state not in states:
                raise _wrong(prefix, name, f"only what is {state} has one")
            states = (state,)
    since, until = parse_period({"since": found["since"], "until": found["until"]}, now, prefix)
    return DeletionFilter(
        states=states,
        waiting_for=waiting_for,
        project=found["project"],
        kind=word("kind", KINDS),
        job=found["job"] or "",
        run=found["run"],
        by=found["by"],
        reason=found["reason"],
        erasure=word("erasure", list(Verdict)),
        group=group,
        since=since,
        until=until,
        order=word("order", ORDERS),
    )


def _states(text: str | None, prefix: str) -> tuple[State, ...]:
    words = (text or ALL).split(",")
    if words == [ALL]:
        return tuple(State)
    if not all(word in tuple(State) for word in words):
        raise _wrong(prefix, "state", f"expected {ALL}, or some of {', '.join(State)} with commas between them")
    return tuple(State(word) for word in dict.fromkeys(words))


def _wrong(prefix: str, name: str, why: str) -> UsageError:
    return UsageError(f"{prefix}{name.replace('_', '-') if prefix else name}: {why}")


def _fits(wanted: str | None, *texts: object) -> bool:
    """Whether one of the texts is what is wanted; a `*` at the end of it: begins so."""
    if wanted is None:
        return True
    return any(text.startswith(wanted[:-1]) if wanted[-1:] == "*" else text == wanted for text in _of_text(texts))


def _of_text(found: Iterable[object]) -> Iterable[str]:
    return (one for one in found if isinstance(one, str))
