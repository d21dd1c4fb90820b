"""How a response is sent: complete, late, byte by byte, truncated or not at all."""

from __future__ import annotations

from worker.simulator import responses
from worker.simulator.calls import Call
from worker.simulator.faults import Fault, FaultKind
from worker.simulator.http1 import Connection
from worker.simulator.responses import Reply, encode
from worker.simulator.state import SimulatorState

_GATEWAY_ERRORS = {
    401: ("APIGW.0301", "Incorrect IAM authentication information: Get secretKey failed"),
    403: ("APIGW.0302", "The IAM user is not authorized to access the API."),
    404: ("APIGW.0101", "The API does not exist or has not been published in the environment."),
    502: ("APIGW.0201", "Backend unavailable."),
    503: ("APIGW.0613", "The IAM service is currently unavailable."),
    504: ("APIGW.0201", "Backend timeout."),
}
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
            return _error(403, request_id)
        case FaultKind.HTML:
            return Reply(fault.status or 502, _HTML, "text/html")
        case FaultKind.REDIRECT:
            return Reply(fault.status or 302, headers=(("Location", "/moved"),))
        case FaultKind.ERROR_IN_200:
            return Reply(200, responses.internal_error().body)
        case FaultKind.TRUNCATED:
            return Reply(fault.status or 200, responses.as_json({"count": 1, "jobs": [], "request_id": request_id}))
        case (
            FaultKind.SLOW | FaultKind.DRIP_HEADERS | FaultKind.DRIP_BODY
        ):  # a DELETE without an effect, which ends late
            return _error(504, request_id)
        case _:
            return _error(fault.status or 500, request_id)


def _error(status: int, request_id: str) -> Reply:
    if status in _GATEWAY_ERRORS:
        code, message = _GATEWAY_ERRORS[status]
        return responses.gateway(status, code, message, request_id)
    if status == 400:
        return responses.invalid_parameter()
    return responses.mss(status, "MSS.00000004", "Internal Error")


async def deliver(reply: Reply, fault: Fault | None, call: Call, line: Connection, sim_state: SimulatorState) -> None:
    """Send `reply` as `fault` says. In the log the call ends before its last byte is sent, so that a client
    that calls again at once never has two calls in progress."""
    kind = None if fault is None else fault.kind
    seconds = 0.0 if fault is None else fault.seconds or 0.0
    if kind in {FaultKind.SLOW, FaultKind.RESET, FaultKind.CLOSE} and seconds and not await line.pause(seconds):
        call.client_left = True
        return
    match kind:
        case FaultKind.RESET | FaultKind.CLOSE | FaultKind.HANG | FaultKind.GARBAGE:
            await _no_answer(kind, call, line, sim_state)
        case FaultKind.DRIP_HEADERS | FaultKind.DRIP_BODY:
            await _drip(reply, kind, seconds, call, line, sim_state)
        case FaultKind.TRUNCATED:
            data = encode(reply, call.request_id or "", sim_state.now())
            _finish(reply, call, sim_state)
            line.send(data[: -(len(reply.body) // 2)])
            line.close()
        case _:
            data = encode(reply, call.request_id or "", sim_state.now())
            _finish(reply, call, sim_state)
            line.send(data)
            if reply.close:
                line.close()


def _finish(reply: Reply, call: Call, sim_state: SimulatorState) -> None:
    call.status, call.code = reply.status, reply.code
    sim_state.calls.finish(call)


async def _no_answer(kind: FaultKind, call: Call, line: Connection, sim_state: SimulatorState) -> None:
    if kind is FaultKind.HANG:
        await line.pause(None)
        call.client_left = True
    sim_state.calls.finish(call)
    if kind is FaultKind.RESET:
        line.reset()
        return
    if kind is FaultKind.GARBAGE:
        line.send(_NOT_HTTP)
    line.close()


async def _drip(
    reply: Reply, kind: FaultKind, seconds: float, call: Call, line: Connection, sim_state: SimulatorState
) -> None:
    if not reply.body:  # a DELETE's response has no body, but sending byte by byte needs one
        reply = Reply(reply.status, responses.as_json({"request_id": call.request_id}), code=reply.code)
    data = encode(reply, call.request_id or "", sim_state.now())
    call.status, call.code = reply.status, reply.code
    at_once = 0 if kind is FaultKind.DRIP_HEADERS else data.index(b"\r\n\r\n") + 4
    line.send(data[:at_once])
    for position in range(at_once, len(data)):
        if not await line.pause(seconds):
            call.client_left = True
            return
        if position == len(data) - 1:
            sim_state.calls.finish(call)
        line.send(data[position : position + 1])
