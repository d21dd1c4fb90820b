"""`eraser retention`: plan, run and past runs of policies."""

from __future__ import annotations

import sys

import click

from worker.config.durations import format_duration
from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, yes_option
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.printing import for_programs, json_option, listed, result, say, table
from worker.interfaces.cli.progress import progress
from worker.ledger.runs import Run
from worker.model.errors import EraserError, RefusedBySafetyRule, Unreachable
from worker.retention.plan import CapOverride, Chosen, Plan
from worker.retention.planner import JobDecision, Planner
from worker.retention.policy import Policy
from worker.retention.sweep import Swept, new_run, sweep
from worker.services import retention as retention_service
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.times import absolute, relative, span

NO_POLICY = "No policy. Write [policies.NAME] into the file of ERASER_CONFIG."
ROWS = 5  # of a plan's jobs that are shown; --json has all
NAMED = 20  # jobs that came back


@click.group(cls=CommandGroup)
def retention() -> None:
    """Policies that delete jobs by state and age: planned first, capped, with a grace. See ERASER_CONFIG."""


@retention.command()
@click.argument("policy", required=False)
@json_option
def plan(policy: str | None) -> None:
    """Show what would be requested, what would not, and why. Changes nothing; no cap applies.

    \b
    eraser retention plan failed-trainings
    """
    app = startup.load()
    policies = retention_service.chosen_policies(app, policy)
    startup.enter(app)
    if not policies:
        say(NO_POLICY)
    complete = True
    for number, one in enumerate(policies):
        if number:
            say()
        made = _planned(app, one, each=True)
        complete = complete and not made.problems
        result(retention_service.plan_json(made, retention_service.related_of(app, one)))
        _tell_plan(app, made, None)
        _tell_next(made)
    sys.exit(0 if complete else Unreachable.exit_code)


@retention.command()
@click.argument("policy")
@click.option("--max", "cap", type=click.IntRange(min=1), metavar="N", help="Allow N jobs, instead of the caps.")
@click.option(
    "--confirm", "confirmed", multiple=True, metavar="PROJECT", help="With --max: the project to delete from."
)
@click.option("--partial", is_flag=True, help="If a list does not end, request what was read.")
@acting(yes_option, why="Why the caps are exceeded; for the audit. [the policy's reason]", reason=False)
def run(policy: str, cap: int | None, confirmed: tuple[str, ...], partial: bool, approval: Approval) -> None:
    """Show the plan, ask, and request it; each deletion waits out the grace. Exit 3 if a cap stops it, or without --yes
    where nobody can be asked: nothing was requested.

    \b
    eraser retention run failed-trainings
    eraser retention run failed-trainings --max 1200 --confirm 0605768a2c8026af2f8bc00f4b0d3b7c --yes
    """
    app = startup.load()
    one = app.policies.named(policy)
    allowed = retention_service.cap_override(one, cap, confirmed)
    startup.enter(app)
    made = _planned(app, one) if approval.only_plan else _planned_or_why(app, one)
    if isinstance(made, Plan):
        _tell_plan(app, made, allowed)
        if approval.only_plan or (made.chosen and not made.over(allowed) and (partial or not made.problems)):
            _ask(app, made, approval)
    begun = new_run(one, app.policies.account(one), app.now(), by=approval.by)
    swept = sweep(app, begun, lambda: _made(made), cap_override=allowed, partial=partial, why=approval.reason)
    refused = {"over_cap": list(swept.refused), "unread": list(swept.unread)}
    result(retention_service.run_json(swept.run) | refused)
    _end(swept)


@retention.command()
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="Number of past runs.")
@json_option
def runs(limit: int) -> None:
    """Past runs with their results, and the next run of each policy.

    \b
    eraser retention runs
    """
    app = startup.enter(startup.load())
    past, following = retention_service.runs(app, limit), retention_service.upcoming(app)
    now = app.now().timestamp() * 1000
    columns = ["RUN", "BY", "STARTED", "LISTED", "SELECTED", "REQUESTED", "RESULT SO FAR"]
    listed(past, retention_service.run_json, columns, lambda run: _row(run, now), none="No run yet.")
    columns, to_json = ["POLICY", "NEXT", "SCHEDULE (UTC)"], retention_service.upcoming_json
    listed(following, to_json, columns, lambda each: _next_row(each, now), none=NO_POLICY)
    if not for_programs():
        for one in (one for one in past if one.waiting):
            stop = f"eraser cancel --run {one.id} --reason R"
            say(f"{count(one.waiting, 'deletion')} of {one.id} not ended. To stop: {stop}")
        for alarm in retention_service.alarms(app):
            say(f"Beware: {alarm.why}   ({alarm.command})")


def _planned(app: AppContext, policy: Policy, *, each: bool = False) -> Plan:
    """The plan. each: print every job for programs."""

    def tell(judged: JobDecision) -> None:
        result(retention_service.job_json(policy, judged))

    with progress("listed") as advance:
        planner = Planner(app, policy, app.policies.account(policy), advance=advance)
        if each and for_programs():
            planner.tell = tell
        return planner.plan()


def _planned_or_why(app: AppContext, policy: Policy) -> Plan | EraserError:
    """The plan; or why there is none, which the record of the run keeps."""
    try:
        return _planned(app, policy)
    except EraserError as error:
        return error


