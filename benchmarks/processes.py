"""What processes have used, without root: CPU time to the nanosecond and memory of a process and all its children, and
the commands that Redis ran. And where that was."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_s(pid: int) -> float:
    """User and system seconds of the process and its children, the ended ones included."""
    return sum(_clock(one) + _of_ended_children(one) for one in _tree(pid))


def rss(pid: int) -> int:
    """Resident bytes of the process and its children."""
    return sum(int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE for one in _tree(pid))


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _tree(int(child))


def _clock(pid: int) -> float:
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3); /proc/PID/stat counts in steps of 10 ms


def _of_ended_children(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / _TICK


def commands_run(fleet: Fleet) -> int:
    """Commands that Redis ran since it started, those of scripts included."""
    stats: Any = fleet.client.info("commandstats")
    return sum(int(one["calls"]) for one in stats.values())


def machine() -> str:
    """Where this was; no names."""
    names = ("celery", "kombu", "redis", "requests", "urllib3")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    where = f"{platform.system()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    return f"{time.strftime('%Y-%m-%d')}, {where}, {versions}"
