"""What a deletion costs, the client's processes and Redis together: ours against the same deletions made in other ways.

    python -m benchmarks.cost [--rows bare,ours] [--rounds 3] [--seconds 5] [--chart benchmarks/cost.svg] …

Every row calls the same simulated MetaStudio, a process of its own that checks each signature, and those with a queue
the same Redis (AOF, `everysec`). The rows take turns in each round, so that whatever else this machine does meets all
of them; the tables have the medians.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import click

from benchmarks import chart, figures
from benchmarks import queues as waiting
from benchmarks.gate import EARNEST
from benchmarks.processes import commands_run, cpu_s, machine
from tests.acceptance.fleet import Fleet, Process
from tests.acceptance.other_side import adds_up
from worker.ledger.types import DeletionRequest
from worker.model.target import Target
from worker.services.request import record
from worker.simulator import DEMO_PROJECT

THREADS = 32
QUEUED = 20_000  # deletions in each queue
WARM_S = 1.5  # after the first deletion: imports, connections and our gate's first probe are over then
SETTINGS = EARNEST | {"ERASER_RATE": "1000"}  # the most that may be set: the pace must not be what is measured
LOOPS = "benchmarks.peers.loops"
PLAIN = "benchmarks.peers.by_celery"
DRAMATIQ = "benchmarks.peers.by_dramatiq"


@dataclass(frozen=True, slots=True)
class Row:
    """One way to delete. `words` follow `python -m`; `sender` is the module that fills its queue beforehand."""

    title: str
    words: str
    sender: str | None = None
    executors: int = THREADS
    most_per_s: int = 3_000  # more than it reaches: so many jobs are planted
    ours: bool = False


ROWS = {
    "bare": Row("requests.Session.delete in a loop", f"{LOOPS} bare", executors=1),
    "pool": Row("ThreadPoolExecutor, a session a thread", f"{LOOPS} pool"),
    "sdk": Row("the official SDK in a ThreadPoolExecutor", f"{LOOPS} sdk"),
    "celery": Row(
        "plain Celery, a task a deletion", f"celery -A {PLAIN} worker -P threads -c 32", PLAIN, most_per_s=900
    ),
    "dramatiq": Row("Dramatiq, a message a deletion", f"dramatiq -p1 -t32 {DRAMATIQ}", DRAMATIQ, most_per_s=1_500),
    "ours": Row("**ours**", "celery -A worker worker -c 32", most_per_s=1_100, ours=True),
    "ours-log": Row(
        "ours, a log line a deletion", "celery -A worker worker -c 32 -l INFO", most_per_s=1_100, ours=True
    ),
}


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a row that runs: CPU seconds and commands since its processes started."""

    at: float
    deleted: int
    client_s: float
    redis_s: float
    commands: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one deletion of a row in one round, or the medians of all. Commands that scripts run count, too."""

    client_us: float
    redis_us: float
    commands: float
    per_s: float
    ratio: float = 1.0  # both CPUs, to the bare loop of the same round

    @property
    def us(self) -> float:
        return self.client_us + self.redis_us

    @classmethod
    def between(cls, first: Look, last: Look) -> Cost:
        done = last.deleted - first.deleted
        return cls(
            client_us=(last.client_s - first.client_s) / done * 1e6,
            redis_us=(last.redis_s - first.redis_s) / done * 1e6,
            commands=(last.commands - first.commands) / done,
            per_s=done / (last.at - first.at),
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """One Redis and one MetaStudio, emptied before each run. `theirs` is the interpreter of the peers."""

    fleet: Fleet
    theirs: str
    seconds: float

    def run(self, row: Row, latency: float) -> Cost:
        """Of the row's whole process tree, and of Redis."""
        fastest = min(row.most_per_s, row.executors / latency) if latency else row.most_per_s
        jobs = int(fastest * (WARM_S + self.seconds)) + 2 * row.executors
        self.empty(jobs, latency)
        self.fill_queue(row, jobs)
        process = self.start(row, jobs)
        try:
            self.fleet.wait(lambda: self.deleted() > 0 or not process.alive, f"{row.title} deletes")
            time.sleep(WARM_S)
            first, last = self._window(process, jobs - 2 * row.executors)
            self._check()
        finally:
            self.end(process)
        self.leave(row)
        return Cost.between(first, last)

    def _window(self, process: Process, until: int) -> tuple[Look, Look]:
        first = self._look(process)
        while time.monotonic() < first.at + self.seconds and self.deleted() < until:
            time.sleep(0.1)
        return first, self._look(process)

    def _look(self, process: Process) -> Look:
        redis_pid = self.fleet.redis_server.pid
        assert redis_pid is not None
        commands = commands_run(self.fleet)  # first: this costs Redis something itself
        return Look(time.monotonic(), self.deleted(), cpu_s(process.pid), cpu_s(redis_pid), commands)

    def deleted(self) -> int:
        return int(self.fleet.metastudio.stats()["effects"])

    def _check(self) -> None:
        """Nobody is quick by failing."""
        stats = self.fleet.metastudio.stats()
        responses = {status: count for status, count in stats["by_status"].items() if count}
        if set(responses) != {"200"} or stats["most_deletes_of_a_job"] > 1:
            raise SystemExit(f"not only good deletions: {responses}, {stats['most_deletes_of_a_job']} of one job")

    def empty(self, jobs: int, latency: float) -> None:
        self.fleet.client.flushall()
        self.fleet.metastudio.reset()
        self.fleet.metastudio.fill(jobs)
        self.fleet.metastudio.set_latency(latency)

    def leave(self, row: Row) -> None:
        """Compare MetaStudio with our ledger, where the row has one; then nothing is left for the judge of the end."""
        if row.ours:
            adds_up(self.fleet)
        self.empty(0, 0)

    def fill_queue(self, row: Row, jobs: int) -> None:
        if row.ours:
            refs = (Target(DEMO_PROJECT, f"job-{n:05d}") for n in range(1, jobs + 1))
            list(record(self.fleet.app, refs, DeletionRequest()))
        elif row.sender:
            sender = self._start("sender", row.sender, jobs, ours=False)
            sender.popen.wait()
            self.end(sender)

    def start(self, row: Row, jobs: int) -> Process:
        return self._start("row", row.words, jobs, ours=row.ours)

    def _start(self, name: str, words: str, jobs: int, *, ours: bool) -> Process:
        python = sys.executable if ours else self.theirs
        env = self.fleet.env | {"COST_JOBS": str(jobs)}
        return self.fleet.start(name, [python, "-m", *words.split()], env=env)

    def end(self, process: Process) -> None:
        """What it had sent is carried out before the next one begins."""
        process.kill()
        self.fleet.others.remove(process)
        self.fleet.wait(lambda: self.fleet.metastudio.stats()["under_way"] == 0, "no call is under way")


