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

from worker.simulator.kinds import CHANGES, JOB, Route
from worker.simulator.limits import Peak


@dataclass(slots=True)
class Call:
    """One call. It ends when its last byte is passed to the socket, or when the client leaves, whichever is first."""

    n: int  # 1, 2, 3… in the order calls arrived
    method: str
    operation: str  # delete, show, list, update, restore, summary, token, an issuer's or other
    kind: str  # of the resource: job, asset or voice_job
    project: str | None
    id: str | None  # of the path, or the one that a list asks for
    job_id: str | None  # the same if it is a training job's
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
    effect: bool = False  # this call deleted or changed the resource
    request_id: str = ""
    client_left: bool = False  # before the answer was complete
    ended: float | None = None
    ended_at: float | None = None

    @property
    def route(self) -> Route:
        return Route(self.operation, self.kind, self.project, self.id)


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
        self._refused = Counter[str]()
        self._effects: dict[str, Counter[str]] = {}
        self._deletes: dict[str, Counter[str]] = {}
        self._under_way: Counter[tuple[str | None, str]] = Counter()
        self._open: dict[int, Call] = {}
        self._overlaps: dict[str, int] = {}
        self._peaks: dict[tuple[str, str], Peak] = {}

    def begin(self, method: str, route: Route, query: str = "") -> Call:
        """Record an arrival."""
        self._count += 1
        now, (operation, kind, project, id) = time.monotonic(), route
        call = Call(self._count, method, *route, id if kind == JOB else None, now, time.time(), query=query)
        self._calls.append(call)
        self._open[call.n] = call
        self._by_operation[operation if kind == JOB else f"{kind}.{operation}"] += 1
        if project is not None:
            self._peaks.setdefault((project, method if kind == JOB else route.family), Peak()).count(now)
        if operation == "delete" and id is not None:
            self._deletes.setdefault(kind, Counter())[id] += 1
        if operation in CHANGES and id is not None:
            self._under_way[(project, route.label)] += 1
            if (together := self._under_way[(project, route.label)]) > 1:
                self._overlaps[route.label] = max(together, self._overlaps.get(route.label, 0))
        return call

    def effect(self, call: Call) -> None:
        """Record that the call has deleted or changed its resource now."""
        call.effect = True
        if call.operation == "delete":
            self._effects.setdefault(call.kind, Counter())[call.id or ""] += 1

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
        if call.operation in CHANGES and call.id is not None:
            key = (call.project, call.route.label)
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    def page(self, since: int, limit: int, kind: str | None, id: str | None) -> list[dict[str, object]]:
        """Calls after number `since`, oldest first; for a call in progress `ended` is None."""
        first = self._calls[0].n if self._calls else 1
        later = islice(self._calls, max(0, since + 1 - first), None)
        matching = (call for call in later if kind in (None, call.kind) and id in (None, call.id))
        return [record(call) for call in islice(matching, limit)]

    def effects(self, kind: str = JOB) -> dict[str, int]:
        """How often each resource was really deleted."""
        return dict(self._effects.get(kind, {}))

    def deletes(self, kind: str = JOB) -> dict[str, int]:
        """How often a DELETE of each resource arrived."""
        return dict(self._deletes.get(kind, {}))

    def stats(self) -> dict[str, object]:
        """Totals since the start or the last reset; the fields are described in `controls.Controls.stats`."""
        effects, deletes = self.effects(), self.deletes()
        peaks: dict[str, dict[str, int]] = {}
        for (project, method), peak in self._peaks.items():
            peaks.setdefault(project, {})[method] = peak.highest
        return {
            "total": self._count,
            "under_way": len(self._open),
            "by_status": dict(self._by_status),
            "by_operation": dict(self._by_operation),
            "by_fault": dict(self._by_fault),
            "effects": sum(effects.values()),
            "most_effects_of_a_job": max(effects.values(), default=0),
            "most_deletes_of_a_job": max(deletes.values(), default=0),
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
