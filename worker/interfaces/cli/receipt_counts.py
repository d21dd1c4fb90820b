"""What the commands of receipts share: which account and since when, and the numbers of a file in words."""

from __future__ import annotations

from collections.abc import Mapping

import click

from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.model.erasure import Verdict
from worker.receipts.summary import Summary
from worker.services import receipts_export as exports
from worker.services.labels import count
from worker.services.labels import evidence as in_words
from worker.services.pause import accounts_meant
from worker.services.times import parse_since

account_option = click.option("--account", metavar="A", help="Which account; needed where there are several.")
since_option = click.option(
    "--since", metavar="T", help="2026-11-01, a time with its zone, or 24h; else from the first one."
)
_WITHOUT_END = {
    "dead": "dead again: restored",
    "pending": "waiting again: a hold ended",
    "came_back": "came back: MetaStudio has them again after their deletion",
}
_LEFT = {  # by the verdict of their erasure
    "not_checked": "whether they left an avatar or a voice was not checked",
    Verdict.PENDING: "what they left is still being looked for or deleted",
    Verdict.PARTIAL: "something that they left was kept, or is of another project",
    Verdict.INCOMPLETE: "something that they left could not be deleted",
    Verdict.UNVERIFIABLE: "what they left could not be verified",
}


def entered(command: str, account: str | None, since: str | None = None) -> tuple[AppContext, str, float]:
    """The application, the account that is meant, and the moment in ms since 1970."""
    app = startup.enter(startup.load())
    (name,) = accounts_meant(app, account, every=None, command=f"receipts {command}", gone=True)
    return app, name, parse_since(since, "--since", app.queries(name).now_ms()) if since else exports.ALL


def lines(summary: Summary) -> list[str]:
    """How the jobs of a file ended, and which of them are not erased."""
    if not summary.receipts:
        return ["  nothing finished in that time: the file has no receipt"]
    ends = summary.ends
    found = [f"  {ends['deleted']:>9,}  deleted: confirmed by MetaStudio", f"  {ends['gone']:>9,}  gone, with evidence"]
    found += [f"  {number:>15,}  {name}: {in_words(name)}" for name, number in summary.evidence.items()]
    found += [f"  {ends['discarded']:>9,}  discarded by an operator, perhaps not deleted"]
    found += [f"  {ends['cancelled']:>9,}  cancelled before anything was deleted"]
    found += [f"  {ends[state]:>9,}  {text}" for state, text in _WITHOUT_END.items() if ends[state]]
    earlier = f"; {count(summary.superseded, 'earlier receipt')} of them superseded" if summary.superseded else ""
    found += [f"  {summary.jobs:>9,}  {'job' if summary.jobs == 1 else 'jobs'}{earlier}"]
    return [*found, f"  finished     {summary.first_at} to {summary.last_at}", *_not_erased(summary)]


def _not_erased(summary: Summary) -> list[str]:
    jobs = summary.jobs - summary.ends["deleted"] - summary.ends["gone"]
    found = [
        f"Not erased: {count(jobs, 'job')} of this file." if jobs else "Every job of this file is deleted or gone."
    ]
    for verdict, number in summary.left.items():
        found.append(f"Of {count(number, 'deleted or gone job')}: {_LEFT.get(verdict, verdict)}.")
    return found


def open_line(still_open: Mapping[str, int], what: str) -> str:
    """What has no receipt, because it has not ended."""
    waits = still_open["pending"] + still_open["running"]
    if not waits + still_open["held"] + still_open["dead"]:
        return f"Nothing of {what} waits, is on hold or is a dead letter now."
    found = f"{waits:,} {'waits' if waits == 1 else 'wait'}, {still_open['held']:,} on hold"
    return f"Not ended by now, of {what}: {found}, {count(still_open['dead'], 'dead letter')}."
