"""Replays: what one would do, starting it, watching it, ending it, and what was replayed before."""

from __future__ import annotations

from worker.errors import EraserError, Unreachable, UsageError
from worker.ledger.replays import ReplayState, Stage
from worker.operations import dead, replays
from worker.operations.console import dialogs
from worker.operations.console.dialogs import Dialog
from worker.operations.console.visits import Move, Page, View, Visit
from worker.operations.dead import Selection
from worker.operations.replay_words import STAGES, STATES, line, outcomes

AT_ONCE = 1_000  # letters whose plan is made before the page is shown; of more it follows
RUNS = 50


def show(visit: Visit) -> Page:
    """What was replayed before, the newest first."""
    now = visit.running.redis_ms()
    every = [(one, ", ".join(outcomes(one))) for one in replays.history(visit.running, RUNS)]
    return Page("replays.html", {"replays": every, "now": now})


# -- starting --------------------------------------------------------------------------------------------------------


def ask(visit: Visit) -> Page:
    """The plan, as the command line shows it. Of very many letters the page comes first and its plan follows."""
    if visit.part:
        return _late_plan(visit)
    name, count = _meant(visit)
    said: dict[str, object] = {"name": name, "count": count, "why_not": "", "form": {}}
    later = count > AT_ONCE and not visit.asked("whole")
    plan = None if later else replays.plan(visit.running, _chosen(visit, name))
    return Page("planned.html", said | {"plan": plan, "trouble": "", "again": True})


def _late_plan(visit: Visit) -> Page:
    try:
        name, _ = _meant(visit)
        plan = replays.plan(visit.running, _chosen(visit, name))
    except EraserError as error:
        name, again = None if visit.asked("all") else visit.asked("group"), isinstance(error, Unreachable)
        return Page("_planning.html", {"name": name, "trouble": str(error), "again": again})
    return Page("_plan.html", {"name": name, "plan": plan, "form": {}})


def start(visit: Visit) -> Move | Page:
    """Begin what the plan showed: what died since is left out."""
    name, count = _meant(visit)
    plan = replays.plan(visit.running, _chosen(visit, name, _marks(visit)))
    try:
        reason, by = dialogs.checked(visit)
        replay = replays.start(visit.running, plan, by=by, why=reason, most=dialogs.most(visit))
    except Unreachable:
        raise
    except EraserError as error:
        said = {"name": name, "count": count, "plan": plan, "why_not": dialogs.why(error), "form": dict(visit.form)}
        return Page("planned.html", said, 422)
    return Move(f"/replays/{replay}")


def _meant(visit: Visit) -> tuple[str | None, int]:
    """The group of the address and how many letters it has; None: all letters."""
    groups = {group.group: group.count for group in dead.groups(visit.running)}
    if visit.asked("all"):
        return None, sum(groups.values())
    name = dead.named(visit.asked("group"), groups)
    return name, groups[name]


def _chosen(visit: Visit, name: str | None, snapshot: dict[str, int] | None = None) -> Selection:
    return dead.choose(visit.running, [name] if name else [], every=name is None, snapshot=snapshot)


def _marks(visit: Visit) -> dict[str, int] | None:
    """The plan's marks as the form carries them. Raises `UsageError`."""
    marks = {}
    for account in visit.running.settings.accounts:
        text = visit.said(f"mark-{account}")
        if text and not (text.isdecimal() and len(text) < 17):
            raise UsageError("this form is not valid: open the plan again")
        if text:
            marks[account] = int(text)
    return marks or None


# -- watching and ending ---------------------------------------------------------------------------------------------


def watch(visit: Visit) -> Page:
    """How far it is; asked again every two seconds until it has ended."""
    seen = replays.look(visit.running, visit.request.path_params["replay"])
    template = "_progress.html" if visit.part else "progress.html"
    ended = seen.count("total") - seen.count("left") - seen.count("open")
    said = {
        "seen": seen,
        "now": seen.now,
        "with_an_end": ended,
        "line": line(seen),
        "outcomes": list(outcomes(seen)),
        "stages": [(stage, STAGES[stage]) for stage in Stage],
        "past": list(Stage).index(seen.first.stage),
        "state": STATES.get(seen.state, "it continues by itself"),
        "running": seen.state in (ReplayState.RUNNING, ReplayState.STOPPING),
    }
    return Page(template, said, 286 if visit.part and seen.ended else 200)


def ask_cancel(visit: Visit) -> Page:
    return dialogs.asking(visit, _cancelling(visit))


def cancel(visit: Visit) -> Move | Page:
    return dialogs.acted(visit, _cancelling(visit), lambda reason, by: _cancel(visit, reason, by))


def _cancelling(visit: Visit) -> Dialog:
    replay = visit.request.path_params["replay"]
    seen = replays.look(visit.running, replay)
    says = (
        "No further deletion starts; those that were not called yet become dead letters again.",
        "Calls in progress are finished, and what is deleted stays deleted.",
        f"So far: {line(seen)}.",
    )
    command = f"eraser replay cancel {replay}"
    return Dialog(f"Cancel {replay}", says, "Cancel the replay", f"/replays/{replay}", dangerous=True, command=command)


def _cancel(visit: Visit, reason: str, by: str) -> Move:
    replay = visit.request.path_params["replay"]
    replays.cancel(visit.running, replay, by=by, why=reason)
    return Move(f"/replays/{replay}", "The replay is cancelled.")


VIEWS = (
    View("/replays", show),
    View("/replays/new", ask, start),
    View("/replays/{replay}", watch),
    View("/replays/{replay}/cancel", ask_cancel, cancel),
)
