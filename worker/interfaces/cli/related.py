"""`eraser related`: what deleted jobs left behind."""

from __future__ import annotations

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, end, max_option, show, yes_option
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import json_option, listed, say
from worker.ledger.erasures import ErasureRow
from worker.services import related as related_service
from worker.services import related_restore, request
from worker.services.act import Approval, check_either
from worker.services.labels import count
from worker.services.times import relative

_app_user = click.option("--app-user", metavar="U", help="Whose job it was: forgotten once nobody looks any more.")


@click.group(cls=CommandGroup)
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


@related.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--all-left", "every", is_flag=True, help="Of every job that left something behind.")
@click.option("--project", metavar="P", help="Project id; needed for jobs unless exactly one is configured.")
@_app_user
@acting(max_option, yes_option, reason=False)
def erase(
    job_ids: tuple[str, ...], approval: Approval, *, every: bool, project: str | None, app_user: str | None
) -> None:
    """Delete what deleted jobs left behind and is proven to be their own.

    Workers look once more, delete the voice training job, its voice, then the avatar, and look again. Exit 1 if
    one of the jobs was skipped.

    \b
    eraser related erase 0f3a61c2 --reason TICKET-4711
    eraser related erase --all-left --reason TICKET-4711 --yes
    """
    check_either(job_ids, "all" if every else None, "all of them with --all-left")
    app = startup.load()
    if job_ids:
        project = request.project_of(app, project)
    app = startup.enter(app)
    if every:
        selection = related_service.all_left(app, project)
    else:
        selection = related_service.to_erase(app, project or "", job_ids)
    if selection.meant:
        show(related_service.plan("delete", "erased", selection), approval)
        named = "all that is left" if every else None
        end(related_service.erase(app, selection, approval, app_user=app_user, of=named), "job", "asked for")
    end(selection.skipped(), "job", "asked for")


@related.command()
@click.argument("job_id")
@click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
@_app_user
@acting(yes_option, reason=False)
def restore(job_id: str, approval: Approval, *, project: str | None, app_user: str | None) -> None:
    """Take what a deleted job left behind out of the recycle bin again, within seven days.

    Nothing of the job is deleted from then on, and the next look says that it is there.

    \b
    eraser related restore 0f3a61c2 --reason TICKET-4711
    """
    app = startup.load()
    project = request.project_of(app, project)
    selection = related_service.to_restore(startup.enter(app), project, job_id)
    if selection.meant:
        show(related_service.plan("restore", "restored", selection), approval)
        end(related_restore.restore(app, selection, approval, app_user=app_user), "part", "restored")
    end(selection.skipped(), "part", "restored")
