"""A picture of the dashboard for Grafana, from a real run: docs/dashboard.svg.

    python -m benchmarks.dashboard [--beat 15] [--rate 5] [--picture docs/dashboard.svg]

Two workers delete for some minutes while MetaStudio fails, throttles and hangs, an endpoint refuses its webhooks and
both workers are killed. A real Prometheus scrapes them and evaluates the queries of docs/grafana.json. Only the drawing
is ours, so that it needs no Grafana: there it looks different.
"""

from __future__ import annotations

import itertools
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import click

from tests.acceptance.fleet import Fleet
from tests.acceptance.test_prometheus import scraped_fleet, trouble
from tests.support.prometheus import as_grafana_sends
from tests.support.webhook_receiver import Receiver
from worker.model.states import Lane
from worker.services.dashboard import dashboard

COLUMN, ROW, TOP = 50, 27, 34  # pixels of a cell of Grafana's grid, and what stands above it
RATE_INTERVAL_S, STEP_S = 12, 3
COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d", "#fade2a", "#ffa6b0")
STYLE = """
  text { font: 11px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 11px } .row { font-weight: 600; font-size: 14px } .small { font-size: 9px }
  .number { font-size: 26px; font-weight: 600 } .panel { fill: #f6f8fa; stroke: #d1d9e0 } .line { stroke: #d1d9e0 }
  polyline { fill: none; stroke-width: 1.3 } .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .panel { fill: #161b22; stroke: #30363d } .line { stroke: #30363d } .page { fill: #0d1117 }
  }
"""

Points = dict[float, float]  # by time


def load(fleet: Fleet, rate: float, over: threading.Event) -> None:
    """Requests at a pace, one of ten of them a person's."""
    for n in itertools.count():
        if over.wait(1 / rate):
            return
        fleet.ask(*fleet.plant(f"job-{n:05d}"), lane=Lane.BULK if n % 10 else Lane.USER)


def words(unit: str, value: float) -> str:
    match unit:
        case "bool_yes_no":
            return "Yes" if value else "No"
        case "bytes":
            return f"{value / 2**20:.1f} MiB"
        case "s" if value < 1:
            return f"{value * 1000:.0f} ms"
    return f"{value:.3g}" + {"s": " s", "cpm": "/min", "cps": "/s"}.get(unit, "")


class Panel:
    """One panel of the dashboard with what its queries found."""

    def __init__(self, form: dict[str, Any], found: list[tuple[str, Points]], times: list[float]) -> None:
        at, defaults = form["gridPos"], form["fieldConfig"]["defaults"]
        self.title, self.unit, self.found, self.times = form["title"], defaults["unit"], found, times
        self.steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is not None]
        self.stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
        self.x, self.y = at["x"] * COLUMN + 3, at["y"] * ROW + TOP + 3
        self.w, self.h = at["w"] * COLUMN - 6, at["h"] * ROW - 6
        self.kind = form["type"]

    def draw(self) -> Iterator[str]:
        yield f'<g transform="translate({self.x} {self.y})">'
        yield f'<rect class="panel" width="{self.w}" height="{self.h}" rx="3"/>'
        yield f'<text class="title" x="8" y="16">{escape(self.title)}</text>'
        yield from {"stat": self._number, "timeseries": self._lines, "status-history": self._history}[self.kind]()
        yield "</g>"

    def _number(self) -> Iterator[str]:
        value = list(self.found[0][1].values())[-1]
        colour = {"green": COLOURS[0], "yellow": COLOURS[1], "red": COLOURS[4]}[
            next((step["color"] for step in reversed(self.steps) if value >= step["value"]), "green")
        ]
        yield f'<text class="number" x="8" y="{self.h - 32}" style="fill:{colour}">{words(self.unit, value)}</text>'

    def _lines(self) -> Iterator[str]:
        lines, below = [], dict.fromkeys(self.times, 0.0)
        for _, points in self.found:
            line = {at: value + (below[at] if self.stacked else 0) for at, value in points.items() if value == value}
            below |= line
            lines.append(line)
        most = max((value for line in lines for value in line.values()), default=0) or 1
        left, top, bottom = 50, 28, self.h - 32
        for share in (0, 0.5, 1):
            y = bottom - share * (bottom - top)
            yield f'<path class="line" d="M{left} {y:.0f}H{self.w - 8}"/>'
            mark = words(self.unit, share * most)
            yield f'<text class="small" x="{left - 4}" y="{y + 3:.0f}" text-anchor="end">{mark}</text>'
        begin, right, up = self.times[0], (self.w - left - 8) / (self.times[-1] - self.times[0]), (bottom - top) / most
        for n, line in enumerate(lines):
            if self.stacked and not any(self.found[n][1].values()):
                continue  # it would hide the one below
            spots = " ".join(
                f"{left + (at - begin) * right:.0f},{bottom - value * up:.0f}" for at, value in line.items()
            )
            yield f'<polyline points="{spots}" style="stroke:{COLOURS[n % len(COLOURS)]}"/>'
        yield from self._legend()

    def _history(self) -> Iterator[str]:
        first, last = self.times[0], self.times[-1]
        for n, (name, points) in enumerate(self.found):
            y = 30 + n * 20
            yield f'<text class="small" x="8" y="{y + 10}">{escape(name)}</text>'
            for at in points:
                x = 120 + (at - first) / (last - first) * (self.w - 134)
                yield f'<path d="M{x:.0f} {y}v14h6v-14" style="fill:{COLOURS[n % len(COLOURS)]}"/>'

    def _legend(self) -> Iterator[str]:
        x, y = 8.0, self.h - 18
        for n, (name, _) in enumerate(self.found):
            if x + len(name) * 5 > self.w - 20:
                x, y = 8.0, y + 11
            if y > self.h:
                return
            yield f'<rect x="{x:.0f}" y="{y - 5}" width="8" height="3" style="fill:{COLOURS[n % len(COLOURS)]}"/>'
            yield f'<text class="small" x="{x + 11:.0f}" y="{y}">{escape(name)}</text>'
            x += len(name) * 5 + 24


