"""The API's OpenAPI 3.1 description as data. Tests compare it with the routes, and every answer with it."""

from __future__ import annotations

from worker import __version__
from worker.config.api_tokens import LOOKS
from worker.interfaces.api.openapi_schemas import (
    DURATION,
    JOB_ID,
    MOMENT,
    NUMBER,
    OPAQUE,
    REASON,
    STATE,
    TEXT,
    WHEN,
    Data,
    as_json,
    each,
    object_of,
    ref,
)
from worker.interfaces.api.request_schema import LONGEST_PERSON, MOST
from worker.interfaces.web.request_guard import BODY_LIMIT, BODY_S
from worker.model.ids import ID
from worker.model.states import Cause, Evidence, Lane, WaitingFor
from worker.receipts.receipt import FIELDS, NUMBERS

_WORD, _WHOLE = {"type": "string"}, {"type": "integer"}

_TARGET: Data = {"kind": {"const": "job"}, "id": _WORD, "job_id": _WORD}

_SAID: Data = {
    "lane": {"enum": list(Lane), "description": "`user`: a person waits, goes first (the default for one); `bulk`."},
    "reason": REASON | {"description": "A ticket number or a few plain words; never personal data."},
    "on_behalf_of": {
        "type": "string",
        "pattern": f"^[0-9A-Za-z][0-9A-Za-z._:/#-]{{0,{LONGEST_PERSON - 1}}}$",
        "description": "Who asked your service, as an opaque id: recorded as `token name/on_behalf_of`.",
    },
    "app_user": OPAQUE | {"description": "Sent as X-App-UserId; erased at the end, never shown."},
    "run": OPAQUE | {"description": "A name for a batch; `eraser cancel --run` withdraws all of it."},
    "after": DURATION | {"description": "Earliest start from now, such as 24h."},
    "at": MOMENT | {"description": "Earliest start. `after` or `at`, not both."},
    "deadline": DURATION
    | {"description": "Give up after this long; 30 days unless the server is configured otherwise."},
    "force": {"type": "boolean", "description": "Even if it is already deleted or gone: opens a new round."},
    "allow_project": {
        "type": "boolean",
        "description": "Also in a project that is not configured here; without it, 404.",
    },
}


def _order(name: str, schema: Data) -> Data:
    properties = {name: schema, **_SAID}
    never = {"required": ["after", "at"]}
    return {"type": "object", "required": [name], "properties": properties, "additionalProperties": False, "not": never}


_CLAIM = {"requested_by": TEXT, "reason": TEXT, "run": TEXT}
# Additional fields of a problem with this status.
_MORE: dict[int, Data] = {
    409: {"result": _WORD, "rule": _WORD},
    422: {"results": {"type": "array", "items": {"$ref": "#/components/schemas/Result"}}},
    503: {"recorded": {"type": "integer", "minimum": 0}},
}
_WRONG: dict[int, tuple[str, str]] = {
    400: ("NotJson", "The body is not a JSON object in UTF-8, or it has two lengths."),
    401: ("NoToken", "There is no token, or it is unknown."),
    403: ("Forbidden", "The token lacks the scope or the project; or a page of another site sent this."),
    404: ("Unknown", "Unknown address, project or deletion."),
    408: ("TooSlow", f"The body did not come within {BODY_S:.0f} s. Nothing was recorded."),
    409: ("Conflict", "Too late to cancel: `result` says why. Or a request with this Idempotency-Key is in progress."),
    410: ("Gone", "The cursor is older than what is kept."),
    413: ("TooLarge", f"The body is longer than {BODY_LIMIT:,} bytes."),
    415: ("NotSaidJson", "The Content-Type is not application/json."),
    421: ("UnknownHost", "The Host is neither this machine nor one of ERASER_ALLOWED_HOSTS."),
    422: ("Invalid", "A field or a parameter is wrong; `detail` says which. Nothing was recorded."),
    503: (
        "NotNow",
        "Redis is unreachable or full, too many requests wait, or the token file is invalid. Repeat it after "
        "Retry-After: requests for the same job merge. Of a request for many "
        "`recorded` says how many were recorded before that.",
    ),
}


