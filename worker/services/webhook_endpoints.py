"""Endpoints of webhooks in the ledger: made, changed, given a new secret and removed, each with an entry in the audit.

A secret is derived from ERASER_WEBHOOKS_KEY, which Redis never has, and shown once. An endpoint of the TOML file is
changed there and nowhere else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from worker.config.webhooks import KEY, KEY_PREFIX, Endpoint, EventType, decoded, kept_endpoint
from worker.execution import endpoints
from worker.execution.app_context import AppContext
from worker.ledger import deliveries
from worker.ledger.audit_actions import ActionName
from worker.ledger.endpoints import MOST, KeptEndpoints, as_text
from worker.model.errors import EraserError, UsageError
from worker.services import webhooks
from worker.services.act import Approval, Plan
from worker.services.noted import noted
from worker.webhooks.signing import derived, mark

MAKE_KEY = (
    f"{KEY} is not set here: make one with `eraser webhooks secret webhooks.key`, name that file in {KEY}_FILE of all "
    "workers and of this process, and restart them"
)
UNREADABLE = "that cannot be read here: it was not finished, makes no sense, or is not allowed by these rules"
LEFT = "What waits for it is given up when an endpoint is made under its name, or after 30 days."
OLDER = 5  # secrets that sign beside the newest: each makes every message longer


@dataclass(frozen=True, slots=True)
class NewSecret:
    """What is shown once. older: how many older ones sign, too; lost: none can, for the key is another one. remark: why
    the audit has no entry, or empty.
    """

    endpoint: Endpoint
    secret: str
    remark: str
    older: int = 0
    lost: bool = False


def add(
    app: AppContext, name: str, url: str, events: Sequence[str], projects: Sequence[str], approval: Approval
) -> NewSecret:
    """Make an endpoint. Raises `UsageError`.

    Whoever else makes one of this name is refused from the first write on. Until the last one it has no secret that
    signs, so that nothing is made for it, or sent there, while what waits for an earlier one is given up.
    """
    made, key = kept_endpoint(name, url, events, projects), _key(app)
    if name in app.settings.webhooks:
        raise UsageError(f"there is an endpoint {name} already, in {app.settings.config}")
    stored = KeptEndpoints(app.redis, app.keys).read().get(name)
    if stored is not None and _read(app, name, stored) is None:
        raise _unreadable(name)
    if stored is not None:
        raise UsageError(f"there is an endpoint {name} already: rotate it to see a secret")
    for project in projects:
        app.settings.account_of(project)  # one of no account has no events
    made = replace(made, secret_ids=(_new_id(),), key_mark=mark(key))
    secret = _shown(key, made.secret_ids[0])
    begun = _fields(made, [{"id": made.secret_ids[0], "until": 1}])
    try:
        _write(app, name, "", begun)  # it may be recorded also where no answer came
        waiting = _waiting(app, name)
        _write(app, name, as_text(begun), begun)  # it is there still, so none of these waits for a later one
        _give_up(app, name, waiting)
        _write(app, name, as_text(begun), _fields(made))
    except BaseException:
        with suppress(EraserError):
            _write(app, name, as_text(begun), None)
        raise
    return NewSecret(made, secret, _note(app, approval, ActionName.WEBHOOK_ADDED, name, "added"))


def change(
    app: AppContext,
    name: str,
    approval: Approval,
    *,
    url: str | None = None,
    events: Sequence[str] | None = None,
    projects: Sequence[str] | None = None,
    on: bool | None = None,
    version: str | None = None,
) -> tuple[Endpoint, str]:
    """Change what is given: as it is now, and why the audit has no entry, or empty. Raises `UsageError`.

    version: the `digest` of what the change is meant for.
    """
    before, one = named(app, name)
    if version not in (None, digest(before)):
        raise _changed(name)
    checked = kept_endpoint(
        name,
        one.url if url is None else url,
        () if events is None else events,
        one.projects if projects is None else projects,
    )
    for project in checked.projects:
        app.settings.account_of(project)
    made = replace(one, url=checked.url, projects=checked.projects)
    made = made if events is None else replace(made, events=checked.events)
    made = made if on is None else replace(made, on=on)
    if made == one:
        raise UsageError(f"nothing is different: {name} is so already")
    _write(app, name, before, _fields(made, json.loads(before)["secrets"]))
    what = "changed" if made.on == one.on else "enabled" if made.on else "disabled"
    return made, _note(app, approval, ActionName.WEBHOOK_CHANGED, name, what)


def rotate(app: AppContext, name: str, overlap_s: float, approval: Approval) -> NewSecret:
    """Give it a new secret; until the overlap ends the one before signs, too, and older ones for as long as was said
    then. Without an overlap none of them does. Raises `UsageError`.
    """
    before, one = named(app, name)
    key, now = _key(app), app.now().timestamp() * 1000
    lost = one.key_mark != mark(key)  # nothing can be signed by the ones before any more
    older: list[dict[str, Any]] = []
    if overlap_s and not lost:
        before_it = [each for each in json.loads(before)["secrets"][1:] if now < (each.get("until") or 0)]
        older = [{"id": one.secret_ids[0], "until": now + overlap_s * 1000}, *before_it]
    if len(older) > OLDER:
        raise UsageError(f"{OLDER} older secrets of {name} sign still: wait until one ends, or give no overlap")
    made = replace(one, secret_ids=(_new_id(), *(each["id"] for each in older)), key_mark=mark(key))
    secret = _shown(key, made.secret_ids[0])
    _write(app, name, before, _fields(made, [{"id": made.secret_ids[0]}, *older]))
    remark = _note(app, approval, ActionName.WEBHOOK_ROTATED, name, "rotated")
    return NewSecret(made, secret, remark, len(older), lost)


def plan_of_removal(app: AppContext, name: str) -> Plan:
    """What a removal means. Raises `UsageError`."""
    text = _stored(app, name)
    one = _read(app, name, text)
    waiting = sum(each.waiting for each in webhooks.counts(app) if each.endpoint == name)
    numbers = {"messages that wait for it, and are given up": waiting}
    fields = {"endpoint": name, "plan": True, "waiting": waiting}
    return Plan(f"remove the endpoint {name} ({one.shown if one else UNREADABLE})", numbers, fields=fields)


def remove(app: AppContext, name: str, approval: Approval) -> str:
    """Remove it: nothing is sent there any more. Returns what was not done, or ''. Raises `UsageError`, `DryRun`."""
    before = _stored(app, name)
    approval.confirmed()
    left, waiting = "", dict[str, float]()
    try:
        waiting = _waiting(app, name)  # what is made later may be for another one of this name
    except EraserError:
        left = LEFT
    _write(app, name, before, None)
    remark = _note(app, approval, ActionName.WEBHOOK_REMOVED, name, "removed")
    try:
        _give_up(app, name, waiting)
    except EraserError:
        left = LEFT
    return f"{remark} {left}".strip()


def named(app: AppContext, name: str) -> tuple[str, Endpoint]:
    """An endpoint of the ledger: as it is stored, and as it is. Raises `UsageError`."""
    text = _stored(app, name)
    found = _read(app, name, text)
    if found is None:
        raise _unreadable(name)
    return text, found


def _unreadable(name: str) -> UsageError:
    return UsageError(f"the endpoint {name} is one {UNREADABLE}: remove it and make it anew")


def _stored(app: AppContext, name: str) -> str:
    if name in app.settings.webhooks:
        raise UsageError(f"{name} is in {app.settings.config}: change it there, and restart the workers")
    text = KeptEndpoints(app.redis, app.keys).read().get(name)
    if text is None:
        webhooks.named(app, name)  # says which there are
        raise UsageError(f"there is no endpoint {name[:40]!r}")
    return text


def _read(app: AppContext, name: str, text: str) -> Endpoint | None:
    return endpoints.read(name, text, app.now().timestamp() * 1000)


def digest(stored: str) -> str:
    """Tells what is stored of an endpoint from what was."""
    return hashlib.sha256(stored.encode()).hexdigest()[:32]


def _waiting(app: AppContext, name: str) -> dict[str, float]:
    """The accounts in which something waits for it, and the time in each."""
    accounts = {each.account for each in webhooks.counts(app) if each.endpoint == name and each.waiting}
    return {account: app.ledger(account).now_ms() for account in accounts}


def _give_up(app: AppContext, name: str, waiting: Mapping[str, float]) -> None:
    """What waits for it goes to no other address, whoever makes an endpoint of this name."""
    for account, since_ms in waiting.items():
        deliveries.give_up(app.ledger(account), name, "its endpoint was removed", since_ms)


def _key(app: AppContext) -> bytes:
    key = decoded(app.settings.webhooks_key or "")
    if key is None:
        raise UsageError(MAKE_KEY)
    return key


def _new_id() -> str:
    return secrets.token_hex(16)


def _shown(key: bytes, secret_id: str) -> str:
    return KEY_PREFIX + base64.b64encode(derived(key, secret_id)).decode()


def _fields(one: Endpoint, kept: Sequence[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "url": one.url,
        "events": [] if set(one.events) == set(EventType) else list(one.events),  # all: of later versions, too
        "projects": list(one.projects),
        "on": one.on,
        "key_mark": one.key_mark,
        "secrets": [{"id": id} for id in one.secret_ids] if kept is None else list(kept),
    }


def _write(app: AppContext, name: str, before: str, after: dict[str, Any] | None) -> None:
    match KeptEndpoints(app.redis, app.keys).write(name, before, after):
        case "full":
            raise UsageError(f"there are {MOST} endpoints already: remove one first")
        case "changed":
            raise _changed(name)


def _changed(name: str) -> UsageError:
    return UsageError(f"somebody else changed {name} meanwhile: look at it again. Nothing was done.")


def _note(app: AppContext, approval: Approval, action: ActionName, endpoint: str, result: str) -> str:
    return noted(app, approval.entry(action, f"webhook {endpoint}"), result)
