"""One trace from the request, through any door, over each attempt; nothing of it where nobody asks for traces."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import redis
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.sdk.trace import ReadableSpan

from tasks import request_deletion
from tests.execution.test_executor import Shop, shop  # noqa: F401 - a fixture
from tests.support import ledgers
from tests.support.command import Command
from tests.support.dead_letters import PROJECT
from tests.support.http_site import DELETIONS, Site
from tests.support.ledgers import Bench
from tests.support.otlp import PARENT, SPAN, TRACE, Collector, Spans, ids, traced
from tests.support.waiting import PATIENCE_S, wait_until
from worker.execution import app_context, logs, otel, tracing
from worker.execution.app_context import AppContext
from worker.ledger.keys import OURS
from worker.ledger.schema.fields import Field
from worker.ledger.schema.keys import Key
from worker.ledger.types import DeletionRequest
from worker.model.target import VOICE_JOB, Target

PERSON = "app-user-4711-canary"


@pytest.fixture
def spans() -> Iterator[Spans]:
    with traced() as made:
        yield made


def kept(client: redis.Redis, job: str) -> str | None:
    """The `traceparent` of a job's record."""
    raw: bytes | None = client.hget(OURS.account("default") + Key.RECORD + f"{PROJECT}/{job}", Field.TRACEPARENT)  # type: ignore[assignment]
    return raw.decode() if raw else None


def is_of(span: ReadableSpan, text: str | None) -> bool:
    """Whether this `traceparent` is the span's; its flags may say more than that it is sampled."""
    return "-".join(("00", *ids(span)[:2])) == (text or "")[:-3]


def test_a_request_by_http_keeps_its_place_in_its_callers_trace(spans: Spans, site: Site, client: redis.Redis) -> None:
    site.trace()
    headers = {"traceparent": PARENT, "baggage": f"user={PERSON}", "user-agent": PERSON, "cookie": f"c={PERSON}"}
    answered = site.ask("job-1", app_user=PERSON, reason=PERSON, headers=headers)
    assert answered.status_code == 202
    assert site.call("GET", f"{DELETIONS}?by={PERSON}").status_code == 200
    span = spans.the("POST /api/projects/{project_id}/deletions")
    assert ids(span)[0::2] == (TRACE, SPAN)
    assert is_of(span, kept(client, "job-1"))
    assert (span.attributes or {})["http_request_id"] == answered.headers["x-request-id"]
    listing = spans.the("GET /api/projects/{project_id}/deletions")
    found = {ids(each)[2] for each in spans.named("EVALSHA read_indexes")}
    assert found == {ids(listing)[1]}, "a move has its name, in another thread too"
    for planted in (PERSON, site.token, "testclient"):
        assert planted not in spans.all, "a query, a header, a body or an address"


def test_a_request_by_command_is_a_child_of_who_ran_it(spans: Spans, command: Command, client: redis.Redis) -> None:
    assert command("request", "job-1", "--app-user", PERSON, TRACEPARENT=PARENT).code == 0
    span = spans.the("eraser request")
    assert ids(span)[0::2] == (TRACE, SPAN)
    assert is_of(span, kept(client, "job-1"))
    assert PERSON not in spans.all


