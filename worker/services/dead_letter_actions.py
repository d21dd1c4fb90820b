"""Actions on selected dead letters: replay, discard, restore; each after a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import Who
from worker.ledger.bulk_queries import DeadLetter
from worker.model.shares import grouped
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services.act import CAP, Approval, Outcome, Plan
from worker.services.dead_letters import Selection, group_of, note_replay
from worker.services.labels import count

_OTHERS = {
    "too_late": "it was discarded more than 30 days ago; request it again: eraser request",
    "unknown": "nothing is known of it",
    "newer": "it failed again after the plan: look at it again",
}


class Verb(Enum):
    """What can be done with dead letters: the command, what is said of those that were done, and their states."""

    REPLAY = "replay", "replayed", State.DEAD, State.PENDING
    DISCARD = "discard", "discarded", State.DEAD, State.DISCARDED
    RESTORE = "restore", "restored", State.DISCARDED, State.DEAD

    def __init__(self, command: str, done: str, source: State, to: State) -> None:
        self.command, self.done, self.source, self.to = command, done, source, to


class LetterOutcome(Outcome):
    """Its result is the state that it has now; None: nothing was selected by this word."""

    def as_json(self) -> dict[str, Any]:
        return self.about() | {"state": self.result, "done": self.done, "error": None if self.done else self.text}


def plan(verb: Verb, selection: Selection) -> Plan:
    """What would be done with these."""
    number = len(selection.letters)
    groups = dict(Counter(group_of(letter) for letter in selection.letters).most_common())
    remarks = [f"skipped: {word}: {why}" for word, why in selection.skipped]
    if verb is Verb.DISCARD:
        remarks.append("nothing more is sent for them; `eraser dead restore` undoes it within 30 days")
    fields = {f"will_be_{verb.done}": number} | plan_fields(selection.what, selection.skipped, groups)
    return Plan(f"{verb.command} {count(number, 'dead letter')}", groups, remarks, fields)


def plan_fields(what: str, skipped: Iterable[tuple[str, str]], groups: Mapping[str, int]) -> dict[str, Any]:
    """What every plan for dead letters says to programs."""
    left_out = [{"what": word[:128], "skip_reason": why} for word, why in skipped]
    over = sum(groups.values()) > CAP
    return {"what": what, "skipped": left_out, "groups": dict(groups), "cap": CAP, "over_cap": over}


def carry_out(app: AppContext, verb: Verb, selection: Selection, approval: Approval) -> list[LetterOutcome]:
    """Do it, and say what came of each. Raises `RefusedBySafetyRule`, also for a plan that was not confirmed.

    A replay is a new round at once, before bulk work; for many see `worker.services.replay`.
    """
    number = len(selection.letters)
    if approval.only_plan or not (selection.at_once or (verb is Verb.REPLAY and selection.few)):
        approval.check(number, "dead letter")
    if verb is Verb.REPLAY:
        check_homes(app, selection.letters)
    action = approval.action(None if selection.named else selection.what, count=number)
    who = approval.who(action)
    found = []
    for account, letters in grouped(selection.letters, lambda letter: letter.account).items():
        refs = [letter.ref for letter in letters]
        for ref, state in _move(app, verb, account, refs, selection.marks.get(account), who):
            text = verb.done if state == verb.to else _OTHERS.get(state, f"it is {state} by now")
            found.append(LetterOutcome(ref, state, text, state == verb.to))
    if verb is Verb.REPLAY:
        note_replay(app, selection.letters)
    return found + skipped(selection)


def skipped(selection: Selection) -> list[LetterOutcome]:
    """The words that selected nothing."""
    return [LetterOutcome(Target("", word), None, why, done=False) for word, why in selection.skipped]


def _move(
    app: AppContext, verb: Verb, account: str, refs: list[Target], mark: int | None, who: Who
) -> list[tuple[Target, str]]:
    ledger = app.ledger(account)
    match verb:
        case Verb.DISCARD:
            return ledger.discard(refs, **who)
        case Verb.RESTORE:
            return ledger.restore(refs, **who)
    return ledger.replay(refs, lane=Lane.USER, deadline_s=app.settings.deadline, mark=mark, **who)


def check_homes(app: AppContext, letters: Iterable[DeadLetter]) -> None:
    """Raise `ProjectElsewhere` for a dead letter stored under another account than the settings give its project to."""
    for project, account in dict.fromkeys((letter.ref.project_id, letter.account) for letter in letters):
        app.places.check([project], account)
