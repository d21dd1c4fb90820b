"""`eraser demo`: every kind of failure at once, on this machine only."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter

import click
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from worker.config.settings import RETRY_SCHEDULE
from worker.demo import cleanup, leftovers, scenario, verdict
from worker.demo.play import OPEN, Play
from worker.demo.stage import Stage, stage
from worker.ledger.records import AccountStatus, Deletion
from worker.local.processes import Stopped, stoppable
from worker.model.errors import EraserError
from worker.model.states import State

WIDTH = 100
LINE_EVERY_S = 3.0  # without a terminal, progress is a line from time to time


class Screen:
    """What people see: events as lines, and on a terminal a progress bar below them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()
        self._line_at = 0.0
        self._live: Live | None = None

    def report(self, what: str, text: str) -> None:
        self.console.print(f"[dim]{self._clock():>7}[/]  [cyan]{what:<12}[/]  {escape(text)}", soft_wrap=True)

    def progress(self, status: AccountStatus, jobs: int) -> None:
        settled = sum(n for state, n in status.states.items() if state not in OPEN)
        jobs = max(jobs, sum(status.states.values()))  # parts that jobs left have deletions, too
        if self.console.is_terminal:
            if self._live is None:
                self._live = Live(console=self.console, transient=True, refresh_per_second=8)
                self._live.start()
            below = Table.grid()
            below.add_row(ProgressBar(jobs, min(settled, jobs), width=60))
            below.add_row(self._counts(status, settled, jobs))
            self._live.update(below)
        elif time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_EVERY_S
            self.console.print(f"{self._clock():>7}  {self._counts(status, settled, jobs)}", soft_wrap=True)

    def still(self) -> None:
        """No more progress: remove the bar."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _clock(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"

    @staticmethod
    def _counts(status: AccountStatus, settled: int, jobs: int) -> Text:
        states = status.states
        ended = [f"{states[state]} {state}" for state in State if states[state] and state not in OPEN]
        gate = "" if status.gate.gate == "ok" else f"; gate: {status.gate.gate}"
        still = ", ".join(f"{states[state]} {state}" for state in reversed(OPEN) if states[state])
        return Text(f"{settled} of {jobs}: {'; '.join(filter(None, (', '.join(ended), still)))}{gate}")


@click.command()
@click.option(
    "--jobs", default=200, show_default=True, type=click.IntRange(scenario.FEWEST, 10_000), help="How many deletions."
)
@click.option("--json", "as_json", is_flag=True, help="Print the table's rows as JSON, one a line; the rest to stderr.")
def demo(jobs: int, as_json: bool) -> None:
    """See it work: every kind of failure at once, on this machine only.

    A private Redis, a MetaStudio simulator that checks signatures and injects failures, and a real Celery worker, in a
    directory that is gone afterwards. Settings in the environment are ignored, nothing leaves this machine.
    """
    console = Console(stderr=as_json, highlight=False)
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    try:
        with stoppable(), stage() as here:
            well = _perform(here, Screen(console), jobs, as_json=as_json)
        sys.exit(0 if well else 1)
    except Stopped as stopped:
        console.print("\nStopped; nothing is left behind.")
        sys.exit(stopped.exit_code)


def _perform(here: Stage, screen: Screen, jobs: int, *, as_json: bool) -> bool:
    console, parts = screen.console, scenario.cast(jobs)
    _introduce(here, console, jobs)
    play = Play(here, parts, screen)
    try:
        play.prepare()
        play.request()
        play.run()
        screen.still()
        found = verdict.rows(here, parts)
        wrong = [why for row in found for why in row.wrong]
        _show_rows(console, found)
        dead = list(here.queries.each(State.DEAD, newest_first=False))
        _show_dead(console, dead)
        screen.report("repaired", "the faults are gone, the trainings have ended")
        seconds = play.repair_and_replay(dead)
        screen.still()
        not_replayed = verdict.replayed(here, dead)
        wrong += not_replayed
        found = verdict.with_replay(found, not_replayed)
        deleted = len(dead) - len(not_replayed)
        screen.report(
            "replayed", f"{len(dead)} dead letters, a full new budget each: {deleted} deleted in {seconds:.1f} s"
        )
        play.finish_leftovers()
        screen.still()
        facts = [*verdict.facts(here, parts), *leftovers.judge(here), cleanup.clean_up(here, screen)]
    except EraserError:
        screen.still()
        console.print("\nThe worker's last lines:", *here.worker_log(15), sep="\n  ", highlight=False)
        raise
    finally:
        screen.still()
    console.print("\n[bold]By the simulator's own log[/]")
    for fact in facts:
        console.print(f"  {_mark(fact.holds)} {fact.text}")
        if not fact.holds:
            wrong.append(fact.text)
    for why in wrong:
        console.print(f"  [red]✗ {why}[/]")
    if as_json:
        for row in found:
            click.echo(json.dumps(row.as_json(), ensure_ascii=False))
    _say_next(console, well=not wrong)
    return not wrong


def _introduce(here: Stage, console: Console, jobs: int) -> None:
    kinds = len(scenario.TROUBLES)
    console.print(f"[bold]{jobs} deletions, {kinds} kinds of failure. Nothing leaves this machine.[/]\n")
    for name, text in (
        ("MetaStudio", f"a simulator at {here.simulator.url}: it checks signatures, {scenario.RATE} DELETEs a second"),
        ("Redis", f"a private one in {here.directory}, gone afterwards"),
        ("Attempts", f"again after {scenario.RETRY_SCHEDULE}; then a dead letter"),
        ("in earnest", f"again after {RETRY_SCHEDULE}"),
        ("A call", f"ends after {scenario.CALL_TIMEOUT}, whatever the server does (in earnest 45s)"),
    ):
        console.print(f"  [cyan]{name:<12}[/]{text}", soft_wrap=True)
    console.print()


def _show_rows(console: Console, found: list[verdict.Row]) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("  failure", "jobs", "expected", "result", "attempts", "request"):
        table.add_column(name, justify="right" if name in ("jobs", "attempts") else "left", no_wrap=name != "result")
    for row in found:
        fewest, most = row.attempts
        attempts = str(fewest) if fewest == most else f"{fewest}-{most}"
        ended = "\n".join(row.ended) or "?"
        trouble = row.trouble
        request_id = f"{row.request_id[:7]}…" if row.request_id else "none"
        title = f"{_mark(not row.wrong)} {trouble.title}"
        table.add_row(title, str(row.jobs), trouble.ends, ended, attempts, request_id)
    console.print()
    console.print(table)
    console.print()


def _show_dead(console: Console, dead: list[Deletion]) -> None:
    groups = Counter((d.cause or "?", d.status, d.code) for d in dead)
    console.print(f"[bold]Dead letters[/]: {len(dead)}. They stay until a person replays or discards them.")
    for (cause, status, code), count in groups.most_common():
        console.print(f"  {count} × {cause}, last answer {' '.join(str(part) for part in (status, code) if part)}")
    console.print()


def _say_next(console: Console, *, well: bool) -> None:
    if not well:
        console.print("\n[bold red]Not everything ended as expected: see ✗ above.[/]")
        return
    console.print("\n[bold green]Everything ended as expected.[/] The same by hand, with your own account:\n")
    for command, what in (
        ("eraser up", "a Redis, a worker and a schedule on this machine"),
        ("eraser request JOB_ID…", "ask for deletions; --from-file FILE for many, --wait 60s to see the end"),
        ("eraser status --watch", "what waits, for what, and dead letters"),
        ("eraser show JOB_ID", "one deletion and every attempt"),
        ("eraser dead groups", "dead letters by cause"),
        ("eraser dead replay GROUP", "after the repair: a full new budget for each"),
        ("eraser retention plan", "what a policy would delete; `eraser hold` keeps jobs"),
        ("eraser simulator", "this MetaStudio simulator, to try things out"),
    ):
        console.print(f"  [cyan]{command:<26}[/]{what}")


def _mark(good: bool) -> str:
    return "[green]✓[/]" if good else "[red]✗[/]"
