"""Loads the ledger's moves: one Lua file each, put together from the fragments it includes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import redis

from worker.ledger.library import Library
from worker.ledger.schema.erasure import ErasureField
from worker.ledger.schema.fields import NEW_ROUND, Field
from worker.ledger.schema.keys import Key
from worker.ledger.schema.states import INDEX, VERSION, dropped_on, indexes_of
from worker.model.target import KINDS

_LUA = Path(__file__).with_name("lua")
_COMMAND = re.compile(r"(?:redis|raw)\.p?call\('([A-Z]+)'")
_INCLUDE = re.compile(r"^--include (\w+)$", re.MULTILINE)
_WITHIN = re.compile(r"^--within$", re.MULTILINE)
_TABLE = (
    "DROPPED_ON|DROPPED_BY_A_NEW_ROUND|FIELD_CHECKS|FAMILY_TYPES|KEY_TYPES|SCHEMA_VERSION|STATE_OF_INDEX|DATED_INDEXES"
)
_NAME = re.compile(rf"\b(?:F\.(\w+)|K\.(\w+)|E\.(\w+)|({_TABLE}))\b")
# What workers run all the time. All of them drain: they run when Redis is full, too.
AS_FUNCTIONS = frozenset({"take", "confirm", "due_wakeup", "rescue"})
# The names of the account's keys, and what is of one call: a script's state is, whole; see `Library` for functions.
HEAD = """local IS_SCRIPT = true
local function each_call(reset) reset() end
local K = setmetatable({}, { __index = function(names, name)
  names[name] = KEYS[1] .. name
  return names[name]
end })
"""
# what a value of each type of field has to be: functions of `lua/_damage.lua`; a type that is not here may be anything
_CHECKS = {
    "state": "is_state",
    "user|bulk": "is_lane",
    "1": "is_flag",
    "ms": "number",
    "number": "number",
    "HMAC": "is_hash",
    "HMAC|-": "is_hash",
    "cancel": "is_cancel",
    "claims": "is_claims",
    "round|-": "is_round_before",
}

_LISTED_IN = {
    "act": Key.AUDIT,
    "run": Key.RUNS,
    "recheck": Key.RECHECKS,
    "group": Key.GROUPS,
    "job": Key.EXPERIMENTS,
}  # where the names of a family's keys come from


def _read(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text(encoding="utf-8")


def _stored(name: re.Match[str]) -> str:
    """A name of the schema, as Lua text: a Lua function may know at most 60 names of its surroundings."""
    field, key, erasure, table = name.groups()
    if erasure:
        return f"'{ErasureField[erasure.upper()]}'"
    if field:
        return f"'{Field[field.upper()]}'"
    if key:
        return f"K['{Key[key.upper()]}']"
    match table:
        case "STATE_OF_INDEX":
            return _table((index, f"'{state}'") for state in INDEX for index in indexes_of(state))
        case "DATED_INDEXES":
            return "{ " + _list([*indexes_of("pending"), *INDEX["held"]]) + " }"
    return _TABLES[table]


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _table(pairs: Iterable[tuple[str, str]]) -> str:
    return "{ " + ", ".join(f"['{name}'] = {value}" for name, value in pairs) + " }"


_TABLES = {
    "DROPPED_ON": _table((state, _table((field, "true") for field in dropped_on(state))) for state in INDEX),
    "DROPPED_BY_A_NEW_ROUND": _list(dropped_on(NEW_ROUND)),
    "FIELD_CHECKS": _table((field, _CHECKS[field.type]) for field in Field if field.type in _CHECKS),
    "FAMILY_TYPES": _table(
        (key, f"{{ index = KEYS[1] .. '{_LISTED_IN[key.of]}', type = '{key.type}' }}")
        for key in Key
        if key.of in _LISTED_IN
    ),
    "KEY_TYPES": _table((key, f"'{key.type}'") for key in Key if not key.of),
    "SCHEMA_VERSION": str(VERSION),
}


MOVES: dict[str, str] = {}  # hash of a script, or a function of Redis -> its move, for whoever looks at commands


def commands_of_scripts() -> frozenset[str]:
    """Every command of Redis that a move may run."""
    return frozenset[str]().union(*(_commands(path.read_text(encoding="utf-8")) for path in _LUA.glob("*.lua")))


def _commands(source: str) -> frozenset[str]:
    return frozenset(_COMMAND.findall(source))


@dataclass(frozen=True, slots=True)
class Script:
    """One atomic change of the ledger."""

    name: str
    source: str
    sha: str
    commands: frozenset[str]  # of Redis that it may run
    library: Library | None = None  # the same move, for servers that have functions

    def run(self, client: redis.Redis, keys: str | tuple[str, ...], *args: str | int | float | bytes) -> Any:
        """Run it once. Raises redis-py's errors; a server that forgot the script (a restart) is taught it again."""
        names = (keys,) if isinstance(keys, str) else keys
        try:
            return client.evalsha(self.sha, len(names), *names, *args)
        except redis.exceptions.NoScriptError:
            return client.eval(self.source, len(names), *names, *args)


def load(name: str, *, clock: str | None = None) -> Script:
    """See `_load`."""
    return _load(name, clock, len(KINDS))


@cache
def _load(name: str, clock: str | None, _kinds: int) -> Script:
    """Put the move `name` together. `clock` replaces the fragment that asks Redis for the time: for tests.

    A fragment may include others; each stands in the source once. Names of the schema (`F.deadline`, `K.running`)
    become what is stored; raises `KeyError` for one that the schema does not know. What follows `--within` is a
    function inside of what stands before it: Lua makes all functions of a script anew at each run, and takes longer for
    one that refers to what was declared long before it in the same function. Measured: without it a take costs a sixth
    more.
    """
    there: set[str] = set()

    def fragment(match: re.Match[str]) -> str:
        if match[1] in there:
            return ""
        there.add(match[1])
        text = clock if clock is not None and match[1] == "_time" else _read(match[1])
        return _INCLUDE.sub(fragment, text)

    source, depth = _WITHIN.subn("return (function()", _NAME.sub(_stored, _INCLUDE.sub(fragment, _read(name))))
    library = Library.of(name, source, depth) if name in AS_FUNCTIONS else None
    source = HEAD + source + "\nend)()" * depth
    sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    MOVES[sha] = name
    if library:
        MOVES[library.function] = name
    return Script(name=name, source=source, sha=sha, commands=_commands(source), library=library)
