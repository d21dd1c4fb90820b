"""`eraser hold`: what must not be sent, whoever asks for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from worker.errors import UsageError
from worker.operations import holds, ids, requests
from worker.operations.cli import door
from worker.operations.cli.output import Reading
from worker.operations.cli.printing import (
    allow_project_option,
    by_option,
    json_line,
    json_option,
    note,
    reason_option,
    say,
    sum_up,
    table,
)
from worker.operations.holds import Told
from worker.operations.times import absolute, parse_day_or_time, relative
from worker.operations.words import count
from worker.runtime import Runtime

F = TypeVar("F", bound=Callable[..., Any])

TOLD = 20  # jobs that are told one by one; of more only those that are not on hold
_project = click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
_account = click.option("--account", metavar="A", help="Only this account's list. [an app user: all of them]")
_until = click.option("--until", metavar="DATE", help="When the hold ends: 2027-01-31 (UTC), or a time with its zone.")
_by = click.option("--by", metavar="WHO", required=True, help="Opaque id of the person who holds it; never a name.")


@click.group()
def hold() -> None:
    """Jobs and app users that must not be deleted: not by a request, a retry, a replay or a sweep."""


@hold.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--app-user", metavar="U", help="Every job of this app user; kept as a keyed hash.")
@_project
@allow_project_option
@_account
@reason_option(required=True)
@_by
@_until
@json_option
def add(job_ids: tuple[str, ...], app_user: str | None, as_json: bool, **said: Any) -> None:
    """Put jobs, or an app user's jobs, on hold. Exit 1 if it may be too late for one; each line says why.

    \b
    eraser hold add 0f3a61c2 --reason CASE-12 --by legal-3 --until 2027-01-31
    eraser hold add --app-user u-7781 --reason CASE-12 --by legal-3
    """
    holds.check_meant(job_ids, app_user)
    running = door.load()
    holds.check_said(said["reason"], said["by"])
    until_ms = parse_day_or_time(said["until"], "--until") if said["until"] else None
    allow = said["allow_project"]
    project = requests.known_project(running, said["project"], allow=allow) if job_ids else ""
    _refuse_past(door.enter(running), until_ms, said["until"])
    if app_user:
        accounts = _accounts(running, said["account"])
        holds.add_user(running, said["account"], app_user, reason=said["reason"], by=said["by"], until_ms=until_ms)
        _tell_user("held", accounts, None, as_json=as_json)
        return
    told = holds.add(running, project, job_ids, reason=said["reason"], by=said["by"], until_ms=until_ms)
    _tell(told, "on hold", as_json=as_json)


@hold.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--app-user", metavar="U", help="The hold of this app user.")
@_project
@_account
@reason_option(required=False)
@by_option
@json_option
def remove(job_ids: tuple[str, ...], app_user: str | None, as_json: bool, **said: Any) -> None:
    """Remove holds. Held deletions continue, with the time they had left.

    \b
    eraser hold remove 0f3a61c2 --reason "CASE-12 closed" --by legal-3
    """
    holds.check_meant(job_ids, app_user)
    running = door.load()
    project = requests.project_of(running, said["project"]) if job_ids else ""
    door.enter(running)
    if app_user:
        accounts = _accounts(running, said["account"])
        there, freed = holds.remove_user(running, said["account"], app_user, reason=said["reason"], by=said["by"])
        _note_reason(said["reason"], done=there)
        _tell_user("removed" if there else "not_held", accounts, freed, as_json=as_json)
        sys.exit(0 if there else 1)
    told = holds.remove(running, project, job_ids, reason=said["reason"], by=said["by"])
    _note_reason(said["reason"], done=any(one.done for one in told))
    _tell(told, "no longer on hold", as_json=as_json)


@hold.command(name="list", cls=Reading)
@json_option
def list_(as_json: bool) -> None:
    """Every hold: of jobs by their id, of app users by their hash.

    \b
    eraser hold list
    """
    running = door.enter(door.load())
    found = list(holds.each(running))
    if as_json:
        for account, one in found:
            json_line(holds.as_json(account, one))
        return
    if not found:
        say("Nothing is on hold.")
        return
    now = running.redis_ms()
    rows = [
        (
            one.ref.job_id if one.ref else f"app user #{(one.user or '')[:8]}",
            one.ref.project_id if one.ref else f"account {account}",
            one.by,
            relative(one.since, now),
            absolute(one.until) if one.until else "removed",
            one.reason,
        )
        for account, one in found
    ]
    table(["WHAT", "WHERE", "BY", "SINCE", "UNTIL", "REASON"], rows)
    say()
    say(f"{count(len(found), 'hold')}.")


@hold.command(name="import")
@click.argument("file", metavar="FILE|-")
@_project
@allow_project_option
@reason_option(required=True)
@_by
@_until
@json_option
def import_(file: str, as_json: bool, **said: Any) -> None:
    """Put every job of a file on hold: one id per line, # starts a comment. No cap: a hold stops calls.

    \b
    eraser hold import case-12.txt --reason CASE-12 --by legal-3
    """
    running = door.load()
    holds.check_said(said["reason"], said["by"])
    project = requests.known_project(running, said["project"], allow=said["allow_project"])
    until_ms = parse_day_or_time(said["until"], "--until") if said["until"] else None
    with ids.opened(file, sys.stdin.buffer) as lines:
        _refuse_past(door.enter(running), until_ms, said["until"])
        told = holds.add(
            running, project, lines, reason=said["reason"], by=said["by"], until_ms=until_ms, imported=True
        )
    if not told:
        note("No job ids in the input: nothing was put on hold.")
    _tell(told, "on hold", as_json=as_json)


def _accounts(running: Runtime, account: str | None) -> list[str]:
    known = running.known_accounts()
    if account is not None and account not in known:
        raise UsageError(f"there is no account {account!r}: use one of {', '.join(known)}")
    return [account] if account else known


def _refuse_past(running: Runtime, until_ms: float | None, text: str | None) -> None:
    if until_ms is not None and until_ms <= running.redis_ms():
        raise UsageError(f"--until: {text} has passed: nothing was put on hold")


def _note_reason(reason: str | None, *, done: bool) -> None:
    """Scripts may leave it out, as they always could; who reads the audit will miss it."""
    if done and reason is None:
        note("No reason given: the audit has none. Next time add --reason R.")


def _tell(told: list[Told], what: str, *, as_json: bool) -> None:
    if as_json:
        for one in told:
            json_line(one.as_json())
    else:
        shown = told if len(told) <= TOLD else [one for one in told if not one.done][:TOLD]
        if shown:
            table(["JOB", "WHAT HAPPENED"], [(one.job_id[:128], one.text) for one in shown])
            say()
    done = sum(one.done for one in told)
    rest = f"; {count(len(told) - done, 'other')} not, see above" if done < len(told) else ""
    sum_up(f"{count(done, 'job')} {what}{rest}.", as_json=as_json)
    sys.exit(0 if all(one.done for one in told) else 1)


def _tell_user(result: str, accounts: list[str], freed: int | None, *, as_json: bool) -> None:
    if as_json:
        json_line({"accounts": accounts, "result": result, "released": freed})
    elif result == "held":
        say(
            "This app user's jobs are on hold. Before each call, MetaStudio is asked whose job it is, "
            "whatever app user the request names."
        )
    elif result == "removed":
        say(f"The hold is removed; {count(freed or 0, 'deletion')} that it held {'goes' if freed == 1 else 'go'} on.")
    else:
        note("There is no hold of this app user.")
