"""Runs the dispatcher's thread beside Celery's consumer, in every worker."""

from __future__ import annotations

from typing import Any

from celery import bootsteps
from celery.worker import state as of_celery

from worker.execution.app_context import app_context
from worker.execution.dispatcher import STANDIN_MARGIN_S, Dispatcher
from worker.execution.fallback import FallbackExecutors
from worker.execution.wakeups import send_wakeup
from worker.receipts.archiving import Archivist


def _end(code: int) -> None:
    """Let Celery's loop stop this worker, and exit with the code."""
    of_celery.should_stop = code  # type: ignore[assignment]  # Celery documents an exit code here


class DispatcherStep(bootsteps.StartStopStep):
    """Runs the dispatcher beside Celery's consumer, in every worker."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        self._dispatcher: Dispatcher | None = None
        self._archivist: Archivist | None = None
        self._stand_ins: FallbackExecutors | None = None
        super().__init__(parent, **kwargs)

    def start(self, parent: Any) -> None:
        app = app_context()

        def notify(account: str, wakeup: str) -> None:
            if not send_wakeup(parent.app, account, wakeup):
                fallback.response(account, wakeup)

        fallback = self._stand_ins = FallbackExecutors(app.work)
        app.notify = notify
        self._dispatcher = Dispatcher(app, concurrency=parent.concurrency, end_worker=_end)
        self._dispatcher.start()
        if directory := app.settings.receipts_dir:
            self._archivist = Archivist(app.ledger, directory, app.settings, app.not_archived)
            self._archivist.start()

    def stop(self, parent: Any) -> None:  # noqa: ARG002 - bootsteps pass it
        app_context().stopping.set()
        if self._dispatcher:
            self._dispatcher.stop()
        if self._archivist:
            self._archivist.stop()
        if self._stand_ins:
            self._stand_ins.wait(app_context().settings.call_timeout + STANDIN_MARGIN_S)

    terminate = stop
