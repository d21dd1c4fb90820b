"""A small Redis as it was at one moment: read in one round trip, looked at as often as one likes.

Invariants are checked after every step of every schedule, and each looks at nearly everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
return all
"""


class Still:
    """Answers the reading commands that our tests use, as redis-py would. Streams are known by name only."""

    def __init__(self, client: redis.Redis) -> None:
        found: Any = client.eval(_ALL, 0)
        self._keys: dict[str, tuple[bytes, int, Any]] = {
            key.decode(): (kind, ttl, _SHAPES.get(kind, list)(held)) for key, kind, ttl, held in found
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


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


_SHAPES: dict[bytes, Callable[[list[bytes]], Any]] = {
    b"hash": _pairs,
    b"zset": lambda flat: {member: float(score) for member, score in _pairs(flat).items()},
}
