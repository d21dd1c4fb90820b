"""What an SDK of OpenTelemetry raises costs its span, and no answer, request or error of ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult

from tasks.deletion import delete
from tests.execution.test_executor import Shop, shop  # noqa: F401 - a fixture
from tests.metastudio.test_client import client_of, says, serve  # noqa: F401 - fixtures
from tests.support.dead_letters import PROJECT
from tests.support.http_site import Site
from tests.support.otlp import Spans, traced
from worker.execution import app_context, guarded_span, spans, tracing
from worker.execution.app_context import AppContext
from worker.model.errors import UsageError
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT


class Begin(SpanProcessor):
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        raise RuntimeError("begin")


class End(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("end")


class Choice(Sampler):
    def should_sample(self, *_: object, **__: object) -> SamplingResult:  # type: ignore[override]
        raise RuntimeError("sampler")

    def get_description(self) -> str:
        return "broken"


@pytest.fixture(params=["begin", "end", "sampler"])
def broken(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    monkeypatch.setattr(guarded_span, "_logged", False)
    with traced() as made:
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        if request.param == "sampler":
            provider.sampler = Choice()
        else:
            provider.add_span_processor(Begin() if request.param == "begin" else End())
        yield made


def test_the_answer_of_a_delete_is_recorded_and_the_error_logged_once(
    broken: Spans,
    shop: Shop,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop.simulator.fill(2)
    shop.request("job-00001", "job-00002")
    with tracing.executor("default", None):
        shop.work()
    assert [shop.ends(job) for job in ("job-00001", "job-00002")] == ["deleted", "deleted"]
    assert [call for call in shop.calls() if call != "list"] == ["delete job-00001", "delete job-00002"]
    (line,) = [record for record in caplog.records if record.msg == "tracing.failed"]
    assert line.levelno == logging.ERROR
    assert vars(line)["error"] in ("RuntimeError: begin", "RuntimeError: end", "RuntimeError: sampler")


@pytest.mark.parametrize("broken", ["end"], indirect=True)
def test_neither_a_command_nor_a_call_within_a_trace_loses_its_answer(
    broken: Spans,
    shop: Shop,  # noqa: F811
) -> None:
    """OpenTelemetry's own instrumentations make these spans."""
    shop.simulator.fill(1)
    with tracing.request("x", {}):
        assert shop.redis.ping()
        assert shop.client.ask(DEMO_PROJECT, ["x"]).rows is not None
    assert {span.name for span in broken.get_finished_spans()} >= {"PING", "GET"}


@pytest.mark.parametrize("length", ["2, 2", "2\r\nContent-Length: 2", "two", "", 5000 * "1"])
def test_an_answer_with_an_odd_length_is_an_answer(length: str, serve: Any, client_of: Any) -> None:  # noqa: F811
    """OpenTelemetry's instrumentation of urllib3 reads the header as one number."""
    ours = client_of(
        serve(says(f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{{}}".encode()))
    )
    without = ours.delete(Target(PROJECT, "job-1"))
    with traced() as made, tracing.request("x", {}):
        answered = ours.delete(Target(PROJECT, "job-1"))
    assert (answered.status, answered.truncated) == (without.status, without.truncated) == (200, False)
    assert (made.the("DELETE").attributes or {})["http.status_code"] == 200


def test_a_message_is_recorded(broken: Spans, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    context = AppContext.load({"ERASER_REDIS_URL": redis_url, "HUAWEICLOUD_SDK_PROJECT_ID": PROJECT})
    monkeypatch.setattr(app_context, "_app_context", context)
    monkeypatch.setattr(AppContext, "work", lambda *_: None)
    delete.run.__func__(SimpleNamespace(request={}), PROJECT, "job-1")
    assert context.queries("default").show(Target(PROJECT, "job-1")) is not None


def test_a_request_by_http_is_recorded_and_answered(broken: Spans, site: Site) -> None:
    site.trace()
    assert site.ask("job-1").status_code == 202
    assert site.show("job-1")["state"] == "pending"


def test_an_error_of_the_body_passes_unchanged(broken: Spans) -> None:
    ours = UsageError("ours")
    with pytest.raises(UsageError) as raised, tracing.request("x", {}):
        raise ours
    assert raised.value is ours


def test_a_traceparent_that_cannot_be_written_is_none(broken: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "traceparent", lambda: 1 / 0)
    assert tracing.traceparent() is None
