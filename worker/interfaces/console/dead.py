"""Dead letters: the groups as cards, one group with its dead letters, and discarding a group."""

from __future__ import annotations

from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, RequestContext, View
from worker.ledger.bulk_queries import DeadLetterGroup
from worker.model.states import State
from worker.services import dead_letter_actions, dead_letters, labels, listing
from worker.services.act import Approval
from worker.services.dead_letter_actions import Verb
from worker.services.filters import DeletionFilter
from worker.services.show import UnknownJob


def show(context: RequestContext) -> Page:
    groups = dead_letters.groups(context.app)
    cards = [(group, labels.remedy(group.cause)) for group in groups]
    return Page(
        "dead.html", {"cards": cards, "total": sum(group.count for group in groups), "now": context.app.redis_ms()}
    )


def show_group(context: RequestContext) -> Page:
    group = _group(context)
    wanted = DeletionFilter((State.DEAD,), group=group.group)
    page = listing.page(context.app, wanted, context.query("from", listing.LONGEST_CURSOR))
    return Page(
        "group.html",
        {"group": group, "remedy": labels.remedy(group.cause), "page": page, "now": context.app.redis_ms()},
    )


def _discarding(context: RequestContext) -> Dialog:
    group = _group(context)
    many = labels.count(group.count, "dead letter")

    def discard(approval: Approval) -> str:
        selection = dead_letters.choose(context.app, [group.group])
        found = dead_letter_actions.carry_out(context.app, Verb.DISCARD, selection, approval)
        return f"{labels.count(sum(one.done for one in found), 'dead letter')} discarded."

    return Dialog(
        f"Discard {group.group}",
        (
            f"{many} discarded: nothing more is sent for {'it' if group.count == 1 else 'them'}.",
            "They can be restored within 30 days, from the list of discarded deletions.",
        ),
        f"Discard {many}",
        f"/dead/{group.group}",
        discard,
        to="/dead",
        dangerous=True,
        command=f"eraser dead discard {group.group}",
        count=group.count,
    )


def _group(context: RequestContext) -> DeadLetterGroup:
    name = context.request.path_params["group"]
    group = next((one for one in dead_letters.groups(context.app) if one.group == name), None)
    if group is None:
        raise UnknownJob(f"group {name[:80]!r} is empty now")
    return group


VIEWS = (View("/dead", show), View("/dead/{group}", show_group), dialogs.view("/dead/{group}/discard", _discarding))
