"""`Idempotency-Key`: the same key with the same body gets the first answer again, for a day.

    NAMESPACE:{account}:idem:<hash of token and key>    {"body": hash, "answer": text or absent}, with an expiry

A deletion is idempotent without it: the same request twice merges. The key is for `again: true`, which opens a new
round each time, and for a caller who wants the very same answer.

A key that is taken but has no answer yet belongs to a request under way. If our process dies there the mark expires
within a minute; a repeated request then merges with what the first one recorded.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

import redis

from worker.errors import Unreachable
from worker.ledger.moves import compact
from worker.operations.http.problems import Problem

KEEP_MS = 24 * 3600 * 1000
UNDER_WAY_MS = 60_000
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Once:
    """One keyed request. `begin`, then `end` with its answer or `forget`."""

    client: redis.Redis
    name: str
    body: str

    @classmethod
    def of(cls, client: redis.Redis, prefix: str, *, token: str, key: str, document: dict[str, Any]) -> Once:
        """What stands for the request. Raises `Problem` for a key that is none."""
        if not _KEY.fullmatch(key):
            detail = "Idempotency-Key: expected 1 to 255 printable ASCII characters without blanks, such as a UUID"
            raise Problem(422, "invalid", detail)
        name = hashlib.sha256(f"{token} {key}".encode()).hexdigest()[:32]
        body = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]
        return cls(client, f"{prefix}idem:{name}", body)

    def begin(self) -> str | None:
        """None: go on. A text: the first answer. Raises `Problem`, and `Unreachable`."""
        mark = compact({"body": self.body})
        try:
            if self.client.set(self.name, mark, nx=True, px=UNDER_WAY_MS):
                return None
            found: Any = self.client.get(self.name)
        except redis.RedisError as error:
            raise Unreachable(f"Redis does not take the Idempotency-Key ({type(error).__name__})") from None
        kept = json.loads(found or mark)  # it expired in this moment: as if it were still under way
        if kept["body"] != self.body:
            detail = "this Idempotency-Key came with another body before; take a new one for another request"
            raise Problem(422, "key-reused", detail)
        if "answer" not in kept:
            detail = "a request with this Idempotency-Key is under way; ask again for its answer"
            raise Problem(409, "under-way", detail, headers={"Retry-After": "1"})
        return str(kept["answer"])

    def end(self, answer: str) -> None:
        """Keep the answer. Best effort: what was accepted is recorded already."""
        try:
            self.client.set(self.name, compact({"body": self.body, "answer": answer}), px=KEEP_MS)
        except redis.RedisError:
            return

    def forget(self) -> None:
        """It came to nothing: the key is free again."""
        try:
            self.client.delete(self.name)
        except redis.RedisError:
            return
