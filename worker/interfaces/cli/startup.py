"""How every command starts: settings, then Redis, both within seconds."""

from __future__ import annotations

from typing import Any

from worker.config.celery_environment import check_celery_environment
from worker.execution.app_context import AppContext, app_context
from worker.model.errors import Unreachable
from worker.services.redis_ping import require_redis


def load() -> AppContext:
    """The application from this process's settings. Raises `SettingsError` if they are wrong. Redis is not used yet."""
    return app_context()


def enter(context: AppContext, *, sends: bool = False) -> AppContext:
    """The same after Redis has answered. Raises `Unreachable`, and `OtherSchema`. `sends`: it will use the broker."""
    if sends:
        check_celery_environment(context.environ, context.broker.url)
    require_redis(context.redis_url)
    context.check_schema()
    return context


def send_again(message: dict[str, Any], queue: str) -> None:
    """Send a parked message to a queue of the broker. Raises `Unreachable`."""
    from worker.execution.celery_app import app
    from worker.execution.messages import Envelope

    try:
        Envelope.from_json(message).send(app, queue)
    except Exception as error:  # kombu raises what its transport does
        why = f"the broker (ERASER_BROKER_URL) accepts no message ({type(error).__name__}); unsent messages stay parked"
        raise Unreachable(why) from None
