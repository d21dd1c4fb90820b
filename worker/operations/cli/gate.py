"""`eraser pause` and `eraser resume`: the red button."""

from __future__ import annotations

from collections.abc import Iterable

import click

from worker.operations import gates, words
from worker.operations.cli import door
from worker.operations.cli.printing import by_option, json_line, json_option, reason_option, say

_account = click.option("--account", metavar="A", help="Which account; needed where there are several.")
_all = click.option("--all", "every", is_flag=True, help="Every account.")


@click.command()
@_account
@_all
@reason_option(required=True)
@by_option
@json_option
def pause(account: str | None, every: bool, reason: str, by: str | None, as_json: bool) -> None:
    """Stop all calls of an account. Requests are still recorded; a call in progress is finished.

    \b
    eraser pause --reason TICKET-4711
    """
    running = door.load()
    accounts = gates.accounts_meant(running, account, every=every, command="pause --reason R")
    several = len(running.settings.accounts) > 1
    _tell(gates.pause(door.enter(running), accounts, reason=reason, by=by), as_json=as_json, several=several)


@click.command()
@_account
@_all
@reason_option(required=True)
@by_option
@json_option
def resume(account: str | None, every: bool, reason: str, by: str | None, as_json: bool) -> None:
    """Allow calls again, after a pause or before a closed gate retries by itself. The first call is a probe.

    \b
    eraser resume --reason TICKET-4711
    """
    running = door.load()
    accounts = gates.accounts_meant(running, account, every=every, command="resume --reason R")
    switched = gates.resume(door.enter(running, rings=True), accounts, door.ring, reason=reason, by=by)
    _tell(switched, as_json=as_json, several=len(running.settings.accounts) > 1)


def _tell(switched: Iterable[gates.Switched], *, as_json: bool, several: bool) -> None:
    for one in switched:
        if as_json:
            json_line({"account": one.account, "gate": one.gate, "was": one.was})
        elif one.gate == "paused":
            again = "was paused before; the reason is replaced" if one.was else "is paused"
            which = f" --account {one.account}" if several else ""
            say(f"{one.account} {again}: no call is sent until: eraser resume{which} --reason R")
        elif one.was is None:
            say(f"{one.account} is already open; nothing changed.")
        else:
            say(f"{one.account} is open; it was {words.GATES.get(one.was, one.was)}. {words.first_call(one.rest_s)}")
