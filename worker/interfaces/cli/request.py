"""`eraser request`: request deletions, by id, from a file or from a pipe."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click

from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, max_option
from worker.interfaces.cli.printing import allow_project_option, for_programs, note, result, say, sum_up
from worker.interfaces.cli.progress import progress
from worker.ledger.types import Effect
from worker.model.erasure import Related
from worker.model.errors import NotConfirmed, Unreachable
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services import id_lines, status
from worker.services import request as request_service
from worker.services import wait as wait_service
from worker.services.act import Approval, check_either
from worker.services.labels import count
from worker.services.request import Requested
from worker.services.times import parse_span

LISTED = 10  # invalid ids that are listed one by one; --json lists all


_EFFECTS = {
    Effect.NEW: "new",
    Effect.MERGED: "merged with earlier requests",
    Effect.NEW_ROUND: "in a new round",
    Effect.ALREADY_DONE: "already done",
}
_STANDING = {
    "deleted": "deleted already, nothing is sent; --force deletes it again",
    "gone": "gone already, nothing is sent; --force deletes it again",
    "held": "on hold: nothing is sent until the hold is removed",
}


@dataclass(slots=True)
class RequestCounts:
    """The results of all ids in numbers, and the few that are listed."""

    accepted: int = 0
    states: Counter[str] = field(default_factory=Counter)  # of these
    effects: Counter[Effect] = field(default_factory=Counter)
    bad: list[Requested] = field(default_factory=list)
    bad_count: int = 0
    first: str | None = None

    def add(self, one: Requested) -> None:
        if one.accepted is None:
            self.bad_count += 1
            self.bad += [one] if len(self.bad) < LISTED else []
            return
        self.first = self.first or one.job_id
        self.accepted += 1
        self.states[one.accepted.state] += 1
        self.effects[one.accepted.effect] += 1


@click.command()
@click.argument("job_ids", nargs=-1, metavar="JOB_ID...")
@click.option("--from-file", metavar="FILE|-", help="One id per line; - reads standard input; # starts a comment.")
@click.option("--project", metavar="P", help="Project id; needed unless exactly one is configured.")
@allow_project_option
@click.option(
    "--lane",
    type=click.Choice([lane.value for lane in Lane]),
    help="user (a person waits) or bulk. [ids: user, file: bulk]",
)
@click.option("--run", metavar="R", help="A name for all of these: eraser list --run R, eraser cancel --run R.")
@click.option("--app-user", metavar="U", help="Sent as X-App-UserId; erased at the end, never shown.")
@click.option("--after", metavar="24h", help="Earliest start, from now.")
@click.option("--at", metavar="TIME", help="Earliest start, RFC 3339 with a zone.")
@click.option("--deadline", metavar="30d", help="Give up after this long. [ERASER_DEADLINE]")
@click.option(
    "--related",
    type=click.Choice([one.value for one in Related]),
    help="What is done about what the job leaves behind. [ERASER_RELATED]",
)
@click.option("--force", is_flag=True, help="Even if it is already deleted or gone.")
@acting(max_option, reason=False)
@click.option("--wait", metavar="60s", help="Wait: exit 0 all deleted or gone, 1 one is not, 5 unfinished.")
def request(
    job_ids: tuple[str, ...], from_file: str | None, wait: str | None, approval: Approval, **fields: Any
) -> None:
    """Request the deletion of training jobs. An accepted request is recorded and never lost.

    \b
    eraser request 0f3a61c2 --reason TICKET-4711
    eraser request --from-file ids.txt --max 5000 --reason "retention 2026-11"
    """
    check_either(job_ids, from_file, "a file with --from-file FILE (- for a pipe)", jobs="job ids")
    app = startup.load()
    project = request_service.known_project(app, fields["project"], allow=fields["allow_project"])
    app.settings.account_of(project)  # fail now, with what to set
    wait_s = parse_span(wait, "--wait") if wait else None
    lane = fields["lane"] or ("bulk" if from_file else "user")
    texts = {name: fields[name] for name in ("run", "app_user", "after", "at", "deadline", "force", "related")}
    terms = partial(
        request_service.from_texts, app, lane=lane, by=approval.by, reason=approval.reason, option="--", **texts
    )
    terms(now=None)  # fail now, except for what only Redis's clock can tell
    with id_lines.opened(from_file, sys.stdin.buffer) if from_file else nullcontext(job_ids) as ids:
        number = sum(1 for _ in ids)
        action = request_service.check_cap(number, approval)
        startup.enter(app)
        wanted = terms(now=app.redis_ms(), action=action)
        results = request_service.submit(app, project, ids, wanted)
        counts, kept = _submit(results, number, keep=wait_s is not None)
    if not number:
        note("No job ids in the input: nothing was requested.")
    refs = [Target.named(project, one.job_id) for one in kept if one.accepted]
    states = _wait(app, app.account_for(project), refs, wait_s) if wait_s is not None else {}
    for one in kept:
        state = states.get(Target.named(project, one.job_id))
        result(one.as_json() | ({"state": state.value} if state else {}))
    if counts.accepted:
        sum_up(f"Accepted {count(counts.accepted, 'deletion')} in project {project}: {_how(counts)}.")
    if not for_programs():
        _tell(app, counts, project, run=fields["run"], many=from_file is not None, waited=wait_s is not None)
    sys.exit(_end(counts, refs, states))


def _submit(results: Iterator[Requested], number: int, *, keep: bool) -> tuple[RequestCounts, list[Requested]]:
    """Record them all. JSON lines are printed as they are recorded, or kept until the wait is over."""
    counts, kept = RequestCounts(), []
    with progress("recorded", number) as advance:
        try:
            for done, one in enumerate(results, 1):
                counts.add(one)
                advance(done, number)
                if keep:
                    kept.append(one)
                else:
                    result(one.as_json())
        except Unreachable as error:
            what = "confirmed" if isinstance(error, NotConfirmed) else "recorded"
            so_far = f"{counts.accepted:,} of {number:,} are {what}"
            raise type(error)(f"{error} ({so_far}; repeat the command: requests for the same job merge)") from None
    return counts, kept


def _wait(app: AppContext, account: str, refs: list[Target], seconds: float) -> dict[Target, State]:
    number = len(refs)
    with progress("ended", number) as advance:
        try:
            return wait_service.until_ended(app, account, refs, seconds, lambda left: advance(number - left, number))
        except KeyboardInterrupt:
            note("Stopped waiting; all accepted deletions continue.")
            return {}


def _tell(app: AppContext, counts: RequestCounts, project: str, *, run: str | None, many: bool, waited: bool) -> None:
    for state, text in _STANDING.items():
        if counts.states[state]:
            say(f"  {counts.states[state]:,} {text}.")
    for bad in counts.bad:
        note(f"not accepted: {bad.job_id[:128]!r}: {bad.error}")
    if counts.bad_count > len(counts.bad):
        note(f"not accepted: {counts.bad_count - len(counts.bad):,} more invalid ids; --json lists them all")
    if counts.accepted:
        with suppress(Unreachable):  # everything is recorded, whatever Redis does now
            for advice in status.advice(status.look(app)):
                if advice.about not in ("replay", "dead"):
                    say(f"  {advice.why}: {advice.command}")
        if not waited:
            where = "" if project == app.settings.default_project() else f" --project {project}"
            every = f"eraser list --run {run}" if run else "eraser status --watch"
            say(f"Next: {every if many or counts.accepted > 1 else f'eraser show {counts.first}{where}'}")


def _how(counts: RequestCounts) -> str:
    return ", ".join(
        f"{counts.effects[effect]:,} {text}" for effect, text in _EFFECTS.items() if counts.effects[effect]
    )


def _end(counts: RequestCounts, refs: list[Target], states: dict[Target, State]) -> int:
    """The exit code, after a line about the end of the wait."""
    if not refs:
        return 1 if counts.bad_count else 0
    found = Counter(states.get(ref, State.PENDING) for ref in dict.fromkeys(refs))
    say("Now: " + ", ".join(f"{number:,} {state}" for state, number in found.most_common()))
    if found[State.DEAD] > 1:
        say("Next: eraser dead groups")
    elif troubled := next((ref for ref in refs if states.get(ref) not in wait_service.WELL), None):
        say(f"Next: eraser show {troubled.name} --project {troubled.project_id}")
    if counts.bad_count or any(state in wait_service.ENDED and state not in wait_service.WELL for state in found):
        return 1
    return 5 if any(state not in wait_service.ENDED for state in found) else 0
