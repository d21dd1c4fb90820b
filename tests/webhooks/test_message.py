"""What a message says of each event: ids, states, causes, times, and nothing that the ledger did not write for it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.schemas import why_not
from worker.config.webhooks import TEST, EventType
from worker.interfaces.cli import schema_forms
from worker.webhooks.message import body

TARGET = {"project_id": "p", "kind": "job", "id": "a", "job_id": "a"}
PART = {"project_id": "p", "kind": "model_asset", "id": "m-1"}


MESSAGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        EventType.DELETED,
        {"ref": "p/model_asset:m-1", "requested": "1000", "round": "2"},
        PART | {"state": "deleted", "round": 2, "run": None, "requested_at": "1970-01-01T00:00:01.000Z"},
    ),
    (
        EventType.DEAD,
        {"ref": "p/a", "why": "refused", "run": "r"},
        TARGET | {"state": "dead", "cause": "refused", "round": 1, "run": "r", "requested_at": None},
    ),
    (EventType.ERASURE_CLOSED, {"ref": "p/a", "verdict": "whole"}, TARGET | {"verdict": "whole"}),
    (
        EventType.REPLAY_FINISHED,
        {"replay": "r1", "state": "done", "total": "3", "deleted": "2", "dead": "1"},
        {"replay": "r1", "state": "done", "total": 3, "deleted": 2, "gone": 0, "dead": 1, "cancelled": 0},
    ),
    (
        EventType.ACCOUNT_CLOSED,
        {"scope": "project p", "cause": "misconfigured", "retry": "2000"},
        {"scope": "project", "name": "p", "cause": "misconfigured", "next_try_at": "1970-01-01T00:00:02.000Z"},
    ),
    (EventType.ACCOUNT_OPENED, {"scope": "account"}, {"scope": "account", "name": None, "cause": None}),
    (
        EventType.GONE,
        {"ref": "p/a", "why": "seen_before"},
        TARGET | {"state": "gone", "evidence": "seen_before", "round": 1, "run": None, "requested_at": None},
    ),
    (
        EventType.CANCELLED,
        {"ref": "p/a"},
        TARGET | {"state": "cancelled", "round": 1, "run": None, "requested_at": None},
    ),
    (
        EventType.PARKED,
        {"kind": "bad", "group": "bad:t", "task": "t", "task_id": "m", "scope": "project p", "job_id": "a"},
        {"kind": "bad", "group": "bad:t", "task": "t", "task_id": "m", "project_id": "p", "job_id": "a"},
    ),
    (
        EventType.PARKED,
        {"kind": "refused", "group": "refused:-", "task": "t"},
        {"kind": "refused", "group": "refused:-", "task": "t", "task_id": None, "project_id": None, "job_id": None},
    ),
    (TEST, {"endpoint": "crm"}, {"endpoint": "crm"}),
]


@pytest.mark.parametrize(("event", "about", "data"), MESSAGES)
def test_a_message_says_what_happened_by_ids(event: str, about: dict[str, Any], data: dict[str, Any]) -> None:
    more = {} if event == TEST else {"by": "somebody", "why_else": "x"}
    sent = json.loads(body(event, "studio-a", 1500.0, about | more))
    assert sent == {"type": event, "timestamp": "1970-01-01T00:00:01.500Z", "data": {"account": "studio-a"} | data}
    assert why_not("webhook", sent) == []


def test_each_type_of_message_has_a_schema() -> None:
    assert {event for event, _, _ in MESSAGES} == {*EventType, TEST} == set(schema_forms.WEBHOOKS)
