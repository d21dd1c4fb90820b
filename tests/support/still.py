"""A small Redis as it was at one moment: read in one round trip, looked at as often as one likes.

Invariants are checked after every step of every schedule, and each looks at nearly everything.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import redis

_ALL = """
local read = {
  hash = function(key) return redis.call('HGETALL', key) end,
  zset = function(key) return redis.call('ZRANGE', key, 0, -1, 'WITHSCORES') end,
  set = function(key) return redis.call('SMEMBERS', key) end,
  list = function(key) return redis.call('LRANGE', key, 0, -1) end,
  string = function(key) return { redis.call('GET', key) } end,
  stream = function(key) return {} end,
}
local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  all[#all + 1] = { key, kind, redis.call('PTTL', key), read[kind](key) }
end
return cjson.encode(all)
"""


class Still:
    """Answers the reading commands that our tests use, as redis-py would. Streams are known by name only."""

    def __init__(self, client: redis.Redis) -> None:
        packed: Any = client.eval(_ALL, 0)  # one string: redis-py takes ten times as long for the same in pieces
        found = json.loads(packed.decode("latin-1"))  # a letter a byte, so that any bytes come through
        self._keys: dict[str, tuple[bytes, int, Any]] = {
            _bytes(key).decode(): (kind.encode(), ttl, _SHAPES.get(kind, _items)(held))
            for key, kind, ttl, held in found or ()
        }

    def _held(self, key: str, other: Any) -> Any:
        return self._keys[key][2] if key in self._keys else other

    def scan_iter(self, match: str = "*", count: int | None = None) -> Iterator[bytes]:
        plain = match.replace("[", "[[]").replace("{", "{")
        return (key.encode() for key in self._keys if fnmatchcase(key, plain))

    def type(self, key: str) -> bytes:
        return self._keys[key][0] if key in self._keys else b"none"

    def pttl(self, key: str) -> int:
        return self._keys[key][1] if key in self._keys else -2

    def exists(self, key: str) -> int:
        return int(key in self._keys)

    def get(self, key: str) -> bytes | None:
        held: bytes | None = self._held(key, [None])[0]
        return held

    def hgetall(self, key: str) -> dict[bytes, bytes]:
        return dict(self._held(key, {}))

    def hkeys(self, key: str) -> list[bytes]:
        return list(self._held(key, {}))

    def hlen(self, key: str) -> int:
        return len(self._held(key, {}))

    def hmget(self, key: str, *names: str) -> list[bytes | None]:
        held = self._held(key, {})
        return [held.get(name.encode()) for name in names]

    def zrange(self, key: str, start: int, end: int, *, withscores: bool = False) -> list[Any]:
        assert (start, end) == (0, -1)
        held = self._held(key, {})
        return list(held.items()) if withscores else list(held)

    def zscore(self, key: str, member: str) -> float | None:
        score: float | None = self._held(key, {}).get(member.encode())
        return score

    def zcard(self, key: str) -> int:
        return len(self._held(key, {}))

    def pipeline(self, transaction: bool = True) -> _Batch:
        return _Batch(self)


class _Batch:
    def __init__(self, still: Still) -> None:
        self._still = still
        self._answers: list[Any] = []

    def __getattr__(self, command: str) -> Callable[..., None]:
        return lambda *args, **more: self._answers.append(getattr(self._still, command)(*args, **more))

    def execute(self) -> list[Any]:
        responses, self._answers = self._answers, []
        return responses


def _bytes(letters: str) -> bytes:
    return letters.encode("latin-1")


def _items(held: Iterable[str]) -> list[bytes]:
    return [_bytes(each) for each in held]


def _pairs(flat: Iterable[str]) -> dict[bytes, bytes]:
    items = _items(flat)
    return dict(zip(items[::2], items[1::2], strict=True))


_SHAPES: dict[str, Callable[[Iterable[str]], Any]] = {
    "hash": _pairs,
    "zset": lambda flat: {member: float(score) for member, score in _pairs(flat).items()},
}
