"""MetaStudio, its gateway and IAM: from a request to a response, and sending it."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass, replace
from urllib.parse import unquote

from worker.metastudio.targets.avatar_job import is_deletable
from worker.simulator import iam, responses, views
from worker.simulator.calls import Call
from worker.simulator.faults import ORDINARY, TOKEN, Fault, OutageMode
from worker.simulator.http1 import Connection, Request
from worker.simulator.jobs import BadQuery, Viewer, asked_for, read_query
from worker.simulator.responder import deliver, reply_of
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

    def __init__(self, sim_state: SimulatorState) -> None:
        self.sim_state = sim_state

    async def serve(self, request: Request, line: Connection) -> None:
        """Process one call from its arrival to its last byte, or until its client leaves."""
        sim_state, route = self.sim_state, route_of(request)
        call = sim_state.calls.begin(request.method, route.operation, route.project, route.job_id, request.query)
        call.request_id, call.app_user = responses.new_request_id(), request.header.get("x-app-userid")
        try:
            if not await self._through_outage(call, line):
                return
            wait = self._latency()
            if wait:  # a request that arrived is executed, whether or not its client still waits
                await line.pause(wait / 2)
            reply, fault = self._decide(request, route, call)
            if wait and not await line.pause(wait / 2):
                call.client_left = True
                return
            await deliver(reply, fault, call, line, sim_state)
        finally:
            call.client_left = call.client_left or (line.client_left and call.ended is None)
            sim_state.calls.finish(call)

    def _latency(self) -> float:
        jitter = self.sim_state.jitter_s
        return self.sim_state.latency_s + (random.uniform(0, jitter) if jitter else 0.0)  # noqa: S311 - not a secret

    async def _through_outage(self, call: Call, line: Connection) -> bool:
        """True if the service is up; otherwise the call has been ended."""
        outage = self.sim_state.outage
        method = TOKEN if call.operation == "token" else call.method
        if outage is None or not outage.fits(method, call.project, time.monotonic()):
            return True
        call.fault = f"outage:{outage.mode.value}"
        match outage.mode:
            case OutageMode.HANG:
                await line.pause(None)
                call.client_left = True
                line.close()
            case OutageMode.REFUSE | OutageMode.CLOSED:
                self.sim_state.calls.finish(call)
                line.reset()
            case OutageMode.BROWNOUT if call.operation == "list":
                await deliver(responses.listing(0, []), None, call, line, self.sim_state)
            case OutageMode.ERROR | OutageMode.BROWNOUT:
                await deliver(responses.internal_error(), None, call, line, self.sim_state)
            case OutageMode.UNAVAILABLE:
                message = "The IAM service is currently unavailable."
                reply = responses.gateway(503, "APIGW.0613", message, call.request_id or "")
                await deliver(reply, None, call, line, self.sim_state)
        return False

    def _decide(self, request: Request, route: Route, call: Call) -> tuple[Reply, Fault | None]:
        """Gateway first (route, signature, project, throttling), then faults, then MetaStudio itself."""
        sim_state, now, request_id = self.sim_state, time.monotonic(), call.request_id or ""
        if route.operation == "token":
            return self._grant(request, route, call)
        if route.operation == "other" or route.project is None:
            return responses.no_such_api(request_id), None
        admitted = self._admit(request, call)
        if isinstance(admitted, Refusal):
            call.refused = admitted.reason.value
            return responses.refused(admitted.code, admitted.message, request_id), None
        call.ak = admitted.ak
        named = request.header.get("x-project-id", None if call.token is None else route.project)
        if route.project not in admitted.projects or named != route.project:
            return responses.wrong_project(), None
        if not sim_state.throttle.admits(request.method, route.project, now):
            limit = sim_state.throttle.per_s[request.method] or 0
            return responses.throttled(request_id, limit, sim_state.throttle.retry_after_s), None
        viewer = Viewer.of(admitted, route.project, call.app_user, isolated=sim_state.isolate_app_users)
        fault = sim_state.faults.take(request.method, route.project, route.job_id)
        if fault is None:
            return self._ordinary(route, request, call, viewer), None
        call.fault = fault.kind.value
        ordinary = (
            self._ordinary(route, request, call, viewer) if fault.deletes or route.operation != "delete" else None
        )
        if fault.kind in ORDINARY and ordinary is not None:
            return ordinary, fault
        return reply_of(fault, request_id), fault

    def _admit(self, request: Request, call: Call) -> Credential | Refusal:
        """The caller: by its token if it has one, else by its signature."""
        now = time.monotonic()
        if "x-auth-token" in request.header:
            admitted, call.token = self.sim_state.iam.admit(request, now)
            return admitted
        claim = read_authorization(request)
        call.ak = None if claim is None else claim.ak
        return self.sim_state.keys.admit(request, self.sim_state.now(), now)

    def _grant(self, request: Request, route: Route, call: Call) -> tuple[Reply, Fault | None]:
        """IAM's own response, or that of a fault."""
        fault = self.sim_state.faults.take(TOKEN, route.project or "", None)
        if fault is not None:
            call.fault = fault.kind.value
            if fault.kind not in ORDINARY:
                return iam.reply_of(fault) or reply_of(fault, call.request_id or ""), fault
        reply, call.token = self.sim_state.iam.grant(request, self.sim_state.now(), time.monotonic())
        return reply, fault

    def _ordinary(self, route: Route, request: Request, call: Call, viewer: Viewer) -> Reply:
        sim_state, now, job_id = self.sim_state, time.monotonic(), route.job_id or ""
        if route.operation == "list":
            try:
                asked = asked_for(request.query)
                if sim_state.ignore_filters:
                    asked = replace(asked, states=frozenset(), tests=())
                count, jobs = sim_state.job_store.list(asked, viewer, now)
            except BadQuery:
                return responses.invalid_parameter()
            return responses.odd_listing(sim_state.lists, count, [views.row(job, now) for job in jobs], job_id)
        job = sim_state.job_store.find(job_id, viewer)
        if job is None:
            return responses.chosen(sim_state.absent)
        if route.operation == "show":
            return Reply(200, responses.as_json(views.detail(job, now)))
        if not is_deletable(job.state_at(now)):
            return responses.chosen(sim_state.not_deletable)
        sim_state.job_store.delete(job)
        sim_state.calls.effect(call)
        return responses.deleted()
