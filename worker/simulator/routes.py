"""Which call a request is: its operation, the kind of resource, the project and the id."""

from __future__ import annotations

import re
from urllib.parse import unquote

from worker.simulator import agencies, iam
from worker.simulator.http1 import Request
from worker.simulator.kinds import ASSET, JOB, VOICE_JOB, Route
from worker.simulator.queries import read_pairs

_PATHS = {
    JOB: re.compile(r"/v1/([^/]+)/digital-human-training-manage/user/jobs(?:/([^/]+))?"),
    VOICE_JOB: re.compile(r"/v1/([^/]+)/voice-training-manage/user/jobs(?:/([^/]+))?"),
    ASSET: re.compile(r"/v1/([^/]+)/digital-assets(?:/([^/]+)(/restore)?)?"),
}
_OPERATIONS = {"DELETE": "delete", "GET": "show", "PUT": "update"}


def route_of(request: Request) -> Route:
    """A collection with a trailing slash is neither a resource nor the collection."""
    if request.path == iam.PATH and request.method == "POST":
        return Route("token", JOB, iam.scope_of(request), None)
    if issuer := agencies.PATHS.get((request.method, request.path)):
        return Route(issuer, JOB, None, None)
    for kind, path in _PATHS.items():
        if found := path.fullmatch(request.path):
            project, id, *below = (None if part is None else unquote(part) for part in found.groups())
            return _route(request, kind, project, id, any(below))
    return Route("other", JOB, None, None)


def _route(request: Request, kind: str, project: str | None, id: str | None, restoring: bool) -> Route:
    method = request.method
    if method == "GET" and id is None:
        name = "asset_id" if kind == ASSET else "job_id"
        wanted = [value for given, value in read_pairs(request.query) if given == name and value]
        several = kind == ASSET and len(wanted) > 1
        return Route("list", kind, project, wanted[-1] if wanted and not several else None)
    if kind == ASSET and method == "POST" and (restoring or id == "summarys"):
        return Route("restore", kind, project, id) if restoring else Route("summary", kind, project, None)
    operation = None if restoring or (method == "PUT" and kind != ASSET) else _OPERATIONS.get(method)
    return Route(operation if operation and id else "other", kind, project, id)
