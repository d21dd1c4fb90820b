"""How a response is sent: complete, late, byte by byte, truncated or not at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from worker.simulator import responses
from worker.simulator.calls import Call
from worker.simulator.faults import ORDINARY, Fault, FaultKind
from worker.simulator.http1 import Connection
from worker.simulator.responses import Reply, encode
from worker.simulator.state import SimulatorState

_HTML = (
    b"<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"
)
_NOT_HTTP = b"\x16\x03\x01\x00\xff these bytes are no HTTP \x00\x01\x02\r\n\r\n"


def reply_of(fault: Fault, request_id: str) -> Reply:
    """The response that a fault sends instead of the ordinary one."""
    match fault.kind:
        case FaultKind.THROTTLED:
            return responses.throttled(request_id, 10, fault.retry_after_s)
        case FaultKind.FORBIDDEN:
            return responses.error(403, request_id)
        case FaultKind.HTML:
            return Reply(fault.status or 502, _HTML, "text/html")
        case FaultKind.REDIRECT:
            return Reply(fault.status or 302, headers=(("Location", "/moved"),))
        case FaultKind.ERROR_IN_200:
            return Reply(200, responses.INTERNAL_ERROR.body)
        case FaultKind.TRUNCATED:
            return Reply(fault.status or 200, responses.as_json({"count": 1, "jobs": [], "request_id": request_id}))
        case kind if kind in ORDINARY:  # a DELETE without an effect, which ends late
            return responses.error(504, request_id)
        case _:
            return responses.error(fault.status or 500, request_id)


@dataclass(slots=True)
class Exchange:
    """One call and the connection that it came on. In the log the call ends before its last byte is sent, so that a
    client that calls again at once never has two calls in progress.
    """

    call: Call
    line: Connection
    state: SimulatorState

    async def deliver(self, reply: Reply, fault: Fault | None = None) -> None:
        """Send `reply` as `fault` says."""
        kind = None if fault is None else fault.kind
        seconds = 0.0 if fault is None else fault.seconds or 0.0
        if kind in {FaultKind.SLOW, FaultKind.RESET, FaultKind.CLOSE} and seconds and not await self.pause(seconds):
            return
        match kind:
            case FaultKind.RESET:
                self.end()
                self.line.reset()
            case FaultKind.CLOSE | FaultKind.HANG | FaultKind.GARBAGE:
                if kind is FaultKind.HANG:
                    await self.pause(None)
                self.end()
                if kind is FaultKind.GARBAGE:
                    self.line.send(_NOT_HTTP)
                self.line.close()
            case FaultKind.DRIP_HEADERS | FaultKind.DRIP_BODY:
                await self._drip(reply, seconds, head_at_once=kind is FaultKind.DRIP_BODY)
            case _:
                data = self._encode(reply)
                self.end()
                self.line.send(data[: -(len(reply.body) // 2)] if kind is FaultKind.TRUNCATED else data)
                if reply.close or kind is FaultKind.TRUNCATED:
                    self.line.close()

    async def pause(self, seconds: float | None) -> bool:
        """Wait (None: forever); returns whether the client is still there."""
        here = await self.line.pause(seconds)
        self.call.client_left = not here
        return here

    def end(self) -> None:
        self.state.calls.finish(self.call)

    def _encode(self, reply: Reply) -> bytes:
        self.call.status, self.call.code = reply.status, reply.code
        return encode(reply, self.call.request_id, self.state.now())

    async def _drip(self, reply: Reply, seconds: float, *, head_at_once: bool) -> None:
        if not reply.body:  # a DELETE's response has no body, but sending byte by byte needs one
            reply = replace(reply, body=responses.as_json({"request_id": self.call.request_id}))
        data = self._encode(reply)
        at_once = data.index(b"\r\n\r\n") + 4 if head_at_once else 0
        self.line.send(data[:at_once])
        for position in range(at_once, len(data)):
            if not await self.pause(seconds):
                return
            if position == len(data) - 1:
                self.end()
            self.line.send(data[position : position + 1])
