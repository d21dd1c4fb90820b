"""Retention: policies with their plans, runs that a person starts, watches and cancels, and problems."""

from __future__ import annotations

from urllib.parse import quote

from worker.interfaces.console import dialogs
from worker.interfaces.console.dialogs import Dialog
from worker.interfaces.console.request_context import Page, Redirect, RequestContext, View
from worker.model.errors import EraserError, SettingsError, Unreachable, UsageError
from worker.retention.plan import CapOverride, Plan
from worker.retention.policy import Policy
from worker.services import cancel, retention, retention_runs
from worker.services.act import Approval
from worker.services.labels import count

RUNS = 50
ROWS = 50  # jobs of a plan that are listed, the oldest first
POLICY, RUN = "/retention/policies/{policy}", "/retention/runs/{run}"


def show(context: RequestContext) -> Page:
    try:
        following = retention.upcoming(context.app)
    except SettingsError:
        following = []  # an alarm reports it
    return Page(
        "retention.html",
        {
            "runs": retention.runs(context.app, RUNS),
            "following": following,
            "alarms": list(retention.alarms(context.app)),
            "now": context.app.now().timestamp() * 1000,
        },
    )


# -- a policy's plan, and a run ----------------------------------------------------------------------------------------


def ask(context: RequestContext) -> Page:
    """The plan. MetaStudio's lists are read for it, so the page comes first and loads it."""
    policy = _policy(context)
    if context.part or context.query("whole"):
        plan = retention_runs.plan(context.app, policy)
        return Page("_policy.html" if context.part else "policy.html", _values(context, plan))
    return Page("policy.html", _empty(policy))


def _no_plan(context: RequestContext, error: EraserError) -> Page:
    """The place of a plan that could not be made; it is asked for again while Redis or MetaStudio is away."""
    name, again = context.request.path_params["policy"], isinstance(error, Unreachable)
    return Page("_planning.html", {"address": _address(name), "trouble": str(error), "again": again})


def start(context: RequestContext) -> Redirect | Page:
    """Start the run of a new plan, if the policy is the one that was shown, and no more jobs than then match it."""
    policy = _policy(context)
    plan = retention_runs.plan(context.app, policy)
    try:
        approval = dialogs.approval(context)
        partial, allowed = context.field("partial") == "yes", _allowed(context, policy)
        _check_shown(context, plan)
        run = retention_runs.start(context.app, plan, approval, allowed=allowed, partial=partial)
    except EraserError as error:
        return Page("policy.html", _values(context, plan, why_not=dialogs.why(error)), 422)
    return Redirect(f"/retention/runs/{run}")


def _check_shown(context: RequestContext, plan: Plan) -> None:
    """Raise `UsageError` for a plan that does more than the page showed."""
    planned = dialogs.number(context.field("planned"))
    if planned is None or context.field("policy") != plan.policy.hash:
        raise UsageError("the policy is not the one that was shown. This is its plan now; nothing was started")
    if plan.chosen > planned:
        chosen = count(plan.chosen, "job")
        raise UsageError(
            f"{chosen} now, and {planned:,} when the plan was shown. This is the new plan; nothing was started"
        )


def _allowed(context: RequestContext, policy: Policy) -> CapOverride | None:
    """The number that was typed, and the projects that were ticked."""
    most = dialogs.number(context.field("most"))
    ticked = [project for n, project in enumerate(policy.projects) if context.field(f"confirm-{n}") == project]
    if (most is None) != (not ticked):
        raise UsageError("above the caps: type the number, and tick each project")
    return retention.cap_override(policy, most, ticked)


def _policy(context: RequestContext) -> Policy:
    return context.app.policies.named(context.request.path_params["policy"])


def _address(name: str) -> str:
    return f"/retention/policies/{quote(name, safe='')}"


def _empty(policy: Policy) -> dict[str, object]:
    place = {"address": _address(policy.name), "reading": "the lists of MetaStudio"}
    return place | {"name": policy.name, "policy": policy, "plan": None, "trouble": "", "again": True, "why_not": ""}


def _values(context: RequestContext, plan: Plan, *, why_not: str = "") -> dict[str, object]:
    jobs = sorted((one for each in plan.projects for one in each.chosen), key=lambda one: one.reference_time)
    related = retention.related_of(context.app, plan.policy)
    rows = [(one, one.reference_time.timestamp() * 1000) for one in jobs[:ROWS]]
    skipped = [(retention.REASONS[reason], n) for reason, n in retention.skipped(plan, []).items()]
    return _empty(plan.policy) | {
        "plan": plan,
        "over": plan.over(),
        "problems": plan.problems,
        "skipped": skipped,
        "related": f"{retention.RELATED[related]} (related = {related})",
        "rows": rows,
        "more": len(jobs) - len(rows),
        "now": context.app.now().timestamp() * 1000,
        "form": {name: context.field(name) for name in ("reason", "most")},
        "why_not": why_not,
    }


# -- a run -------------------------------------------------------------------------------------------------------------


def watch(context: RequestContext) -> Page:
    """A run; refreshed every two seconds while it goes on."""
    run = retention_runs.find(context.app, context.request.path_params["run"])
    values = {"run": run, "now": context.app.now().timestamp() * 1000, "skipped": retention.REASONS}
    over = context.part and (run.finished is not None or run.stopped_by is not None)
    return Page("_run.html" if context.part else "run.html", values, 286 if over else 200)


def _cancelling(context: RequestContext) -> Dialog:
    run = retention_runs.find(context.app, context.request.path_params["run"])

    def do(approval: Approval) -> str:
        done = list(cancel.cancel_run(context.app, run.id, approval))
        ended = sum(one.done for one in done)
        rest = f" {count(len(done) - ended, 'call')} in progress, or too late." if ended < len(done) else ""
        return f"{count(ended, 'request')} withdrawn.{rest}"

    says = (
        "This run's requests are withdrawn. Other requests for the same jobs remain.",
        "What is deleted stays deleted. A run that still reads its lists goes on: cancel it again when it has ended.",
    )
    command = f"eraser cancel --run {run.id}"
    to, button = f"/retention/runs/{run.id}", "Withdraw its requests"
    return Dialog(f"Cancel {run.id}", says, button, to, do, dangerous=True, command=command)


VIEWS = (
    View("/retention", show),
    View(POLICY, ask, start, trouble=_no_plan),
    View(RUN, watch),
    dialogs.view(f"{RUN}/cancel", _cancelling),
)
