"""`eraser damaged`: ledger data that another program changed or removed, and what to do about it."""

from __future__ import annotations

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import json_option, listed, result, say
from worker.ledger.damage import Damaged
from worker.model.errors import EraserError
from worker.services import damage, pause
from worker.services.act import Approval
from worker.services.labels import count, plain

_account = click.option("--account", metavar="A", help="Only this account.")


@click.group(cls=CommandGroup)
def damaged() -> None:
    """Ledger data that another program damaged. It was set aside and stops nothing.

    A deletion whose record is lost or invalid is not sent until it is requested again:
    `eraser request JOB_ID`.
    """


@damaged.command("list", cls=Reading)
@_account
@json_option
def list_(account: str | None) -> None:
    """List damaged data that was set aside, with what to do.

    \b
    eraser damaged list
    """
    app = startup.load()
    accounts = [account] if account and pause.accounts_meant(app, account, every=None, command="") else None
    found = list(damage.each(startup.enter(app), accounts))
    columns = ["ACCOUNT", "WHAT", "WHY", "TO GO ON"]
    listed(found, Damaged.as_json, columns, _row, none="Nothing is damaged.")


def _row(one: Damaged) -> tuple[str, ...]:
    response = f"; a call was in progress, and its answer makes it {one.response}" if one.response else ""
    return one.account, plain(one.name), plain(one.why + response), plain(damage.what_to_do(one))


@damaged.command()
@click.argument("names", nargs=-1, required=True, metavar="WHAT...")
@click.option("--account", metavar="A", help="Which account; needed where there are several.")
@acting()
def discard(names: tuple[str, ...], account: str | None, approval: Approval) -> None:
    """Delete data that was set aside, by its name in the list. Of a deletion only the audit's entry is left then.

    \b
    eraser damaged discard p-1/job-00001 --reason TICKET-4711
    """
    app = startup.load()
    (which,) = pause.accounts_meant(app, account, every=None, command="damaged discard WHAT --reason R")
    unknown = 0
    for name, found in damage.give_up(startup.enter(app), which, names, approval):
        unknown += found == "unknown"
        result({"account": which, "name": name, "result": found})
        say(f"{name}: {'discarded' if found == 'dropped' else 'nothing with this name was set aside'}")
    if unknown:
        raise EraserError(f"{count(unknown, 'name')} unknown; see: eraser damaged list")
