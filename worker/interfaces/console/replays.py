"""Replays: plan, start, progress, cancel, and past replays."""

from __future__ import annotations

from urllib.parse import urlencode

from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.ledger.replays import ReplayStage, ReplayState
from worker.model.errors import EraserError, Unreachable, UsageError
from worker.services import dead_letters
from worker.services import replay as replay_service
from worker.services.act import Approval
from worker.services.dead_letters import Selection
from worker.services.labels import count as count_of
from worker.services.replay_labels import STAGES, STATES, line, outcomes

AT_ONCE = 1_000  # up to this many dead letters the page has the plan; for more it is loaded afterwards
RUNS = 50


def show(context: RequestContext) -> Page:
    """Past replays, the newest first."""
    now = context.app.redis_ms()
    every = [(one, ", ".join(outcomes(one))) for one in replay_service.history(context.app, RUNS)]
    return Page("replays.html", {"replays": every, "now": now})


# -- starting --------------------------------------------------------------------------------------------------------


def ask(context: RequestContext) -> Page:
    """The plan, as on the command line. For very many dead letters the page comes first and loads its plan."""
    if context.part:
        return _late_plan(context)
    name, count = _meant(context)
    place = {"address": _address(name), "reading": count_of(count, "dead letter")}
    fields: dict[str, object] = {"name": name, "why_not": "", "form": {}}
    later = count > AT_ONCE and not context.query("whole")
    plan = None if later else replay_service.plan(context.app, _chosen(context, name))
    return Page("planned.html", fields | place | {"plan": plan, "trouble": "", "again": True})


def _late_plan(context: RequestContext) -> Page:
    name, _ = _meant(context)
    plan = replay_service.plan(context.app, _chosen(context, name))
    return Page("_plan.html", {"name": name, "plan": plan, "form": {}})


def _no_plan(context: RequestContext, error: EraserError) -> Page:
    """The place of a late plan, which is asked for again if Redis is away."""
    name, again = None if context.query("all") else context.query("group"), isinstance(error, Unreachable)
    return Page("_planning.html", {"address": _address(name), "trouble": str(error), "again": again})


def _address(name: str | None) -> str:
    return f"/replays/new?{urlencode({'group': name} if name else {'all': 1})}"


def start(context: RequestContext) -> Redirect | Page:
    """Start what the plan showed: later failures are excluded."""
    name, _ = _meant(context)
    plan = replay_service.plan(context.app, _chosen(context, name, _marks(context)))
    try:
        return Redirect(f"/replays/{replay_service.start(context.app, plan, dialogs.approval(context))}")
    except EraserError as error:
        fields = {"name": name, "plan": plan, "why_not": dialogs.why(error), "form": dict(context.form)}
        return Page("planned.html", fields, 422)


def _meant(context: RequestContext) -> tuple[str | None, int]:
    """The group of the address and its number of dead letters; None: all."""
    groups = {group.group: group.count for group in dead_letters.groups(context.app)}
    if context.query("all"):
        return None, sum(groups.values())
    name = dead_letters.named(context.query("group"), groups)
    return name, groups[name]


def _chosen(context: RequestContext, name: str | None, snapshot: dict[str, int] | None = None) -> Selection:
    return dead_letters.choose(context.app, [name] if name else [], every=name is None, snapshot=snapshot)


def _marks(context: RequestContext) -> dict[str, int] | None:
    """The plan's marks from the form. Raises `UsageError`."""
    marks = {}
    for account in context.app.settings.accounts:
        text = context.field(f"mark-{account}")
        if text and not (text.isdecimal() and len(text) < 17):
            raise UsageError("this form is not valid: open the plan again")
        if text:
            marks[account] = int(text)
    return marks or None


# -- watching and ending ---------------------------------------------------------------------------------------------


def watch(context: RequestContext) -> Page:
    """The progress; refreshed every two seconds until the end."""
    progress = replay_service.progress_of(context.app, context.request.path_params["replay"])
    template = "_progress.html" if context.part else "progress.html"
    ended = progress.count("total") - progress.count("left") - progress.count("open")
    fields = {
        "replay": progress,
        "now": progress.now,
        "with_an_end": ended,
        "line": line(progress),
        "outcomes": list(outcomes(progress)),
        "stages": [(stage, STAGES[stage]) for stage in ReplayStage],
        "past": list(ReplayStage).index(progress.first.stage),
        "state": STATES.get(progress.state, "it continues by itself"),
        "running": progress.state in (ReplayState.RUNNING, ReplayState.STOPPING),
    }
    return Page(template, fields, 286 if context.part and progress.ended else 200)


def _cancelling(context: RequestContext) -> Dialog:
    replay = context.request.path_params["replay"]
    progress = replay_service.progress_of(context.app, replay)

    def cancel(approval: Approval) -> str:
        replay_service.cancel(context.app, replay, approval)
        return "The replay is cancelled."

    says = (
        "No further deletion starts; those that were not called yet become dead letters again.",
        "Calls in progress are finished, and what is deleted stays deleted.",
        f"So far: {line(progress)}.",
    )
    back, command = f"/replays/{replay}", f"eraser replay cancel {replay}"
    return Dialog(f"Cancel {replay}", says, "Cancel the replay", back, cancel, dangerous=True, command=command)


VIEWS = (
    View("/replays", show),
    View("/replays/new", ask, start, trouble=_no_plan),
    View("/replays/{replay}", watch),
    dialogs.view("/replays/{replay}/cancel", _cancelling),
)
