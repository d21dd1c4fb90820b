"""The query of a GET for deletions: read strictly, because a misspelt filter would choose all. Pure.

No error repeats the input.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from worker.config.tables import nearest
from worker.interfaces.api.request_schema import MOST
from worker.interfaces.web.problem_details import Problem
from worker.model.errors import UsageError
from worker.services.filters import EVERY
from worker.services.times import parse_past

FILTERS = {name: text for name, text in EVERY.items() if name != "project"}  # which the path names
FEED = "settled_since"
_KNOWN = (*FILTERS, "cursor", "limit", FEED)


def read(query: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """The parameters. Raises `Problem` for the first one that is wrong."""
    fields: dict[str, str] = {}
    for name, text in query:
        if name not in _KNOWN:
            raise _invalid(f"unknown parameter{nearest(name, _KNOWN)}; known: {', '.join(_KNOWN)}")
        if name in fields:
            raise _invalid(f"{name}: given more than once")
        if not text and name != FEED:
            raise _invalid(f"{name}: it is empty; leave it out")
        fields[name] = text
    if FEED in fields and not fields.keys() <= {FEED, "limit"}:
        raise _invalid(f"{FEED} takes no filters: it is what has finished, in order")
    for name in ("since", "until"):
        if name in fields:
            _check_time(name, fields[name])
    limit(fields)
    return fields


def limit(fields: Mapping[str, str]) -> int:
    """How many at most."""
    text = fields.get("limit", "100")
    if not re.fullmatch(r"[1-9][0-9]{0,3}", text) or int(text) > MOST:
        raise _invalid(f"limit: expected 1 to {MOST:,}")
    return int(text)


def _check_time(name: str, text: str) -> None:
    try:
        parse_past(text, name, 0.0)
    except UsageError:  # the error would repeat the text
        raise _invalid(f"{name}: expected a time with its zone, or how long ago, such as 24h") from None


def _invalid(detail: str) -> Problem:
    return Problem(422, "invalid", detail)
