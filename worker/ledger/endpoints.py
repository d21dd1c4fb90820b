"""Endpoints of webhooks that the console or the command line made, for all accounts. No secret is among them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import redis

from worker.ledger import scripts
from worker.ledger.keys import OURS, Keys
from worker.ledger.redis_read import read_redis

MOST = 100  # each costs every worker a look at its deliveries


class KeptEndpoints:
    """What is kept of each, as JSON. Raises `Unreachable` when Redis does not answer.

    Its fields: url, events, projects, on, key_mark, and secrets: the id of each, the newest first, and until when it
    still signs (ms since 1970; none: it is the newest). While it is being made none does.
    """

    def __init__(self, client: redis.Redis, keys: Keys = OURS) -> None:
        self._client = client
        self._name = keys.endpoints

    def read(self) -> dict[str, str]:
        """Every endpoint by its name."""
        found: dict[bytes, bytes] = read_redis(self._client.hgetall, self._name)
        return {name.decode(errors="replace"): text.decode(errors="replace") for name, text in sorted(found.items())}

    def write(self, name: str, before: str, after: Mapping[str, Any] | None) -> str:
        """Replace what was read; '' is nothing, None removes it. Returns `written`, `changed` or `full`."""
        script = scripts.load("write_endpoint")
        text = as_text(after) if after else ""
        return str(read_redis(script.run, self._client, self._name, name, before, text, MOST).decode())


def as_text(fields: Mapping[str, Any]) -> str:
    """As they are kept."""
    return json.dumps(fields, separators=(",", ":"))
