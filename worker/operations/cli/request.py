"""`eraser request`: ask for deletions, by id, from a file or from a pipe."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import click

from worker.deletion import Lane, State
from worker.errors import Unreachable, UsageError
from worker.ledger.moves import Claim, Ref
from worker.operations import ids, requests, status, waiting
from worker.operations.cli import door
from worker.operations.cli.printing import (
    allow_project_option,
    by_option,
    json_line,
    json_option,
    note,
    reason_option,
    say,
    sum_up,
)
from worker.operations.cli.progress import progress
from worker.operations.times import parse_span
from worker.operations.words import count
from worker.runtime import Runtime

TOLD = 10  # bad ids that are told one by one; --json tells all


@dataclass(slots=True)
class Tally:
    """What became of the ids, in numbers, and of the few that deserve a line."""

    new: int = 0
    merged: Counter[str] = field(default_factory=Counter)  # by the state of what was there
    bad: list[requests.Asked] = field(default_factory=list)
    bad_count: int = 0
    first: str | None = None

    @property
    def accepted(self) -> int:
        return self.new + sum(self.merged.values())

    def add(self, asked: requests.Asked) -> None:
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
@reason_option(required=False)
@by_option
@click.option("--app-user", metavar="U", help="Sent as X-App-UserId; erased at the end, never shown.")
@click.option("--after", metavar="24h", help="Earliest start, from now.")
@click.option("--at", metavar="TIME", help="Earliest start, RFC 3339 with a zone.")
@click.option("--deadline", metavar="30d", help="Give up after this long. [ERASER_DEADLINE]")
@click.option("--force", is_flag=True, help="Even if it is already deleted or gone.")
@click.option("--max", "most", type=click.IntRange(min=0), metavar="N", help="Confirm more than 100 ids.")
@click.option("--wait", metavar="60s", help="Wait for the result: exit 0 all deleted, 1 one is not, 5 unfinished.")
@json_option
def request(job_ids: tuple[str, ...], from_file: str | None, as_json: bool, wait: str | None, **said: Any) -> None:
    """Request the deletion of training jobs. An accepted request is recorded and never lost.

    \b
    eraser request 0f3a61c2 --reason TICKET-4711
    eraser request --from-file ids.txt --max 5000 --reason "retention 2026-11"
    """
    if bool(job_ids) == bool(from_file):
        raise UsageError("give job ids, or a file with --from-file FILE (- for a pipe), not both")
    running = door.load()
    project = requests.known_project(running, said["project"], allow=said["allow_project"])
    running.settings.account_of(project)  # fail now, with what to set
    wait_s = parse_span(wait, "--wait") if wait else None
    lane = said["lane"] or ("bulk" if from_file else "user")
    asked_for = _claim(running, lane, said)
    with ExitStack() as stack:
        many: Iterable[str] = job_ids
        number = len(job_ids)
        if from_file:
            lines = stack.enter_context(ids.opened(from_file, sys.stdin.buffer))
            many, number = lines, lines.count()
        requests.check_count(number, said["most"])
        door.enter(running, rings=True)
        if said["at"]:
            asked_for = _claim(running, lane, said, now=running.redis_ms())
        asked_for = requests.told_of_cap(asked_for, number, said["most"])
        results = requests.submit(running, project, many, asked_for, door.ring)
        tally, kept = _submit(results, number, as_json=as_json, keep=wait_s is not None)
    if not number:
        note("No job ids in the input: nothing was requested.")
    refs = [Ref(project, asked.job_id) for asked in kept if asked.accepted]
    states = _wait(running, running.account_for(project), refs, wait_s) if wait_s is not None else {}
    if as_json:
        for asked in kept:
            json_line(_as_json(asked, states.get(Ref(project, asked.job_id))))
    if tally.accepted:
        sum_up(f"Accepted {count(tally.accepted, 'deletion')} in project {project}: {_how(tally)}.", as_json=as_json)
    if not as_json:
        _tell(running, tally, project, many=from_file is not None, waited=wait_s is not None)
    sys.exit(_end(tally, refs, states, as_json=as_json))


def _claim(running: Runtime, lane: str, said: dict[str, Any], *, now: float | None = None) -> Claim:
    """What is asked for. `now` (Redis's, ms) turns --at into a delay; without it --at is only checked for its form."""
    after_s = requests.start_in(said["after"], said["at"], now=now, names=("--after", "--at"))
    return requests.claim(
        running,
        lane=lane,
        by=said["by"],
        reason=said["reason"],
        app_user=said["app_user"],
        after_s=after_s,
        deadline_s=parse_span(said["deadline"], "--deadline") if said["deadline"] else None,
        force=said["force"],
        at=said["at"],
    )


def _submit(
    results: Iterator[requests.Asked], number: int, *, as_json: bool, keep: bool
) -> tuple[Tally, list[requests.Asked]]:
    """Record them all. Lines of JSON go out as they are recorded, or are kept until the wait is over."""
    tally, kept = Tally(), []
    with progress("recorded", number) as advance:
        try:
            for asked in results:
                tally.add(asked)
                advance(1)
                if keep:
                    kept.append(asked)
                elif as_json:
                    json_line(_as_json(asked))
        except Unreachable as error:
            done = f"{tally.accepted:,} of {number:,} are recorded; repeat the command: requests for the same job merge"
            raise Unreachable(f"{error} ({done})") from None
    return tally, kept


def _wait(running: Runtime, account: str, refs: list[Ref], seconds: float) -> dict[Ref, State]:
    with progress("ended", len(refs)) as advance:
        before = len(refs)

        def tell(still: int) -> None:
            nonlocal before
            advance(max(0, before - still))
            before = still

        try:
            return waiting.until_ended(running, account, refs, seconds, tell)
        except KeyboardInterrupt:
            note("Stopped waiting; all accepted deletions continue.")
            return {}


def _as_json(asked: requests.Asked, state: State | None = None) -> dict[str, Any]:
    return asked.as_json() | ({"state": state.value} if state else {})


def _tell(running: Runtime, tally: Tally, project: str, *, many: bool, waited: bool) -> None:
    for state in ("deleted", "gone"):
        if tally.merged[state]:
            say(f"  {tally.merged[state]:,} {state} already, nothing is sent; --force deletes it again.")
    if tally.merged["held"]:
        say(f"  {tally.merged['held']:,} on hold: nothing is sent until the hold is removed.")
    for asked in tally.bad:
        note(f"not accepted: {asked.job_id[:128]!r}: {asked.error}")
    if tally.bad_count > len(tally.bad):
        note(f"not accepted: {tally.bad_count - len(tally.bad):,} more invalid ids; --json lists them all")
    if tally.accepted:
        with suppress(Unreachable):  # it is all recorded, whatever Redis does now
            for advice in status.advice(status.look(running)):
                if advice.about not in ("replay", "dead"):
                    say(f"  {advice.why}: {advice.command}")
        if not waited:
            where = "" if project == running.settings.default_project() else f" --project {project}"
            one = f"eraser show {tally.first}{where}"
            say(f"Next: {'eraser status --watch' if many or tally.accepted > 1 else one}")


def _how(tally: Tally) -> str:
    parts = [f"{tally.new:,} new"] if tally.new else []
    merged = sum(number for state, number in tally.merged.items() if state not in ("deleted", "gone"))
    if merged:
        parts.append(f"{merged:,} merged with earlier requests")
    over = tally.merged["deleted"] + tally.merged["gone"]
    if over:
        parts.append(f"{over:,} already done")
    return ", ".join(parts)


def _end(tally: Tally, refs: list[Ref], states: dict[Ref, State], *, as_json: bool) -> int:
    """The exit code, after a word on how the wait ended."""
    if not refs:
        return 1 if tally.bad_count else 0
    found = Counter(states.get(ref, State.PENDING) for ref in dict.fromkeys(refs))
    if not as_json:
        say("Now: " + ", ".join(f"{number:,} {state}" for state, number in found.most_common()))
        if found[State.DEAD] > 1:
            say("Next: eraser dead groups")
        elif troubled := next((ref for ref in refs if states.get(ref) not in waiting.WELL), None):
            say(f"Next: eraser show {troubled.job_id} --project {troubled.project_id}")
    if tally.bad_count or any(state in waiting.ENDED and state not in waiting.WELL for state in found):
        return 1
    return 5 if any(state not in waiting.ENDED for state in found) else 0
