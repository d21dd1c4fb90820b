"""Dead letters: the causes as cards, one cause with its letters, and giving letters up."""

from __future__ import annotations

from worker.deletion import State
from worker.operations import dead, dead_moves, deletions, words
from worker.operations.console import dialogs
from worker.operations.console.dialogs import Dialog
from worker.operations.console.visits import Move, Page, View, Visit
from worker.operations.dead import Group
from worker.operations.deletions import Wanted
from worker.operations.show import UnknownJob


def show(visit: Visit) -> Page:
    groups = dead.groups(visit.running)
    cards = [(group, words.remedy(group.cause)) for group in groups]
    return Page(
        "dead.html", {"cards": cards, "total": sum(group.count for group in groups), "now": visit.running.redis_ms()}
    )


def show_group(visit: Visit) -> Page:
    group = _group(visit)
    page = deletions.page(visit.running, Wanted(State.DEAD, group=group.group), visit.asked("from"))
    return Page(
        "group.html",
        {"group": group, "remedy": words.remedy(group.cause), "page": page, "now": visit.running.redis_ms()},
    )


def ask_discard(visit: Visit) -> Page:
    return dialogs.asking(visit, _discarding(visit))


def discard(visit: Visit) -> Move | Page:
    return dialogs.acted(visit, _discarding(visit), lambda reason, by: _discard(visit, reason, by))


def _discarding(visit: Visit) -> Dialog:
    group = _group(visit)
    many = words.count(group.count, "dead letter")
    says = (f"{many} discarded: nothing more is sent for {'it' if group.count == 1 else 'them'}.",
            "They can be restored within 30 days, from the list of discarded deletions.")  # fmt: skip
    command = f"eraser dead discard {group.group}"
    button = f"Discard {many}"
    back = f"/dead/{group.group}"
    return Dialog(f"Discard {group.group}", says, button, back, dangerous=True, command=command, count=group.count)


def _discard(visit: Visit, reason: str, by: str) -> Move:
    selection = dead.choose(visit.running, [_group(visit).group])
    dialogs.check_count(visit, len(selection.letters))  # more may have died since the page was made
    act = dead_moves.act_of(selection, dialogs.most(visit))
    done = dead_moves.discard(visit.running, selection, reason=reason, by=by, act=act)
    return Move("/dead", f"{words.count(done.done, 'dead letter')} discarded.")


def _group(visit: Visit) -> Group:
    name = visit.request.path_params["group"]
    group = next((one for one in dead.groups(visit.running) if one.group == name), None)
    if group is None:
        raise UnknownJob(f"group {name[:80]!r} is empty now")
    return group


VIEWS = (View("/dead", show), View("/dead/{group}", show_group), View("/dead/{group}/discard", ask_discard, discard))
