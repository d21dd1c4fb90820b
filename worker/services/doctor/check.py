"""One line of the doctor: verdict, what was found, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from worker.services.times import span

SKEW_S = 60.0  # clocks that differ by more stop grace periods and rescues


class Level(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Check:
    """One line. `todo` is empty if there is nothing to do."""

    name: str
    verdict: Level
    found: str
    todo: str = ""
    unreachable: bool = False  # Redis does not answer: nothing else about it can be checked

    def as_json(self) -> dict[str, Any]:
        return {"check": self.name, "verdict": self.verdict.value, "found": self.found, "todo": self.todo or None}


def ok(name: str, found: str) -> Check:
    return Check(name, Level.OK, found)


def warning(name: str, found: str, todo: str) -> Check:
    return Check(name, Level.WARNING, found, todo)


def wrong(name: str, found: str, todo: str) -> Check:
    return Check(name, Level.WRONG, found, todo)


def clock_check(name: str, apart_s: float, whose: str, todo: str) -> Check:
    if abs(apart_s) < 2:
        return ok(name, f"{whose} agrees with this machine's")
    found = f"{whose} is {span(apart_s)} {'ahead of' if apart_s > 0 else 'behind'} this machine's"
    if abs(apart_s) > SKEW_S:
        return wrong(name, found, todo)
    return warning(name, found, todo) if abs(apart_s) > 5 else ok(name, found)