def _wrong(*statuses: int) -> Data:
    return {str(status): {"$ref": f"#/components/responses/{_WRONG[status][0]}"} for status in statuses}


def _problem(status: int, text: str) -> Data:
    headers = {}
    if status in (401, 403):  # 403: also for a page of another site, even with a token
        headers = {"WWW-Authenticate": {"required": status == 401, "schema": _WORD}}
    if status in (409, 503):  # 409: if the same request is in progress
        seconds = {"type": "string", "pattern": "^[0-9]+$"}
        headers = {"Retry-After": {"description": "Seconds.", "required": status == 503, "schema": seconds}}
    schema = ref("Problem") | ({"properties": _MORE[status]} if status in _MORE else {})
    content = {"application/problem+json": {"schema": schema}}
    return {"description": text, "content": content} | ({"headers": headers} if headers else {})


_SCHEMAS: Data = {
    "One": _order("job_id", JOB_ID),
    "Many": _order(
        "job_ids",
        {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST,
            "items": _WORD,
            "description": f"Each must match {ID.pattern}; an invalid id is reported, the others are accepted.",
        },
    ),
    "Recorded": object_of(
        accepted={"type": "integer", "minimum": 1},
        rejected={"type": "integer", "minimum": 0},
        results=each(ref("Result"), "One for each id, in the order of the request."),
    ),
    "Result": object_of(
        **_TARGET,
        state={"anyOf": [STATE, {"type": "null"}]},
        accepted={"type": "boolean"},
        deduplicated={"type": "boolean", "description": "It merged with earlier requests."},
        error=TEXT,
    ),
    "Deletion": object_of(
        project_id=_WORD,
        **_TARGET,
        state=STATE,
        waiting_for={"enum": [*WaitingFor, None]},
        cause={"anyOf": [{"enum": list(Cause)}, TEXT]},
        evidence={"enum": [*Evidence, None]},
        lane={"enum": list(Lane)},
        reason=TEXT,
        requested_by=TEXT,
        requested_at=WHEN,
        due_at=WHEN,
        deadline_at=WHEN,
        finished_at=WHEN,
        round=_WHOLE,
        attempts=each(ref("Attempt"), "Every DELETE call and its answer; at most the first 3 and the last 20."),
        account=_WORD,
        run=TEXT,
        replay=TEXT,
        may_be_deleted={"type": "boolean", "description": "A call had no clear answer."},
        claims=each(object_of(**_CLAIM, lane=TEXT, requested_at=WHEN), "Who else requested it."),
        events=each(object_of(at=WHEN, event=_WORD), "Other events; each has its own fields."),
        related=object_of(asset_id=TEXT, voice_train_job_id=TEXT, checked={"const": False}),
    ),
    "Attempt": object_of(
        n=_WHOLE,
        round=_WHOLE,
        at=WHEN,
        status=NUMBER,
        code=TEXT,
        message=TEXT,
        request_id=TEXT | {"description": "MetaStudio's X-Request-Id, for their support."},
        ms={"type": ["number", "null"]},
        outcome=TEXT,
    ),
    "Withdrawn": object_of(
        project_id=_WORD,
        **_TARGET,
        result={"enum": ["cancelled", "claim_removed", "discarded", "in_flight", "may_be_deleted", "not_claimed"]},
        done={"type": "boolean", "description": "Nothing will be sent for it."},
        detail=_WORD,
    ),
    "Settled": object_of(
        items=each(ref("Receipt"), "Oldest first."),
        cursor={"type": "string", "description": "Where to continue; it stays valid at the end."},
        more={"type": "boolean", "description": "Whether there are more."},
    ),
    "Receipt": object_of(
        **dict.fromkeys(FIELDS, TEXT)
        | dict.fromkeys(NUMBERS, _WHOLE)
        | dict.fromkeys(("account", "project_id", *_TARGET), _WORD)
        | {
            "state": STATE,
            "requested_at": WHEN,
            "finished_at": WHEN,
            "claims": each(object_of(**_CLAIM, policy=TEXT), "Who else had requested it."),
            "attempts": {"type": "integer", "description": "DELETE calls in this round."},
            "status": NUMBER | {"description": "Of the last DELETE, like code and request_id."},
        }
    ),
    "Problem": object_of(
        type={"type": "string", "description": "urn:avatar-eraser:NAME, for programs."},
        title=_WORD,
        status=_WHOLE,
        detail={"type": "string", "description": "For people: what is wrong and what to do."},
    ),
}

