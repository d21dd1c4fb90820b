"""Metrics by OTLP are those of the page for Prometheus, as a collector gets them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.dead_letters import Undertaker
from tests.support.otlp import Collector
from tests.support.waiting import wait_until
from worker.execution.app_context import AppContext
from worker.interfaces.cli.metrics import _pushed
from worker.services import metrics


@pytest.fixture
def app(app: AppContext, undertaker: Undertaker) -> AppContext:
    undertaker.end("job-1", cause="server_error")
    return app


def labels(point: Any) -> dict[str, str]:
    return {one.key: one.value.string_value for one in point.attributes}


def series(metric: Any) -> dict[tuple[Any, ...], float]:
    """What Prometheus would make of it."""
    found: dict[tuple[Any, ...], float] = {}
    for point in metric.gauge.data_points or metric.sum.data_points:
        total = "_total" if metric.HasField("sum") else ""
        found[(metric.name + total, *sorted(labels(point).items()))] = point.as_double
    for point in metric.histogram.data_points:
        upto = 0
        for bound, count in zip([*point.explicit_bounds, float("inf")], point.bucket_counts, strict=True):
            upto += count
            le = "+Inf" if bound == float("inf") else str(bound)
            found[(f"{metric.name}_bucket", *sorted({**labels(point), "le": le}.items()))] = upto
        found[(f"{metric.name}_count", *sorted(labels(point).items()))] = point.count
        found[(f"{metric.name}_sum", *sorted(labels(point).items()))] = point.sum
    return found


def test_a_collector_gets_what_prometheus_would_scrape(
    app: AppContext, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"{collector.url}/v1/metrics")
    for name in ("OTEL_SERVICE_NAME", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "50")
    with _pushed(app):
        wait_until(lambda: len(collector.exports) > 1, what="a second export")
    gauge = "avatar_eraser_redis_memory_bytes"  # moves from one look to the next
    scraped = {
        (sample.name, *sorted(sample.labels.items())): float(sample.value)
        for family in metrics.Metrics(app).collect()
        for sample in family.samples
        if sample.name != gauge
    }
    sent: dict[tuple[Any, ...], float] = {}
    for metric in collector.exports[-1]:
        sent |= series(metric)
    assert sent.pop((gauge,)) > 0
    assert sent == scraped
    assert sent["avatar_eraser_dead_letters", ("account", "default"), ("cause", "server_error")] == 1
    assert any(name[0] == "avatar_eraser_call_seconds_bucket" for name in sent)
    counters = {metric.name for metric in collector.exports[-1] if metric.HasField("sum")}
    assert counters == {f"avatar_eraser_{name}" for name in ("events", "attempts", "wakeups")}


def test_redis_that_is_away_is_one_metric(
    app: AppContext, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = AppContext.load({"ERASER_REDIS_URL": "redis://127.0.0.1:1/0"})
    gone.patience_s = 0.1
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "")
    with _pushed(gone):
        pass
    wait_until(lambda: collector.exports, what="it arrives")
    ((up,),) = collector.exports
    assert (up.name, up.gauge.data_points[0].as_double) == ("avatar_eraser_up", 0)
