"""What runs in a worker besides Celery's consumer: the check of its credentials, and its companions."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from functools import partial
from typing import Any

from celery import bootsteps
from celery.worker import state as of_celery

from worker.execution.app_context import app_context
from worker.execution.celery_app import Refused, intake, refuse_wrong_ledger
from worker.execution.deliverer import Deliverer
from worker.execution.dispatcher import Dispatcher
from worker.execution.fallback import FallbackExecutors
from worker.execution.health import WORKER, beats
from worker.execution.heartbeat import Beat
from worker.execution.live_workers import archived_everywhere
from worker.execution.wakeups import send_wakeup
from worker.ledger.redis_read import WrongKind
from worker.model.errors import SettingsError, Unreachable
from worker.receipts.archiving import Archivist
from worker.receipts.rechecker import Rechecker

log = logging.getLogger(__name__)

LAST_CALL_MARGIN_S = 5.0  # to record the result of a fallback executor's last call


class CredentialsStep(bootsteps.Step):
    """A worker without credentials for any account says at its start what to set, and ends.

    With credentials for some of its accounts it starts: the gates of the others say what is wrong until it is
    corrected.
    """

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        context = app_context()
        refuse_wrong_ledger(context)
        with suppress(Unreachable, WrongKind):
            context.mark_schema()
        broken: dict[str, SettingsError] = {}
        for account in context.settings.accounts:
            try:
                context.client(account)
            except SettingsError as error:
                broken[account] = error
        try:
            if len(broken) == len(context.settings.accounts):
                raise next(iter(broken.values()))
            context.policies.current()
        except SettingsError as error:
            raise Refused(error) from None
        for account, why in broken.items():
            log.error("credentials.missing", extra={"account": account, "error": str(why)})
        super().__init__(parent, **kwargs)


class Companions(bootsteps.StartStopStep):
    """Dispatcher, intake, archivist and deliverer, each in its thread, and the heartbeat in Celery's event loop."""

    requires = ("celery.worker.components:Pool", "celery.worker.components:Timer")

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        self._nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # Celery installs its own handler later
        self._beat = Beat(beats() / f"{os.getpid()}.{WORKER}")
        self._threads: list[Any] = []
        super().__init__(parent, **kwargs)

    def start(self, parent: Any) -> None:
        if self._nohup:  # without a terminal Celery takes SIGHUP for a restart; under `nohup` it must ignore it
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._beat.touch()
        parent.timer.call_repeatedly(1.0, self._beat.touch, priority=10)
        context = app_context()

        def notify(account: str, wakeup: str) -> None:
            if not send_wakeup(parent.app, account, wakeup):
                self._fallback.response(account, wakeup)

        def end(code: int) -> None:
            """Let Celery's loop stop this worker, and exit with the code."""
            of_celery.should_stop = code  # type: ignore[assignment]  # Celery documents an exit code here

        self._fallback = FallbackExecutors(context.work)
        context.notify = notify
        self._threads = [Dispatcher(context, concurrency=parent.concurrency, end_worker=end), intake]
        if directory := context.settings.receipts_dir:
            archivist = Archivist(
                context.ledger,
                directory,
                context.settings,
                context.not_archived,
                here=context.archived_here,
                everywhere=partial(archived_everywhere, context.redis, context.keys),
            )
            archivist.look_back()
            context.redis_back = archivist.soon
            self._threads.append(archivist)
        if every_s := context.settings.recheck:
            self._threads.append(Rechecker(context, context.settings.accounts, every_s))
        deliverer = Deliverer(context)
        deliverer.turn()  # before anything is done: from now on events are written down
        self._threads.append(deliverer)
        for thread in self._threads:
            thread.start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - bootsteps pass it
        context = app_context()
        context.stopping.set()
        for thread in self._threads:
            thread.stop()
        if self._threads:
            self._fallback.wait(context.settings.call_timeout + LAST_CALL_MARGIN_S)
        self._beat.end()

    terminate = stop