def _made(made: Plan | EraserError) -> Plan:
    if isinstance(made, EraserError):
        raise made
    return made


def _ask(app: AppContext, made: Plan, approval: Approval) -> None:
    """Return if it may start. Raises `DryRun`, also where nobody is there to answer."""
    if approval.yes:
        return
    if for_programs() or approval.only_plan or not sys.stdin.isatty():
        result(retention_service.plan_json(made, retention_service.related_of(app, made.policy)))
        approval.confirmed()
    if not click.confirm(f"Request {count(made.chosen, 'deletion')}?"):
        raise click.Abort


def _tell_plan(app: AppContext, made: Plan, allowed: CapOverride | None) -> None:
    policy = made.policy
    say(f"PLAN  {policy.name}  (policy {policy.hash})", style="bold")
    for each in made.projects:
        say(f"project {each.project}: {count(each.listed, 'job')} listed")
        if not each.total and not each.problem:
            say("  It is empty, or this key cannot see its jobs: see eraser doctor")
        if each.problem:
            say(f"  INCOMPLETE: {each.problem}", style="bold red")
    say(f"{made.chosen:>9,}  to be requested, deleted after a grace of {format_duration(policy.grace_s)}")
    if made.with_avatar:
        related = retention_service.related_of(app, policy)
        what = f"{retention_service.RELATED[related]} (related = {related})"
        say(f"{made.with_avatar:>9,}  of them name an avatar: {what}")
    over = made.over(allowed)
    for reason, number in retention_service.skipped(made, over).items():
        if reason.value != "over_cap":
            say(f"{number:>9,}  skipped: {retention_service.REASONS[reason]}")
    if policy.finished:
        say(f"Beware: {' and '.join(policy.finished)} are included (include_finished): they may be avatars in use.")
    _tell_what_came_back(made)
    _tell_rows(app, made)
    for why in over:
        say(f"Over the cap: {why}.", style="yellow")
    if over:
        say(f"A run would request nothing. If you mean all of them: {made.how_to_allow()}")


def _tell_what_came_back(made: Plan) -> None:
    if not made.came_back:
        return
    jobs = count(len(made.came_back), "job")
    say(f"{jobs} came back: deleted or gone here, and listed again. To request them once more:", style="bold red")
    for each in made.projects:
        names = [ref.name for ref in each.came_back]
        if names:
            say(f"  eraser request {' '.join(names[:NAMED])} --project {each.project} --force --reason TICKET")
        if len(names) > NAMED:
            say(f"  and {len(names) - NAMED:,} more, which --json names; or: eraser receipts back request, after a run")


def _tell_rows(app: AppContext, made: Plan) -> None:
    rows: list[Chosen] = sorted((c for each in made.projects for c in each.chosen), key=lambda c: c.reference_time)
    if not rows:
        return
    say()
    what = "CREATED" if made.policy.age_by == "create_time" else "LAST UPDATED"
    now = app.now().timestamp() * 1000
    table(
        ["JOB", "STATE", what],
        [(c.ref.name, c.state, f"{absolute(_ms(c))} ({relative(_ms(c), now)})") for c in rows[:ROWS]],
    )
    if len(rows) > ROWS:
        say(f"… and {len(rows) - ROWS:,} more; --json has them all")
    say()


def _ms(chosen: Chosen) -> float:
    return chosen.reference_time.timestamp() * 1000


def _tell_next(made: Plan) -> None:
    if made.problems:
        say(f"Next: repeat the command, or: eraser retention run {made.policy.name} --partial")
    elif made.chosen and not made.over():
        say(f"Nothing was changed. Next: eraser retention run {made.policy.name}")
    elif not made.chosen:
        say("Nothing would be requested.")


def _end(swept: Swept) -> None:
    if swept.unread:
        raise Unreachable(
            f"{'; '.join(swept.unread)}. Nothing was requested; try again, or use --partial to request what was read"
        )
    if swept.refused:
        raise RefusedBySafetyRule(
            "cap", f"{'; '.join(swept.refused)}. Nothing was requested. {swept.plan.how_to_allow()}"
        )
    requested = swept.run.requested
    if not requested:
        say("Nothing was requested.")
        return
    grace = span(swept.plan.policy.grace_s)
    say(f"Requested {count(requested, 'deletion')}; the calls start in {grace}, after each job is checked once more.")
    say(f"Next: eraser retention runs   (to stop: eraser cancel --run {swept.run.id} --reason R)")


def _row(one: Run, now: float) -> tuple[object, ...]:
    ends = ", ".join(f"{number:,} {state}" for state, number in one.outcomes.items())
    if one.stopped_by:
        ends = f"STOPPED: {one.stopped_by}"
    elif one.finished is None:
        ends = "not finished"
    return (
        one.id,
        one.by or "schedule",
        relative(one.started, now),
        one.listed,
        one.selected,
        one.requested,
        ends or "none yet",
    )


def _next_row(each: retention_service.Upcoming, now: float) -> tuple[object, ...]:
    if each.next is None or each.policy.schedule is None:
        return each.policy.name, "by hand", f"eraser retention run {each.policy.name}"
    at = each.next.timestamp() * 1000
    return each.policy.name, f"{relative(at, now)} ({absolute(at)})", each.policy.schedule.text
