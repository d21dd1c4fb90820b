"""`eraser hold`: jobs that must not be deleted, whoever requests it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import click

from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, end
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import allow_project_option, for_programs, json_option, listed, note, result, say
from worker.ledger.audit_actions import ActionName
from worker.ledger.holds import Hold
from worker.services import hold as hold_service
from worker.services import id_lines, request
from worker.services.act import Approval, Outcome, check_either
from worker.services.labels import count
from worker.services.times import absolute, relative

_project = click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
_account = click.option("--account", metavar="A", help="Only this account's list. [an app user: all of them]")
_until = click.option("--until", metavar="DATE", help="When the hold ends: 2027-01-31 (UTC), or a time with its zone.")
_by = click.option("--by", metavar="WHO", required=True, help="Opaque id of the person who holds it; never a name.")


@click.group(cls=CommandGroup)
def hold() -> None:
    """Jobs and app users that must not be deleted: not by a request, a retry, a replay or a sweep."""


@hold.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--app-user", metavar="U", help="Every job of this app user; kept as a keyed hash.")
@_project
@allow_project_option
@_account
@acting(_until, by=_by)
def add(job_ids: tuple[str, ...], app_user: str | None, approval: Approval, **fields: Any) -> None:
    """Put jobs, or an app user's jobs, on hold. Exit 1 if it may be too late for one; each line says why.

    \b
    eraser hold add 0f3a61c2 --reason CASE-12 --by legal-3 --until 2027-01-31
    eraser hold add --app-user u-7781 --reason CASE-12 --by legal-3
    """
    check_either(job_ids, app_user, "an app user with --app-user U")
    app = startup.load()
    if app_user is None:
        end(_added(app, job_ids, approval, ActionName.HELD, **fields), "job", "on hold")
    startup.enter(app)
    until_ms, accounts = (
        hold_service.end_of(app, fields["until"], "--until"),
        hold_service.accounts_of(app, fields["account"]),
    )
    hold_service.add_user(app, fields["account"], app_user, approval, until_ms=until_ms)
    result({"accounts": accounts, "result": "held", "released": None})
    lookup = "Before each call, MetaStudio is asked whose job it is, whatever app user the request names."
    say(f"This app user's jobs are on hold. {lookup}")


@hold.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--app-user", metavar="U", help="The hold of this app user.")
@_project
@_account
@acting()
def remove(job_ids: tuple[str, ...], app_user: str | None, approval: Approval, **fields: Any) -> None:
    """Remove holds. Held deletions continue, with the time they had left.

    \b
    eraser hold remove 0f3a61c2 --reason "CASE-12 closed" --by legal-3
    """
    check_either(job_ids, app_user, "an app user with --app-user U")
    app = startup.load()
    project = request.project_of(app, fields["project"]) if job_ids else ""
    startup.enter(app)
    if app_user:
        accounts = hold_service.accounts_of(app, fields["account"])
        there, freed = hold_service.remove_user(app, fields["account"], app_user, approval)
        result({"accounts": accounts, "result": "removed" if there else "not_held", "released": freed})
        if there:
            say(f"The hold is removed; {count(freed, 'deletion')} that it held {'goes' if freed == 1 else 'go'} on.")
        elif not for_programs():
            note("There is no hold of this app user.")
        sys.exit(0 if there else 1)
    found = hold_service.remove(app, project, job_ids, approval)
    end(found, "job", "no longer on hold")


@hold.command(name="list", cls=Reading)
@json_option
def list_() -> None:
    """Every hold: of jobs by their id, of app users by their hash.

    \b
    eraser hold list
    """
    app = startup.enter(startup.load())
    found, now = list(hold_service.each(app)), app.redis_ms()

    def row(hold: tuple[str, Hold]) -> tuple[object, ...]:
        account, one = hold
        name, where = (one.ref.name, one.ref.project_id) if one.ref else _user(account, one.user)
        until = absolute(one.until) if one.until else "it is removed"
        return name, where, one.by, relative(one.since, now), until, one.reason

    columns = ["WHAT", "WHERE", "BY", "SINCE", "UNTIL", "REASON"]
    if listed(found, lambda hold: hold_service.as_json(*hold), columns, row, none="Nothing is on hold."):
        say(f"{count(len(found), 'hold')}.")


def _user(account: str, user: str | None) -> tuple[str, str]:
    return f"app user #{(user or '')[:8]}", f"account {account}"


@hold.command(name="import")
@click.argument("file", metavar="FILE|-")
@_project
@allow_project_option
@acting(_until, by=_by)
def import_(file: str, approval: Approval, **fields: Any) -> None:
    """Put every job of a file on hold: one id per line, # starts a comment. No cap: a hold stops calls.

    \b
    eraser hold import case-12.txt --reason CASE-12 --by legal-3
    """
    with id_lines.opened(file, sys.stdin.buffer) as lines:
        found = _added(startup.load(), lines, approval, ActionName.IMPORTED, **fields)
    if not found:
        note("No job ids in the input: nothing was put on hold.")
    end(found, "job", "on hold")


def _added(
    app: AppContext, job_ids: Iterable[str], approval: Approval, name: ActionName, **fields: Any
) -> list[Outcome]:
    project = request.known_project(app, fields["project"], allow=fields["allow_project"])
    until_ms = hold_service.end_of(startup.enter(app), fields["until"], "--until")
    return hold_service.add(app, project, job_ids, approval, until_ms=until_ms, name=name)
