"""The secrets that this process has read or was given, so that nothing that it writes down repeats them: whoever reads
one adds it first. Where a source has another one now, the two before stay known: an error may still quote them.
"""

from __future__ import annotations

import threading
from itertools import chain
from typing import Final
from urllib.parse import unquote, urlsplit

from worker.config.forks import when_forked

_SHORTEST: Final = 4  # characters: masking a shorter one would mask everything
_VERSIONS: Final = 3

_known: dict[str, tuple[tuple[str, ...], ...]] = {}  # by source: its versions, the newest first
_all: list[frozenset[str]] = [frozenset()]  # of it, in one set, which is read without the lock
_changing: threading.Lock


def _new_lock() -> None:
    global _changing  # noqa: PLW0603 - a forked child has its own
    _changing = threading.Lock()


_new_lock()
when_forked(_new_lock)


def add(source: str, *texts: str) -> None:
    """texts: what is secret of a source, such as a file, now."""
    now = tuple(text for text in texts if len(text) >= _SHORTEST)
    with _changing:
        versions = _known.get(source, ())
        if now and now not in versions[:1]:
            _known[source] = (now, *versions)[:_VERSIONS]
            _all[0] = frozenset(chain.from_iterable(chain.from_iterable(_known.values())))


def known() -> frozenset[str]:
    """All of them; the same object until another one is added."""
    return _all[0]


def parts(value: str) -> tuple[str, ...]:
    """What is secret of a setting's value: of a URL only its passwords."""
    value = value.strip()
    if "://" not in value:
        return (value,) if len(value) >= _SHORTEST else ()
    try:
        url = urlsplit(value)
    except ValueError:
        return ()
    options = (option.partition("=") for option in url.query.split("&"))
    found = [url.password or "", *(text for name, _, text in options if "password" in name)]
    return tuple({text for one in found for text in (one, unquote(one)) if len(text) >= _SHORTEST})


def forget() -> None:
    """For tests, which are many processes in one."""
    with _changing:
        _known.clear()
        _all[0] = frozenset()