_PROJECT = {"name": "project_id", "in": "path", "required": True, "schema": JOB_ID | {"example": "0605768a2c80"}}
_JOB = {"name": "job_id", "in": "path", "required": True, "schema": JOB_ID}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    "description": "The same key with the same body has the first answer again for 24 hours, with another body 422.",
}
_CURSOR = {
    "name": "settled_since",
    "in": "query",
    "schema": _WORD,
    "description": "The cursor of the last answer. Without it: from the oldest receipt kept.",
}
_LIMIT = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}}
_WHY = {"name": "reason", "in": "query", "required": True, "schema": REASON}

_ALL = (400, 401, 403, 404, 413, 421, 422, 503)

_PATHS: Data = {
    "/api/projects/{project_id}/deletions": {
        "parameters": [_PROJECT],
        "post": {
            "operationId": "requestDeletions",
            "summary": f"Request one deletion, or up to {MOST:,}. Scope `request`.",
            "description": "202 means: recorded, never lost. A second request merges and reports `deduplicated`. "
            "An invalid id is reported in `results`; if all are invalid, 422 and nothing is recorded. "
            "After a 503 or a lost answer some may be recorded: send the same request again.",
            "parameters": [_KEY],
            "requestBody": {"required": True, **as_json({"oneOf": [ref("One"), ref("Many")]})},
            "responses": {
                "202": {
                    "description": "Recorded.",
                    "headers": {
                        "Location": {"description": "Of the one.", "schema": _WORD},
                        "Idempotency-Replayed": {"description": "`true`: the first answer again.", "schema": TEXT},
                    },
                    **as_json(ref("Recorded")),
                },
                **_wrong(408, 409, 415, *_ALL),
            },
        },
        "get": {
            "operationId": "settledDeletions",
            "summary": "What has finished since a cursor, oldest first. Scope `read`.",
            "description": "Finished: deleted, gone, cancelled or discarded. A dead letter waits for an operator.",
            "parameters": [_CURSOR, _LIMIT],
            "responses": {"200": {"description": "Receipts.", **as_json(ref("Settled"))}, **_wrong(410, *_ALL)},
        },
    },
    "/api/projects/{project_id}/deletions/{job_id}": {
        "parameters": [_PROJECT, _JOB],
        "get": {
            "operationId": "deletion",
            "summary": "One deletion with every call that was made. Scope `read`.",
            "responses": {"200": {"description": "The current state.", **as_json(ref("Deletion"))}, **_wrong(*_ALL)},
        },
        "delete": {
            "operationId": "cancelDeletion",
            "summary": "Withdraw a request for a deletion. Scope `operate`.",
            "parameters": [_WHY],
            "responses": {
                "200": {"description": "Nothing will be sent for it.", **as_json(ref("Withdrawn"))},
                "202": {"description": "Recorded; a call in progress decides.", **as_json(ref("Withdrawn"))},
                **_wrong(409, *_ALL),
            },
        },
    },
}

DOCUMENT: Data = {
    "openapi": "3.1.0",
    "info": {
        "title": "avatar-eraser",
        "version": __version__,
        "description": "Deletes Huawei Cloud MetaStudio avatar training jobs: every one that was accepted.",
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    },
    "security": [{"token": []}],
    "paths": _PATHS,
    "components": {
        "securitySchemes": {
            "token": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": LOOKS.pattern,
                "description": "`eraser console token NAME --scope request` makes one.",
            }
        },
        "responses": {name: _problem(status, text) for status, (name, text) in _WRONG.items()},
        "schemas": _SCHEMAS,
    },
}