def picture(series: Any, begin: int, end: int, about: str) -> str:
    """The whole dashboard. series: what a query found."""
    times = [float(at) for at in range(begin, end, STEP_S)]
    body, bottom = [f'<text x="6" y="20">{escape(about)}</text>'], 0
    for form in dashboard()["panels"]:
        at = form["gridPos"]
        bottom = max(bottom, (at["y"] + at["h"]) * ROW + TOP)
        if form["type"] == "row":
            body.append(f'<text class="row" x="6" y="{at["y"] * ROW + TOP + 19}">{escape(form["title"])}</text>')
            continue
        found = [
            (re.sub(r"{{(\w+)}}", lambda m, one=one: one["metric"].get(m[1], ""), target["legendFormat"]), points(one))
            for target in form["targets"]
            for one in series(as_grafana_sends(target["expr"], RATE_INTERVAL_S), begin, times[-1], STEP_S)
        ]
        body += Panel(form, found, times).draw()
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {bottom + 4}" role="img" '
        f'aria-label="{escape(about)}">\n<style>{STYLE}</style>\n<rect class="page" width="100%" height="100%"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def points(one: dict[str, Any]) -> Points:
    return {float(at): float(value) for at, value in one["values"]}


@click.command()
@click.option("--beat", default=15.0, show_default=True, help="Seconds from one trouble to the next.")
@click.option("--rate", default=5.0, show_default=True, help="Requests a second.")
@click.option("--picture", "file", default="docs/dashboard.svg", show_default=True, type=click.Path(path_type=Path))
def main(beat: float, rate: float, file: Path) -> None:
    """Draw the dashboard of a run."""
    over = threading.Event()
    with (
        tempfile.TemporaryDirectory() as folder,
        Receiver() as receiver,
        scraped_fleet(Path(folder), receiver, simulator=("--latency", "0.05"), ERASER_RATE="10") as (fleet, prometheus),
    ):
        began = time.time()
        asking = threading.Thread(target=load, args=(fleet, rate, over), daemon=True)
        asking.start()
        time.sleep(2 * beat)
        trouble(fleet, receiver, lambda: time.sleep(beat))
        ended = time.time()
        over.set()
        asking.join()
        fleet.wait(lambda: fleet.settled() == sum(fleet.states().values()), "all are settled")
        about = (
            f"The dashboard's queries, evaluated by Prometheus over {ended - began:.0f} s of a run with trouble. "
            "Drawn by benchmarks/dashboard.py; in Grafana it looks different."
        )
        file.write_text(picture(prometheus.series, int(began), int(ended), about), encoding="utf-8")
    click.echo(f"{file}: {file.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
