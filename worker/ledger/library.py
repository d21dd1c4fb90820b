"""A move as a function that Redis keeps: what its script would set up anew at each run is set up once.

The server has functions since Redis 7. They replicate, are in its files, and are loaded by whoever misses one; each
program's have names of their own, so that programs of several versions work side by side. Where the server knows no
functions, or does not let us have any, the same move runs as a script.
"""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

from worker.ledger.connection import server_of

KEPT_DAYS = 7  # then a library goes when another one of its move comes; whoever still needs it loads it again
_DAY_S = 86_400
_NAME = "avatar_eraser"
# How servers and proxies word that they refuse FCALL itself. What a command in the function is refused with is no such
# error: the function may have written something before it.
_REFUSED = re.compile("['`\"]fcall['`\"]", re.IGNORECASE)
_ANSWER = re.compile(r"^return once\(", re.MULTILINE)
# KEYS, ARGV and K (the account's names of keys) are of the present call, and so is whatever `each_call` sets.
_HEAD = """local KEYS, ARGV, K
local IS_SCRIPT = false
local resets, names_of = {}, {}
local function each_call(reset) resets[#resets + 1] = reset end
local function names(prefix)
  local function named(there, name)
    there[name] = prefix .. name
    return there[name]
  end
  names_of[prefix] = names_of[prefix] or setmetatable({}, { __index = named })
  return names_of[prefix]
end
local move = (function()
"""
_TAIL = """
end)()
redis.register_function{ function_name = '%s', flags = { 'allow-oom' }, callback = function(keys, args)
  KEYS, ARGV, K = keys, args, names(keys[1])
  for i = 1, #resets do resets[i]() end
  return move()
end }
"""


class NoFunctions(Exception):
    """This server has none, or lets this user have none. Nothing was done."""


@dataclass(frozen=True, slots=True)
class Library:
    """One move that must run even when Redis is full, as a library with one function."""

    move: str
    function: str
    code: str  # without its first line

    @classmethod
    def of(cls, move: str, body: str, depth: int) -> Library:
        """body: the Lua of the move, in which so many functions are not closed."""
        made, found = _ANSWER.subn("return function() return once(", body)
        if found != 1:
            raise ValueError(f"{move}: a move ends with `return once(…)`")
        code = made + "\nend" + "\nend)()" * depth
        sha = hashlib.sha1(code.encode(), usedforsecurity=False).hexdigest()
        function = f"{_NAME}_{move}_{sha}"
        return cls(move, function, _HEAD + code + _TAIL % function)

    def run(self, client: redis.Redis, keys: str, *args: str | int | float | bytes) -> Any:
        """Call it; a server that does not know it is taught it. Raises `NoFunctions` and redis-py's errors."""
        try:
            return client.fcall(self.function, 1, keys, *args)
        except redis.exceptions.ResponseError as error:
            if _REFUSED.search(str(error)):
                raise NoFunctions from None
            if not _is_missing(error):
                raise
        with suppress(redis.exceptions.ResponseError):  # somebody else does the same, or it may not be
            self._load(server_of(client, keys))
        try:
            return client.fcall(self.function, 1, keys, *args)
        except redis.exceptions.ResponseError as error:
            if _is_missing(error):
                raise NoFunctions from None
            raise

    def _load(self, client: redis.Redis) -> None:
        family = f"{_NAME}_{self.move}_"
        client.function_load(f"#!lua name={family}{today()}_{self.function[-12:]}\n{self.code}")
        for other in _names(client.function_list(library=f"{family}*")):
            if today() - int(other.removeprefix(family).split("_")[0]) > KEPT_DAYS:
                client.function_delete(other)


def today() -> int:
    """The day since 1970."""
    return int(time.time()) // _DAY_S


def _is_missing(error: redis.exceptions.ResponseError) -> bool:
    return "function not found" in str(error).lower()


def _names(listed: Any) -> list[str]:
    """The names in an answer of FUNCTION LIST, whose libraries are lists, or tables where the protocol is RESP3."""
    libraries = [each if isinstance(each, dict) else dict(zip(each[::2], each[1::2], strict=True)) for each in listed]
    return [each[b"library_name"].decode() for each in libraries]
