"""The namespace: the prefix of all keys and queues of one installation."""

from __future__ import annotations

import re

NAMESPACE = "eraser"


_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")  # no dot or colon: never a prefix of another's names


_TAKEN = ("celery", "celeryev", "unacked")  # names of Celery's own queues, exchanges and keys


def why_bad_namespace(text: str) -> str | None:
    """Why this is not a valid namespace, or None."""
    if not _NAMESPACE.fullmatch(text):
        return f"expected 1 to 32 lower-case letters, digits or -, not beginning with -; found {text[:40]!r}"
    return f"{text} is a name of Celery's own: take another one" if text in _TAKEN else None
