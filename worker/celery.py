"""The Celery application: `celery -A worker worker` and `celery -A worker beat` find it here."""

from __future__ import annotations

from worker.execution.celery_app import app

__all__ = ["app"]
