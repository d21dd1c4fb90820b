"""Our Celery application whose refused keys rest for a second or two: nobody waits for minutes.

`celery -A tests.acceptance.quick_keys worker`: nothing else of it is different.
"""

from __future__ import annotations

from worker.execution.app_context import app_context
from worker.execution.celery_app import app
from worker.execution.key_budget import KeyPolicy

__all__ = ["app"]

POLICY = KeyPolicy(pauses=(1_000, 2_500, 2_500, 2_500), within=2_500)

app_context().key_policy = POLICY
