"""Dead letters: the groups as cards, one group with its dead letters, and discarding a group."""

from __future__ import annotations

from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.model.states import State
from worker.services import dead_letter_actions, dead_letters, labels, listing
from worker.services.dead_letters import Group
from worker.services.listing import Wanted
from worker.services.show import UnknownJob


def show(context: RequestContext) -> Page:
    groups = dead_letters.groups(context.app)
    cards = [(group, labels.remedy(group.cause)) for group in groups]
    return Page(
        "dead.html", {"cards": cards, "total": sum(group.count for group in groups), "now": context.app.redis_ms()}
    )


def show_group(context: RequestContext) -> Page:
    group = _group(context)
    page = listing.page(context.app, Wanted(State.DEAD, group=group.group), context.asked("from"))
    return Page(
        "group.html",
        {"group": group, "remedy": labels.remedy(group.cause), "page": page, "now": context.app.redis_ms()},
    )


def ask_discard(context: RequestContext) -> Page:
    return dialogs.asking(context, _discarding(context))


def discard(context: RequestContext) -> Redirect | Page:
    return dialogs.acted(context, _discarding(context), lambda reason, by: _discard(context, reason, by))


def _discarding(context: RequestContext) -> Dialog:
    group = _group(context)
    many = labels.count(group.count, "dead letter")
    says = (f"{many} discarded: nothing more is sent for {'it' if group.count == 1 else 'them'}.",
            "They can be restored within 30 days, from the list of discarded deletions.")  # fmt: skip
    command = f"eraser dead discard {group.group}"
    button = f"Discard {many}"
    back = f"/dead/{group.group}"
    return Dialog(f"Discard {group.group}", says, button, back, dangerous=True, command=command, count=group.count)


def _discard(context: RequestContext, reason: str, by: str) -> Redirect:
    selection = dead_letters.choose(context.app, [_group(context).group])
    dialogs.check_count(context, len(selection.letters))  # more may have failed since the page was rendered
    action = dead_letter_actions.action_of(selection, dialogs.most(context))
    done = dead_letter_actions.discard(context.app, selection, reason=reason, by=by, action=action)
    return Redirect("/dead", f"{labels.count(done.done, 'dead letter')} discarded.")


def _group(context: RequestContext) -> Group:
    name = context.request.path_params["group"]
    group = next((one for one in dead_letters.groups(context.app) if one.group == name), None)
    if group is None:
        raise UnknownJob(f"group {name[:80]!r} is empty now")
    return group


VIEWS = (View("/dead", show), View("/dead/{group}", show_group), View("/dead/{group}/discard", ask_discard, discard))
