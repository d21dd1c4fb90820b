"""Which ids may reach a URL, and what may be kept of whoever asks: opaque ids and ticket numbers."""

from __future__ import annotations

import re

from worker.model.errors import UsageError
from worker.model.personal import personal

APP_USER = "app user"


ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")


_OPAQUE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:/#-]{0,63}")


_REASON = re.compile(r"[0-9A-Za-z#][0-9A-Za-z ._:;,/#()-]{0,63}")


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
    return _OPAQUE.fullmatch(text) is not None


def check_opaque(text: str | None, what: str, *, known: bool = False) -> str | None:
    """Return `text` if it is an opaque id (requester, run, app user). Raise `UsageError` otherwise.

    An app user is whatever MetaStudio knows; it is sent and never shown, so there are no further rules for it.
    known: it is in the ledger already, and only names what is there.
    """
    if text is None:
        return text
    if not is_opaque(text):
        form = "1 to 64 letters, digits or . _ : / # -"
        raise UsageError(f"{what}: use an opaque id of {form}; never a name, e-mail or phone number")
    if what != APP_USER and not known:
        _refuse_personal(text, what)
    return text


def check_reason(text: str | None) -> str | None:
    """Return `text` if it is a reason such as a ticket number; raise `UsageError` otherwise."""
    if text is not None:
        if not _REASON.fullmatch(text):
            raise UsageError(
                "reason: use a ticket number or a few plain words, 1 to 64 letters, digits, blanks or "
                ". _ : ; , / # ( ) -; never personal data"
            )
        _refuse_personal(text, "reason")
    return text


def _refuse_personal(text: str, what: str) -> None:
    if found := personal(text):
        raise UsageError(
            f"{what}: this has the form of {found}, and personal data must not be stored. Of a ticket's number write "
            "TICKET-NUMBER, or allow its form with ERASER_REASON_PATTERN"
        )
