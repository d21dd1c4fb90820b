"""`eraser webhooks`: the endpoints, the delivery log, and how to send again."""

from __future__ import annotations

import os
import sys
from dataclasses import replace as with_fields
from itertools import islice
from pathlib import Path

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli import webhook_endpoints as endpoints
from worker.interfaces.cli.acting import acting, max_option, show, yes_option
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import json_option, listed, result, say, sum_up, table, tell
from worker.ledger.deliveries import Delivery, DeliveryState
from worker.model.errors import UsageError
from worker.services import webhooks as service
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.times import absolute, parse_past, relative, span
from worker.services.webhooks import DeliveryFilter, EndpointView
from worker.webhooks.signing import new_secret

STATES = tuple(state.value for state in DeliveryState)
EVENTS = tuple(event.value for event in service.EVENTS)


@click.group(cls=CommandGroup)
def webhooks() -> None:
    """Messages to other systems about what became of deletions: docs/webhooks.md.

    \b
    eraser webhooks list
    eraser webhooks replay crm --reason TICKET-4711
    """


@webhooks.command("list", cls=Reading)
@json_option
def list_() -> None:
    """Every endpoint, and how its deliveries stand.

    \b
    eraser webhooks list
    """
    app = startup.enter(startup.load())

    def row(one: EndpointView) -> tuple[object, ...]:
        events = (
            "-"
            if one.endpoint is None
            else "all"
            if one.endpoint.events == service.EVENTS
            else ", ".join(one.endpoint.events)
        )
        oldest = None if one.oldest_s is None else span(one.oldest_s)
        url = one.endpoint.shown if one.endpoint else "there is no such endpoint any more"
        return one.name, one.where, one.totals.get("delivered", 0), one.waiting, oldest, one.dead, events, url

    none = "No endpoint. Make one with: eraser webhooks add NAME URL --reason R"
    columns = ["ENDPOINT", "WHERE", "DELIVERED", "WAITING", "OLDEST", "DEAD", "EVENTS", "URL"]
    found = service.overview(app)
    if listed(found, EndpointView.as_json, columns, row, none=none):
        for one in found:
            if one.problem:
                say(f"{one.name}: {one.problem}", style="yellow")
            if one.dead:
                say(f"Next: eraser webhooks deliveries {one.name} --state dead")


@webhooks.command("deliveries", cls=Reading)
@click.argument("endpoint", required=False)
@click.option("--state", type=click.Choice(STATES), help="Only those that stand so.")
@click.option("--type", "event", type=click.Choice(EVENTS), metavar="EVENT", help="Only of this type of event.")
@click.option("--id", "ids", multiple=True, metavar="MSG_ID", help="Only this one, with each attempt; repeatable.")
@click.option("--since", metavar="TIME", help="Only those that ended since; 24h, or a time.")
@click.option("--limit", type=click.IntRange(min=1), default=50, metavar="N", help="At most so many. [50]")
@json_option
def deliveries(
    endpoint: str | None, state: str | None, event: str | None, ids: tuple[str, ...], since: str | None, limit: int
) -> None:
    """The delivery log, newest first: what was sent where, and what the endpoint answered.

    \b
    eraser webhooks deliveries crm --state dead
    eraser webhooks deliveries --id msg_6ee1d4a7f0c9b5c3f3d1be4f0e6a1c52
    """
    app = startup.enter(startup.load())
    now = app.redis_ms()
    after = parse_past(since, "--since", now) if since else None
    wanted = DeliveryFilter(endpoint, DeliveryState(state) if state else None, event, ids, after)
    found = list(islice(service.newest(app, wanted), limit + 1))
    more, found = len(found) > limit, found[:limit]

    def row(one: Delivery) -> tuple[object, ...]:
        last = one.attempts[-1] if one.attempts else None
        answer = None if last is None else f"{last.status or last.why}, {last.ms:,} ms"
        soon = None if one.next_at is None else relative(one.next_at, now)
        return one.id, one.endpoint, one.event, relative(one.at, now), one.state.value, len(one.attempts), answer, soon

    columns = ["ID", "ENDPOINT", "TYPE", "HAPPENED", "STATE", "ATTEMPTS", "LAST ANSWER", "NEXT"]
    listed(found, service.as_json, columns, row, none="No delivery matches.")
    for one in found if ids else ():
        table(["ATTEMPT", "AT", "STATUS", "MS", "ANSWER"], [
            (n, absolute(each.at), each.status, each.ms, each.why) for n, each in enumerate(one.attempts, 1)
        ])  # fmt: skip
    if more:
        say(f"… and older ones: --limit {limit * 10} shows more.")


