"""The body of a message: what happened to which target, by ids, states, causes and times, and nothing of a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from worker.config.webhooks import TEST, EventType
from worker.model.moments import rfc3339
from worker.model.target import Target


def body(event: str, account: str, at_ms: float, about: Mapping[str, Any]) -> bytes:
    """The message as JSON; the same bytes at each attempt. about: as the ledger wrote it, see `lua/_outbox.lua`."""
    data = {"account": account} | _data(event, about)
    message = {"type": event, "timestamp": rfc3339(at_ms), "data": data}
    return json.dumps(message, separators=(",", ":")).encode()


def _data(event: str, about: Mapping[str, Any]) -> dict[str, Any]:
    match event:
        case EventType.DELETED | EventType.CANCELLED:
            return _deletion(event, about)
        case EventType.GONE:
            return _deletion(event, about) | {"evidence": about.get("why")}
        case EventType.DEAD:
            return _deletion(event, about) | {"cause": about.get("why")}
        case EventType.ERASURE_CLOSED:
            return _target(about) | {"verdict": about.get("verdict")}
        case EventType.REPLAY_FINISHED:
            counts = {name: _whole(about.get(name)) for name in ("total", "deleted", "gone", "dead", "cancelled")}
            return {"replay": about.get("replay"), "state": about.get("state")} | counts
        case EventType.ACCOUNT_CLOSED | EventType.ACCOUNT_OPENED:
            scope, _, name = str(about.get("scope")).partition(" ")
            retry = about.get("retry")
            closure = {"scope": scope, "name": name or None, "cause": about.get("cause")}
            return closure | ({"next_try_at": rfc3339(float(retry))} if retry else {})
        case EventType.PARKED:
            project = str(about.get("scope", "")).partition(" ")[2] or None
            named = {name: about.get(name) for name in ("kind", "group", "task", "task_id", "job_id")}
            return named | {"project_id": project}
        case _:
            return dict(about) if event == TEST else {}


def _deletion(event: str, about: Mapping[str, Any]) -> dict[str, Any]:
    requested = about.get("requested")
    return _target(about) | {
        "state": event.partition(".")[2],
        "round": _whole(about.get("round")) or 1,
        "run": about.get("run"),
        "requested_at": rfc3339(float(requested)) if requested else None,
    }


def _target(about: Mapping[str, Any]) -> dict[str, Any]:
    target = Target.parse(str(about.get("ref")))
    return {"project_id": target.project_id, **target.as_json()}


def _whole(text: Any) -> int:
    return int(text) if text else 0
