"""Redis as one client sees it: gone, as if its server had ended, and back again."""

from __future__ import annotations

from typing import Any

import redis

NOWHERE = ".gone"


def cut_off(client: redis.Redis) -> None:
    """Every connection of this client ends, and no new one is made."""
    _lead(client, client.connection_pool.connection_kwargs["path"] + NOWHERE)


def bring_back(client: redis.Redis) -> None:
    """Undo it; does nothing if nothing was done."""
    _lead(client, client.connection_pool.connection_kwargs["path"].removesuffix(NOWHERE))


def _lead(client: redis.Redis, path: str) -> None:
    pool: Any = client.connection_pool
    pool.connection_kwargs["path"] = path
    pool.disconnect()
    pool.reset()  # each connection knows its own path
