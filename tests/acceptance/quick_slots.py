"""Our Celery application with a beat that ticks five times a second, and with a clock that the test moves.

`celery -A tests.acceptance.quick_slots worker|beat`: nothing else of it is different.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from worker.execution.app_context import app_context
from worker.execution.celery_app import app

CLOCK = "test:now"  # Unix time
EVERY_S = 0.2


def _now() -> datetime:
    moment: Any = app_context().redis.get(CLOCK)
    return datetime.fromtimestamp(float(moment), UTC)


app_context().now = _now
app.conf.beat_schedule["sweep-due"]["schedule"] = EVERY_S
