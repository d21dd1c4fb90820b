"""Celery's own environment variables, which override every setting in code."""

from __future__ import annotations

from collections.abc import Mapping

from worker.config.redis_urls import check_broker_url
from worker.config.urls import masked
from worker.model.errors import SettingsError

_BEATS_OURS = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")


def check_celery_environment(environ: Mapping[str, str], broker_url: str | None) -> None:
    """Refuse Celery's own variables if they disagree with our broker.

    They override every setting in code (celery/celery#4284): requests would go to a broker that nobody chose.
    """
    for name in _BEATS_OURS:
        theirs = environ.get(name)
        if not theirs or (name == "CELERY_RESULT_BACKEND" and theirs in ("disabled", "disabled://")):
            continue
        if broker_url is not None and theirs.rstrip("/") == broker_url.rstrip("/"):
            continue
        try:
            agrees = broker_url is not None and check_broker_url(theirs, name) == broker_url
        except SettingsError:
            agrees = False
        if not agrees:
            ours = masked(broker_url) if broker_url else "an embedded Redis"
            raise SettingsError(
                name,
                f"{masked(theirs)} would override our own broker, {ours}, inside Celery: "
                f"unset {name}, or set ERASER_BROKER_URL if you want another broker",
            )
