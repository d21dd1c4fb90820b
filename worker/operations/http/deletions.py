"""The API's deletions: ask, look, cancel. The operations are the command line's own."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

import redis
from starlette.requests import Request
from starlette.responses import Response

from worker.errors import EraserError
from worker.ledger.moves import Claim, Ref, target
from worker.operations import receipts, requests, show, withdraw
from worker.operations.http import orders, problems
from worker.operations.http.desk import Desk, desk_of
from worker.operations.http.idempotency import Once
from worker.operations.http.orders import Order
from worker.operations.http.problems import Problem
from worker.operations.http.threads import Busy
from worker.operations.http.tokens import Scope
from worker.operations.requests import Asked
from worker.operations.times import parse_span

_TOO_LATE = {"deleted", "gone", "dead"}


async def ask(request: Request) -> Response:
    """POST: record one deletion or many. 202 only when they are in the ledger."""
    desk, project = desk_of(request), request.path_params["project_id"]
    token = desk.admit(request, Scope.REQUEST, project)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "not-json", "send the body as Content-Type: application/json")
    document = orders.parse(await request.body())
    order = orders.read(document)
    requests.known_project(desk.running, project, allow=order.allow_project)
    claim = await _claim(desk, project, order, order.by(token.name))
    key = request.headers.get("idempotency-key")
    headers: dict[str, str] = {}
    if key is None:
        answer = await _record(desk, project, order, claim)
    else:
        ledger = desk.running.ledger(desk.running.settings.account_of(project).name)
        once = Once.of(ledger, token=token.name, key=key, document={"to": project, **document})
        answer, headers = await _record_once(desk, project, order, claim, once)
    if len(order.job_ids) == 1:
        headers["Location"] = f"/api/projects/{project}/deletions/{order.job_ids[0]}"
    return Response(answer, 202, headers, "application/json")


async def look(request: Request) -> Response:
    """GET: one deletion, as `eraser show --json` has it."""
    desk, project = desk_of(request), request.path_params["project_id"]
    desk.admit(request, Scope.READ, project)
    deletion, _ = await desk.in_thread(lambda: show.find(desk.running, project, request.path_params["job_id"]))
    return _json(show.as_json(deletion))


async def settled(request: Request) -> Response:
    """GET: what has ended since a cursor, oldest first."""
    desk, project = desk_of(request), request.path_params["project_id"]
    desk.admit(request, Scope.READ, project)
    cursor, limit = request.query_params.get("settled_since") or None, _limit(request.query_params.get("limit"))
    try:
        page = await desk.in_thread(lambda: receipts.settled_since(desk.running, project, cursor, limit))
    except receipts.CursorTooOld:
        detail = "the receipts after this cursor are no longer kept here; leave settled_since out to start again"
        raise Problem(410, "cursor-too-old", detail) from None
    except receipts.BadCursor:
        raise Problem(422, "invalid", "settled_since: expected the cursor of an earlier answer") from None
    return _json({"items": page.items, "cursor": page.cursor, "more": page.more})


async def cancel(request: Request) -> Response:
    """DELETE: withdraw every claim, as `eraser cancel` does. 200: nothing will be sent. 202: noted, a call decides."""
    desk, project = desk_of(request), request.path_params["project_id"]
    token = desk.admit(request, Scope.OPERATE, project)
    job_id, reason = requests.checked(desk.running, request.path_params["job_id"]), request.query_params.get("reason")
    if not reason:
        raise Problem(422, "invalid", "reason: say why, with a ticket number: ?reason=TICKET-4711")

    def act() -> withdraw.Withdrawn:
        return next(iter(withdraw.withdraw(desk.running, project, [job_id], reason=reason, by=token.name)))

    done = await desk.in_thread(act)
    if done.result == "unknown":
        raise show.UnknownJob(done.text)
    if done.result in _TOO_LATE:
        raise Problem(409, "too-late", done.text, result=done.result)
    said = {"project_id": project, **target(job_id), "result": done.result, "done": done.done, "detail": done.text}
    return _json(said, 200 if done.done else 202)


async def _record_once(desk: Desk, project: str, order: Order, claim: Claim, once: Once) -> tuple[str, dict[str, str]]:
    if (first := await desk.in_thread(once.begin)) is not None:
        return first, {"Idempotency-Replayed": "true"}
    try:
        answer = await _record(desk, project, order, claim)
    except BaseException:
        with suppress(Busy):
            await desk.in_thread(once.forget)
        raise
    with suppress(Busy):  # it is recorded: that has to be said
        await desk.in_thread(lambda: once.end(answer))
    return answer, {}


async def _record(desk: Desk, project: str, order: Order, claim: Claim) -> str:
    """Record and say what became of each id. Raises `Problem` where nothing was recorded."""
    if len(order.job_ids) == 1 and not requests.why_bad_job(desk.running, order.job_ids[0]):
        accepted = await desk.recorder.record(project, Ref(project, order.job_ids[0]), claim)
        return _answer([Asked(order.job_ids[0], accepted)])
    return _answer(await desk.in_thread(lambda: _record_many(desk, project, order, claim)))


def _record_many(desk: Desk, project: str, order: Order, claim: Claim) -> list[Asked]:
    results: list[Asked] = []
    try:
        results.extend(requests.submit(desk.running, project, order.job_ids, claim, desk.bells))
    except (EraserError, redis.RedisError) as error:  # of more than 500 the first may be recorded already
        problem = problems.of(error)
        done = problem.more["recorded"] = sum(asked.accepted is not None for asked in results)
        if done:
            problem.detail = f"{done} are recorded; of the others: {problem.detail}"
        raise problem from None
    if not any(asked.accepted for asked in results):
        detail = "none of these is a job id: nothing was recorded"
        raise Problem(422, "invalid", detail, results=[asked.as_json() for asked in results])
    return results


async def _claim(desk: Desk, project: str, order: Order, by: str) -> Claim:
    reads = desk.running.reads(desk.running.settings.account_of(project).name)
    now = await desk.in_thread(reads.now_ms) if order.at else None
    return requests.claim(
        desk.running,
        lane=order.lane,
        by=by,
        reason=order.reason,
        run=order.run,
        app_user=order.app_user,
        after_s=requests.start_in(order.after, order.at, now=now),
        deadline_s=parse_span(order.deadline, "deadline") if order.deadline else None,
        force=order.force,
        at=order.at,
    )


def _answer(results: list[Asked]) -> str:
    accepted = sum(asked.accepted is not None for asked in results)
    said = {"accepted": accepted, "rejected": len(results) - accepted}
    return json.dumps({**said, "results": [asked.as_json() for asked in results]})


def _limit(text: str | None) -> int:
    if text is None:
        return 100
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text) or int(text) > orders.MOST:
        raise Problem(422, "invalid", f"limit: expected 1 to {orders.MOST:,}")
    return int(text)


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status, media_type="application/json")
