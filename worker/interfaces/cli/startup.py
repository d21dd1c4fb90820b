"""How every command starts: settings, then Redis, both within seconds."""

from __future__ import annotations

from worker.execution.app_context import AppContext, app_context
from worker.services.redis_ping import require_redis


def load() -> AppContext:
    """The application from this process's settings. Raises `SettingsError` if they are wrong. Redis is not used yet."""
    return app_context()


def enter(context: AppContext) -> AppContext:
    """The same after Redis has answered. Raises `Unreachable`, and `OtherSchema`."""
    require_redis(context.redis_url)
    context.check_schema()
    return context
