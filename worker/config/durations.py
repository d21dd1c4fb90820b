"""Durations: a number and `s`, `m`, `h` or `d`, as in settings and on the command line."""

from __future__ import annotations

import re
from decimal import Decimal

from worker.model.errors import UsageError

SECONDS_IN = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST = 3650 * SECONDS_IN["d"]  # ten years: anything longer is a typing error

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")
_EXPECTED = "a number and s, m, h or d, such as 30s, 0.5s, 2m, 4h or 30d"


def parse_duration(text: str) -> float:
    """Seconds, always above zero. Raises `UsageError` saying what was expected."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"expected {_EXPECTED}; found {text.strip()[:40]!r}")
    seconds = float(Decimal(match[1]) * SECONDS_IN[match[2]])
    if not 0 < seconds <= LONGEST:
        raise UsageError(f"expected more than 0s and at most {format_duration(LONGEST)}; found {text.strip()!r}")
    return seconds


def parse_schedule(text: str) -> tuple[float, ...]:
    """The waits between attempts, in seconds: `10s,30s,2m`."""
    steps = [step.strip() for step in text.split(",")]
    if not all(steps):
        raise UsageError(f"expected durations with commas between them, such as 10s,30s,2m; found {text!r}")
    return tuple(parse_duration(step) for step in steps)


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back as exactly `seconds`."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % SECONDS_IN[unit] == 0:
            return f"{int(seconds // SECONDS_IN[unit])}{unit}"
    number = format(Decimal(repr(float(seconds))), "f")
    return f"{number.rstrip('0').rstrip('.') if '.' in number else number}s"


def format_schedule(steps: tuple[float, ...]) -> str:
    """The steps with commas between them, as `parse_schedule` reads them."""
    return ",".join(format_duration(step) for step in steps)
