"""A deletion is one trace, from a producer's message over every attempt, as a collector receives it from a worker."""

from __future__ import annotations

from tests.acceptance.fleet import Fleet
from tests.support.otlp import PARENT, SPAN, TRACE, Collector
from worker import __version__
from worker.ledger.keys import OURS
from worker.model.states import State
from worker.simulator import CANARIES, DEMO_AK, DEMO_PROJECT, DEMO_SK
from worker.simulator.faults import FaultKind

USER = "app-user-4711-canary"


def test_a_deletion_is_one_trace_from_the_message_to_the_last_attempt(collector: Collector) -> None:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    settings |= {"OTEL_METRICS_EXPORTER": "none", "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_CLIENT_REQUEST": ".*"}
    with Fleet(settings=settings) as fleet:
        fleet.plant("job-1", app_user_id=USER)
        fleet.metastudio.fault(FaultKind.ERROR, "job-1")
        fleet.start_workers(1)
        fleet.producer().send_task(
            "eraser.delete",
            args=[DEMO_PROJECT, "job-1"],
            kwargs={"app_user": USER, "by": USER, "reason": USER},
            queue=OURS.requests,
            headers={"traceparent": PARENT},
        )
        fleet.wait(lambda: fleet.state("job-1") is State.DELETED, "the job is deleted")
        fleet.wait(lambda: len(collector.named("attempt")) == 2, "both attempts are exported")
        fleet.wait(lambda: len(collector.named("DELETE")) == 2, "both calls are exported")
        fleet.wait(lambda: collector.named("process eraser.work"), "an executor is exported")
    (request,) = collector.named("process eraser.delete")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, SPAN)
    attempts = sorted(collector.named("attempt"), key=lambda span: span.start_time_unix_nano)
    for attempt, state in zip(attempts, ("pending", "deleted"), strict=True):
        assert (attempt.trace_id, attempt.parent_span_id) == (request.trace_id, request.span_id)
        assert {one.key: one.value.string_value for one in attempt.attributes}["eraser.state"] == state
        assert len(attempt.links) == 1
        (call,) = [span for span in collector.named("DELETE") if span.parent_span_id == attempt.span_id]
        assert call.trace_id == request.trace_id
    executors = {span.span_id for span in collector.spans if span.name == "process eraser.work"}
    assert {link.span_id for attempt in attempts for link in attempt.links} <= executors
    resource = {one.key: one.value.string_value for one in collector.resources[0].attributes}
    assert (resource["service.name"], resource["service.version"]) == ("avatar-eraser", __version__)
    for planted in (USER, DEMO_AK, DEMO_SK, "Signature=", *CANARIES):
        assert planted.encode() not in collector.raw
