"""Our Celery application whose looks at what jobs left behind are taken over after a few seconds, not two minutes.

`celery -A tests.acceptance.quick_looks worker`: nothing else of it is different.
"""

from __future__ import annotations

from worker.execution.celery_app import app
from worker.ledger import erasures

__all__ = ["app"]

erasures.LEASE_S = 6.0
