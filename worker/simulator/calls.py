"""The simulator's own log of calls: the judge of the acceptance tests."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from dataclasses import dataclass, fields
from itertools import islice
from operator import attrgetter
from pathlib import Path
from typing import TextIO

from worker.simulator.limits import Peak


@dataclass(slots=True)
class Call:
    """One call. It ends when its last byte is passed to the socket, or when the client leaves, whichever is first."""

    n: int  # 1, 2, 3… in the order calls arrived
    method: str
    operation: str  # delete, show, list, token or other
    project: str | None
    job_id: str | None  # of the path, or the list's job_id filter
    started: float  # monotonic seconds
    started_at: float  # Unix time of this machine, the clock offset left out
    ak: str | None = None  # the key that a readable Authorization names, refused ones included; iam:<user> for a token
    token: int | None = None  # number of the token that was issued, or that came with the call
    app_user: str | None = None
    query: str = ""
    status: int | None = None  # None: no status line was sent
    code: str | None = None
    fault: str | None = None  # kind of the fault, or outage:<mode>
    refused: str | None = None  # why the signature was refused
    effect: bool = False  # the job is deleted by this call
    request_id: str = ""
    client_left: bool = False  # before the answer was complete
    ended: float | None = None
    ended_at: float | None = None


_FIELDS = tuple(field.name for field in fields(Call))
_values = attrgetter(*_FIELDS)


def record(call: Call) -> dict[str, object]:
    """The call as a dict; it takes a sixth of the time of `asdict`, which would block the server while tests read
    the log.
    """
    return dict(zip(_FIELDS, _values(call), strict=True))


class CallLog:
    """Every call in memory (`keep` bounds it), running totals, and a JSON line per finished call in `path`."""

    def __init__(self, keep: int | None = None, path: Path | None = None) -> None:
        self._keep = keep
        self._file: TextIO | None = None if path is None else path.open("a", encoding="utf-8", buffering=1)
        self.forget()

    def forget(self) -> None:
        """Clear the log; the file keeps its lines."""
        self._calls: deque[Call] = deque(maxlen=self._keep)
        self._count = 0
        self._by_status, self._by_operation, self._by_fault = Counter[str](), Counter[str](), Counter[str]()
        self._refused, self._effects, self._deletes = Counter[str](), Counter[str](), Counter[str]()
        self._under_way: Counter[tuple[str | None, str]] = Counter()
        self._open: dict[int, Call] = {}
        self._overlaps: dict[str, int] = {}
        self._peaks: dict[tuple[str, str], Peak] = {}

    def begin(self, method: str, operation: str, project: str | None, job_id: str | None, query: str = "") -> Call:
        """Record an arrival."""
        self._count += 1
        now = time.monotonic()
        call = Call(self._count, method, operation, project, job_id, now, time.time(), query=query)
        self._calls.append(call)
        self._open[call.n] = call
        self._by_operation[operation] += 1
        if project is not None:
            self._peaks.setdefault((project, method), Peak()).count(now)
        if operation == "delete" and job_id is not None:
            self._deletes[job_id] += 1
            self._under_way[(project, job_id)] += 1
            if (together := self._under_way[(project, job_id)]) > 1:
                self._overlaps[job_id] = max(together, self._overlaps.get(job_id, 0))
        return call

    def effect(self, call: Call) -> None:
        """Record that the call's job is deleted now."""
        call.effect = True
        self._effects[call.job_id or ""] += 1

    def finish(self, call: Call) -> None:
        """Record the end; only the first of several counts, and a call from before `forget` does not count."""
        if call.ended is not None:
            return
        call.ended, call.ended_at = time.monotonic(), time.time()
        if self._open.get(call.n) is call:
            self._close(call)
        if self._file is not None:
            self._file.write(json.dumps(record(call)) + "\n")

    def _close(self, call: Call) -> None:
        del self._open[call.n]
        self._by_status[str(call.status) if call.status is not None else "none"] += 1
        if call.fault is not None:
            self._by_fault[call.fault] += 1
        if call.refused is not None:
            self._refused[call.refused] += 1
        if call.operation == "delete" and call.job_id is not None:
            key = (call.project, call.job_id)
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    def page(self, since: int = 0, limit: int = 1000, job_id: str | None = None) -> list[dict[str, object]]:
        """Calls after number `since`, oldest first; for a call in progress `ended` is None."""
        first = self._calls[0].n if self._calls else 1
        later = islice(self._calls, max(0, since + 1 - first), None)
        matching = (call for call in later if job_id is None or call.job_id == job_id)
        return [record(call) for call in islice(matching, limit)]

    def effects(self) -> dict[str, int]:
        """How often each job was really deleted."""
        return dict(self._effects)

    def deletes(self) -> dict[str, int]:
        """How often a DELETE of each job arrived."""
        return dict(self._deletes)

    def stats(self) -> dict[str, object]:
        """Totals since the start or the last reset; the fields are described in `controls.Controls.stats`."""
        peaks: dict[str, dict[str, int]] = {}
        for (project, method), peak in self._peaks.items():
            peaks.setdefault(project, {})[method] = peak.highest
        return {
            "total": self._count,
            "under_way": len(self._open),
            "by_status": dict(self._by_status),
            "by_operation": dict(self._by_operation),
            "by_fault": dict(self._by_fault),
            "effects": sum(self._effects.values()),
            "most_effects_of_a_job": max(self._effects.values(), default=0),
            "most_deletes_of_a_job": max(self._deletes.values(), default=0),
            "max_overlap": max(self._overlaps.values(), default=1 if self._deletes else 0),
            "overlaps": dict(self._overlaps),
            "peak_per_second": peaks,
            "throttled": self._by_status["429"],
            "refused_signatures": sum(self._refused.values()),
            "refused_by_reason": dict(self._refused),
        }

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
