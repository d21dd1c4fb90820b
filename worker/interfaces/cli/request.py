"""`eraser request`: request deletions, by id, from a file or from a pipe."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import click

from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting, max_option
from worker.interfaces.cli.printing import allow_project_option, json_line, note, say, sum_up
from worker.interfaces.cli.progress import progress
from worker.ledger.types import DeletionRequest
from worker.model.errors import Unreachable, UsageError
from worker.model.states import Lane, State
from worker.model.target import Target
from worker.services import id_lines, status
from worker.services import request as request_service
from worker.services import wait as wait_service
from worker.services.act import Approval
from worker.services.labels import count
from worker.services.times import parse_span

TOLD = 10  # invalid ids that are listed one by one; --json lists all


@dataclass(slots=True)
class RequestCounts:
    """The results of all ids in numbers, and the few that are listed."""

    new: int = 0
    merged: Counter[str] = field(default_factory=Counter)  # by the state that the deletion had
    bad: list[request_service.Requested] = field(default_factory=list)
    bad_count: int = 0
    first: str | None = None

    @property
    def accepted(self) -> int:
        return self.new + sum(self.merged.values())

    def add(self, asked: request_service.Requested) -> None:
        if asked.accepted is None:
            self.bad_count += 1
            if len(self.bad) < TOLD:
                self.bad.append(asked)
            return
        self.first = self.first or asked.job_id
        if asked.accepted.deduplicated:
            self.merged[asked.accepted.state] += 1
        else:
            self.new += 1


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
@click.option("--app-user", metavar="U", help="Sent as X-App-UserId; erased at the end, never shown.")
@click.option("--after", metavar="24h", help="Earliest start, from now.")
@click.option("--at", metavar="TIME", help="Earliest start, RFC 3339 with a zone.")
@click.option("--deadline", metavar="30d", help="Give up after this long. [ERASER_DEADLINE]")
@click.option("--force", is_flag=True, help="Even if it is already deleted or gone.")
@acting(max_option, reason=False)
@click.option("--wait", metavar="60s", help="Wait for the result: exit 0 all deleted, 1 one is not, 5 unfinished.")
def request(
    job_ids: tuple[str, ...], from_file: str | None, wait: str | None, approval: Approval, as_json: bool, **fields: Any
) -> None:
    """Request the deletion of training jobs. An accepted request is recorded and never lost.

    \b
    eraser request 0f3a61c2 --reason TICKET-4711
    eraser request --from-file ids.txt --max 5000 --reason "retention 2026-11"
    """
    if bool(job_ids) == bool(from_file):
        raise UsageError("give job ids, or a file with --from-file FILE (- for a pipe), not both")
    app = startup.load()
    project = request_service.known_project(app, fields["project"], allow=fields["allow_project"])
    app.settings.account_of(project)  # fail now, with what to set
    wait_s = parse_span(wait, "--wait") if wait else None
    lane = fields["lane"] or ("bulk" if from_file else "user")
    terms = _terms(app, lane, approval, fields)
    with ExitStack() as stack:
        many: Iterable[str] = job_ids
        number = len(job_ids)
        if from_file:
            lines = stack.enter_context(id_lines.opened(from_file, sys.stdin.buffer))
            many, number = lines, lines.count()
        terms = request_service.with_cap(terms, number, approval)
        startup.enter(app)
        if fields["at"]:
            terms = request_service.with_cap(_terms(app, lane, approval, fields, now=app.redis_ms()), number, approval)
        results = request_service.submit(app, project, many, terms)
        counts, kept = _submit(results, number, as_json=as_json, keep=wait_s is not None)
    if not number:
        note("No job ids in the input: nothing was requested.")
    refs = [Target(project, asked.job_id) for asked in kept if asked.accepted]
    states = _wait(app, app.account_for(project), refs, wait_s) if wait_s is not None else {}
    if as_json:
        for asked in kept:
            json_line(_as_json(asked, states.get(Target(project, asked.job_id))))
    if counts.accepted:
        sum_up(f"Accepted {count(counts.accepted, 'deletion')} in project {project}: {_how(counts)}.", as_json=as_json)
    if not as_json:
        _tell(app, counts, project, many=from_file is not None, waited=wait_s is not None)
    sys.exit(_end(counts, refs, states, as_json=as_json))


def _terms(
    app: AppContext, lane: str, approval: Approval, fields: dict[str, Any], *, now: float | None = None
) -> DeletionRequest:
    """The request from the options. `now` (Redis's, ms) turns --at into a delay; without it only the form of --at
    is checked.
    """
    after_s = request_service.start_in(fields["after"], fields["at"], now=now, names=("--after", "--at"))
    return request_service.deletion_request(
        app,
        lane=lane,
        by=approval.by,
        reason=approval.reason,
        app_user=fields["app_user"],
        after_s=after_s,
        deadline_s=parse_span(fields["deadline"], "--deadline") if fields["deadline"] else None,
        force=fields["force"],
        at=fields["at"],
    )


def _submit(
    results: Iterator[request_service.Requested], number: int, *, as_json: bool, keep: bool
) -> tuple[RequestCounts, list[request_service.Requested]]:
    """Record them all. JSON lines are printed as they are recorded, or kept until the wait is over."""
    counts, kept = RequestCounts(), []
    with progress("recorded", number) as advance:
        try:
            for asked in results:
                counts.add(asked)
                advance(1)
                if keep:
                    kept.append(asked)
                elif as_json:
                    json_line(_as_json(asked))
        except Unreachable as error:
            done = (
                f"{counts.accepted:,} of {number:,} are recorded; repeat the command: requests for the same job merge"
            )
            raise Unreachable(f"{error} ({done})") from None
    return counts, kept


def _wait(app: AppContext, account: str, refs: list[Target], seconds: float) -> dict[Target, State]:
    with progress("ended", len(refs)) as advance:
        before = len(refs)

        def tell(still: int) -> None:
            nonlocal before
            advance(max(0, before - still))
            before = still

        try:
            return wait_service.until_ended(app, account, refs, seconds, tell)
        except KeyboardInterrupt:
            note("Stopped waiting; all accepted deletions continue.")
            return {}


def _as_json(asked: request_service.Requested, state: State | None = None) -> dict[str, Any]:
    return asked.as_json() | ({"state": state.value} if state else {})


def _tell(app: AppContext, counts: RequestCounts, project: str, *, many: bool, waited: bool) -> None:
    for state in ("deleted", "gone"):
        if counts.merged[state]:
            say(f"  {counts.merged[state]:,} {state} already, nothing is sent; --force deletes it again.")
    if counts.merged["held"]:
        say(f"  {counts.merged['held']:,} on hold: nothing is sent until the hold is removed.")
    for asked in counts.bad:
        note(f"not accepted: {asked.job_id[:128]!r}: {asked.error}")
    if counts.bad_count > len(counts.bad):
        note(f"not accepted: {counts.bad_count - len(counts.bad):,} more invalid ids; --json lists them all")
    if counts.accepted:
        with suppress(Unreachable):  # everything is recorded, whatever Redis does now
            for advice in status.advice(status.look(app)):
                if advice.about not in ("replay", "dead"):
                    say(f"  {advice.why}: {advice.command}")
        if not waited:
            where = "" if project == app.settings.default_project() else f" --project {project}"
            one = f"eraser show {counts.first}{where}"
            say(f"Next: {'eraser status --watch' if many or counts.accepted > 1 else one}")


def _how(counts: RequestCounts) -> str:
    parts = [f"{counts.new:,} new"] if counts.new else []
    merged = sum(number for state, number in counts.merged.items() if state not in ("deleted", "gone"))
    if merged:
        parts.append(f"{merged:,} merged with earlier requests")
    over = counts.merged["deleted"] + counts.merged["gone"]
    if over:
        parts.append(f"{over:,} already done")
    return ", ".join(parts)


def _end(counts: RequestCounts, refs: list[Target], states: dict[Target, State], *, as_json: bool) -> int:
    """The exit code, after a line about the end of the wait."""
    if not refs:
        return 1 if counts.bad_count else 0
    found = Counter(states.get(ref, State.PENDING) for ref in dict.fromkeys(refs))
    if not as_json:
        say("Now: " + ", ".join(f"{number:,} {state}" for state, number in found.most_common()))
        if found[State.DEAD] > 1:
            say("Next: eraser dead groups")
        elif troubled := next((ref for ref in refs if states.get(ref) not in wait_service.WELL), None):
            say(f"Next: eraser show {troubled.name} --project {troubled.project_id}")
    if counts.bad_count or any(state in wait_service.ENDED and state not in wait_service.WELL for state in found):
        return 1
    return 5 if any(state not in wait_service.ENDED for state in found) else 0
