"""Whether what a caller was promised is at more than one place before it counts as confirmed: `ERASER_REDIS_REPLICAS`.

Redis answers before it replicates, so a failover may lose what it has just confirmed. Who cannot bear that waits on the
script's connection until so many replicas have it, or, with 0, until the server's own disk has it. For that the server
has to sync at each write: with `appendfsync everysec` some answer WAITAOF before they have synced (Redis 7.4 up to
redis/redis#13793, Valkey 9.1), and no command tells them from others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from worker.ledger.scripts import Script

CONFIRMED = frozenset({"request", "hold", "cancel", "pause"})  # the moves whose loss a caller would not notice
WAIT_MS = 2000  # appendfsync everysec takes one


@dataclass(frozen=True, slots=True)
class Confirmation:
    """replicas: how many must have it; 0: the server's own append-only file on disk."""

    replicas: int

    def run(self, script: Script, client: redis.Redis, keys: str, *args: str | bytes) -> tuple[Any, str]:
        """The script's response, and what is missing: empty if it is confirmed. Raises redis-py's errors."""
        response, *copies = self._together(client, "EVALSHA", script.sha, keys, *args)
        if isinstance(response, redis.exceptions.NoScriptError):
            response, *copies = self._together(client, "EVAL", script.source, keys, *args)
        if isinstance(response, Exception):
            raise response
        return response, self._missing(*copies)

    def _together(self, client: redis.Redis, command: str, script: str, keys: str, *args: str | bytes) -> list[Any]:
        """Both on one connection: WAIT is about the writes of its own."""
        pipe: Any = client.pipeline(transaction=False)
        pipe.execute_command(command, script, 1, keys, *args)
        if self.replicas:
            pipe.execute_command("WAIT", self.replicas, WAIT_MS)
        else:
            pipe.execute_command("WAITAOF", 1, 0, WAIT_MS)
            pipe.execute_command("CONFIG GET", "appendfsync")
        found: list[Any] = pipe.execute(raise_on_error=False)
        return found

    def _missing(self, copies: Any, synced: Any = None) -> str:
        if error := next((one for one in (copies, synced) if isinstance(one, Exception)), None):
            return f"Redis cannot say who else has it ({str(error)[:120]})"
        if not self.replicas and not copies[0]:
            return f"it is not on disk after {WAIT_MS / 1000:g} s"
        if not self.replicas:
            how = dict(synced).get("appendfsync")
            return "" if how == "always" else f"appendfsync is {how}, and only with always is its disk known to have it"
        return "" if copies >= self.replicas else f"{copies} of {self.replicas} replicas have it"
