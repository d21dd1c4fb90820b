"""`eraser related`: what deleted jobs left behind."""

from __future__ import annotations

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import json_option, listed, say
from worker.ledger.erasures import ErasureRow
from worker.services import related as related_service
from worker.services.labels import count
from worker.services.times import relative


@click.group()
def related() -> None:
    """What deleted jobs left behind: their avatars, voices and voice training jobs."""


@related.command(name="list", cls=Reading)
@click.option("--left", is_flag=True, help="Only what was left behind; not what is still looked at or deleted.")
@click.option("--project", metavar="P", help="Only this project.")
@json_option
def list_(*, left: bool, project: str | None) -> None:
    """What deleted jobs left behind: the evidence of each part, and when it is looked at next.

    \b
    eraser related list --left
    """
    app = startup.enter(startup.load())
    found, now = list(related_service.each(app, left=left, project=project)), app.redis_ms()

    def row(each: tuple[str, ErasureRow]) -> tuple[object, ...]:
        _, one = each
        next_look = relative(one.next_look, now) if one.next_look is not None else None
        return one.record.job.name, one.record.verdict, next_look, "\n".join(related_service.parts(one))

    none = "Nothing was left behind." if left else "Nothing was left behind, and nothing is being looked at."
    columns = ["JOB", "VERDICT", "NEXT LOOK", "PARTS"]
    if listed(found, lambda each: related_service.as_json(*each), columns, row, none=none):
        say(f"{count(len(found), 'job')}.")
