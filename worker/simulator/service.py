"""MetaStudio, its gateway and IAM: from a request to a response, and sending it."""

from __future__ import annotations

import random
import time

from worker.metastudio.targets.avatar_job import AVATAR_JOB
from worker.simulator import agencies, iam, responses, views
from worker.simulator.calls import Call
from worker.simulator.faults import ORDINARY, TOKEN, Fault, OutageMode
from worker.simulator.http1 import Connection, Request
from worker.simulator.jobs import read_list_query
from worker.simulator.kinds import ASSET, CHANGES, JOB
from worker.simulator.library_calls import answer_asset, answer_voice_job
from worker.simulator.queries import BadQuery, Viewer
from worker.simulator.responder import Exchange, reply_of
from worker.simulator.responses import Reply
from worker.simulator.routes import route_of
from worker.simulator.state import SimulatorState
from worker.simulator.verification import Credential, Refusal, read_authorization

ISSUERS = frozenset({"token", *agencies.PATHS.values()})


class MetaStudio:
    """Answers one call at a time per connection; all decisions are in `_decide`, all waiting in `serve`."""

    def __init__(self, state: SimulatorState) -> None:
        self.state = state

    async def serve(self, request: Request, line: Connection) -> None:
        """Process one call from its arrival to its last byte, or until its client leaves."""
        call = self.state.calls.begin(request.method, route_of(request), request.query)
        call.request_id, call.app_user = responses.new_request_id(), request.header.get("x-app-userid")
        exchange = Exchange(call, line, self.state)
        try:
            if not await self._through_outage(exchange):
                return
            wait = self._latency()
            if wait:  # a request that arrived is executed, whether or not its client still waits
                await line.pause(wait / 2)
            reply, fault = self._decide(request, call)
            if request.header.get("x-apig-mode") == "debug" and (quota := self._quota(call)):
                reply = responses.with_quota(reply, quota)
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
        method = TOKEN if call.operation in ISSUERS else call.method
        if outage is None or not outage.hits(method, call.project, time.monotonic()):
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
                await exchange.deliver(responses.listing(0, [], "assets" if call.kind == ASSET else "jobs"))
            case OutageMode.ERROR | OutageMode.BROWNOUT:
                await exchange.deliver(responses.INTERNAL_ERROR)
            case OutageMode.UNAVAILABLE:
                await exchange.deliver(responses.error(503, call.request_id))
        return False

    def _decide(self, request: Request, call: Call) -> tuple[Reply, Fault | None]:
        """Gateway first (route, signature, project, throttling), then faults, then MetaStudio itself."""
        state, now = self.state, time.monotonic()
        if call.operation in ISSUERS:
            return self._grant(request, call)
        if call.operation == "other" or call.project is None:
            return responses.error(404, call.request_id), None
        admitted = self._admit(request, call)
        if isinstance(admitted, Refusal):
            call.refused = admitted.reason.value
            return responses.refused(admitted.code, admitted.message, call.request_id), None
        call.ak = admitted.ak
        named = request.header.get("x-project-id", None if call.token is None else call.project)
        if call.project not in admitted.projects or named != call.project:
            return responses.WRONG_PROJECT, None
        family = call.route.family
        if family in state.denied.get(admitted.ak, ()):
            return responses.error(403, call.request_id), None
        if not state.throttle.admits(family, call.project, now):
            limit = state.throttle.per_s[family]
            return responses.throttled(call.request_id, limit, state.behaviour.retry_after_s), None
        sees_any = admitted.sees_jobs if call.kind == JOB else admitted.sees_library
        viewer = Viewer(call.project, call.app_user, sees_any, state.behaviour.isolate_app_users)
        fault = state.faults.take(request.method, call.project, call.id, call.kind)
        if fault is None:
            return self._ordinary(request, call, viewer), None
        call.fault = fault.kind.value
        if fault.deletes or call.operation not in CHANGES:
            ordinary = self._ordinary(request, call, viewer)
            if fault.kind in ORDINARY:
                return ordinary, fault
        return reply_of(fault, call.request_id), fault

    def _quota(self, call: Call) -> str | None:
        """What the gateway says of its limit for such calls, if it has one."""
        throttle, family = self.state.throttle, call.route.family
        if self.state.behaviour.quota is not None or family not in throttle.per_s or call.project is None:
            return self.state.behaviour.quota
        left = throttle.left(family, call.project, time.monotonic())
        return f"remain:{left},limit:{throttle.per_s[family]},time:1 second"

    def _admit(self, request: Request, call: Call) -> Credential | Refusal:
        """The caller: by its token if it has one, else by its signature."""
        now = time.monotonic()
        if "x-auth-token" in request.header:
            admitted, call.token = self.state.iam.admit(request, now, self.state.behaviour.refuse_tokens)
            return admitted
        claim = read_authorization(request)
        call.ak = None if claim is None else claim.ak
        return self.state.keys.admit(request, self.state.now(), now)

    def _grant(self, request: Request, call: Call) -> tuple[Reply, Fault | None]:
        """The response of IAM or of an issuer of temporary keys, or that of a fault."""
        fault = self.state.faults.take(TOKEN, call.project or "", None)
        if fault is not None:
            call.fault = fault.kind.value
            if fault.kind not in ORDINARY:
                return iam.reply_of(fault) or reply_of(fault, call.request_id), fault
        if call.operation != "token":
            return self.state.agencies.grant(call.operation, request, self._issuing()), fault
        life_s = self.state.behaviour.token_life_s
        reply, call.token = self.state.iam.grant(request, self.state.now(), time.monotonic(), life_s)
        return reply, fault

    def _issuing(self) -> agencies.Settings:
        state, how = self.state, self.state.behaviour
        fixed = (how.identity, how.agency, how.metadata_tokens, how.key_life_s)
        return agencies.Settings(state.keys, state.credentials[0].projects, *fixed, time.monotonic(), state.now)

    def _ordinary(self, request: Request, call: Call, viewer: Viewer) -> Reply:
        """MetaStudio's own answer."""
        if call.kind == JOB:
            return self._answer_job(request, call, viewer)
        answer = answer_asset if call.kind == ASSET else answer_voice_job
        return answer(request, call, viewer, self.state.library, lambda: self.state.calls.effect(call))

    def _answer_job(self, request: Request, call: Call, viewer: Viewer) -> Reply:
        store, behaviour, now, job_id = self.state.job_store, self.state.behaviour, time.monotonic(), call.job_id or ""
        if call.operation == "list":
            try:
                count, jobs = store.list(read_list_query(request.query, behaviour.ignore_filters), viewer, now)
            except BadQuery:
                return responses.INVALID_PARAMETER
            rows = [views.row(job, now) for job in jobs]
            return responses.odd_listing(behaviour.lists, count, rows, by_id=bool(job_id))
        job = store.find(job_id, viewer)
        if job is None:
            return responses.CHOICES[behaviour.absent]
        if call.operation == "show":
            return Reply(200, responses.as_json(views.detail(job, now)))
        if not AVATAR_JOB.is_deletable(job.state_at(now)):
            return responses.CHOICES[behaviour.not_deletable]
        store.delete(job)
        self.state.calls.effect(call)
        self.state.library.after_job(job)
        return Reply(200)