@webhooks.command()
@click.argument("endpoint")
@click.argument("ids", nargs=-1, metavar="[MSG_ID]...")
@click.option("--since", metavar="TIME", help="Only those that ended since; 24h, or a time.")
@click.option("--delivered", is_flag=True, help="Also those that the endpoint accepted.")
@acting(yes_option, max_option)
def replay(endpoint: str, ids: tuple[str, ...], since: str | None, delivered: bool, approval: Approval) -> None:
    """Send deliveries again, under the ids that they had: these, or all dead ones of the endpoint after a plan.

    \b
    eraser webhooks replay crm msg_6ee1d4a7f0c9b5c3f3d1be4f0e6a1c52 --reason TICKET-4711
    eraser webhooks replay crm --since 24h --reason TICKET-4711 --yes
    """
    app = startup.enter(startup.load())
    receiver = service.named(app, endpoint)
    after = parse_past(since, "--since", app.redis_ms()) if since else None
    states = [DeliveryState.DEAD, *([DeliveryState.DELIVERED] if delivered else [])]
    chosen = service.choose(app, receiver, ids, states, after)
    if not chosen.number and not ids:
        say(f"Nothing was done: no delivery to {endpoint} matches. See: eraser webhooks deliveries {endpoint}")
        return
    if ids and not approval.only_plan:
        approval = with_fields(approval, yes=True)
    else:
        show(chosen.plan(), approval)
    results = service.replay(app, chosen, approval)
    for id, what in results.items():
        result({"id": id, "endpoint": endpoint, "result": what})
        if what != "replayed":
            say(f"  {id}: {'it is on its way anyway' if what == 'waiting' else 'there is no such delivery'}")
    done = sum(what == "replayed" for what in results.values())
    sum_up(f"{count(done, 'delivery', 'deliveries')} replayed.")
    sys.exit(0 if "unknown" not in results.values() else 1)


@webhooks.command()
@click.argument("endpoint")
@json_option
def test(endpoint: str) -> None:
    """Send a signed message of type webhook.test from here, now, and say what the endpoint answered.

    \b
    eraser webhooks test crm
    """
    app = startup.load()
    receiver = service.named(app, endpoint)
    made = service.test(app, receiver)
    answer = {"endpoint": endpoint, "url": receiver.shown, "status": made.status, "ms": made.ms, "answer": made.why}
    status = f"{made.status}, " if made.status else ""
    tell(answer | {"accepted": made.ok}, f"{endpoint} ({receiver.shown}): {status}{made.why}, {made.ms:,} ms")
    sys.exit(0 if made.ok else 1)


@webhooks.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def secret(file: Path | None) -> None:
    """Make a new secret: for the receiver, and for FILE, which secret_files names. Without FILE it is printed.

    \b
    eraser webhooks secret crm.secret
    """
    if file is None:
        click.echo(new_secret())
        return
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(new_secret() + "\n")
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}: nothing was written") from None
    say(f"{file} has a new secret: give a copy to the receiver. Next: name it in secret_files of [webhooks.NAME]")


for _command in (endpoints.add, endpoints.edit, endpoints.rotate, endpoints.remove):
    webhooks.add_command(_command)
