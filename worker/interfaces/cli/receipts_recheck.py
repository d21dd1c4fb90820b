"""`eraser receipts recheck`: whether what the receipts say is still true."""

from __future__ import annotations

import sys

import click

from worker.interfaces.cli.printing import json_option, result, say
from worker.interfaces.cli.progress import progress
from worker.interfaces.cli.receipt_counts import account_option, entered, since_option
from worker.services import receipts_recheck as rechecks
from worker.services.labels import count


@click.command()
@since_option
@click.option("--max", "most", type=click.IntRange(min=1), metavar="N", help="Check at most N, latest first.")
@account_option
@json_option
def recheck(since: str | None, most: int | None, account: str | None) -> None:
    """Check with MetaStudio that deleted and gone jobs are still gone. Exit 1 if a job came back.

    \b
    eraser receipts recheck --since 24h
    """
    app, name, since_ms = entered("recheck", account, since)
    jobs, left_out = rechecks.jobs(app, name, since_ms=since_ms, most=most)
    found = dict.fromkeys(rechecks.RecheckResult, 0)
    with progress("checked") as advance:
        for done, looked in enumerate(rechecks.recheck(app, jobs), 1):
            found[looked.now] += 1
            advance(done, len(jobs))
            result(looked.as_json())
            if looked.now is not rechecks.RecheckResult.GONE:
                say(f"{looked.ref.name}  {looked.text}", style="bold red")
                if looked.command:
                    say(f"  {looked.command}")
    _tell(found, len(jobs), left_out)
    sys.exit(0 if found[rechecks.RecheckResult.GONE] == len(jobs) else 1)


def _tell(found: dict[rechecks.RecheckResult, int], checked: int, left_out: int) -> None:
    if not checked:
        say("No receipt of a deleted or gone job in that time: nothing to check.")
        return
    gone, back, unknown = (found[now] for now in rechecks.RecheckResult)
    say(f"{count(checked, 'job')} checked: {gone:,} still gone, {back:,} came back, {unknown:,} could not be checked.")
    if left_out:
        say(f"{count(left_out, 'older one')} not checked, because of --max {checked}.")
