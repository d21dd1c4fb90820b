"""Calls of the real client, answered by the simulator without a socket: for thousands of steps, or a kill at each."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import requests

from worker.metastudio.exchange import Call, Reply
from worker.metastudio.response import TransportFailure
from worker.simulator.faults import FaultKind
from worker.simulator.http1 import Request
from worker.simulator.responses import new_request_id
from worker.simulator.routes import route_of
from worker.simulator.service import MetaStudio
from worker.simulator.state import SimulatorState

_SILENT = {FaultKind.RESET: TransportFailure.RESET, FaultKind.HANG: TransportFailure.TIMEOUT}


@dataclass
class InProcess:
    """In the place of a client's transport. `before` and `after` are called around each call."""

    state: SimulatorState
    before: Callable[[str], None] = lambda _: None
    after: Callable[[str], None] = lambda _: None
    studio: MetaStudio = field(init=False)

    def __post_init__(self) -> None:
        self.studio = MetaStudio(self.state)

    def exchange(self, request: requests.PreparedRequest, call: Call, *, max_body_bytes: int) -> Reply:
        self.before(request.method or "")
        call.sent_at = started = time.monotonic()
        headers = tuple((name.lower(), str(value)) for name, value in request.headers.items())
        body = request.body if isinstance(request.body, bytes) else b""
        parsed = Request(request.method or "", "/" + (request.url or "").split("/", 3)[3], headers, body)
        log = self.state.calls
        record = log.begin(parsed.method, route_of(parsed), parsed.query)
        record.request_id, record.app_user = new_request_id(), parsed.header.get("x-app-userid")
        reply, fault = self.studio._decide(parsed, record)
        record.status, record.code = reply.status, reply.code
        log.finish(record)
        self.after(parsed.method)
        ms = int((time.monotonic() - started) * 1000)
        if fault is not None and fault.kind in _SILENT:
            return Reply(None, _SILENT[fault.kind], ms, sent_at=started)
        found = {"Content-Type": reply.content_type, "X-Request-Id": record.request_id, **dict(reply.headers)}
        return Reply(reply.status, None, ms, found, reply.body, sent_at=started)

    def close(self) -> None:
        """There is nothing to close."""