def compare(bench: Bench, rows: list[str], rounds: int, latencies: Iterable[float]) -> dict[tuple[str, float], Cost]:
    """Every row at every latency, in turns."""
    found: dict[tuple[str, float], list[Cost]] = {}
    for n in range(rounds):
        for latency in latencies:
            bare = 0.0
            for name in rows:  # the bare loop is the first
                cost = bench.run(ROWS[name], latency)
                bare = bare or cost.us
                found.setdefault((name, latency), []).append(replace(cost, ratio=cost.us / bare))
                tell(f"round {n + 1}, {latency * 1000:.0f} ms, {name}: {line(cost)}")
    return {where: middle(costs) for where, costs in found.items()}


def middle(costs: list[Cost]) -> Cost:
    return Cost(*(statistics.median(values) for values in zip(*map(astuple, costs), strict=True)))


def line(cost: Cost) -> str:
    return f"{cost.client_us:.0f} us and {cost.redis_us:.0f} of Redis, {cost.commands:.1f} commands, {cost.per_s:.0f}/s"


def table(costs: dict[tuple[str, float], Cost], rows: list[str], latency: float) -> str:
    """All rows at one latency."""
    lines = [
        f"| one deletion, {latency * 1000:.0f} ms | x bare | client us | Redis us | commands | /s |",
        "|---|" + "---:|" * 5,
    ]
    for name in rows:
        c = costs[name, latency]
        cells = f"**{c.ratio:.2f}** | {c.client_us:.0f} | {c.redis_us:.0f} | {c.commands:.1f} | {c.per_s:.0f}"
        lines.append(f"| {ROWS[name].title} | {cells} |")
    return "\n".join(lines) + "\n"


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _names(text: str, known: Iterable[str]) -> list[str]:
    names = [name for name in text.split(",") if name]
    if wrong := set(names) - set(known):
        raise click.UsageError(f"no such row: {', '.join(sorted(wrong))}; there are {', '.join(known)}")
    return names


