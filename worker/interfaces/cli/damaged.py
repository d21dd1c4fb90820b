"""`eraser damaged`: ledger data that another program changed or removed, and what to do about it."""

from __future__ import annotations

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import by_option, json_line, json_option, listed, reason_option, say, table
from worker.ledger.damage import Damaged
from worker.services import damage, pause
from worker.services.labels import count, plain

_account = click.option("--account", metavar="A", help="Only this account.")


@click.group()
def damaged() -> None:
    """Ledger data that another program damaged. It was set aside and stops nothing.

    A deletion whose record is lost or invalid is not sent until it is requested again:
    `eraser request JOB_ID`.
    """


@damaged.command("list", cls=Reading)
@_account
@json_option
def list_(account: str | None, as_json: bool) -> None:
    """List damaged data that was set aside, with what to do.

    \b
    eraser damaged list
    """
    app = startup.load()
    accounts = [account] if account and pause.accounts_meant(app, account, every=None, command="") else None
    found = list(damage.each(startup.enter(app), accounts))
    if listed(found, Damaged.as_json, as_json=as_json, none="Nothing is damaged."):
        return
    rows = [(one.account, plain(one.name), plain(_why(one)), plain(damage.what_to_do(one))) for one in found]
    table(["ACCOUNT", "WHAT", "WHY", "TO GO ON"], rows)


def _why(one: Damaged) -> str:
    response = f"; a call was in progress, and its answer makes it {one.response}" if one.response else ""
    return one.why + response


@damaged.command()
@click.argument("names", nargs=-1, required=True, metavar="WHAT...")
@click.option("--account", metavar="A", help="Which account; needed where there are several.")
@reason_option(required=True)
@by_option
@json_option
def discard(names: tuple[str, ...], account: str | None, reason: str, by: str | None, as_json: bool) -> None:
    """Delete data that was set aside, by its name in the list. Of a deletion only the audit's entry is left then.

    \b
    eraser damaged discard p-1/job-00001 --reason TICKET-4711
    """
    app = startup.load()
    (which,) = pause.accounts_meant(app, account, every=None, command="damaged discard WHAT --reason R")
    unknown = 0
    for name, result in damage.give_up(startup.enter(app), which, names, reason=reason, by=by):
        unknown += result == "unknown"
        if as_json:
            json_line({"account": which, "name": name, "result": result})
        else:
            say(f"{name}: {'discarded' if result == 'dropped' else 'nothing with this name was set aside'}")
    if unknown:
        click.echo(f"eraser: {count(unknown, 'name')} unknown; see: eraser damaged list", err=True)
        raise SystemExit(1)
