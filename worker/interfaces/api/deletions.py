"""The API's deletions: request, read, cancel. The operations are those of the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import redis
from starlette.requests import Request
from starlette.responses import Response

from worker.config.api_tokens import Scope
from worker.interfaces.api import list_query, request_schema
from worker.interfaces.api.auth import ApiState, api_state
from worker.interfaces.api.idempotency import Once
from worker.interfaces.api.request_schema import RequestBody
from worker.interfaces.web import problem_details
from worker.interfaces.web.bounded_pool import Busy
from worker.interfaces.web.problem_details import Problem
from worker.ledger.types import DeletionRequest
from worker.model.errors import EraserError
from worker.model.target import Target
from worker.services import cancel as cancel_service
from worker.services import filters, listing, receipts, show
from worker.services import request as request_service
from worker.services.act import Approval
from worker.services.request import Requested

_TOO_LATE = {"deleted", "gone", "dead"}


async def record(request: Request) -> Response:
    """POST: record one deletion or many. 202 only once they are in the ledger."""
    api, project = api_state(request), request.path_params["project_id"]
    token = api.admit(request, Scope.REQUEST, project)
    document = await document_of(request)
    order = request_schema.read(document)
    request_service.known_project(api.app, project, allow=order.allow_project)
    terms = await _terms(api, project, order, order.by(token.name))
    key = request.headers.get("idempotency-key")
    headers: dict[str, str] = {}
    if key is None:
        response = await _record(api, project, order, terms)
    else:
        ledger = api.app.ledger(api.app.settings.account_of(project).name)
        once = Once.of(ledger, token=token.name, key=key, document={"to": project, **document})
        response, headers = await _record_once(api, project, order, terms, once)
    if len(order.job_ids) == 1:
        headers["Location"] = f"/api/projects/{project}/deletions/{order.job_ids[0]}"
    return Response(response, 202, headers, "application/json")


async def document_of(request: Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises `Problem`."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "not-json", "send the body as Content-Type: application/json")
    return request_schema.parse(await request.body())


async def read(request: Request) -> Response:
    """GET: one deletion, as `eraser show --json` has it."""
    api, project = api_state(request), request.path_params["project_id"]
    api.admit(request, Scope.READ, project)
    deletion, _ = await api.in_thread(lambda: show.find(api.app, project, request.path_params["job_id"]))
    return _json(show.as_json(deletion))


async def several(request: Request) -> Response:
    """GET: the deletions that filters choose; without filters what has finished since a cursor, oldest first."""
    api, project = api_state(request), request.path_params["project_id"]
    api.admit(request, Scope.READ, project)
    fields = list_query.read(request.query_params.multi_items())
    if fields.keys() <= {"settled_since", "limit"}:
        return await _finished(api, project, fields)
    return _json(await api.in_thread(lambda: _listed(api, project, fields)))


def _listed(api: ApiState, project: str, fields: Mapping[str, str]) -> dict[str, Any]:
    wanted = filters.read({**fields, "project": project}, api.app.redis_ms())
    page = listing.page(api.app, wanted, fields.get("cursor"), list_query.limit(fields))
    return {
        "items": [listing.as_json(one) for one in page.rows],
        "cursor": page.cursor,
        "more": page.cursor is not None,
        "looked_at": page.looked_at,
    }


async def _finished(api: ApiState, project: str, fields: Mapping[str, str]) -> Response:
    cursor, limit = fields.get("settled_since") or None, list_query.limit(fields)
    try:
        page = await api.in_thread(lambda: receipts.settled_since(api.app, project, cursor, limit))
    except receipts.CursorTooOld:
        detail = "the receipts after this cursor are no longer kept here; leave settled_since out to start again"
        raise Problem(410, "cursor-too-old", detail) from None
    except receipts.BadCursor:
        raise Problem(422, "invalid", "settled_since: expected the cursor of an earlier answer") from None
    return _json({"items": page.items, "cursor": page.cursor, "more": page.more})


async def cancel(request: Request) -> Response:
    """DELETE: withdraw every request, as `eraser cancel` does. 200: nothing will be sent. 202: recorded, a call in
    progress decides.
    """
    api, project = api_state(request), request.path_params["project_id"]
    token = api.admit(request, Scope.OPERATE, project)
    job_id = request_service.checked(api.app, request.path_params["job_id"])
    approval = Approval(by=token.name, reason=request.query_params.get("reason") or None)
    if approval.reason is None:
        raise Problem(422, "invalid", "reason: say why, with a ticket number: ?reason=TICKET-4711")
    done = await api.in_thread(lambda: next(cancel_service.cancel(api.app, project, [job_id], approval)))
    if done.result == "unknown":
        raise show.UnknownJob(done.text)
    if done.result in _TOO_LATE:
        raise Problem(409, "too-late", done.text, result=done.result)
    return _json(done.as_json(), 200 if done.done else 202)


async def _record_once(
    api: ApiState, project: str, order: RequestBody, terms: DeletionRequest, once: Once
) -> tuple[str, dict[str, str]]:
    if (first := await api.in_thread(once.begin)) is not None:
        return first, {"Idempotency-Replayed": "true"}
    try:
        response = await _record(api, project, order, terms)
    except BaseException:
        with suppress(Busy):
            await api.in_thread(once.forget)
        raise
    with suppress(Busy):  # it is recorded, so the caller must get an answer that says so
        await api.in_thread(lambda: once.end(response))
    return response, {}


async def _record(api: ApiState, project: str, order: RequestBody, terms: DeletionRequest) -> str:
    """Record, and return the result of each id. Raises `Problem` if nothing was recorded."""
    if len(order.job_ids) == 1 and not request_service.why_bad_job(api.app, order.job_ids[0]):
        accepted = await api.batcher.record(project, Target.named(project, order.job_ids[0]), terms)
        return _response([Requested(order.job_ids[0], accepted)])
    return _response(await api.in_thread(lambda: _record_many(api, project, order, terms)))


def _record_many(api: ApiState, project: str, order: RequestBody, terms: DeletionRequest) -> list[Requested]:
    results: list[Requested] = []
    try:
        results.extend(request_service.submit(api.app, project, order.job_ids, terms))
    except (EraserError, redis.RedisError) as error:  # of more than 500 the first may be recorded already
        problem = problem_details.of(error)
        done = problem.more["recorded"] = sum(one.accepted is not None for one in results)
        if done:
            problem.detail = f"{done} are recorded; of the others: {problem.detail}"
        raise problem from None
    if not any(one.accepted for one in results):
        detail = "none of these is a job id: nothing was recorded"
        raise Problem(422, "invalid", detail, results=[one.as_json() for one in results])
    return results


async def _terms(api: ApiState, project: str, order: RequestBody, by: str) -> DeletionRequest:
    queries = api.app.queries(api.app.settings.account_of(project).name)
    now = await api.in_thread(queries.now_ms) if order.at else None
    return request_service.from_texts(api.app, by=by, now=now, **order.terms)


def _response(results: list[Requested]) -> str:
    accepted = sum(one.accepted is not None for one in results)
    fields = {"accepted": accepted, "rejected": len(results) - accepted}
    return json.dumps({**fields, "results": [one.as_json() for one in results]})


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")
