"""`eraser accounts`: which MetaStudio each account of the ledger belongs to, and moving a project to another one."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import by_option, json_line, json_option, note, reason_option, say, sum_up, table
from worker.interfaces.cli.progress import progress
from worker.model.errors import DryRun
from worker.services import accounts as whole
from worker.services import pause, project_moves
from worker.services.labels import count
from worker.services.times import absolute


@click.group()
def accounts() -> None:
    """Accounts (one rate limit and key each), and the MetaStudio each of them belongs to."""


@accounts.command(name="list", cls=Reading)
@json_option
def list_(as_json: bool) -> None:
    """Every account: its address in the settings and in the ledger, what it holds, and what disagrees.

    \b
    eraser accounts list
    """
    app = startup.enter(startup.load())
    found, strays = list(whole.each(app)), project_moves.strays(app)
    homes = app.places.homes()
    if as_json:
        for one in found:
            projects = sorted(project for project, home in homes.items() if home.account == one.name)
            json_line(one.as_json() | {"projects": projects})
        return
    table(
        ["ACCOUNT", "SETTINGS", "LEDGER", "PROJECTS", "WAITING", "DELETIONS", "HOLDS"],
        [_row(one, sum(home.account == one.name for home in homes.values())) for one in found],
    )
    wrong = [str(one.elsewhere) for one in found if one.elsewhere]
    wrong += [f"{stray}. Next: {stray.command}" for stray in strays]
    wrong += [f"account {one.name} is gone from the settings and not empty" for one in found if one.abandoned]
    for text in wrong:
        say()
        say(text, style="bold red")


def _row(one: whole.AccountSeen, projects: int) -> tuple[object, ...]:
    ours = one.endpoint or ("none: this process only records" if one.known else "gone from the settings")
    theirs = f"{one.ledger_endpoint} since {absolute(one.since or 0)}" if one.ledger_endpoint else "not used yet"
    return one.name, ours, theirs, projects, one.waiting, one.total, one.holds


@accounts.command()
@click.argument("project")
@click.option("--to", required=True, metavar="ACCOUNT", help="The account to which the settings give it now.")
@reason_option(required=True)
@by_option
@click.option("--yes", is_flag=True, help="Execute the plan.")
@json_option
def move(project: str, to: str, yes: bool, as_json: bool, **fields: Any) -> None:
    """Move a project's deletions and holds to the account that it belongs to now. Receipts stay where they are.

    Nothing of the project is sent until all of it is moved. Exit 5 if calls are in progress: repeat the command.

    \b
    eraser accounts move 0605768a2c8026af2f8bc00f4b0d3b7c --to studio-a --reason TICKET-4711
    """
    app = startup.enter(startup.load())
    planned = project_moves.plan(app, project, to)
    if planned is None:
        if as_json:
            json_line({"project_id": project, "to": to, "carried": 0, "left": 0})
        else:
            say(f"Nothing of project {project} is in another account: nothing was done.")
        return
    if as_json and not yes:
        json_line(planned.as_json())
    if not as_json:
        say(f"PLAN  move project {project} from account {planned.source} to {to}", style="bold")
        for line in project_moves.told(planned):
            say(line)
    if not yes:
        again = shlex.join(["eraser", "accounts", "move", project, "--to", to, "--reason", fields["reason"], "--yes"])
        raise DryRun(hint=again)
    with progress("moved", sum(planned.states.values()) + planned.holds) as advance:
        done = project_moves.move(app, planned, reason=fields["reason"], by=fields["by"], advance=advance)
    if as_json:
        json_line({"project_id": project, "to": to, "carried": done.carried, "left": done.left})
    sum_up(f"Moved to account {to}: {count(done.carried, 'job')}.", as_json=as_json)
    if done.left:
        note(
            f"{count(done.left, 'call')} in progress, so nothing of the project is sent yet. "
            "Repeat the command in a minute."
        )
        sys.exit(5)


@accounts.command()
@click.option("--endpoint", required=True, metavar="URL", help="The account's address from now on.")
@click.option("--account", metavar="A", help="Which account; needed where there are several.")
@reason_option(required=True)
@by_option
@click.option("--yes", is_flag=True, help="Execute the plan.")
@json_option
def rebind(endpoint: str, account: str | None, yes: bool, as_json: bool, **fields: Any) -> None:
    """Bind an account of the ledger to another MetaStudio address. Only if nothing is waiting for the old one.

    \b
    eraser accounts rebind --endpoint https://metastudio.cn-east-3.myhuaweicloud.com --reason TICKET-4711
    """
    app = startup.load()
    (name,) = pause.accounts_meant(app, account, every=None, command="accounts rebind --endpoint URL")
    address = whole.new_address(app, name, endpoint)
    startup.enter(app)
    planned = whole.plan_rebind(app, name, address)
    if not planned.bound and not as_json:
        say(f"PLAN  account {name} will belong to {address}, instead of {planned.was or 'no address yet'}")
        say("      finished deletions stay as they are; the gate's state for the old address is reset")
    if not planned.bound:
        whole.refuse_waiting(name, planned)
        if not yes:
            again = shlex.join(["eraser", "accounts", "rebind", *_typed(address, account, fields["reason"])])
            raise DryRun(hint=f"{again} --yes")
        whole.rebind(app, name, address, reason=fields["reason"], by=fields["by"])
    if as_json:
        json_line({"account": name, "endpoint": address, "was": planned.was, "changed": not planned.bound})
    elif planned.bound:
        say(f"Account {name} belongs to {address} already: nothing was done.")
    else:
        say(f"Account {name} belongs to {address} now. Workers with the old address stop by themselves.")


def _typed(address: str, account: str | None, reason: str) -> list[str]:
    which = ["--account", account] if account else []
    return ["--endpoint", address, *which, "--reason", reason]
