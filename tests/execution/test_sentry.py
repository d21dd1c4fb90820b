"""Errors reach Sentry with their stack traces, and without secrets or personal data, over the SDK's own transport."""

from __future__ import annotations

import gzip
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import sentry_sdk
from click.testing import CliRunner

from worker import __version__
from worker.execution import app_context, celery_app, sentry
from worker.interfaces.cli import eraser
from worker.local.processes import without_settings

SK = "-".join(("secret", "key", "canary"))  # put together here, so that no line of source that is sent has them
PERSON = "@".join(("jane.canary", "example.com"))
PHONE = "".join(("138", "0013", "8000"))
USER = "".join(("app", "user", "4711"))


class Inbox:
    """What a Sentry got, as its SDK sent it."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.raw = ""
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                text = gzip.decompress(body).decode() if self.headers["Content-Encoding"] == "gzip" else body.decode()
                inbox.raw += text
                lines = [json.loads(line) for line in text.splitlines() if line]
                inbox.events += [line for line in lines if "event_id" in line and "platform" in line]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.dsn = f"http://public@127.0.0.1:{self._server.server_port}/1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def the_only(self) -> dict[str, Any]:
        sentry_sdk.flush(10)
        (event,) = self.events
        return event

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Inbox]:
    made = Inbox()
    monkeypatch.setenv("SENTRY_DSN", made.dsn)
    monkeypatch.setenv("HUAWEICLOUD_SDK_SK", SK)
    root, capture = logging.getLogger(), logging.captureWarnings
    before, level = root.handlers[:], root.level
    yield made
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)
    made.close()
    capture(False)
    root.handlers[:] = before
    root.setLevel(level)


def fail(app_user: str, key: str) -> None:
    carried = {"app_user": app_user, "key": key}
    raise ValueError(f"refused {carried['key']} for {PERSON}")


def test_an_error_of_a_worker_has_its_trace_and_its_names_but_nothing_of_people_or_keys(inbox: Inbox) -> None:
    celery_app._log(loglevel=logging.INFO)  # as worker and beat do at their start
    log = logging.getLogger("worker.execution.executor")
    log.info("deletion.looked", extra={"job_id": "job-1", "note": f"call {PHONE}"})
    try:
        fail(USER, SK)
    except ValueError:
        log.exception("deletion.postponed", extra={"job_id": "13900139000123", "account": "default", "note": PERSON})
    event = inbox.the_only()
    (error,) = event["exception"]["values"]
    assert error["type"] == "ValueError"
    assert [frame["function"] for frame in error["stacktrace"]["frames"]][-1] == "fail"
    assert event["logentry"]["message"] == "deletion.postponed"
    assert event["extra"]["job_id"] == "13900139000123", "an id may look like a phone number"
    assert event["release"] == f"avatar-eraser@{__version__}"
    assert event["environment"] == "production"
    assert [crumb["message"] for crumb in event["breadcrumbs"]["values"]] == ["deletion.looked"]
    for planted in (SK, PERSON, PHONE, USER):
        assert planted not in inbox.raw


def test_a_task_that_fails_tells_sentry_nothing_of_its_arguments(inbox: Inbox) -> None:
    """Celery's line has them in its parameters and in its fields."""
    sentry.start({"SENTRY_DSN": inbox.dsn})
    context = {"name": "eraser.delete", "args": f"['p', {USER!r}]"}
    log = logging.getLogger("celery.app.trace")
    log.warning("Task %(name)s waits", context, extra={"data": context})
    log.error("Task %(name)s raised", context, extra={"data": context})
    assert inbox.the_only()["logentry"]["formatted"] == "Task eraser.delete raised"
    assert USER not in inbox.raw


def test_release_and_environment_are_those_of_the_field(inbox: Inbox) -> None:
    sentry.start({"SENTRY_DSN": inbox.dsn, "SENTRY_RELEASE": "image@7", "SENTRY_ENVIRONMENT": "staging"})
    logging.getLogger("worker.execution.dispatcher").error("dispatcher.fault")
    event = inbox.the_only()
    assert (event["release"], event["environment"]) == ("image@7", "staging")


def test_the_command_of_the_page_sends_one_error(inbox: Inbox) -> None:
    sentry.main()
    assert inbox.the_only()["exception"]["values"][0]["value"] == "a test: nothing is wrong"


def test_an_error_in_a_thread_is_reported(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    sentry.start({"SENTRY_DSN": inbox.dsn})
    thread = threading.Thread(target=fail, args=(USER, SK))
    thread.start()
    thread.join()
    assert inbox.the_only()["exception"]["values"][0]["type"] == "ValueError"
    assert USER not in inbox.raw


@pytest.mark.parametrize(
    ("command", "stop"),
    [("console", "worker.interfaces.web.serve.serve"), ("up", "worker.interfaces.cli.up.household")],
)
def test_the_console_and_eraser_up_report_too(
    command: str, stop: str, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(*_: object, **__: object) -> None:
        logging.getLogger("worker").error("http.failed")
        raise SystemExit(0)

    monkeypatch.setattr(stop, serve)
    monkeypatch.setattr("worker.interfaces.cli.up.check", lambda *_: None)
    monkeypatch.setenv("ERASER_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setattr(app_context, "_app_context", None)  # another test's may be there
    CliRunner().invoke(eraser, [command], standalone_mode=False)
    assert inbox.the_only()["logentry"]["message"] == "http.failed"


def test_without_a_dsn_nothing_is_imported_and_the_demo_reports_to_nobody() -> None:
    script = "import sys; from worker.execution import celery_app as c; c._log(); print('sentry_sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr
    assert without_settings({"SENTRY_DSN": "x", "HOME": "/root"}) == {"HOME": "/root"}


@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_sdk_and_a_wrong_dsn_are_logged_and_stop_nothing(
    missing: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    sentry.start({"SENTRY_DSN": "https://sentry.example.com/without-a-key"})
    (record,) = [record for record in caplog.records if record.msg == "sentry.off"]
    assert ("[sentry]" in str(vars(record)["error"])) is missing
