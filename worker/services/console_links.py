"""One-time links that open the console where no password is set: whoever can run commands here may make one."""

from __future__ import annotations

import secrets

from worker.execution.app_context import AppContext
from worker.ledger.redis_read import read_redis
from worker.model.errors import UsageError

LINK_S = 12 * 3600  # a link that nobody opened ends


def new(app: AppContext, address: str) -> str:
    """A link for one browser, once. address: of the console. Raises `UsageError` where a password is set."""
    if app.settings.console_password is not None:
        raise UsageError("ERASER_CONSOLE_PASSWORD is set: sign in with it")
    word = secrets.token_urlsafe(24)
    read_redis(lambda: app.redis.set(app.keys.link(word), "1", ex=LINK_S))
    return f"{address.rstrip('/')}/login?link={word}"


def use(app: AppContext, word: str) -> bool:
    """Whether the link opens the console now. It does so once."""
    return bool(word) and bool(read_redis(lambda: app.redis.delete(app.keys.link(word))))
