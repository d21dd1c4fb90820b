"""Errors to Sentry, where SENTRY_DSN names one: what the log calls `error`, with its stack trace and the lines before.

The SDK reads its own variables (SENTRY_DSN, SENTRY_ENVIRONMENT, SENTRY_RELEASE). It is imported only if the first is
set. It sends from a thread of its own and drops what it cannot send: no deletion waits for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from worker import __version__
from worker.execution import logs
from worker.execution.logs import clean, secrets_of

log = logging.getLogger(__name__)

_CONTENT: Final = ("logentry", "message", "exception", "threads", "extra", "breadcrumbs", "tags", "transaction")
_PEOPLE: Final = ("user", "request")
_FRAMES: Final = "stacktrace"  # our own source text, and no variables: `include_local_variables`


def start(environ: Mapping[str, str]) -> None:
    """Report this process's errors from now on. A wrong DSN or a missing SDK is logged, and stops no deletion."""
    if not environ.get("SENTRY_DSN"):
        return
    try:
        import sentry_sdk
        from sentry_sdk.integrations.atexit import AtexitIntegration
        from sentry_sdk.integrations.dedupe import DedupeIntegration
        from sentry_sdk.integrations.excepthook import ExcepthookIntegration
        from sentry_sdk.integrations.logging import LoggingIntegration
        from sentry_sdk.integrations.threading import ThreadingIntegration

        sentry_sdk.init(
            dsn=environ["SENTRY_DSN"],
            environment=environ.get("SENTRY_ENVIRONMENT"),
            release=environ.get("SENTRY_RELEASE") or f"avatar-eraser@{__version__}",
            # the integrations of Celery, Redis and Starlette would add arguments of tasks, commands and requests
            default_integrations=False,
            auto_enabling_integrations=False,
            integrations=[
                AtexitIntegration(callback=lambda _pending, _timeout: None),  # prints nothing
                DedupeIntegration(),
                ExcepthookIntegration(),
                LoggingIntegration(),
                ThreadingIntegration(),
            ],
            include_local_variables=False,
            before_send=partial(redacted, secrets=tuple(secrets_of(environ))),
        )
    except ImportError:
        log.error(
            "sentry.off", extra={"error": "SENTRY_DSN is set, but the extra is missing: pip install -e '.[sentry]'"}
        )
    except Exception as error:  # BadDsn, or a value that the SDK refuses
        log.error("sentry.off", extra={"error": str(error)})


def redacted(event: Any, _hint: object = None, *, secrets: Sequence[str]) -> Any:
    """The event without secrets, personal data and what Celery says of its tasks: their arguments."""
    for name in _PEOPLE:
        event.pop(name, None)
    if "logentry" in event:
        event["logentry"].pop("params", None)  # they are in the formatted message, too
    if _of_celery(event.get("logger")):
        event.pop("extra", None)
    for crumb in (event.get("breadcrumbs") or {}).get("values") or ():
        if _of_celery(crumb.get("category")):
            crumb.pop("data", None)
    for name in _CONTENT:
        if name in event:
            event[name] = _without(name, event[name], secrets)
    return event


def _of_celery(logger: str | None) -> bool:
    return (logger or "").startswith(("celery", "kombu"))


def _without(name: str, value: Any, secrets: Sequence[str]) -> Any:
    match value:
        case dict():
            return {key: each if key == _FRAMES else _without(key, each, secrets) for key, each in value.items()}
        case list():
            return [_without(name, each, secrets) for each in value]
        case _:
            return clean(name, value, secrets)


def main() -> None:
    """Send one error, to see it arrive: `python -m worker.execution.sentry`."""
    logs.set_up(logging.INFO, os.environ)
    start(os.environ)
    try:
        raise RuntimeError("a test: nothing is wrong")
    except RuntimeError:
        log.exception("sentry.tested")


if __name__ == "__main__":
    main()
