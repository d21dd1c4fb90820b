"""The schedule: `eraser.sweep_due`, which Celery beat sends each minute, runs every policy whose slot is due."""

from __future__ import annotations

from worker.application import app
from worker.retention import schedule
from worker.runtime import runtime


@app.task(name="eraser.sweep_due")
def sweep_due() -> None:
    """Do what is due. Sent twice, or late, it does nothing twice."""
    schedule.sweep_due(runtime())
