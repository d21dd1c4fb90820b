"""How every command begins: settings, then Redis, both within seconds; and how it calls a worker."""

from __future__ import annotations

import logging
from typing import Any

import click

from worker.addresses import broker_form
from worker.errors import Unreachable
from worker.operations.reach import require_redis
from worker.runtime import Runtime, runtime
from worker.settings import check_celery_environment


def load() -> Runtime:
    """This process's runtime from its settings, which may be wrong: raises `SettingsError`. No Redis yet."""
    return runtime()


def enter(running: Runtime, *, rings: bool = False) -> Runtime:
    """The same once its Redis has answered: raises `Unreachable`. `rings`: the command will call workers."""
    if rings:
        broker = running.settings.broker_url or broker_form(running.redis_url)
        check_celery_environment(running.environ, broker)
    require_redis(running.redis_url)
    return running


def ring(account: str, bell: str) -> None:
    """Call a hand. Celery is imported only now: most commands never need it."""
    logger = logging.getLogger("worker.bells")
    if not any(isinstance(handler, _Told) for handler in logger.handlers):
        logger.addHandler(_Told())
        logger.propagate = False
    from worker.application import ring as send

    send(account, bell)


def send_again(message: dict[str, Any], queue: str) -> None:
    """Send a parked message to a queue of the broker. Raises `Unreachable`."""
    from worker.application import app
    from worker.messages import Envelope

    try:
        Envelope.from_json(message).send(app, queue)
    except Exception as error:  # kombu raises what its transport does
        why = f"the broker (ERASER_BROKER_URL) accepts no message ({type(error).__name__}); unsent messages stay parked"
        raise Unreachable(why) from None


class _Told(logging.Handler):
    """A lost wake-up in words: nothing is wrong with what was recorded."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "wakeup.lost":
            click.echo(
                "note: the broker (ERASER_BROKER_URL) accepts no message; the request is recorded anyway, and a "
                "worker that can reach Redis will find it",
                err=True,
            )
