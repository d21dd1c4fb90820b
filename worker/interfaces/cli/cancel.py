"""`eraser cancel`: withdraw requests."""

from __future__ import annotations

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, end
from worker.interfaces.cli.printing import sum_up
from worker.services import cancel as cancel_service
from worker.services import request
from worker.services.act import Approval, check_either


@click.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--run", metavar="R", help="Withdraw this run's requests; other requests for the same jobs remain.")
@click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
@acting()
def cancel(job_ids: tuple[str, ...], run: str | None, project: str | None, approval: Approval) -> None:
    """Withdraw requests. Exit 1 if one could not be stopped; each line says why. No cap.

    \b
    eraser cancel 0f3a61c2 --reason TICKET-4711
    eraser cancel --run retention-2026-11-22 --reason "wrong policy"
    """
    app = startup.load()
    check_either(job_ids, run, "a run with --run R", hint="eraser cancel JOB_ID --reason TICKET")
    if run:
        results = list(cancel_service.cancel_run(startup.enter(app), run, approval))
    else:
        project = request.project_of(app, project)
        results = list(cancel_service.cancel(startup.enter(app), project, job_ids, approval))
    if not results:
        sum_up(f"Run {run} has no open requests: nothing was cancelled.")
        return
    end(results, "request", "withdrawn")
