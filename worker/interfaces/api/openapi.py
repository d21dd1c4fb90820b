"""The API's OpenAPI 3.1 description as data. Tests compare it with the routes, and every answer with it."""

from __future__ import annotations

from typing import Any

from worker import __version__
from worker.config.api_tokens import LOOKS
from worker.interfaces.api.openapi_erasure import ARCHIVED, ERASURE, act_paths, act_schemas
from worker.interfaces.api.openapi_list import list_operation, listed
from worker.interfaces.api.request_schema import LONGEST_PERSON, MOST
from worker.interfaces.web.request_guard import BODY_LIMIT, BODY_S
from worker.ledger.types import Effect
from worker.model.erasure import Related
from worker.model.ids import ID, OPAQUE, REASON
from worker.model.states import Cause, Evidence, Lane, State, WaitingFor
from worker.model.target import JOB
from worker.receipts.receipt import EVENTS, FIELDS, NUMBERS

Data = dict[str, Any]


def _ref(name: str) -> Data:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Data) -> Data:
    required = [name for name in properties if name != "job_id"]  # which only a job has
    return {"type": "object", "required": required, "properties": properties}


def _each(items: Data, text: str) -> Data:
    return {"type": "array", "items": items, "description": text}


def _content(schema: Data, media_type: str = "application/json") -> Data:
    return {"content": {media_type: {"schema": schema}}}


def _answer(text: str, name: str, **more: Data) -> Data:
    return {"description": text, **more, **_content(_ref(name))}


def _text(description: str, **more: Any) -> Data:
    return {"type": "string", "description": description, **more}


def _flag(description: str) -> Data:
    return {"type": "boolean", "description": description}


