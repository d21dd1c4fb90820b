"""Our Celery application whose webhooks are taken over after a few seconds, not a minute.

`celery -A tests.acceptance.quick_webhooks worker`: nothing else of it is different.
"""

from __future__ import annotations

from worker.execution import deliverer
from worker.execution.celery_app import app
from worker.ledger import deliveries

__all__ = ["app"]

deliveries.LEASE_S = 3.0
deliverer.EVERY_S = deliverer.PAUSE_S = 0.2