def test_a_request_from_python_belongs_to_the_span_around_it(
    spans: Spans, redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = AppContext.load({"ERASER_REDIS_URL": redis_url, "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT})
    monkeypatch.setattr(app_context, "_app_context", context)
    with trace.get_tracer("theirs").start_as_current_span("theirs"):
        request_deletion("job-1")
    request_deletion("job-2")
    assert is_of(spans.the("theirs"), kept(client, "job-1"))
    assert kept(client, "job-2") is None, "there was no span"


def test_nothing_is_stored_where_nothing_is_traced(site: Site, client: redis.Redis) -> None:
    assert site.ask("job-1", headers={"traceparent": PARENT}).status_code == 202
    assert kept(client, "job-1") is None


def test_the_first_request_with_a_trace_gives_a_round_its_trace(bench: Bench) -> None:
    other = PARENT.replace("b", "c")
    for traceparent, stands in ((None, None), (PARENT, PARENT), (other, PARENT)):
        bench.request("job-1", traceparent=traceparent)
        assert bench.record("job-1").get(Field.TRACEPARENT) == stands
    lease = bench.take()
    assert lease.traceparent == PARENT
    bench.settle(lease)
    bench.request("job-1", traceparent=other, force=True)
    assert bench.take().traceparent == other, "a new round has its own"


def test_what_a_job_left_behind_belongs_to_the_jobs_trace(bench: Bench) -> None:
    bench.request("job-1", traceparent=PARENT)
    bench.settle(bench.take())
    voice = Target(ledgers.PROJECT, "voice-1", VOICE_JOB)
    bench.ledger.request([voice], DeletionRequest(parent=f"{ledgers.PROJECT}/job-1"))
    assert bench.record(voice.name)[Field.TRACEPARENT] == PARENT
    bench.ledger.cancel([voice], why="T-1")


def test_what_leaves_carries_neither_trace_nor_baggage(spans: Spans) -> None:
    """MetaStudio is somebody else's."""
    token = context.attach(baggage.set_baggage("user", PERSON))
    sent: dict[str, str] = {}
    with trace.get_tracer("x").start_as_current_span("x"):
        propagate.inject(sent)
    context.detach(token)
    assert sent == {}


def test_commands_outside_of_a_trace_begin_none(spans: Spans, client: redis.Redis) -> None:
    client.ping()
    assert spans.get_finished_spans() == ()
    with tracing.executor("default", None):
        client.ping()
    assert [span.name for span in spans.get_finished_spans()] == ["PING", "process eraser.work"]


def test_an_error_in_a_span_is_named_without_its_text(spans: Spans, client: redis.Redis) -> None:
    for within in (tracing.request("eraser x", {}), tracing.executor("default", None), tracing.wakeup()):
        with pytest.raises(redis.ResponseError), within:
            client.eval(f"return redis.error_reply('ERR {PERSON}')", 0)
    assert [span.status.description for span in spans.get_finished_spans()] == 6 * ["ResponseError"]
    assert PERSON not in spans.all


def test_no_variable_sends_a_path_or_a_header_of_an_answer(
    spans: Spans, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side in ("REQUEST", "RESPONSE"):
        monkeypatch.setenv(f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_{side}", ".*")
    site.trace()
    assert site.call("GET", f"/find/{PERSON}", headers={"Host": f"{PERSON}.example.com"}).status_code == 421
    assert site.call("GET", f"/find/{PERSON}").status_code == 404
    assert site.call("GET", f"{DELETIONS}/{PERSON}").status_code == 404
    attributes = spans.the("GET /api/projects/{project_id}/deletions/{job_id}").attributes or {}
    assert attributes["http.route"] == "/api/projects/{project_id}/deletions/{job_id}"
    for planted in (PERSON, PROJECT, "http.request.header", "http.response.header"):
        assert planted not in spans.all


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_line_of_the_log_has_the_ids_of_its_span(
    spans: Spans, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    logs.set_up(logging.INFO, {"ERASER_LOG_FORMAT": form})
    log = logging.getLogger("worker.x")
    log.info("outside")
    with tracing.executor("default", None), tracing.request("eraser x", {}):
        log.info("inside")
    outside, inside = capsys.readouterr().err.splitlines()
    trace_id, span_id, _ = ids(spans.the("eraser x"))
    shown = (
        f'"trace_id": "{trace_id}", "span_id": "{span_id}"'
        if form == "json"
        else f"trace_id={trace_id} span_id={span_id}"
    )
    assert shown in inside
    assert "_id" not in outside, "there was no span"


def test_the_end_of_an_attempt_is_logged_with_the_ids_of_its_span(
    spans: Spans,
    shop: Shop,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is written when the end is recorded: then the attempt's span is over."""
    caplog.set_level(logging.INFO)
    shop.simulator.fill(2)
    shop.request("job-00001", "job-00002")
    with tracing.executor("default", None):
        shop.work()
    logged = {
        (record.job_id, record.trace_id, record.span_id)  # type: ignore[attr-defined]
        for record in caplog.records
        if record.msg == "deletion.deleted"
    }
    made = {((span.attributes or {})["eraser.id"], *ids(span)[:2]) for span in spans.named("attempt")}
    assert logged == made
    assert len(made) == 2


LOGGING = """
import logging, os
from worker.execution import celery_app
celery_app._log()
logging.getLogger("theirs").error("Authorization: Bearer abcdef0123456789, someone@example.com")
from opentelemetry._logs import get_logger_provider
getattr(get_logger_provider(), "force_flush", lambda: None)()
"""


def test_no_variable_sends_a_line_of_the_log() -> None:
    """The SDK's own handler would get it before it is redacted."""
    wanted = {"OTEL_TRACES_EXPORTER": "console", "OTEL_LOGS_EXPORTER": "console"}
    wanted["OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED"] = "true"
    done = subprocess.run(
        [sys.executable, "-c", LOGGING], capture_output=True, text=True, timeout=60, env=os.environ | wanted
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "theirs" in done.stderr
    assert "abcdef0123456789" not in done.stderr


def test_a_handler_of_an_sdk_that_was_set_up_before_is_removed(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    class Theirs(logging.Handler):
        __module__ = "opentelemetry.instrumentation.logging.handler"

    kept = list(logging.getLogger().handlers)
    monkeypatch.setattr(logging.getLogger(), "handlers", [*kept, Theirs()])
    otel.start({"OTEL_TRACES_EXPORTER": "none"})
    assert logging.getLogger().handlers == kept


@pytest.mark.parametrize("header", [PARENT, "nonsense", None])
def test_an_executor_links_to_its_wakeup_and_is_the_child_of_none(spans: Spans, header: str | None) -> None:
    with tracing.executor("default", header):
        pass
    span = spans.the("process eraser.work")
    assert span.parent is None
    assert [f"{link.context.span_id:016x}" for link in span.links] == ([SPAN] if header == PARENT else [])


NOTHING = """
import os, sys
for name in ("opentelemetry", "sentry_sdk", "wrapt"):
    sys.modules[name] = None  # as where the extras are not installed
for name in [*os.environ]:
    if name.startswith(("OTEL_", "SENTRY_")):
        del os.environ[name]
from worker.execution import celery_app, tracing
celery_app._log()
with tracing.command("request", {"TRACEPARENT": "x"}), tracing.executor("a", None), tracing.wakeup():
    assert tracing.headers() == tracing.ids() == tracing.ids_of_attempt() == {}
print([name for name in sys.modules if name in ("worker.execution.otel", "worker.execution.spans")])
"""


def test_without_the_extras_everything_works_and_without_a_receiver_nothing_of_them_is_imported() -> None:
    for script in (NOTHING, NOTHING.replace("sys.modules[name] = None", "pass")):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_the_variables_of_the_field_turn_it_off(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "start", lambda _: pytest.fail("it was started"))
    tracing.start(environ)


def test_a_missing_extra_is_logged_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr("worker.execution.otel")
    monkeypatch.setitem(sys.modules, "worker.execution.otel", None)
    tracing.start({"OTEL_TRACES_EXPORTER": "otlp"})
    (record,) = caplog.records
    assert record.msg == "tracing.off"
    assert "[otel]" in vars(record)["error"]


@pytest.mark.parametrize(
    ("given", "traces", "metrics"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "x"}, "otlp", "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x"}, "otlp", "none"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_METRICS_EXPORTER": "none"}, "otlp", "none"),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": ""}, "console", "none"),
    ],
)
def test_a_signal_goes_where_an_endpoint_takes_it(given: dict[str, str], traces: str, metrics: str) -> None:
    otel.complete(given)
    assert (given["OTEL_TRACES_EXPORTER"], given["OTEL_METRICS_EXPORTER"]) == (traces, metrics)
    assert given["OTEL_SERVICE_NAME"] == "avatar-eraser"
    named = {"OTEL_RESOURCE_ATTRIBUTES": "service.name=theirs"}
    otel.complete(named)
    assert "OTEL_SERVICE_NAME" not in named


def test_a_command_sends_its_span_before_it_ends(command: Command, collector: Collector) -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_METRICS_EXPORTER": "none", "TRACEPARENT": PARENT}
    assert command.process("request", "job-1", **environ).code == 0
    wait_until(lambda: collector.named("eraser request"), what="it arrives")
    (span,) = collector.named("eraser request")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, SPAN)


def test_a_collector_that_is_away_keeps_no_process_from_its_end(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, ended = threading.Event(), threading.Event()

    def shutdown() -> None:
        gone.wait(PATIENCE_S)
        ended.set()

    monkeypatch.setattr(otel, "LAST_S", 0.01)
    monkeypatch.setattr(trace.get_tracer_provider(), "shutdown", shutdown)
    otel.end()
    assert not ended.is_set()
    gone.set()
    assert ended.wait(PATIENCE_S)