_WORD, _TEXT = {"type": "string"}, {"type": ["string", "null"]}
_WHOLE, _NUMBER = {"type": "integer"}, {"type": ["integer", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_WHEN = {"type": ["string", "null"], "format": "date-time"}
_STATE = {"type": "string", "enum": [state.value for state in State]}
_JOB_ID = {"type": "string", "pattern": f"^{ID.pattern}$", "example": "26f06524-4f75-4b3a-a853-b649a21aaf66"}
_OPAQUE = {"pattern": f"^{OPAQUE.pattern}$"}
_REASON = {"type": "string", "pattern": f"^{REASON.pattern}$", "example": "TICKET-4711"}
_DURATION = {"example": "24h"}
_MOMENT = {"format": "date-time", "example": "2026-12-01T00:00:00Z"}
_WITHDRAWN = ("cancelled", "cancelled_after_calls", "claim_removed", "in_flight", "may_be_deleted", "not_claimed")
_TARGET: Data = {"kind": {"type": "string", "example": JOB}, "id": _WORD, "job_id": _WORD}
_CLAIM = {"requested_by": _TEXT, "reason": _TEXT, "run": _TEXT}

EFFECTS = (
    "What this request did: `new`; `merged` with the requests that are there; `new_round`: it was dead, discarded or "
    "cancelled, or `force` deletes it once more; `already_done`: it is deleted or gone, and nothing is sent."
)
_TERMS: Data = {
    "lane": {"enum": list(Lane), "description": "`user`: a person waits, goes first (the default for one); `bulk`."},
    "reason": _REASON | {"description": "A ticket number or a few plain words; never personal data."},
    "on_behalf_of": _text(
        "Who asked your service, as an opaque id: recorded as `token name/on_behalf_of`.",
        pattern=f"^[0-9A-Za-z][0-9A-Za-z._:/#-]{{0,{LONGEST_PERSON - 1}}}$",
    ),
    "app_user": _text("Sent as X-App-UserId; erased at the end, never shown.", **_OPAQUE),
    "run": _text("A name for a batch; `eraser cancel --run` withdraws all of it.", **_OPAQUE),
    "after": _text("Earliest start from now: a number and s, m, h or d, such as 24h.", **_DURATION),
    "at": _text("Earliest start. `after` or `at`, not both.", **_MOMENT),
    "deadline": _text("Give up after this long; 30 days unless the server is configured otherwise.", **_DURATION),
    "related": {"enum": [*Related], "description": "What is done about what the job leaves behind."},
    "force": _flag("Even if it is already deleted or gone: opens a new round."),
    "allow_project": _flag("Also in a project that is not configured here; without it, 404."),
}


def _request(name: str, schema: Data) -> Data:
    never = {"additionalProperties": False, "not": {"required": ["after", "at"]}}
    return _object(**{name: schema}) | {"properties": {name: schema, **_TERMS}, **never}


# Additional fields of a problem with this status.
_MORE: dict[int, Data] = {
    409: {"result": _WORD, "rule": _WORD},
    422: {"results": {"type": "array", "items": _ref("Result")}},
    503: {"recorded": _COUNT},
}
_WRONG: dict[int, tuple[str, str]] = {
    400: ("NotJson", "The body is not a JSON object in UTF-8, or it has two lengths."),
    401: ("NoToken", "There is no token, or it is unknown."),
    403: ("Forbidden", "The token lacks the scope or the project; or a page of another site sent this."),
    404: ("Unknown", "Unknown address, project or deletion."),
    408: ("TooSlow", f"The body did not come within {BODY_S:.0f} s. Nothing was recorded."),
    409: ("Conflict", "Too late to cancel (`result`), the record is damaged, or the same request is in progress."),
    410: ("Gone", "The cursor is older than what is kept."),
    413: ("TooLarge", f"The body is longer than {BODY_LIMIT:,} bytes."),
    415: ("WrongContentType", "The Content-Type is not application/json."),
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
    schema = _ref("Problem") | ({"properties": _MORE[status]} if status in _MORE else {})
    answer = {"description": text, **_content(schema, "application/problem+json")}
    return answer | ({"headers": headers} if headers else {})


_SCHEMAS: Data = {
    "One": _request("job_id", _JOB_ID),
    "Many": _request(
        "job_ids",
        _each(_WORD, f"Each must match {ID.pattern}; an invalid id is reported, the others are accepted.")
        | {"minItems": 1, "maxItems": MOST},
    ),
    "Recorded": _object(
        accepted={"type": "integer", "minimum": 1},
        rejected=_COUNT,
        results=_each(_ref("Result"), "One for each id, in the order of the request."),
    ),
    "Result": _object(
        **_TARGET,
        state={"anyOf": [_STATE, {"type": "null"}]},
        accepted={"type": "boolean"},
        deduplicated=_flag(
            "There was a record of it already, which was not withdrawn: this added to it, or did nothing."
        ),
        effect={"enum": [*Effect, None], "description": EFFECTS},
        error=_TEXT,
    ),
    "Deletion": _object(
        **dict.fromkeys(("project_id", "account"), _WORD)
        | dict.fromkeys(("reason", "requested_by", "run", "replay"), _TEXT)
        | dict.fromkeys(("requested_at", "due_at", "deadline_at", "finished_at"), _WHEN)
        | _TARGET,
        state=_STATE,
        waiting_for={"enum": [*WaitingFor, None]},
        cause={"anyOf": [{"enum": list(Cause)}, _TEXT]},
        evidence={"enum": [*Evidence, None]},
        lane={"enum": list(Lane)},
        round=_WHOLE,
        attempts=_each(_ref("Attempt"), "Every DELETE call and its answer; at most the first 3 and the last 20."),
        may_be_deleted=_flag("An earlier call may have deleted it, or did."),
        claims=_each(_object(**_CLAIM, lane=_TEXT, requested_at=_WHEN), "Who else requested it."),
        events=_each(_object(at=_WHEN, event=_WORD), "Other events; each has its own fields."),
        archived=ARCHIVED,
        **dict.fromkeys(("asset_id", "voice_train_job_id"), _TEXT) | ERASURE,
    ),
    "Attempt": _object(
        **dict.fromkeys(("n", "round"), _WHOLE) | dict.fromkeys(("code", "message", "outcome"), _TEXT),
        at=_WHEN,
        status=_NUMBER,
        request_id=_TEXT | {"description": "MetaStudio's X-Request-Id, for their support."},
        ms={"type": ["number", "null"]},
    ),
    "Withdrawn": _object(
        project_id=_WORD,
        **_TARGET,
        result={"enum": [*_WITHDRAWN, "discarded"]},
        done=_flag("Nothing will be sent for it."),
        detail=_WORD,
    ),
    "Settled": _object(
        items=_each(_ref("Receipt"), "Oldest first."),
        cursor=_text("Where to continue; it stays valid at the end."),
        more=_flag("Whether there are more."),
    ),
    "Receipt": _object(
        **dict.fromkeys(FIELDS, _TEXT)
        | dict.fromkeys(NUMBERS, _NUMBER)
        | dict.fromkeys(("account", "project_id", "kind", "id"), _WORD)
        | dict.fromkeys(("requested_at", "finished_at", "recorded_at"), _WHEN)
        | ERASURE
        | {
            "state": _STATE,
            "claims": _each(_object(**_CLAIM, policy=_TEXT), "Who else had requested it."),
            "n": _NUMBER | {"description": "The receipt's number; null: a dead letter, which has none."},
            "attempts": _NUMBER | {"description": "DELETE calls in this round."},
            "status": _NUMBER | {"description": "Of the last DELETE, like code and request_id."},
            "event": {"enum": [*EVENTS, None], "description": "Null: it has ended so."},
            "sent": {"enum": ["yes", "no", "perhaps", None], "description": "Whether a DELETE was ever sent."},
        }
    ),
    **act_schemas(_TARGET, {"reason": _REASON, "app_user": _TERMS["app_user"]}),
    "Problem": _object(
        type=_text("urn:avatar-eraser:NAME, for programs."),
        title=_WORD,
        status=_WHOLE,
        detail=_text("For people: what is wrong and what to do."),
    ),
}
_SCHEMAS["Listed"] = listed(_SCHEMAS["Deletion"])


def _parameter(name: str, where: str, schema: Data, *, required: bool = False, text: str | None = None) -> Data:
    made = {"name": name, "in": where, "schema": schema, "required": required}
    return made | ({"description": text} if text else {})


_PROJECT = _parameter("project_id", "path", _JOB_ID | {"example": "0605768a2c80"}, required=True)
_JOB = _parameter("job_id", "path", _JOB_ID, required=True)
_KEY = _parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    text="The same key with the same body has the first answer again for 24 hours, with another body 422.",
)
_ALL = (400, 401, 403, 404, 413, 421, 422, 503)

_ONCE: Data = {
    "Location": {"description": "Of the one.", "schema": _WORD},
    "Idempotency-Replayed": {"description": "`true`: the first answer again.", "schema": _TEXT},
}

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
            "requestBody": {"required": True, **_content({"oneOf": [_ref("One"), _ref("Many")]})},
            "responses": {"202": _answer("Recorded.", "Recorded", headers=_ONCE), **_wrong(408, 409, 415, *_ALL)},
        },
        "get": list_operation({"anyOf": [_ref("Listed"), _ref("Settled")]}, _wrong(410, *_ALL)),
    },
    "/api/projects/{project_id}/deletions/{job_id}": {
        "parameters": [_PROJECT, _JOB],
        "get": {
            "operationId": "deletion",
            "summary": "One deletion with every call that was made. Scope `read`.",
            "responses": {"200": _answer("The current state.", "Deletion"), **_wrong(409, *_ALL)},
        },
        "delete": {
            "operationId": "cancelDeletion",
            "summary": "Withdraw a request for a deletion. Scope `operate`.",
            "parameters": [_parameter("reason", "query", _REASON, required=True)],
            "responses": {
                "200": _answer("Nothing will be sent for it.", "Withdrawn"),
                "202": _answer("Recorded; a call in progress decides.", "Withdrawn"),
                **_wrong(409, *_ALL),
            },
        },
    },
    **act_paths([_PROJECT, _JOB], _wrong(408, 409, 415, *_ALL)),
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
                "description": "`eraser console tokens create NAME --scope request` makes one.",
            }
        },
        "responses": {name: _problem(status, text) for status, (name, text) in _WRONG.items()},
        "schemas": _SCHEMAS,
    },
}
