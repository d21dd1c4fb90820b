"""MetaStudio, its gateway and IAM: from a request to a response, and sending it."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass
from urllib.parse import unquote

from worker.metastudio.targets.avatar_job import is_deletable
from worker.simulator import iam, responses, views
from worker.simulator.calls import Call
from worker.simulator.faults import ORDINARY, TOKEN, Fault, OutageMode
from worker.simulator.http1 import Connection, Request
from worker.simulator.jobs import BadQuery, Viewer, read_list_query, read_query
from worker.simulator.responder import Exchange, reply_of
from worker.simulator.responses import Reply
from worker.simulator.state import SimulatorState
from worker.simulator.verification import Credential, Refusal, read_authorization

_JOBS = re.compile(r"/v1/([^/]+)/digital-human-training-manage/user/jobs(?:/([^/]+))?")


@dataclass(frozen=True, slots=True)
class Route:
    """The route of a request. `operation` is delete, show, list, token or other."""

    operation: str
    project: str | None = None
    job_id: str | None = None


def route_of(request: Request) -> Route:
    """Find the operation of a request; a collection with a trailing slash is neither a job nor the collection."""
    if request.path == iam.PATH and request.method == "POST":
        return Route("token", iam.scope_of(request))
    found = _JOBS.fullmatch(request.path)
    if found is None:
        return Route("other")
    project, job_id = unquote(found[1]), None if found[2] is None else unquote(found[2])
    match request.method, job_id:
        case "DELETE", str():
            return Route("delete", project, job_id)
        case "GET", str():
            return Route("show", project, job_id)
        case "GET", None:
            return Route("list", project, read_query(request.query).get("job_id"))
        case _:
            return Route("other", project, job_id)


class MetaStudio:
    """Answers one call at a time per connection; all decisions are in `_decide`, all waiting in `serve`."""

    def __init__(self, state: SimulatorState) -> None:
        self.state = state

    async def serve(self, request: Request, line: Connection) -> None:
        """Process one call from its arrival to its last byte, or until its client leaves."""
        state, route = self.state, route_of(request)
        call = state.calls.begin(request.method, route.operation, route.project, route.job_id, request.query)
        call.request_id, call.app_user = responses.new_request_id(), request.header.get("x-app-userid")
        exchange = Exchange(call, line, state)
        try:
            if not await self._through_outage(exchange):
                return
            wait = self._latency()
            if wait:  # a request that arrived is executed, whether or not its client still waits
                await line.pause(wait / 2)
            reply, fault = self._decide(request, route, call)
            if not wait or await exchange.pause(wait / 2):
                await exchange.deliver(reply, fault)
        finally:
            call.client_left = call.client_left or (line.client_left and call.ended is None)
            exchange.end()

    def _latency(self) -> float:
        behaviour = self.state.behaviour
        jitter = random.uniform(0, behaviour.jitter_s) if behaviour.jitter_s else 0.0  # noqa: S311 - not a secret
        return behaviour.latency_s + jitter

    async def _through_outage(self, exchange: Exchange) -> bool:
        """True if the service is up; otherwise the call has been ended."""
        outage, call = self.state.outage, exchange.call
        method = TOKEN if call.operation == "token" else call.method
        if outage is None or not outage.fits(method, call.project, time.monotonic()):
            return True
        call.fault = f"outage:{outage.mode.value}"
        match outage.mode:
            case OutageMode.HANG:
                await exchange.pause(None)
                exchange.line.close()
            case OutageMode.REFUSE | OutageMode.CLOSED:
                exchange.end()
                exchange.line.reset()
            case OutageMode.BROWNOUT if call.operation == "list":
                await exchange.deliver(responses.listing(0, []))
            case OutageMode.ERROR | OutageMode.BROWNOUT:
                await exchange.deliver(responses.INTERNAL_ERROR)
            case OutageMode.UNAVAILABLE:
                await exchange.deliver(responses.error(503, call.request_id))
        return False

    def _decide(self, request: Request, route: Route, call: Call) -> tuple[Reply, Fault | None]:
        """Gateway first (route, signature, project, throttling), then faults, then MetaStudio itself."""
        state, now = self.state, time.monotonic()
        if route.operation == "token":
            return self._grant(request, route, call)
        if route.operation == "other" or route.project is None:
            return responses.error(404, call.request_id), None
        admitted = self._admit(request, call)
        if isinstance(admitted, Refusal):
            call.refused = admitted.reason.value
            return responses.refused(admitted.code, admitted.message, call.request_id), None
        call.ak = admitted.ak
        named = request.header.get("x-project-id", None if call.token is None else route.project)
        if route.project not in admitted.projects or named != route.project:
            return responses.WRONG_PROJECT, None
        if not state.throttle.admits(request.method, route.project, now):
            limit = state.throttle.per_s[request.method] or 0
            return responses.throttled(call.request_id, limit, state.behaviour.retry_after_s), None
        isolated = state.behaviour.isolate_app_users
        viewer = Viewer(route.project, call.app_user, admitted.sees_jobs, isolated)
        fault = state.faults.take(request.method, route.project, route.job_id)
        if fault is None:
            return self._ordinary(route, request, call, viewer), None
        call.fault = fault.kind.value
        if fault.deletes or route.operation != "delete":
            ordinary = self._ordinary(route, request, call, viewer)
            if fault.kind in ORDINARY:
                return ordinary, fault
        return reply_of(fault, call.request_id), fault

    def _admit(self, request: Request, call: Call) -> Credential | Refusal:
        """The caller: by its token if it has one, else by its signature."""
        now = time.monotonic()
        if "x-auth-token" in request.header:
            admitted, call.token = self.state.iam.admit(request, now, self.state.behaviour.refuse_tokens)
            return admitted
        claim = read_authorization(request)
        call.ak = None if claim is None else claim.ak
        return self.state.keys.admit(request, self.state.now(), now)

    def _grant(self, request: Request, route: Route, call: Call) -> tuple[Reply, Fault | None]:
        """IAM's own response, or that of a fault."""
        fault = self.state.faults.take(TOKEN, route.project or "", None)
        if fault is not None:
            call.fault = fault.kind.value
            if fault.kind not in ORDINARY:
                return iam.reply_of(fault) or reply_of(fault, call.request_id), fault
        life_s = self.state.behaviour.token_life_s
        reply, call.token = self.state.iam.grant(request, self.state.now(), time.monotonic(), life_s)
        return reply, fault

    def _ordinary(self, route: Route, request: Request, call: Call, viewer: Viewer) -> Reply:
        store, behaviour, now, job_id = self.state.job_store, self.state.behaviour, time.monotonic(), route.job_id or ""
        if route.operation == "list":
            try:
                count, jobs = store.list(read_list_query(request.query, behaviour.ignore_filters), viewer, now)
            except BadQuery:
                return responses.INVALID_PARAMETER
            return responses.odd_listing(behaviour.lists, count, [views.row(job, now) for job in jobs], job_id)
        job = store.find(job_id, viewer)
        if job is None:
            return responses.CHOICES[behaviour.absent]
        if route.operation == "show":
            return Reply(200, responses.as_json(views.detail(job, now)))
        if not is_deletable(job.state_at(now)):
            return responses.CHOICES[behaviour.not_deletable]
        store.delete(job)
        self.state.calls.effect(call)
        return Reply(200)
