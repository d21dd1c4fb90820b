"""`eraser cancel`: withdraw requests."""

from __future__ import annotations

import sys

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.printing import by_option, json_line, json_option, reason_option, say, sum_up, table
from worker.model.target import target_json
from worker.services import cancel as cancel_service
from worker.services import request
from worker.services.labels import count

TOLD = 100  # up to this many jobs are listed one by one; of more only those that could not be stopped


@click.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--run", metavar="R", help="Withdraw this run's requests; other requests for the same jobs remain.")
@click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
@reason_option(required=True)
@by_option
@json_option
def cancel(
    job_ids: tuple[str, ...], run: str | None, project: str | None, reason: str, by: str | None, as_json: bool
) -> None:
    """Withdraw requests. Exit 1 if one could not be stopped; each line says why. No cap.

    \b
    eraser cancel 0f3a61c2 --reason TICKET-4711
    eraser cancel --run retention-2026-11-22 --reason "wrong policy"
    """
    app = startup.load()
    cancel_service.check_wanted(job_ids, run)
    if run:
        results = list(cancel_service.cancel_run(startup.enter(app), run, reason=reason, by=by))
    else:
        project = request.project_of(app, project)
        results = list(cancel_service.cancel(startup.enter(app), project, job_ids, reason=reason, by=by))
    if as_json:
        for result in results:
            json_line(
                {
                    "project_id": result.project_id,
                    **target_json(result.job_id[:128]),
                    "result": result.result,
                    "done": result.done,
                    "detail": result.text,
                }
            )
    _tell(results, run, as_json=as_json)
    sys.exit(0 if all(result.done for result in results) else 1)


def _tell(results: list[cancel_service.Cancelled], run: str | None, *, as_json: bool) -> None:
    if not results:
        sum_up(f"Run {run} has no open requests: nothing was cancelled.", as_json=as_json)
        return
    done = sum(result.done for result in results)
    told = results if len(results) <= TOLD else [result for result in results if not result.done][:TOLD]
    if told and not as_json:
        table(["JOB", "WHAT HAPPENED"], [(result.job_id[:128], result.text) for result in told])
        say()
    rest = f", {len(results) - done:,} not." if done < len(results) else "."
    sum_up(f"{count(done, 'request')} withdrawn{rest}", as_json=as_json)
