"""Makes a foreign message safe to log and store: short, one line, without secrets and personal data.

The gateway's 401 echoes the canonical request, including the value of every signed header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from worker.config import known_secrets

MAX_BYTES: Final = 200
MASK: Final = "***"
_MAX_INPUT: Final = 16 * 1024  # characters; only the first 200 bytes can be shown anyway

# The echo separates headers with "|", so everything up to the next one belongs to the value.
_HEADERS: Final = re.compile(
    r"(?i)\b(x-security-token|x-auth-token|x-subject-token|x-app-userid|(?:proxy-)?authorization|cookie)"
    r"""(["']?\s*[:=])[^|]*"""
)
_PAIRS: Final = re.compile(r"(?i)\b(access|signature|credential|secret|password|token|ak|sk)=[^\s,;|&]+")
_WORD: Final = re.compile(r"""[^\s|,;"'<>()]+""")
# The first alternative keeps texts that look like a phone number but are an id or a time of the gateway.
_NUMBERS: Final = re.compile(
    r"(?P<keep>(?<![0-9A-Za-z])"
    r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9]{8}T[0-9]{6}Z)"
    r"(?![0-9A-Za-z]))"
    r"|\+\d[\d ().-]{5,20}\d"
    r"|\d(?:[ .-]?\d){10,}"
)


def redact(text: str, *, secrets: Iterable[str] = ()) -> str:
    """At most 200 bytes of UTF-8 on one line; keys, tokens, e-mail addresses, phone numbers and queries masked.

    `secrets` are literal texts that must not appear, besides the `known_secrets` of this process.
    """
    literals = _literals(secrets)
    text = _one_line(_masked(text, literals)[:_MAX_INPUT])
    return _shorten(without_forms(_masked(text, literals)))


def without_forms(text: str) -> str:
    """The text without what looks secret or personal: the same in every process, whatever secrets it knows."""
    text = _HEADERS.sub(lambda m: f"{m[1]}{m[2]}{MASK}", text)
    text = _PAIRS.sub(lambda m: f"{m[1]}={MASK}", text)
    text = _WORD.sub(_mask_word, text)
    return _NUMBERS.sub(lambda m: m[0] if m["keep"] else MASK, text)


@lru_cache(maxsize=16)  # a process has one set of secrets, and uses it for each line of its log
def _spellings(secrets: tuple[str, ...]) -> list[str]:
    """Every secret as it is and in its URL form; the longest first, so that none hides a part of another."""
    given = {secret for secret in secrets if secret}
    quoted = {quote(secret, safe="", errors="replace") for secret in given}
    return sorted(given | quoted, key=len, reverse=True)


def without(text: str, secrets: Iterable[str]) -> str:
    """The text without these and the known secrets."""
    return _masked(text, _literals(secrets))


def _literals(secrets: Iterable[str]) -> list[str]:
    return _spellings((*secrets, *known_secrets.known()))


def _masked(text: str, literals: Iterable[str]) -> str:
    for literal in literals:
        text = text.replace(literal, MASK)
    return text


def _one_line(text: str) -> str:
    return " ".join("".join([c if c.isprintable() else " " for c in text]).split())


def _mask_word(match: re.Match[str]) -> str:
    word = match[0]
    if "@" in word:
        return MASK
    head, question, query = word.partition("?")
    if question and ("=" in query or "://" in head):
        return f"{head}?{MASK}"
    return word


def _shorten(text: str) -> str:
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MAX_BYTES:
        return raw.decode()
    return raw[: MAX_BYTES - 3].decode("utf-8", "ignore") + "…"
