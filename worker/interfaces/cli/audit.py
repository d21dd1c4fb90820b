"""`eraser audit`: what operators did."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click
from rich.text import Text

from worker.interfaces.cli import startup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import for_programs, json_option, result, say, table
from worker.ledger.audit import AuditEntry
from worker.ledger.audit_actions import ActionName
from worker.services import audit as actions
from worker.services.labels import count, plain
from worker.services.pause import check_account
from worker.services.times import absolute, parse_period, relative

ROWS = 50  # of a table for people; json has all


@click.command(cls=Reading)
@click.option("--since", metavar="7d|TIME", help="Not older than this.")
@click.option("--until", metavar="1h|TIME", help="Not newer than this.")
@click.option("--act", "action", type=click.Choice([name.value for name in ActionName]), help="Only this action.")
@click.option("--by", metavar="WHO", help="Only actions of this person.")
@click.option("--account", metavar="A", help="Only this account.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help=f"At most N. [table: {ROWS}, else all]")
@json_option
def audit(limit: int | None, **fields: Any) -> None:
    """What operators did, newest first: who, when, what and why. Kept as long as the records, ERASER_RECORD_TTL.

    One line for each action and account. Refusals and dry runs are not logged.

    \b
    eraser audit --since 7d
    eraser audit --act cap.lifted --by ops-7
    """
    app = startup.load()
    if fields["account"]:
        check_account(fields["account"], app.known_accounts())
    startup.enter(app)
    now = app.redis_ms()
    since, until = parse_period(fields, now, "--")
    wanted = actions.AuditFilter(**fields | {"since": since, "until": until})
    found = actions.entries(app, wanted)
    if for_programs():
        for entry in islice(found, limit):
            result(actions.as_json(entry))
        return
    rows = list(islice(found, (limit or ROWS) + 1))
    shown = rows[: limit or ROWS]
    if not shown:
        say(_nothing(filtered=wanted != actions.AuditFilter()))
        return
    several = ["ACCOUNT"] if len(app.settings.accounts) > 1 else []
    table(["TIME", "WHO", *several, "ACT", "WHAT, AND WHY"], [_row(entry, now, bool(several)) for entry in shown])
    say()
    more = f", and more before: --limit {10 * len(shown)}, or --json for all" if len(rows) > len(shown) else ""
    say(f"{count(len(shown), 'act')}{more}.")


def _row(entry: AuditEntry, now: float, several: bool) -> tuple[object, ...]:
    where = [entry.account] if several else []
    time = _two_lines(absolute(entry.at), relative(entry.at, now))
    return (time, entry.by, *where, entry.action, _two_lines(actions.what(entry), entry.reason or "no reason given"))


def _two_lines(first: str, second: str) -> Text:
    """In a narrow window nothing may be cut, least of all the reason."""
    return Text.assemble(plain(first), "\n", (plain(second), "dim"))


def _nothing(*, filtered: bool) -> str:
    if filtered:
        return "No action matches these filters; eraser audit shows them all."
    return "No actions yet: no replay, discard, restore, hold, pause or cancel, and no cap was lifted."
