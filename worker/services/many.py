"""One act on many deletions: on those that are named, or on all that a filter finds. One plan for all of them.

Each act is that of its own module (cancel, hold, dead letters, request); here is only which deletions are meant.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import AuditAction
from worker.model.errors import RefusedBySafetyRule, UsageError
from worker.model.ids import why_bad_id
from worker.model.shares import grouped
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services import cancel, dead_letter_actions, dead_letters, hold, listing, replay, request
from worker.services.act import CAP, Approval, Outcome, Plan
from worker.services.dead_letter_actions import Verb
from worker.services.filters import DeletionFilter
from worker.services.labels import count
from worker.services.show import Step

MOST = 10_000  # deletions of one plan
_ALIVE = (State.PENDING, State.RUNNING, State.HELD)
SOURCES: dict[Step, tuple[State, ...]] = {
    Step.CANCEL: _ALIVE,
    Step.HOLD: (State.PENDING, State.RUNNING, State.DEAD, State.CANCELLED, State.DISCARDED),
    Step.RELEASE: (State.HELD,),
    Step.REPLAY: (State.DEAD,),
    Step.DISCARD: (State.DEAD,),
    Step.RESTORE: (State.DISCARDED,),
    Step.REQUEST: (State.CANCELLED,),
}
"""The states in which an act has something to do. A deletion in another one is left out of its plan."""
STOPS = (Step.CANCEL, Step.HOLD)  # no cap: they stop calls
_WORDS = {
    Step.CANCEL: ("withdraw the requests for {}", "withdrawn"),
    Step.HOLD: ("put {} on hold", "on hold"),
    Step.RELEASE: ("remove the hold of {}", "released"),
    Step.REPLAY: ("replay {}", "replayed"),
    Step.DISCARD: ("discard {}", "discarded"),
    Step.RESTORE: ("restore {}", "restored"),
    Step.REQUEST: ("request {} again", "requested again"),
}
_VERBS = {Step.REPLAY: Verb.REPLAY, Step.DISCARD: Verb.DISCARD, Step.RESTORE: Verb.RESTORE}


@dataclass(frozen=True, slots=True)
class Selection:
    """What an act means, and how many it leaves out, by their state (`unknown`: never requested)."""

    step: Step
    meant: tuple[Target, ...]
    left_out: Counter[str]

    @property
    def needs_number(self) -> bool:
        """Whether the number must be confirmed."""
        return self.step not in STOPS and len(self.meant) > CAP


@dataclass(frozen=True, slots=True)
class Result:
    """What became of each; or the replay that goes on by itself."""

    outcomes: Sequence[Outcome] = ()
    replay: str | None = None

    @property
    def undone(self) -> list[Outcome]:
        return [one for one in self.outcomes if not one.done]


def steps(states: Iterable[State]) -> list[Step]:
    """The acts that have something to do with deletions in these states."""
    there = set(states)
    return [step for step, sources in SOURCES.items() if there & set(sources)]


def named(app: AppContext, step: Step, refs: Iterable[Target]) -> Selection:
    """Those that are named. Raises `UsageError` for one that cannot be a target."""
    known = list(dict.fromkeys(refs))
    for ref in known:
        if why := why_bad_id(ref.project_id, "project id") or Target.why_not_named(ref.name):
            raise UsageError(why)
    return _selected(step, _states(app, known))


def found(app: AppContext, step: Step, wanted: DeletionFilter) -> Selection:
    """All that a filter finds. Raises `RefusedBySafetyRule` for more than one plan may have."""
    return _selected(step, _found(app, wanted))


def _selected(step: Step, there: Iterable[tuple[Target, State | None]]) -> Selection:
    meant, left_out = [], Counter[str]()
    for ref, state in there:
        if state in SOURCES[step]:
            meant.append(ref)
        else:
            left_out[state.value if state else "unknown"] += 1
        if len(meant) > MOST:
            raise RefusedBySafetyRule("limit", f"more than {MOST:,} match: choose fewer by the filters of the list")
    return Selection(step, tuple(meant), left_out)


def _states(app: AppContext, refs: Iterable[Target]) -> Iterator[tuple[Target, State | None]]:
    for project, mine in grouped(refs, lambda ref: ref.project_id).items():
        known = dict[Target, State | None]()
        for account in app.homes_of(project):
            known |= {ref: state for ref, state in app.bulk_queries(account).states(mine) if state is not None}
        yield from ((ref, known.get(ref)) for ref in mine)


def _found(app: AppContext, wanted: DeletionFilter) -> Iterator[tuple[Target, State | None]]:
    cursor: str | None = ""
    while cursor is not None:
        page = listing.page(app, wanted, cursor, limit=listing.MOST)
        yield from ((row.ref, row.state) for row in page.rows)
        cursor = page.cursor


def plan(selection: Selection) -> Plan:
    """What would be done, by project; and what is left out, and why."""
    words, number = _WORDS[selection.step][0], len(selection.meant)
    projects = dict(Counter(ref.project_id for ref in selection.meant).most_common())
    left_out = selection.left_out.most_common()
    remarks = [f"left out: {count(n, 'deletion')}, {_why(state)}" for state, n in left_out]
    fields: dict[str, Any] = {"count": number, "left_out": dict(left_out), "over_cap": selection.needs_number}
    return Plan(words.format(count(number, "deletion")), projects, remarks, fields)


def _why(state: str) -> str:
    return "never requested" if state == "unknown" else f"in state {state}"


def carry_out(app: AppContext, selection: Selection, approval: Approval, *, until_ms: float | None = None) -> Result:
    """Do it. until_ms: of holds. Raises `RefusedBySafetyRule` for more than was confirmed."""
    step, number = selection.step, len(selection.meant)
    if step not in STOPS or approval.most is not None:
        approval.check(number, "deletion")
    if step in _VERBS:
        return _with_letters(app, _VERBS[step], selection.meant, approval)
    action = approval.action(count=number) if step not in STOPS else AuditAction()
    done: list[Outcome] = []
    for project, mine in grouped(selection.meant, lambda ref: ref.project_id).items():
        names = [ref.name for ref in mine]
        match step:
            case Step.CANCEL:
                done += cancel.cancel(app, project, names, approval, action)
            case Step.HOLD:
                done += hold.add(app, project, names, approval, until_ms=until_ms, action=action)
            case Step.RELEASE:
                done += hold.remove(app, project, names, approval, action)
            case _:
                done += _request(app, project, names, approval, number)
    return Result(done)


def _with_letters(app: AppContext, verb: Verb, refs: Sequence[Target], approval: Approval) -> Result:
    letters = dead_letters.these(app, refs, verb.source)
    if verb is Verb.REPLAY and not letters.few:
        return Result(replay=replay.start(app, replay.plan(app, letters), approval))
    return Result(dead_letter_actions.carry_out(app, verb, letters, approval))


def _request(app: AppContext, project: str, names: list[str], approval: Approval, number: int) -> Iterator[Outcome]:
    action = request.check_cap(number, approval)
    lane = Lane.BULK if number > CAP else Lane.USER
    terms = request.deletion_request(app, lane=lane, by=approval.by, reason=approval.reason, action=action)
    return request.submitted(app, project, names, terms, "requested: waiting for its turn")


def in_words(selection: Selection, result: Result) -> str:
    """`12 of 13 deletions withdrawn.`"""
    number = len(result.outcomes)
    done = number - len(result.undone)
    of = f"{done:,} of " if done < number else ""
    return f"{of}{count(number, 'deletion')} {_WORDS[selection.step][1]}."