def _check_peers(python: str) -> None:
    if subprocess.run([python, "-c", "import dramatiq"], capture_output=True, check=False).returncode:
        raise click.UsageError(f"{python} has no dramatiq: pip install -r benchmarks/requirements.txt")


@click.command()
@click.option("--rows", default=",".join(ROWS), show_default=True, help="Which ways to compare; bare is always there.")
@click.option(
    "--figures", "chosen", default=",".join(figures.FIGURES), show_default=True, help="Which figures of ours."
)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(min=1))
@click.option("--seconds", default=5.0, show_default=True, help="How long each row is measured in each round.")
@click.option("--latency", "latencies_ms", default=(0, 50), multiple=True, show_default=True, help="Milliseconds.")
@click.option(
    "--queues", default="celery,dramatiq,ours", show_default=True, help="Which to fill and to kill; empty: none."
)
@click.option("--size", default=100_000, show_default=True, help="Deletions of the figures.")
@click.option("--million", is_flag=True, help="1,000,000 final records, and archived ones, whatever --size says.")
@click.option("--peers", default=sys.executable, help="The peers' interpreter, where it is another.")
@click.option("--chart", "picture", type=click.Path(path_type=Path), help="Draw the ratios into this SVG file.")
def main(
    rows: str,
    chosen: str,
    queues: str,
    rounds: int,
    seconds: float,
    latencies_ms: tuple[int, ...],
    size: int,
    million: bool,
    peers: str,
    picture: Path | None,
) -> None:
    """Compare the cost of a deletion with other ways to make it, and measure figures of ours."""
    names = _names(rows, ROWS)
    names = ["bare", *(name for name in names if name != "bare")] if names else []
    filled = _names(queues, ROWS)
    if "dramatiq" in (*names, *filled):
        _check_peers(peers)
    latencies = [ms / 1000 for ms in latencies_ms]
    with Fleet(settings=SETTINGS, simulator=("--keep-calls", "100")) as fleet:
        print(machine() + "\n")
        if names:
            fleet.client.config_set("appendfsync", "everysec")
            costs = compare(Bench(fleet, peers, seconds), names, rounds, latencies)
            fleet.client.config_set("appendfsync", "always")
            for latency in latencies:
                print(table(costs, names, latency), flush=True)
            if picture:
                bars = [(ROWS[name].title.strip("*"), [costs[name, n].ratio for n in latencies]) for name in names]
                picture.write_text(chart.draw(bars, latencies), encoding="utf-8")
        if filled:
            bench = Bench(fleet, peers, seconds)
            found = {ROWS[name].title: waiting.find(bench, ROWS[name], QUEUED) for name in filled}
            print(waiting.table(found, QUEUED) + "\n", flush=True)
        for name in _names(chosen, figures.FIGURES):
            for line in figures.FIGURES[name](fleet, 1_000_000 if million and name in ("final", "archived") else size):
                print(line, flush=True)


if __name__ == "__main__":
    main()
