"""The schedule: `eraser.sweep_due`, which Celery beat sends each minute, runs every policy whose slot is due."""

from __future__ import annotations

from worker.execution.app_context import app_context
from worker.execution.celery_app import app
from worker.retention import schedule


@app.task(name="eraser.sweep_due")
def sweep_due() -> None:
    """Do what is due. Sent twice, or late, it does nothing twice."""
    schedule.sweep_due(app_context())
