"""`eraser show`: one deletion, its record and its timeline in words."""

from __future__ import annotations

from collections.abc import Iterator

import click
from rich.text import Text

from worker.interfaces.cli import startup
from worker.interfaces.cli.printing import STYLES, facts, json_option, result, say, table
from worker.ledger.records import Deletion
from worker.model.erasure import Inventory
from worker.model.states import Evidence, State
from worker.services import archived, labels, request, wait
from worker.services import show as shown
from worker.services.calls_sent import doubt
from worker.services.times import absolute, left, relative, when


@click.command()
@click.argument("job_id")
@click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
@json_option
def show(job_id: str, project: str | None) -> None:
    """Show a deletion: its state, what it waits for, and every call that was made.

    \b
    eraser show 0f3a61c2
    """
    app = startup.load()
    project = request.project_of(app, project)
    deletion, now = shown.find(startup.enter(app), project, job_id)
    result(shown.as_json(deletion))
    say(
        f"{deletion.ref.name}  {deletion.state}: {shown.headline(deletion)}",
        style=STYLES.get(deletion.state.value, "bold"),
    )
    if hold := shown.hold_of(app, deletion):
        until = f", until {absolute(hold.until)}" if hold.until else ""
        say(f"on hold    {when(hold.since, now)} by {hold.by}: {hold.reason}{until}")
    facts(_facts(deletion, now, attempts=len(app.settings.retry_schedule) + 1))
    _timeline(deletion, now)
    for number, command in enumerate(shown.next_steps(deletion, hold)):
        say(f"{'Next:' if number == 0 else '  or:'} {command}")


def _facts(d: Deletion, now: float, *, attempts: int) -> Iterator[tuple[str, object]]:
    yield "project", d.ref.project_id + ("" if d.account == "default" else f" (account {d.account})")
    if d.cause:
        yield "cause", f"{d.cause}: {labels.cause(d.cause)}"
    if d.state is State.DEAD and (remedy := labels.remedy(d.cause)):
        yield "what to do", remedy
    if d.evidence:
        why = f" ({doubt(d)})" if d.evidence == Evidence.AFTER_OUR_CALL else ""
        yield "evidence", f"{d.evidence}: {labels.evidence(d.evidence)}{why}"
    if d.may_be_deleted:
        yield "beware", f"it may be deleted: {doubt(d)}"
    if d.cancel_wanted:
        yield "cancel", "requested; it takes effect if the call in progress, or a lookup, allows it"
    if d.due_at is not None:
        yield "due", when(d.due_at, now)
    if d.finished_at is not None:
        yield "finished", when(d.finished_at, now)
    if d.finished_at is None or d.state is State.DEAD:
        yield "deadline", f"{left(d.deadline_at, now)} ({absolute(d.deadline_at)})"
    yield "requested", when(d.requested_at, now) + (f" by {d.requested_by}" if d.requested_by else "")
    if d.reason:
        yield "reason", d.reason
    if not d.archived or d.archived.line:
        yield "lane", "user: a person waits" if d.lane == "user" else "bulk"
    if d.run:
        yield "run", d.run
    if d.replay:
        yield "replay", d.replay
    # the schedule of this shell is no other process's: of a dead letter, only what was used is sure
    of = "" if d.state is State.DEAD else f"{d.used} of "
    used = labels.count(d.used if d.state is State.DEAD else attempts, "attempt")
    budget = f", {of}{used} used" if d.state not in wait.WELL else ""
    yield "round", f"{d.round}{budget}"
    if d.archived is not None:
        yield "archived", archived.in_words(d.archived)
    if d.whole is not None and d.whole.verdict:
        yield "erasure", f"{d.whole.verdict}: {labels.verdict(d.whole.verdict)}"
        if d.whole.inventory is Inventory.NONE:
            yield "inventory", "none: nobody could say before the DELETE what belonged to the job"
        for part in d.whole.parts:
            yield "related", labels.part(part)
    elif d.asset_id or d.voice_train_job_id:
        related = [f"asset {d.asset_id}" if d.asset_id else "", f"voice job {d.voice_train_job_id}"]
        yield "related", ", ".join(filter(None, related[: 2 if d.voice_train_job_id else 1])) + " (not checked)"


def _timeline(d: Deletion, now: float) -> None:
    moments = shown.timeline(d)
    if not moments:
        return
    say()
    table(["TIME", "", "WHAT HAPPENED"], [_line(moment, now) for moment in moments])
    if missing := shown.left_out(d):
        say(
            f"{labels.count(missing, 'attempt')} in the middle of round {d.round} not kept: the first 3 and last 20 "
            f"are."
        )
    if d.cut:
        say(f"{labels.count(d.cut, 'line')} of earlier rounds not kept: of them all the first 20 and the last 80 are.")
    say()


def _line(moment: shown.Moment, now: float) -> tuple[str, str, Text]:
    text = Text(moment.text)
    if moment.request_id:
        text.append(f"\nX-Request-Id {labels.plain(moment.request_id)}", style="dim")
    return absolute(moment.at), relative(moment.at, now), text
