"""The Celery application: what a worker and beat run, and their connection to the broker.

A message is a wake-up: it carries no state, and may be lost, duplicated or late without harm. So none of Celery's own
reliability features is used (no acks late, no emulated redelivery, no results, no countdown): the ledger is the only
truth.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from contextlib import suppress
from typing import Any

import click
from celery import Celery, Task, signals
from celery.exceptions import CPendingDeprecationWarning
from celery.utils.threads import LocalStack
from kombu import Queue

from worker.config.celery_environment import check_celery_environment
from worker.execution import broker as our_broker
from worker.execution import logs, sentry, tracing
from worker.execution.app_context import AppContext, app_context
from worker.execution.intake import Intake
from worker.execution.live_workers import refuse_distant_workers
from worker.ledger.redis_read import WrongKind
from worker.model.errors import EraserError, SettingsError, Unreachable
from worker.retention import schedule

log = logging.getLogger(__name__)


class Refused(click.ClickException):
    """A setting is wrong. Celery's command line prints it and exits with its code, without a traceback."""

    def __init__(self, error: EraserError) -> None:
        super().__init__(str(error))
        self.exit_code = error.exit_code  # type: ignore[misc]


def configuration() -> dict[str, Any]:
    """The settings that measurements require. Read when Celery first needs them, never at import."""
    try:
        context = app_context()
        broker = context.broker
        check_celery_environment(context.environ, broker.url)
    except EraserError as error:
        raise Refused(error) from None
    keys = context.keys
    return {
        "broker_url": broker.url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,  # Redis may be unreachable for any time
        "broker_transport_options": {
            "ack_emulation": False,  # the ledger is the only redelivery
            "socket_timeout": 5,  # a broker that hangs, or disappeared, would block the dispatcher forever
            "socket_keepalive": True,
            "socket_connect_timeout": 3,
            "priority_steps": list(range(10)),  # every priority that a producer may choose has its own list
            "max_retries": 0,  # else sending a wake-up to an unreachable broker takes six seconds
            **broker.options,
        },
        "result_backend": None,
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_default_queue": keys.requests,
        "task_queues": [Queue(name, routing_key=name) for name in (keys.requests, keys.wakeup_queue)],
        "task_routes": {"eraser.work": {"queue": keys.wakeup_queue}},
        "control_exchange": keys.control,
        "event_exchange": keys.events,
        "beat_schedule": {
            "sweep-due": {
                "task": "eraser.sweep_due",
                "schedule": schedule.EVERY_S,
                "options": {
                    "expires": schedule.EVERY_S
                },  # a tick that no worker had time for: the next one finds the same work
            }
        },
        "beat_scheduler": "worker.execution.beat:Scheduler",
        "beat_max_loop_interval": 5,  # seconds: how often it leaves a heartbeat
        "worker_consumer": "worker.execution.consumer:Consumer",
        "worker_pool": "threads",
        "worker_concurrency": 16,
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,  # fetch nothing while no thread is free
        "worker_disable_rate_limits": True,  # more than one would be kept in memory, and could be lost there
        "worker_send_task_events": False,
        "worker_cancel_long_running_tasks_on_connection_loss": True,  # only silences a warning: nothing acks late here
        "worker_enable_prefetch_count_reduction": False,  # after a reconnect: all threads at once
        "worker_hijack_root_logger": True,
        "timezone": "UTC",
    }


def refuse_wrong_ledger(context: AppContext) -> None:
    """End a process that must not touch the ledger. If Redis is unreachable, each move checks it later."""
    try:
        with suppress(Unreachable, WrongKind):  # the moves put such a key aside
            context.check_ledger()
            refuse_distant_workers(context.redis, context.keys)
    except SettingsError as error:
        raise Refused(error) from None


class _Task(Task):  # type: ignore[type-arg]
    """One that a wrong setting kept from being set up says so each time it is called."""

    request_stack: Any = LocalStack()


our_broker.use()
app = Celery("eraser", include=["tasks.deletion", "tasks.sweep"], set_as_current=False, task_cls=f"{__name__}:_Task")
app.add_defaults(configuration)
intake = Intake(app, app_context)
app.steps["worker"] |= {f"worker.execution.worker_steps:{name}" for name in ("CredentialsStep", "Companions")}


@signals.setup_logging.connect
def _log(*, loglevel: int | None = None, logfile: str | None = None, **_: object) -> None:
    logs.set_up(loglevel or logging.INFO, os.environ, file=logfile)
    sentry.start(os.environ)
    tracing.start()
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)  # once per lost connection


@signals.beat_init.connect
def _check_beat(**_: object) -> None:
    try:
        refuse_wrong_ledger(app_context())
    except Refused as error:  # exceptions of a signal's receiver are only logged
        error.show()
        sys.exit(error.exit_code)


@signals.worker_ready.connect
def _say_ready(**_: object) -> None:
    log.info("worker.ready", extra={"worker": app_context().worker})


@signals.worker_shutting_down.connect
def _stop_executors(**_: object) -> None:
    """Executors finish the call in progress and take no other; other workers continue the rest."""
    app_context().stopping.set()
