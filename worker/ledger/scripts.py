"""Loads the ledger's moves: one Lua file each, put together from the fragments it includes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import redis

_LUA = Path(__file__).with_name("lua")
_COMMAND = re.compile(r"(?:redis|raw)\.p?call\('([A-Z]+)'")
_INCLUDE = re.compile(r"^--include (\w+)$", re.MULTILINE)
_WITHIN = re.compile(r"^--within$", re.MULTILINE)


def _read(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text(encoding="utf-8")


def commands_of_moves() -> set[str]:
    """Every command of Redis that a move may run."""
    return {name for path in _LUA.glob("*.lua") for name in _COMMAND.findall(path.read_text(encoding="utf-8"))}


@dataclass(frozen=True, slots=True)
class Move:
    """One atomic change of the ledger."""

    name: str
    source: str
    sha: str

    def run(self, client: redis.Redis, prefix: str, *args: str | int | bytes) -> bytes:
        """Run it once. Raises redis-py's errors; a server that forgot the script (a restart) is taught it again."""
        try:
            return client.evalsha(self.sha, 1, prefix, *args)  # type: ignore[no-any-return]
        except redis.exceptions.NoScriptError:
            return client.eval(self.source, 1, prefix, *args)  # type: ignore[no-any-return]


@cache
def load(name: str, *, clock: str | None = None) -> Move:
    """Put the move `name` together. `clock` replaces the fragment that asks Redis for the time: for tests.

    A fragment may include others; each stands in the source once. What follows `--within` is a function inside of what
    stands before it: Lua makes all functions of a script anew at each run, and takes longer for one that refers to what
    was declared long before it in the same function. Measured: without it a take costs a sixth more.
    """
    there: set[str] = set()

    def fragment(match: re.Match[str]) -> str:
        if match[1] in there:
            return ""
        there.add(match[1])
        text = clock if clock is not None and match[1] == "_time" else _read(match[1])
        return _INCLUDE.sub(fragment, text)

    source, depth = _WITHIN.subn("return (function()", _INCLUDE.sub(fragment, _read(name)))
    source += "\nend)()" * depth
    return Move(name=name, source=source, sha=hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
