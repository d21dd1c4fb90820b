"""All endpoints of webhooks: those of the TOML file, and those that the ledger keeps. One of the file comes first."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from worker.config.webhooks import Endpoint, EventType, kept_endpoint
from worker.execution.app_context import AppContext
from worker.ledger.endpoints import KeptEndpoints
from worker.model.errors import UsageError


def known(app: AppContext) -> dict[str, Endpoint]:
    """By name. Raises `Unreachable`."""
    return {**kept(app), **app.settings.webhooks}


def kept(app: AppContext) -> dict[str, Endpoint]:
    """Those of the ledger. What another program wrote there is none."""
    now = app.now().timestamp() * 1000
    found = {name: read(name, text, now) for name, text in KeptEndpoints(app.redis, app.keys).read().items()}
    return {name: endpoint for name, endpoint in found.items() if endpoint}


def read(name: str, text: str, now: float) -> Endpoint | None:
    """One endpoint as it is kept, with the secrets that sign now (ms since 1970)."""
    try:
        fields: dict[str, Any] = json.loads(text)
        words = [str(event) for event in fields["events"]]
        events = [event for event in words if event in tuple(EventType)]
        made = kept_endpoint(name, fields["url"], events, fields["projects"])
        if len(events) < len(words):  # of a later version, whose worker sends them
            made = replace(made, events=tuple(words))
        ids = tuple(str(one["id"]) for one in fields["secrets"] if now < (one.get("until") or now + 1))
        return replace(made, secret_ids=ids, key_mark=str(fields["key_mark"]), on=bool(fields["on"])) if ids else None
    except (ValueError, KeyError, TypeError, AttributeError, UsageError):
        return None
