"""Messages that could not be recorded: their groups, each message of one, sending a group again and discarding it."""

from __future__ import annotations

import hashlib

from worker.interfaces.console import dialogs, paging
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.ledger.index_walk import Place
from worker.ledger.parking import Group, Parked, ParkedKind
from worker.model.errors import UsageError
from worker.services import parked_messages
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.show import UnknownJob

PATH = "/parked"
ONE = f"{PATH}/{{group}}"


def show(context: RequestContext) -> Page:
    groups = parked_messages.parking(context.app).groups()
    return Page("parked.html", {"groups": [_described(one) for one in groups], "now": context.app.redis_ms()})


def show_group(context: RequestContext) -> Page:
    group = _named(context)
    page = paging.cut(context, parked_messages.parking(context.app).each(group.name), _place)
    values = {"group": group, "described": _described(group), "page": page, "now": context.app.redis_ms()}
    return Page("parked_group.html", values)


def _described(group: Group) -> tuple[Group, str, str]:
    """A group, why it is here, and what to do about it."""
    what, command = parked_messages.WHAT_TO_DO[group.kind].split("eraser ")  # before the name: it may have the word
    return group, parked_messages.WHY[group.kind], f"{what}`eraser {command.format(group=group.name)}`"


def _place(parked: tuple[bytes, Parked]) -> Place:
    """The oldest first. A message that was sent twice differs in its line only."""
    line, message = parked
    return Place(float(message.at), "", "", hashlib.sha256(line).hexdigest().encode())


def _sending(context: RequestContext) -> Dialog:
    group = _named(context)
    if group.kind is ParkedKind.BAD:
        raise UsageError(f"{group.name}: the content of these messages was not kept; request the deletions again")
    foreign = group.kind is ParkedKind.FOREIGN

    def send(approval: Approval) -> str:
        queue = (context.field("queue") or None) if foreign else None
        done = parked_messages.send(context.app, group, queue, approval)
        return f"{count(done, 'message')} sent to {queue or context.app.keys.requests}."

    says = [
        f"{count(group.count, 'message')} to the broker again: {'its owner' if foreign else 'our workers'} may try."
    ]
    command = f"eraser parked send {group.name}{' --queue THEIRS' if foreign else ''}"
    return Dialog("Send them again", says, "Send them", PATH, send, command=command, queue=foreign)


def _discarding(context: RequestContext) -> Dialog:
    group = _named(context)
    many = count(group.count, "message")

    def discard(approval: Approval) -> str:
        return f"{count(parked_messages.discard(context.app, group, approval), 'message')} discarded."

    says = (f"{many} discarded: nothing of what they asked for was recorded.", "This cannot be undone.")
    command = f"eraser parked discard {group.name}"
    return Dialog(
        f"Discard {group.name}", says, f"Discard {many}", PATH, discard,
        dangerous=True, command=command, count=group.count,
    )  # fmt: skip


def _named(context: RequestContext) -> Group:
    """The group of the address. Raises `UnknownJob`."""
    name = context.request.path_params["group"]
    groups = parked_messages.parking(context.app).groups()
    if (found := next((one for one in groups if one.name == name), None)) is None:
        raise UnknownJob(f"group {name[:80]!r} of parked messages is empty now")
    return found


VIEWS = (
    View(PATH, show),
    View(ONE, show_group),
    dialogs.view(f"{ONE}/send", _sending),
    dialogs.view(f"{ONE}/discard", _discarding),
)
