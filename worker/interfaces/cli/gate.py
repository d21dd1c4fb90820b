"""`eraser pause` and `eraser resume`: the emergency stop."""

from __future__ import annotations

from collections.abc import Iterable

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting
from worker.interfaces.cli.printing import result, say
from worker.services import labels
from worker.services import pause as pause_service
from worker.services.act import Approval

_account = click.option("--account", metavar="A", help="Which account; needed where there are several.")
_all = click.option("--all", "every", is_flag=True, help="Every account.")


@click.command()
@_account
@_all
@acting()
def pause(account: str | None, every: bool, approval: Approval) -> None:
    """Stop all calls of an account. Requests are still recorded; a call in progress is finished.

    \b
    eraser pause --reason TICKET-4711
    """
    app = startup.load()
    accounts = pause_service.accounts_meant(app, account, every=every, command="pause --reason R")
    several = len(app.settings.accounts) > 1
    _tell(pause_service.pause(startup.enter(app), accounts, approval), several=several)


@click.command()
@_account
@_all
@acting()
def resume(account: str | None, every: bool, approval: Approval) -> None:
    """Allow calls again, after a pause or before a closed gate retries by itself. The first call is a probe.

    \b
    eraser resume --reason TICKET-4711
    """
    app = startup.load()
    accounts = pause_service.accounts_meant(app, account, every=every, command="resume --reason R")
    switched = pause_service.resume(startup.enter(app), accounts, approval)
    _tell(switched, several=len(app.settings.accounts) > 1)


def _tell(switched: Iterable[pause_service.GateChange], *, several: bool) -> None:
    for one in switched:
        result({"account": one.account, "gate": one.gate, "was": one.was})
        if one.gate == "paused":
            again = "was paused before; the reason is replaced" if one.was else "is paused"
            which = f" --account {one.account}" if several else ""
            say(f"{one.account} {again}: no call is sent until: eraser resume{which} --reason R")
        elif one.was is None:
            say(f"{one.account} is already open; nothing changed.")
        else:
            say(f"{one.account} is open; it was {labels.GATES.get(one.was, one.was)}. {labels.first_call(one.rest_s)}")
