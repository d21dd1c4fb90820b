"""`Idempotency-Key`: the same key with the same body gets the first answer again, for a day.

Deletions are idempotent without it: a second request merges. The key is for `force: true`, which opens a new
round each time, and for callers who need the same answer again.

A key that is reserved but has no answer yet belongs to a request in progress. If our process dies then, the reservation
lasts a minute; a repeated request then merges with what the first one recorded. It is stored by `lua/remember.lua`.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from worker.interfaces.web.problem_details import Problem
from worker.ledger.deletions import Ledger
from worker.ledger.types import lean
from worker.model.errors import Unreachable

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Once:
    """One request with a key. `begin`, then `end` with its answer, or `forget`."""

    ledger: Ledger
    key: str
    body: str

    @classmethod
    def of(cls, ledger: Ledger, *, token: str, key: str, document: dict[str, Any]) -> Once:
        """From a request. Raises `Problem` for an invalid key."""
        if not _KEY.fullmatch(key):
            detail = "Idempotency-Key: expected 1 to 255 printable ASCII characters without blanks, such as a UUID"
            raise Problem(422, "invalid", detail)
        name = hashlib.sha256(f"{token} {key}".encode()).hexdigest()[:32]
        body = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]
        return cls(ledger, name, body)

    def begin(self) -> str | None:
        """None: continue. A text: the first answer. Raises `Problem`, and `Unreachable`."""
        kept = self._run_script("begin")
        if "body" not in kept:
            return None
        if kept["body"] != self.body:
            detail = "this Idempotency-Key came with another body before; take a new one for another request"
            raise Problem(422, "key-reused", detail)
        if "answer" not in kept:
            detail = "a request with this Idempotency-Key is in progress; repeat it for the answer"
            raise Problem(409, "under-way", detail, headers={"Retry-After": "1"})
        return str(kept["answer"])

    def end(self, response: str) -> None:
        """Store the answer. Best effort: accepted deletions are recorded already."""
        with suppress(Unreachable):
            self._run_script("end", response)

    def forget(self) -> None:
        """The request failed: release the key."""
        with suppress(Unreachable):
            self._run_script("forget")

    def _run_script(self, step: str, response: str | None = None) -> dict[str, Any]:
        fields = {"step": step, "key": self.key, "body": self.body, "answer": response}
        return self.ledger.run_script("remember", lean(fields))
