"""The last hour as a chart: one bar per minute, drawn as SVG without a script. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.services.throughput import Minute

WIDTH, HEIGHT, GAP = 720, 120, 2


@dataclass(frozen=True, slots=True)
class Bar:
    """One minute: deleted or gone below, died on top. In units of the chart."""

    text: str
    x: float
    width: float
    well_y: float
    well: float
    dead_y: float
    dead: float


@dataclass(frozen=True, slots=True)
class Chart:
    bars: tuple[Bar, ...]
    top: int  # the value of the full height
    limit_y: float | None  # where as many end as calls are allowed; None: above the picture
    width: int = WIDTH
    height: int = HEIGHT


def chart(minutes: Sequence[Minute], limit: float) -> Chart:
    """Bars from left (an hour ago) to right (now). Any value above zero is visible. limit: calls a minute."""
    top = round_up(max((minute.well + minute.dead for minute in minutes), default=0))
    step = WIDTH / max(len(minutes), 1)
    bars = []
    for number, minute in enumerate(minutes):
        well, dead = _height(minute.well, top), _height(minute.dead, top)
        well = min(well, HEIGHT - dead)
        shape = (number * step + GAP / 2, step - GAP, HEIGHT - well, well, HEIGHT - well - dead, dead)
        text = f"{minute.label} UTC: {minute.well:,} deleted or gone, {minute.dead:,} died"
        bars.append(Bar(text, *(round(size, 2) for size in shape)))
    return Chart(tuple(bars), top, round(HEIGHT - limit * HEIGHT / top, 2) if limit <= top else None)


def round_up(number: int) -> int:
    """The next of 1, 2, 5, 10, 20, 50, …: a scale that is easy to read."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if number <= step * size:
                return step * size
        size *= 10


def _height(number: int, top: int) -> float:
    return max(2.0, number * HEIGHT / top) if number else 0.0
