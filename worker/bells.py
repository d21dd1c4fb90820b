"""Doorbells: the Celery messages that call hands. A bell that cannot be sent costs one tick of the dispatcher."""

from __future__ import annotations

import logging

from celery import Celery

log = logging.getLogger(__name__)


def send_bell(app: Celery, account: str, bell: str) -> bool:
    """Call a hand; says whether the doorbell could be sent."""
    try:
        app.send_task("eraser.work", args=[account, bell], retry=False, expires=60, ignore_result=True)
    except Exception as error:  # kombu raises what its transport does
        log.warning("doorbell.lost", extra={"account": account, "error": type(error).__name__})
        return False
    return True
