"""Makes a foreign message safe to log and store: short, one line, without secrets and personal data.

The gateway's 401 echoes the canonical request, including the value of every signed header.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from worker.config import known_secrets

MAX_BYTES: Final = 200
MASK: Final = "***"
_MAX_INPUT: Final = 16 * 1024  # characters; only the first 200 bytes can be shown anyway
_LONG: Final = 8  # characters; shorter secrets, such as `redis`, are parts of other words as well

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
    secrets = tuple(secrets)
    masked = without(text, secrets)
    line = _one_line(masked[:_MAX_INPUT])
    return _shorten(without_forms(line if line == masked else without(line, secrets)))


def without_forms(text: str) -> str:
    """The text without what looks secret or personal: the same in every process, whatever secrets it knows."""
    text = _HEADERS.sub(lambda m: f"{m[1]}{m[2]}{MASK}", text)
    text = _PAIRS.sub(lambda m: f"{m[1]}={MASK}", text)
    text = _WORD.sub(_mask_word, text)
    return _NUMBERS.sub(lambda m: m[0] if m["keep"] else MASK, text)


def without(text: str, secrets: Iterable[str], *, long_only: bool = False) -> str:
    """The text without these and the known secrets; the longest first, so that none hides a part of another. A
    short one is masked where no letter or digit of ASCII stands next to it, and with `long_only` nowhere.
    """
    known = known_secrets.known()
    literals = _in(text, _index(known))
    others = [spelling for secret in secrets if secret not in known for spelling in _spellings(secret)]
    for literal in sorted((*literals, *others), key=len, reverse=True):
        if len(literal) >= _LONG:
            text = text.replace(literal, MASK)
        elif not long_only and literal in text:
            text = re.sub(rf"(?<![0-9A-Za-z]){re.escape(literal)}(?![0-9A-Za-z])", MASK, text)
    return text


@dataclass(frozen=True, slots=True)
class _Index:
    """What to look for in a text, and the same by its beginning; shorter ones have none."""

    literals: Sequence[str]
    shorter: Sequence[str]
    beginning: Mapping[str, Sequence[str]]


@lru_cache(maxsize=2)
def _index(secrets: frozenset[str]) -> _Index:
    literals = [spelling for secret in secrets for spelling in _spellings(secret)]
    beginning = defaultdict(list)
    for literal in literals:
        beginning[literal[:_LONG]].append(literal)
    return _Index(literals, [one for one in literals if len(one) < _LONG], dict(beginning))


def _in(text: str, index: _Index) -> Sequence[str]:
    """Those of the literals that may stand in it: with thousands of them, looking up each place of it costs less."""
    if len(text) > len(index.literals):
        return index.literals
    places = range(len(text) - _LONG + 1)
    begun = [begins for at in places if (begins := text[at : at + _LONG]) in index.beginning]
    return [*index.shorter, *(one for begins in begun for one in index.beginning[begins])]


@lru_cache(maxsize=8192)
def _spellings(secret: str) -> tuple[str, ...]:
    """A secret as it is and, where that is another, in its URL form."""
    quoted = quote(secret, safe="", errors="replace")
    return tuple(filter(None, (secret, quoted if quoted != secret else "")))


def _one_line(text: str) -> str:
    if text.isprintable():
        return " ".join(text.split())
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
