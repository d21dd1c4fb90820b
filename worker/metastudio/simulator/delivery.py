"""How an answer reaches the client: whole, late, in drops, cut short or not at all."""

from __future__ import annotations

from worker.metastudio.simulator import answers
from worker.metastudio.simulator.answers import Reply, encode
from worker.metastudio.simulator.calls import Call
from worker.metastudio.simulator.faults import Fault, Kind
from worker.metastudio.simulator.wire import Connection
from worker.metastudio.simulator.world import World

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
    """The answer that a fault puts in the place of the ordinary one."""
    match fault.kind:
        case Kind.THROTTLED:
            return answers.throttled(request_id, 10, fault.retry_after_s)
        case Kind.FORBIDDEN:
            return _error(403, request_id)
        case Kind.HTML:
            return Reply(fault.status or 502, _HTML, "text/html")
        case Kind.REDIRECT:
            return Reply(fault.status or 302, headers=(("Location", "/moved"),))
        case Kind.ERROR_IN_200:
            return Reply(200, answers.internal_error().body)
        case Kind.TRUNCATED:
            return Reply(fault.status or 200, answers.as_json({"count": 1, "jobs": [], "request_id": request_id}))
        case Kind.SLOW | Kind.DRIP_HEADERS | Kind.DRIP_BODY:  # a DELETE that takes no effect, and ends late
            return _error(504, request_id)
        case _:
            return _error(fault.status or 500, request_id)


def _error(status: int, request_id: str) -> Reply:
    if status in _GATEWAY_ERRORS:
        code, message = _GATEWAY_ERRORS[status]
        return answers.gateway(status, code, message, request_id)
    if status == 400:
        return answers.invalid_parameter()
    return answers.mss(status, "MSS.00000004", "Internal Error")


async def deliver(reply: Reply, fault: Fault | None, call: Call, line: Connection, world: World) -> None:
    """Send `reply` the way `fault` wants it. The call ends in the log before its last byte leaves, so that a client
    which calls again at once is never seen twice."""
    kind = None if fault is None else fault.kind
    seconds = 0.0 if fault is None else fault.seconds or 0.0
    if kind in {Kind.SLOW, Kind.RESET, Kind.CLOSE} and seconds and not await line.pause(seconds):
        call.client_left = True
        return
    match kind:
        case Kind.RESET | Kind.CLOSE | Kind.HANG | Kind.GARBAGE:
            await _no_answer(kind, call, line, world)
        case Kind.DRIP_HEADERS | Kind.DRIP_BODY:
            await _drip(reply, kind, seconds, call, line, world)
        case Kind.TRUNCATED:
            data = encode(reply, call.request_id or "", world.now())
            _finish(reply, call, world)
            line.send(data[: -(len(reply.body) // 2)])
            line.close()
        case _:
            data = encode(reply, call.request_id or "", world.now())
            _finish(reply, call, world)
            line.send(data)
            if reply.close:
                line.close()


def _finish(reply: Reply, call: Call, world: World) -> None:
    call.status, call.code = reply.status, reply.code
    world.calls.finish(call)


async def _no_answer(kind: Kind, call: Call, line: Connection, world: World) -> None:
    if kind is Kind.HANG:
        await line.pause(None)
        call.client_left = True
    world.calls.finish(call)
    if kind is Kind.RESET:
        line.reset()
        return
    if kind is Kind.GARBAGE:
        line.send(_NOT_HTTP)
    line.close()


async def _drip(reply: Reply, kind: Kind, seconds: float, call: Call, line: Connection, world: World) -> None:
    if not reply.body:  # a DELETE's answer has none, but a drip needs one
        reply = Reply(reply.status, answers.as_json({"request_id": call.request_id}), code=reply.code)
    data = encode(reply, call.request_id or "", world.now())
    call.status, call.code = reply.status, reply.code
    at_once = 0 if kind is Kind.DRIP_HEADERS else data.index(b"\r\n\r\n") + 4
    line.send(data[:at_once])
    for position in range(at_once, len(data)):
        if not await line.pause(seconds):
            call.client_left = True
            return
        if position == len(data) - 1:
            world.calls.finish(call)
        line.send(data[position : position + 1])
