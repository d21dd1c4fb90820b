"""`eraser learn`: delete one throw-away job, and find out what MetaStudio does with what it leaves."""

from __future__ import annotations

import sys

import click

from worker.config.durations import parse_schedule
from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, plan_option, show, typed
from worker.interfaces.cli.printing import allow_project_option, for_programs, result, say, sum_up
from worker.model.errors import UsageError
from worker.model.target import Target
from worker.rules.experiment import SCHEDULE
from worker.services import experiment
from worker.services.act import Approval
from worker.services.request import known_project


@click.command()
@click.argument("job_id", required=False)
@click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
@allow_project_option
@acting(
    click.option("--confirm", metavar="JOB_ID", help="The job's id once more: it is deleted."),
    plan_option,
    click.option("--yes", is_flag=True, help="Not enough: --confirm has to name the job."),
    click.option("--looks", metavar="1m,10m", hidden=True, help="When to look, for tests."),
    click.option("--status", is_flag=True, help="What experiments have shown so far."),
    reason=False,
)
def learn(
    job_id: str | None,
    approval: Approval,
    *,
    project: str | None,
    allow_project: bool,
    confirm: str | None,
    looks: str | None,
    status: bool,
) -> None:
    """Delete one throw-away job, and find out what MetaStudio does with its avatar and its voice.

    No document says whether they go with the job. Take a job that nobody needs and whose person agreed. Its DELETE is
    the only change; after it workers look for eight days. The facts stay in the ledger, `eraser doctor` shows them.

    \b
    eraser learn 0f3a61c2 --reason TICKET-4711
    eraser learn --status
    """
    if status == (job_id is not None):
        raise UsageError("give a job id, or --status, not both")
    app = startup.enter(startup.load())
    if job_id is None:
        _status(app)
    else:
        job = Target.named(known_project(app, project, allow=allow_project), job_id)
        _begin(app, job, approval, confirm, parse_schedule(looks) if looks else SCHEDULE)


def _begin(app: AppContext, job: Target, approval: Approval, confirm: str | None, schedule: tuple[float, ...]) -> None:
    row = experiment.look(app, job)
    planned = experiment.plan(job, row, schedule)
    show(planned, approval)
    if approval.only_plan:
        approval.confirmed(hint=f"{typed(click.get_current_context(), 'confirm')} --confirm {job.id}")
    if confirm is None and sys.stdin.isatty() and not for_programs():
        confirm = click.prompt("Type the job's id to delete it", default="", show_default=False)
    experiment.check_typed(job, confirm, again=typed(click.get_current_context(), "confirm"))
    outcome = experiment.begin(app, job, approval, schedule)
    result({"project_id": job.project_id, "job_id": job.id, "result": outcome})
    sum_up(f"The experiment {'has begun' if outcome == 'begun' else 'had begun already'}. Next: eraser learn --status")


def _status(app: AppContext) -> None:
    now, found = app.redis_ms(), False
    for found_one in experiment.reports(app):
        found, job = True, found_one.record.job
        result(experiment.as_json(found_one))
        say(f"job {job.id} of project {job.project_id}, account {found_one.account}", style="bold")
        for line in experiment.in_words(found_one, now):
            say(f"  {line}")
        for proposal in found_one.proposals:
            say(f"  → {proposal.setting}={proposal.value}   ({proposal.why})")
    if not found:
        say("No experiment yet. Begin one with a throw-away job: eraser learn JOB_ID")
