"""The audit for people and programs: the actions of all accounts in order of time, and each action in words."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker.execution.app_context import AppContext
from worker.ledger.audit import AuditEntry
from worker.ledger.audit_actions import ActionName
from worker.model.states import State
from worker.services import json_form, labels

# Words for the results that an action is meant to have; other results were there before the action.
_DONE: dict[str, dict[str, str]] = {
    ActionName.CANCELLED: {"cancelled": "cancelled", "cancelled_after_calls": "cancelled after calls"},
    ActionName.REPLAYED: {"pending": "replayed"},
    ActionName.DISCARDED: {"discarded": "discarded"},
    ActionName.RESTORED: {"dead": "restored"},
    ActionName.HELD: {"held": "held", "none": "held, not requested yet", "may_be_deleted": "held, may be deleted"},
    ActionName.RELEASED: {"held": "still held by another hold", "removed": "removed", "released": "released"},
    ActionName.EXPERIMENT: {"begun": "an experiment begun", "running": "already an experiment"},
    ActionName.RELATED_ERASED: {"erasing": "whose parts are deleted"},
    ActionName.RELATED_RESTORED: {"restoring": "whose parts are restored"},
    ActionName.WEBHOOKS_REPLAYED: {"replayed": "sent again", "waiting": "on its way anyway"},
    ActionName.REDACTED: {"unchanged": "without it", "none": "not in Redis any more"},
    ActionName.PAUSED: {"paused": "paused", "replaced": "paused again"},
}
_DONE[ActionName.IMPORTED] = _DONE[ActionName.HELD]
_STATES = frozenset(State)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which actions to show. Times in ms since 1970."""

    since: float | None = None
    until: float | None = None
    action: str | None = None
    by: str | None = None
    account: str | None = None

    def passes(self, entry: AuditEntry) -> bool:
        """Whether the action matches. Every action that needed --max above the cap also counts as a lifted cap."""
        lifted = self.action == ActionName.CAP_LIFTED and entry.cap is not None
        return (self.action is None or entry.action == self.action or lifted) and (
            self.by is None or entry.by == self.by
        )


def entries(app: AppContext, wanted: AuditFilter) -> Iterator[AuditEntry]:
    """Every matching action of every account, the newest first. Raises `Unreachable`."""
    accounts = [wanted.account] if wanted.account else app.known_accounts()
    logs = (app.audit(account).newest(since=wanted.since, until=wanted.until) for account in accounts)
    return filter(wanted.passes, heapq.merge(*logs, key=lambda entry: entry.at, reverse=True))


def what(entry: AuditEntry) -> str:
    """What was done: `server_error-500: 1,378 discarded`."""
    if entry.action == ActionName.RESUMED:
        return "calls: " + ", ".join(_was(result) for result in entry.results)
    total = sum(entry.results.values())
    results = Counter(entry.results).most_common()  # the largest first
    message = ", ".join(_result(entry.action, word, number, total) for word, number in results)
    text = f"{_whom(entry, total)}: {message}"
    if entry.action in (ActionName.REPLAYED, ActionName.REPLAY_CANCELLED) and entry.of and entry.run:
        text += f" ({entry.run})"
    return text if entry.cap is None else f"{text} (--max {entry.cap:,})"


def as_json(entry: AuditEntry) -> dict[str, Any]:
    """One action for programs. `job_id` is the first of `count`; `results` has the number of each result."""
    names = ("id", "account", "at", "by", "reason", "of", "run", "cap", "results", "http_request_id")
    return json_form.as_json(entry, *names, act="action", last_at="last", app_user_hash="user") | {
        "project_id": entry.job.project_id if entry.job else None,
        "job_id": entry.job.job_id if entry.job else None,
        "count": sum(entry.results.values()),
    }


def _whom(entry: AuditEntry, total: int) -> str:
    if entry.action == ActionName.PAUSED:
        return "calls"
    if entry.user is not None:
        return f"app user #{entry.user[:8]}"
    if entry.of is not None:
        return entry.of
    if entry.job is not None and total == 1:
        return entry.job.name
    if entry.run is not None:
        return f"run {entry.run}"
    return f"{entry.job.name} and {labels.count(total - 1, 'other')}" if entry.job else "nothing"


def _result(action: str, word: str, number: int, total: int) -> str:
    done = _DONE.get(action, {}).get(word)
    if done is None and word in _STATES:
        done = f"{'was' if number == 1 else 'were'} {word}"
    text = done or word.replace("_", " ")
    return text if total == 1 else f"{number:,} {text}"


def _was(gate: str) -> str:
    return "resumed (was open)" if gate == "ok" else f"resumed, was {labels.GATES.get(gate, gate)}"
