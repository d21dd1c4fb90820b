"""`eraser accounts`: which MetaStudio each account of the ledger belongs to, and moving a project to another one."""

from __future__ import annotations

import sys

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, show, yes_option
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import json_option, note, result, say, sum_up, table
from worker.interfaces.cli.progress import progress
from worker.services import accounts as whole
from worker.services import pause, project_moves
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.times import absolute


@click.group(cls=CommandGroup)
def accounts() -> None:
    """Accounts (one rate limit and key each), and the MetaStudio each of them belongs to."""


@accounts.command(name="list", cls=Reading)
@json_option
def list_() -> None:
    """Every account: its address in the settings and in the ledger, what it holds, and what disagrees.

    \b
    eraser accounts list
    """
    app = startup.enter(startup.load())
    found, strays = list(whole.each(app)), project_moves.strays(app)
    homes = app.places.homes()
    for one in found:
        projects = sorted(project for project, home in homes.items() if home.account == one.account)
        result(one.as_json() | {"projects": projects})
    table(
        ["ACCOUNT", "SETTINGS", "LEDGER", "PROJECTS", "WAITING", "DELETIONS", "HOLDS"],
        [_row(one, sum(home.account == one.account for home in homes.values())) for one in found],
    )
    wrong = [str(one.elsewhere) for one in found if one.elsewhere]
    wrong += [f"{stray}. Next: {stray.command}" for stray in strays]
    wrong += [f"account {one.account} is gone from the settings and not empty" for one in found if one.abandoned]
    for one in found:
        if one.credentials:
            say(f"Account {one.account} uses {one.credentials}.")
    for text in wrong:
        say()
        say(text, style="bold red")


def _row(one: whole.AccountOverview, projects: int) -> tuple[object, ...]:
    ours = one.endpoint or ("none: this process only records" if one.in_settings else "gone from the settings")
    theirs = f"{one.ledger_endpoint} since {absolute(one.since or 0)}" if one.ledger_endpoint else "not used yet"
    return one.account, ours, theirs, projects, one.waiting, one.deletions, one.holds


@accounts.command()
@click.argument("project")
@click.option("--to", required=True, metavar="ACCOUNT", help="The account to which the settings give it now.")
@acting(yes_option)
def move(project: str, to: str, approval: Approval) -> None:
    """Move a project's deletions and holds to the account that it belongs to now. Receipts stay where they are.

    Nothing of the project is sent until all of it is moved. Exit 5 if calls are in progress: repeat the command.

    \b
    eraser accounts move 0605768a2c8026af2f8bc00f4b0d3b7c --to studio-a --reason TICKET-4711
    """
    app = startup.enter(startup.load())
    planned, done = project_moves.plan(app, project, to), project_moves.Moved(0, 0)
    if planned is not None:
        show(project_moves.shown(planned), approval)
        total = sum(planned.states.values()) + planned.holds
        with progress("moved", total) as advance:
            done = project_moves.move(app, planned, approval, lambda carried: advance(carried, total))
    result({"project_id": project, "to": to, "carried": done.carried, "left": done.left})
    if planned is not None:
        sum_up(f"Moved to account {to}: {count(done.carried, 'job')}.")
    else:
        say(f"Nothing of project {project} is in another account: nothing was done.")
    if done.left:
        calls = f"{count(done.left, 'call')} in progress, so nothing of the project is sent yet"
        note(f"{calls}. Repeat the command in a minute.")
        sys.exit(5)


@accounts.command()
@click.option("--endpoint", required=True, metavar="URL", help="The account's address from now on.")
@click.option("--account", metavar="A", help="Which account; needed where there are several.")
@acting(yes_option)
def rebind(endpoint: str, account: str | None, approval: Approval) -> None:
    """Bind an account of the ledger to another MetaStudio address. Only if nothing is waiting for the old one.

    \b
    eraser accounts rebind --endpoint https://metastudio.cn-east-3.myhuaweicloud.com --reason TICKET-4711
    """
    app = startup.load()
    (name,) = pause.accounts_meant(app, account, every=None, command="accounts rebind --endpoint URL")
    address = whole.new_address(app, name, endpoint)
    planned = whole.plan_rebind(startup.enter(app), name, address)
    if not planned.bound:
        show(whole.shown(name, address, planned), approval)
        whole.rebind(app, name, address, planned, approval)
    result({"account": name, "endpoint": address, "was": planned.was, "changed": not planned.bound})
    if planned.bound:
        say(f"Account {name} belongs to {address} already: nothing was done.")
    else:
        say(f"Account {name} belongs to {address} now. Workers with the old address stop by themselves.")
