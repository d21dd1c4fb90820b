"""Our Celery application that knows a second kind as well: `celery -A tests.acceptance.with_clips worker`."""

from __future__ import annotations

from tests.support.clips import CLIP
from worker.execution.celery_app import app
from worker.metastudio.targets.registry import register

__all__ = ["app"]

register(CLIP)
