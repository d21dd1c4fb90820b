"""`eraser redact`: texts of who and why that should never have been written."""

from __future__ import annotations

from dataclasses import asdict

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, max_option, show, yes_option
from worker.interfaces.cli.printing import result, say, sum_up
from worker.services import redact as redact_service
from worker.services import request as request_service
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.redact import What


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="JOB_ID...")
@click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
@click.option(
    "--what",
    type=click.Choice([one.value for one in What]),
    default=What.REASON.value,
    show_default=True,
    help="Which texts of them go.",
)
@acting(max_option, yes_option)
def redact(job_ids: tuple[str, ...], project: str | None, what: str, approval: Approval) -> None:
    """Remove the reasons or requesters of deletions from their records, their receipts and the audit.

    For personal data that got in once. Hashes, chain and signatures of receipts stay what they were, and so do the
    names of runs.

    \b
    eraser redact 0f3a61c2 --reason TICKET-4711
    eraser redact 0f3a61c2 --what both --reason TICKET-4711 --yes
    """
    app = startup.load()
    project = request_service.project_of(app, project)
    found = redact_service.find(startup.enter(app), project, job_ids, What(what))
    if not found.texts:
        result({"records": 0, "receipts": 0, "acts": 0, "kept": 0})
        say("There is no such text: nothing was done.")
        return
    show(redact_service.plan(found, What(what)), approval)
    done = redact_service.redact(app, found, approval)
    result(asdict(done))
    numbers = count(done.records, "record"), count(done.receipts, "receipt"), count(done.acts, "act")
    sum_up(f"Redacted: {', '.join(numbers)}.")
    if done.kept:
        say(f"{count(done.kept, 'receipt')} of the first format cannot be redacted.")
    say("Redis's append-only file has it until it is rewritten: redis-cli BGREWRITEAOF. Backups and exports keep it.")
