"""The schedule: Celery beat sends `eraser.sweep_due` each minute; it runs every policy whose slot is due."""

from __future__ import annotations

from worker.execution.app_context import app_context
from worker.execution.celery_app import app
from worker.retention import schedule


@app.task(name="eraser.sweep_due")
def sweep_due() -> None:
    """Run what is due. If it is sent twice or late, nothing runs twice."""
    schedule.sweep_due(app_context())
