"""The schema of a request's body: read strictly, because a misspelt `after` would delete at once. Pure.

No error repeats the input.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from worker.config.personal import check_app_user, check_opaque
from worker.config.tables import nearest
from worker.interfaces.web.problem_details import Problem
from worker.model.erasure import Related
from worker.model.errors import UsageError
from worker.model.states import Lane
from worker.model.target import Target
from worker.services.request import RENAMED
from worker.services.times import parse_span, parse_time

MOST = 1000  # job ids in one request
_DURATION = "a duration: a number and s, m, h or d, such as 24h"
_TIMES = {
    "after": (parse_span, _DURATION),
    "deadline": (parse_span, _DURATION),
    "at": (parse_time, "a moment that exists, with its time zone, such as 2026-11-22T05:10:00Z"),
}
_WORDS = {str: "a text", list: "a list of texts", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class RequestBody:
    """One request for deletions, as sent."""

    job_ids: tuple[str, ...]
    lane: Lane
    reason: str | None = None
    on_behalf_of: str | None = None
    app_user: str | None = None
    run: str | None = None
    after: str | None = None
    at: str | None = None
    deadline: str | None = None
    related: str | None = None
    force: bool = False
    allow_project: bool = False

    def by(self, token: str) -> str:
        """The requester: the token's name, and on whose behalf if given."""
        return f"{token}/{self.on_behalf_of}" if self.on_behalf_of else token

    @property
    def terms(self) -> dict[str, Any]:
        """As `worker.services.request.from_texts` takes them."""
        return {name: getattr(self, name) for name in _TERMS if name not in ("on_behalf_of", "allow_project")}


@dataclass(frozen=True, slots=True)
class ActBody:
    """An act on what a job left behind, as sent."""

    reason: str
    app_user: str | None = None


_ACT: Mapping[str, type] = {"reason": str, "app_user": str}
_TERMS = {term.name: bool if term.default is False else str for term in fields(RequestBody)[1:]}
_TYPES: Mapping[str, type] = {"job_id": str, "job_ids": list, **_TERMS}


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises `Problem`."""
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_doubles)
    except (ValueError, RecursionError):  # a million brackets are valid JSON, too
        raise Problem(400, "not-json", 'expected a JSON object in UTF-8, such as {"job_id": "…"}') from None
    if not isinstance(document, dict):
        raise Problem(400, "not-json", 'expected a JSON object, such as {"job_id": "…"}; found something else')
    return document


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, if no field is given twice: a proxy may have used the other one."""
    if len(document := dict(pairs)) < len(pairs):
        raise _invalid("a field is given twice")
    return document


def read(document: Mapping[str, Any]) -> RequestBody:
    """Read the request. Raises `Problem` for the first error; the ids of a list are checked one by one."""
    _check_fields(document, _TYPES)
    if ("job_id" in document) == ("job_ids" in document):
        raise _invalid("give one job as job_id, or several as job_ids, not both")
    several = "job_ids" in document
    job_ids = document["job_ids"] if several else [document["job_id"]]
    _check_ids(job_ids, several=several)
    fields = {name: document[name] for name in _TYPES if name in document and not name.startswith("job_id")}
    lane = fields.pop("lane", Lane.BULK if several else Lane.USER)
    if lane not in tuple(Lane):
        raise _invalid("lane: expected user (a person waits) or bulk")
    if fields.get("related", Related.LEAVE) not in tuple(Related):
        raise _invalid(f"related: expected {', '.join(Related)}")
    if "after" in fields and "at" in fields:
        raise _invalid("give after or at, not both")
    for name, (parse, expected) in _TIMES.items():
        if name in fields:
            _check_time(name, fields[name], parse, expected)
    if len(fields.get("on_behalf_of", "")) > LONGEST_PERSON:
        raise _invalid(f"on_behalf_of: expected an opaque id of at most {LONGEST_PERSON} characters")
    check_opaque(fields.get("on_behalf_of"), "on_behalf_of")
    return RequestBody(job_ids=tuple(job_ids), lane=Lane(lane), **fields)


def read_act(document: Mapping[str, Any]) -> ActBody:
    """Read an act. Raises `Problem` for the first error, and `UsageError` for a word that must not be stored."""
    _check_fields(document, _ACT)
    if not document.get("reason"):
        raise _invalid("reason: say why, with a ticket number")
    check_app_user(document.get("app_user"), "app_user")
    return ActBody(**document)


def _check_fields(document: Mapping[str, Any], types: Mapping[str, type]) -> None:
    for name, value in document.items():
        if name in RENAMED:
            raise _invalid(f"{name} is called {RENAMED[name]} now")
        if name not in types:
            raise _invalid(f"unknown field{nearest(name, types)}; known: {', '.join(types)}")
        if type(value) is not types[name]:
            raise _invalid(f"{name}: expected {_WORDS[types[name]]}")


LONGEST_PERSON = 31  # characters: together with a token's name and the slash at most the length of an opaque id


def _check_time(name: str, text: str, parse: Callable[[str, str], float], expected: str) -> None:
    try:
        parse(text, name)
    except UsageError:  # the error would repeat the text
        raise _invalid(f"{name}: expected {expected}") from None


def _check_ids(job_ids: list[Any], *, several: bool) -> None:
    if not 1 <= len(job_ids) <= MOST:
        raise _invalid(f"job_ids: expected 1 to {MOST:,} job ids; found {len(job_ids):,}")
    if not all(isinstance(job_id, str) for job_id in job_ids):
        raise _invalid("job_ids: expected a list of texts")
    if not several and (why := Target.why_not_named(job_ids[0])):
        raise _invalid(f"job_id: {why}")


def _invalid(detail: str) -> Problem:
    return Problem(422, "invalid", f"{detail}. Nothing was recorded")
