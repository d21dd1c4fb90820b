"""`eraser webhooks add`, `edit`, `rotate` and `remove`: endpoints that are not in the TOML file but in the ledger."""

from __future__ import annotations

import click

from worker.config.webhooks import KEY, Endpoint, EventType
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, show, yes_option
from worker.interfaces.cli.printing import for_programs, note, result, sum_up
from worker.model.errors import UsageError
from worker.services import webhook_endpoints as service
from worker.services.act import Approval
from worker.services.times import parse_span, span
from worker.services.webhook_endpoints import NewSecret

_events = click.option(
    "--event",
    "events",
    type=click.Choice(tuple(map(str, EventType))),
    multiple=True,
    metavar="E",
    help="Only this; repeatable.",
)
_projects = click.option("--project", "projects", multiple=True, metavar="P", help="Only this one; repeatable.")
_every = {"events": "--all-events", "projects": "--all-projects"}


@click.command()
@click.argument("name")
@click.argument("url")
@_events
@_projects
@acting()
def add(name: str, url: str, events: tuple[str, ...], projects: tuple[str, ...], approval: Approval) -> None:
    """Make an endpoint and show its secret, once. Workers use it within seconds.

    \b
    eraser webhooks add crm https://crm.example.com/hooks --event deletion.dead --reason TICKET-4711
    """
    app = startup.enter(startup.load())
    _tell_secret(service.add(app, name, url, events, projects, approval))


@click.command()
@click.argument("name")
@click.option("--url", help="Its new address.")
@_events
@click.option("--all-events", is_flag=True, help="Of all types again.")
@_projects
@click.option("--all-projects", is_flag=True, help="Of all projects again.")
@click.option("--disable/--enable", "off", default=None, help="Make and send no messages; or again.")
@acting()
def edit(
    name: str,
    url: str | None,
    events: tuple[str, ...],
    all_events: bool,
    projects: tuple[str, ...],
    all_projects: bool,
    off: bool | None,
    approval: Approval,
) -> None:
    """Change an endpoint. What is not given stays as it is.

    \b
    eraser webhooks edit crm --disable --reason TICKET-4711
    """
    app = startup.enter(startup.load())
    for some, every, option in ((events, all_events, "events"), (projects, all_projects, "projects")):
        if some and every:
            raise UsageError(f"give {_every[option]} or some of them, not both")
    made, remark = service.change(
        app,
        name,
        approval,
        url=url,
        events=() if all_events else events or None,
        projects=() if all_projects else projects or None,
        on=None if off is None else not off,
    )
    result(_json(made))
    sum_up(f"{name} is {'changed' if off is None else 'disabled' if off else 'enabled'}.")
    _remark(remark)


@click.command()
@click.argument("name")
@click.option("--overlap", metavar="24h", help="For how long the old secret still signs, too. [no old one does]")
@acting()
def rotate(name: str, overlap: str | None, approval: Approval) -> None:
    """Give an endpoint a new secret and show it once.

    \b
    eraser webhooks rotate crm --overlap 24h --reason TICKET-4711
    """
    app, longer = startup.enter(startup.load()), parse_span(overlap, "--overlap") if overlap else 0.0
    made = service.rotate(app, name, longer, approval)
    _tell_secret(made)
    if not for_programs():
        note(
            f"Until {span(longer)} from now the old one signs, too."
            if made.older
            else "The old one signs nothing more."
        )
    if longer and made.lost:
        note(f"No overlap is possible: it was made with another {KEY}.")


@click.command()
@click.argument("name")
@acting(yes_option)
def remove(name: str, approval: Approval) -> None:
    """Remove an endpoint: nothing is sent there any more.

    \b
    eraser webhooks remove crm --reason TICKET-4711 --yes
    """
    app = startup.enter(startup.load())
    show(service.plan_of_removal(app, name), approval)
    remark = service.remove(app, name, approval)
    result({"endpoint": name, "removed": True})
    sum_up(f"{name} is removed.")
    _remark(remark)


def _remark(text: str) -> None:
    if text:
        note(text)


def _tell_secret(made: NewSecret) -> None:
    """stdout has only the secret, so that it may go into a file."""
    name, shown = made.endpoint.name, made.endpoint.shown
    if for_programs():
        result({"endpoint": name, "url": shown, "secret": made.secret})
    else:
        click.echo(made.secret)
        note(f"This is the secret of {name} ({shown}). It is shown only once: give it to the receiver.")
    _remark(made.remark)


def _json(one: Endpoint) -> dict[str, object]:
    events, projects = list(one.events), list(one.projects) or None
    return {"endpoint": one.name, "url": one.shown, "events": events, "projects": projects, "on": one.on}
