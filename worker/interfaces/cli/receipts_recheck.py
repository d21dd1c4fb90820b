"""`eraser receipts recheck`, `rechecks` and `back`: whether what the receipts say is still true."""

from __future__ import annotations

import sys

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, by_option, end, max_option, show, yes_option
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import json_option, listed, result, say, table
from worker.interfaces.cli.progress import progress
from worker.interfaces.cli.receipt_counts import account_option, entered, since_option
from worker.ledger.rechecks import RecheckRun
from worker.receipts.recheck import RecheckResult
from worker.services import came_back
from worker.services import receipts_recheck as rechecks
from worker.services.act import Approval
from worker.services.came_back import CameBack
from worker.services.labels import count
from worker.services.times import absolute, when


@click.command()
@since_option
@click.option("--max", "most", type=click.IntRange(min=1), metavar="N", help="Check at most N, latest first.")
@account_option
@by_option
@json_option
def recheck(since: str | None, most: int | None, account: str | None, by: str) -> None:
    """Check with MetaStudio that deleted and gone jobs are still gone. Exit 1 if a job came back.

    Recorded: who checked, when, with which key, and each job that came back.

    \b
    eraser receipts recheck --since 24h
    """
    app, name, since_ms = entered("recheck", account, since)
    by = Approval(by=by).by or by
    jobs, left_out = rechecks.jobs(app, name, since_ms=since_ms, most=most)
    found = dict.fromkeys(RecheckResult, 0)
    with progress("checked") as advance:
        for done, looked in enumerate(rechecks.recheck(app, jobs, by=by, since_ms=since_ms), 1):
            found[looked.now] += 1
            advance(done, len(jobs))
            result(looked.as_json())
            if looked.now is not RecheckResult.GONE:
                say(f"{looked.ref.name}  {looked.text}", style="bold red")
                if looked.command:
                    say(f"  {looked.command}")
    _tell(found, len(jobs), left_out)
    sys.exit(0 if found[RecheckResult.GONE] == len(jobs) else 1)


def _tell(found: dict[RecheckResult, int], checked: int, left_out: int) -> None:
    if not checked:
        say("No receipt of a deleted or gone job in that time: nothing to check.")
        return
    gone, back, unknown = (found[now] for now in RecheckResult)
    say(f"{count(checked, 'job')} checked: {gone:,} still gone, {back:,} came back, {unknown:,} could not be checked.")
    if left_out:
        say(f"{count(left_out, 'older one')} not checked, because of --max {checked}.")


@click.command("rechecks", cls=Reading)
@account_option
@json_option
def runs(account: str | None) -> None:
    """Every recheck, the newest first: when, by whom, with which key, and its results.

    \b
    eraser receipts rechecks
    """
    app, name, _ = entered("rechecks", account)
    found = rechecks.runs(app, name)
    for run in found:
        result(rechecks.run_json(run))
    if not found:
        say(f"Nobody has checked the jobs of account {name} yet. To do it now: eraser receipts recheck")
        return
    rows = [(absolute(run.at), run.by or "schedule", run.key[:12], *_numbers(run)) for run in found]
    table(["TIME", "BY", "KEY", "STILL GONE", "CAME BACK", "NOT CHECKED", "TO ITS END"], rows)


def _numbers(run: RecheckRun) -> list[str]:
    """Its results, and whether it came to its end."""
    return [*(f"{number:,}" for number in run.results.values()), "yes" if run.ended else "no"]


@click.group(cls=CommandGroup)
def back() -> None:
    """Jobs that MetaStudio has again after their deletion: listed, or requested once more."""


@back.command("list", cls=Reading)
@json_option
def list_() -> None:
    """List what came back and nobody requested since.

    \b
    eraser receipts back list
    """
    app = startup.enter(startup.load())
    found, now = came_back.each(app), app.redis_ms()

    def row(one: CameBack) -> tuple[str, ...]:
        return one.ref.name, one.ref.project_id, when(one.at, now)

    none = "No deleted job is known to be back."
    if listed(found, CameBack.as_json, ["JOB", "PROJECT", "FOUND"], row, none=none):
        say("Next: eraser receipts back request --reason TICKET")


@back.command()
@acting(yes_option, max_option)
def request(approval: Approval) -> None:
    """Request every job that came back once more, after a plan.

    \b
    eraser receipts back request --reason TICKET-4711
    """
    app = startup.enter(startup.load())
    found = came_back.each(app)
    show(came_back.plan(found), approval)
    end(came_back.request_all(app, found, approval), "job", "requested again")
