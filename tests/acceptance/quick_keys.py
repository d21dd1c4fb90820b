"""Our Celery application whose refused keys rest for a second or two: nobody waits for minutes.

`celery -A tests.acceptance.quick_keys worker`: nothing else of it is different.
"""

from __future__ import annotations

from worker.application import app
from worker.budget import KeyPolicy
from worker.runtime import runtime

__all__ = ["app"]

POLICY = KeyPolicy(pauses=(1_000, 2_500, 2_500, 2_500), within=2_500)

runtime().key_policy = POLICY
