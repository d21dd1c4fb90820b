"""The API's acts on what a deleted job left behind, as `eraser related` does them: planned, deleted, restored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from worker.config.api_tokens import Scope
from worker.execution.app_context import AppContext
from worker.interfaces.api import request_schema
from worker.interfaces.api.auth import api_state
from worker.interfaces.api.deletions import document_of
from worker.interfaces.web.problem_details import Problem
from worker.services import related, related_restore, show
from worker.services import request as request_service
from worker.services.act import Approval, Outcome
from worker.services.related import Selection


async def erase(request: Request) -> Response:
    """POST: have it deleted. 202: workers look once more, delete, and look again. GET: the plan."""
    return await _act(request, "erase", 202)


async def restore(request: Request) -> Response:
    """POST: take it out of the recycle bin. 200: what became of each part. GET: the plan."""
    return await _act(request, "restore", 200)


async def _act(request: Request, verb: str, status: int) -> Response:
    api, project, plan = api_state(request), request.path_params["project_id"], request.method != "POST"
    token = api.admit(request, Scope.READ if plan else Scope.OPERATE, project)
    job_id = request_service.checked(api.app, request.path_params["job_id"])
    body = None if plan else request_schema.read_act(await document_of(request))

    def work() -> dict[str, Any]:
        selection = _selection(api.app, verb, project, job_id)
        if body is None:
            return dict(related.plan(verb, f"{verb}d", selection).fields or {})
        approval = Approval(by=token.name, reason=body.reason)
        return _results(_carry_out(api.app, verb, selection, approval, body.app_user))

    return Response(json.dumps(await api.in_thread(work)), 200 if plan else status, media_type="application/json")


def _selection(app: AppContext, verb: str, project: str, job_id: str) -> Selection:
    show.find(app, project, job_id)  # a job that nobody knows is a 404
    return related.to_erase(app, project, [job_id]) if verb == "erase" else related.to_restore(app, project, job_id)


def _carry_out(
    app: AppContext, verb: str, selection: Selection, approval: Approval, app_user: str | None
) -> Sequence[Outcome]:
    if verb == "erase":
        return related.erase(app, selection, approval, app_user=app_user, of=None)
    return related_restore.restore(app, selection, approval, app_user=app_user)


def _results(found: Sequence[Outcome]) -> dict[str, Any]:
    """Raises `Problem` where nothing was done at all."""
    if not any(one.done for one in found):
        detail = "; ".join(f"{one.target.name}: {one.text}" for one in found)
        raise Problem(409, "nothing-done", f"nothing was done: {detail}", result=found[0].result if found else None)
    return {"results": [one.as_json() for one in found]}
