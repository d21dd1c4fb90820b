"""Which ids may reach a URL, and what may be kept of whoever asks: opaque ids and ticket numbers."""

from __future__ import annotations

import re

ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
OPAQUE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:/#-]{0,63}")
REASON = re.compile(r"[0-9A-Za-z#][0-9A-Za-z ._:;,/#()-]{0,63}")


def why_bad_id(text: object, what: str = "job id") -> str | None:
    """Say what is wrong with an id; None if it may be part of a URL.

    `..`, `.` and the empty id turn a DELETE of one job into a DELETE of something else (API reference, 4.6).
    """
    if isinstance(text, str) and ID.fullmatch(text):
        return None
    if not isinstance(text, str):
        found = f"a {type(text).__name__}"
    elif text == "":
        found = "nothing"
    elif len(text) > 64:
        found = f"{len(text)} characters"
    else:
        bad = next((c for i, c in enumerate(text) if not ID.fullmatch(c if i == 0 else f"0{c}")), text[0])
        found = f"{bad!r}"
    return f"a {what} is 1 to 64 letters, digits, '_' or '-', the first a letter or digit; found {found}"


def is_opaque(text: str) -> bool:
    return OPAQUE.fullmatch(text) is not None


def is_reason(text: str) -> bool:
    return REASON.fullmatch(text) is not None
