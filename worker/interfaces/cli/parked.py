"""`eraser parked`: messages that could not be recorded, and how to send them again or discard them."""

from __future__ import annotations

from typing import Any

import click

from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, max_option, show, yes_option
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import for_programs, json_option, listed, result, say, sum_up, table
from worker.ledger.parking import Group
from worker.services import parked_messages
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.times import relative

SHOWN = 50  # messages of a group, for people; --json has all


@click.group(cls=CommandGroup)
def parked() -> None:
    """Messages that could not be recorded. They are kept here and never dropped.

    \b
    eraser parked list
    eraser parked send refused:0605768a2c8026af2f8bc00f4b0d3b7c --reason TICKET-4711
    """


@parked.command("list", cls=Reading)
@click.argument("group", required=False)
@json_option
def list_(group: str | None) -> None:
    """Parked messages in groups; with GROUP, each message of that group.

    \b
    eraser parked list
    """
    app = startup.enter(startup.load())
    if group is not None:
        _tell_messages(app, group)
        return
    found, now = parked_messages.parking(app).groups(), app.redis_ms()

    def row(one: Group) -> tuple[object, ...]:
        return one.name, one.count, relative(one.since, now), relative(one.last, now), one.why

    none, columns = "Nothing is parked: every message was recorded.", ["GROUP", "COUNT", "SINCE", "LAST", "WHY"]
    if listed(found, parked_messages.as_json, columns, row, none=none):
        for one in found:
            say(f"{one.name}: {parked_messages.WHY[one.kind]}.")
            say(f"  {parked_messages.WHAT_TO_DO[one.kind].format(group=one.name)}")


@parked.command()
@click.argument("group")
@click.option("--queue", metavar="Q", help="Queue of the broker. [ours]")
@acting()
def send(group: str, queue: str | None, approval: Approval) -> None:
    """Send a group's messages to the broker again: to our workers, or to the queue they were meant for.

    \b
    eraser parked send fault:eraser.delete --reason TICKET-4711
    eraser parked send foreign:shop.mail --queue celery --reason TICKET-4711
    """
    app = startup.enter(startup.load())
    done = parked_messages.send(app, parked_messages.named(app, group), queue, approval)
    _end(group, "sent", done, f"{count(done, 'message')} sent to {queue or app.keys.requests}.")


@parked.command()
@click.argument("group")
@acting(yes_option, max_option)
def discard(group: str, approval: Approval) -> None:
    """Discard a group's messages. This cannot be undone.

    \b
    eraser parked discard bad:eraser.delete --reason TICKET-4711 --yes
    """
    app = startup.enter(startup.load())
    found = parked_messages.named(app, group)
    show(parked_messages.plan(app, found), approval)
    done = parked_messages.discard(app, found, approval)
    _end(group, "discarded", done, f"{count(done, 'message')} discarded.")


def _end(group: str, what: str, number: int, text: str) -> None:
    result({"group": group, what: number})
    sum_up(text)


def _tell_messages(app: AppContext, name: str) -> None:
    group = parked_messages.named(app, name)
    messages = (message for _, message in parked_messages.parking(app).each(name))
    if for_programs():
        for message in messages:
            result(parked_messages.message_json(message))
        return
    now = app.redis_ms()
    rows: list[tuple[Any, ...]] = []
    for message, _ in zip(messages, range(SHOWN), strict=False):
        about = f"{message.project or '-'}/{message.job or '-'}"
        rows.append((message.id, message.task, about, relative(message.at, now), message.times, message.why))
    table(["MESSAGE", "TASK", "PROJECT/JOB", "PARKED", "TIMES", "WHY"], rows)
    if group.count > SHOWN:
        say(f"… and {group.count - SHOWN:,} more; --json lists them all")
    say()
    say(f"Next: {parked_messages.WHAT_TO_DO[group.kind].format(group=name)}")
