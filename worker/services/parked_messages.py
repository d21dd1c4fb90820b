"""Parked messages for people: why they are parked, sending them again and discarding them (see
`worker.execution.intake`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from worker.config.celery_environment import check_celery_environment
from worker.config.tables import nearest
from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import ActionName
from worker.ledger.parking import Group, Parked, ParkedKind, Parking
from worker.model.errors import Unreachable, UsageError
from worker.services import json_form, labels
from worker.services.act import Approval, Plan

SHOWN = 10  # reasons of a plan
WHY = {
    ParkedKind.REFUSED: "parked: no worker could record them yet; a worker that can will take them",
    ParkedKind.FAULT: "parked after an internal error; they are tried again from time to time",
    ParkedKind.FOREIGN: "parked, not one of our tasks: another application sends to our queue",
    ParkedKind.BAD: "refused: the producer's request is wrong, and nothing was recorded",
}
WHAT_TO_DO = {
    ParkedKind.REFUSED: "add the project to the settings of the workers, or: eraser parked discard {group} --reason R",
    ParkedKind.FAULT: "see message.fault in the workers' logs; then: eraser parked send {group} --reason R",
    ParkedKind.FOREIGN: "correct the sender's queue; then: eraser parked send {group} --queue THEIRS --reason R",
    ParkedKind.BAD: "correct the producer and send the requests again; then: eraser parked discard {group} --reason R",
}


def by_kind(groups: Iterable[Group]) -> dict[ParkedKind, int]:
    """How many messages of each kind there are."""
    counts = Counter[ParkedKind]()
    for group in groups:
        counts[group.kind] += group.count
    return {kind: counts[kind] for kind in ParkedKind if counts[kind]}


def as_json(group: Group) -> dict[str, Any]:
    return json_form.as_json(group, group="name")


def message_json(message: Parked) -> dict[str, Any]:
    """The message for programs, without its content."""
    fields = json_form.as_json(message, but=("raw",), project_id="project", job_id="job")
    return fields | {"kept": message.raw is not None}


def named(app: AppContext, name: str) -> Group:
    """The group of that name. Raises `UsageError`."""
    groups = {group.name: group for group in parking(app).groups()}
    if name not in groups:
        known = f"; there are: {', '.join(list(groups)[:10])}" if groups else "; nothing is parked"
        raise UsageError(f"there is no group {name[:80]!r}{nearest(name, groups)}{known}")
    return groups[name]


def parking(app: AppContext) -> Parking:
    return Parking(app.redis, app.keys)


def send(app: AppContext, group: Group, queue: str | None, approval: Approval) -> int:
    """Send every message of a group to a queue of the broker, by default ours. Returns how many.

    Each is sent before it is removed here: after an interruption some may be sent twice. Raises `Unreachable`.
    """
    if group.kind is ParkedKind.BAD:
        raise UsageError(f"{group.name}: the content of these messages was not kept; request the deletions again")
    if group.kind is ParkedKind.FOREIGN and queue in (None, app.keys.requests, app.keys.wakeup_queue):
        raise UsageError(f"{group.name}: not one of our tasks, it would come back here; give its owner's --queue Q")
    check_celery_environment(app.environ, app.broker.url)

    def one(message: Parked) -> None:
        _to_broker(message.raw or {}, queue or app.keys.requests)

    return _empty(app, group, approval, ActionName.SENT_BACK, "sent", one)


def _to_broker(message: dict[str, Any], queue: str) -> None:
    from worker.execution.celery_app import app
    from worker.execution.messages import Envelope

    try:
        Envelope.from_json(message).send(app, queue)
    except Exception as error:  # kombu raises what its transport does
        why = f"the broker (ERASER_BROKER_URL) accepts no message ({type(error).__name__}); unsent messages stay parked"
        raise Unreachable(why) from None


def plan(app: AppContext, group: Group) -> Plan:
    """What a discard would do."""
    fields = {"group": group.name, "will_be_discarded": group.count}
    title = f"discard {labels.count(group.count, 'parked message')}: {group.name}"
    whys = Counter({group.why: group.count})
    if group.kind is ParkedKind.BAD:  # each producer has its own mistake, and no more than a thousand are kept
        whys = Counter(one.why for _, one in parking(app).each(group.name))
    shown = dict(whys.most_common(SHOWN))
    others = whys.total() - sum(shown.values())
    return Plan(title, shown | ({"for other reasons": others} if others else {}), fields=fields)


def discard(app: AppContext, group: Group, approval: Approval) -> int:
    """Discard every message of a group; this cannot be undone. Returns how many."""
    approval.check(group.count, "message", undone="A discard cannot be undone. Nothing was done.")
    return _empty(app, group, approval, ActionName.GIVEN_UP, "discarded", lambda _: None)


def _empty(
    app: AppContext, group: Group, approval: Approval, name: ActionName, result: str, do: Callable[[Parked], None]
) -> int:
    here, done = parking(app), 0
    entry = approval.entry(name, group.name, count=group.count)
    try:
        for line, message in here.each(group.name):
            do(message)
            done += here.unpark(group.name, [line])
    finally:
        if done:  # it is in one account's audit, because it belongs to none
            app.ledger(next(iter(app.settings.accounts))).note(entry, result, done)
    return done
