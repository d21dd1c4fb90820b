"""`eraser accounts`: which MetaStudio each account of the ledger belongs to."""

from __future__ import annotations

import shlex
from typing import Any

import click

from worker.errors import RefusedBySafetyRule
from worker.operations import accounts as whole
from worker.operations import gates
from worker.operations.cli import door
from worker.operations.cli.output import Reading
from worker.operations.cli.printing import by_option, json_line, json_option, reason_option, say, table
from worker.operations.times import absolute


@click.group()
def accounts() -> None:
    """What shares a rate limit and a key, and which MetaStudio each of them belongs to."""


@accounts.command(name="list", cls=Reading)
@json_option
def list_(as_json: bool) -> None:
    """Every account: its address by the settings and by the ledger, and how many deletions wait there.

    \b
    eraser accounts list
    """
    found = list(whole.each(door.enter(door.load())))
    if as_json:
        for one in found:
            json_line(one.as_json())
        return
    rows = [
        (
            one.name,
            one.endpoint or "none: this process only records",
            "not used yet"
            if one.ledger_endpoint is None
            else f"{one.ledger_endpoint} since {absolute(one.since or 0)}",
            f"{one.waiting:,}",
        )
        for one in found
    ]
    table(["ACCOUNT", "SETTINGS", "LEDGER", "WAITING"], rows, right=["WAITING"])
    for one in found:
        if one.elsewhere:
            say()
            say(str(one.elsewhere), style="bold red")


@accounts.command()
@click.option("--endpoint", required=True, metavar="URL", help="The account's address from now on.")
@click.option("--account", metavar="A", help="Which account; needed where there are several.")
@reason_option(required=True)
@by_option
@click.option("--yes", is_flag=True, help="Do what the plan says.")
@json_option
def rebind(endpoint: str, account: str | None, yes: bool, as_json: bool, **said: Any) -> None:
    """Let an account of the ledger belong to another MetaStudio. Only where nothing waits for the old one.

    \b
    eraser accounts rebind --endpoint https://metastudio.cn-east-3.myhuaweicloud.com --reason TICKET-4711
    """
    running = door.load()
    (name,) = gates.accounts_meant(running, account, every=None, command="accounts rebind --endpoint URL")
    address = whole.new_address(running, name, endpoint)
    door.enter(running)
    planned = whole.plan_rebind(running, name, address)
    if not planned.bound and not as_json:
        say(f"PLAN  account {name} belongs to {address} from now on, instead of {planned.was or 'no address yet'}")
        say("      what has ended stays as it is; what the gate learnt of the old address is forgotten")
    if not planned.bound:
        whole.refuse_waiting(name, planned)
        if not yes:
            again = shlex.join(["eraser", "accounts", "rebind", *_typed(address, account, said["reason"])])
            raise RefusedBySafetyRule(
                "plan first", f"this was the plan only, nothing was done. To go on:\n  {again} --yes"
            )
        whole.rebind(running, name, address, reason=said["reason"], by=said["by"])
    if as_json:
        json_line({"account": name, "endpoint": address, "was": planned.was, "changed": not planned.bound})
    elif planned.bound:
        say(f"Account {name} belongs to {address} already: nothing was done.")
    else:
        say(f"Account {name} belongs to {address} now. Workers that have the old address end by themselves.")


def _typed(address: str, account: str | None, reason: str) -> list[str]:
    which = ["--account", account] if account else []
    return ["--endpoint", address, *which, "--reason", reason]
