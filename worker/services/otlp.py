"""The metrics of `worker.services.metrics` by OTLP. Imported only where OpenTelemetry's own variables ask for it.

The numbers are the ledger's, so they are sent as they stand: an instrument of the SDK would count them once more, and
none of its instruments that are read takes a histogram.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, MutableMapping, Sequence
from itertools import pairwise
from typing import Any, Final

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import Metric as Family
from prometheus_client.samples import Sample

from worker import __version__
from worker.execution import otel
from worker.execution.app_context import AppContext
from worker.services.metrics import Metrics

log = logging.getLogger(__name__)

_SINCE_EVER: Final = AggregationTemporality.CUMULATIVE


class Sender:
    """Sends them every OTEL_METRIC_EXPORT_INTERVAL (ms), from a thread of its own, and once more at the end."""

    def __init__(self, app: AppContext, exporter: MetricExporter, interval_s: float) -> None:
        self._app = app
        self._exporter = exporter
        self._interval_s = interval_s
        self._resource = Resource.create({"service.version": __version__})
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp metrics", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(self._interval_s):
            self._send()
        self._send()

    def _send(self) -> None:
        try:
            scope = ScopeMetrics(InstrumentationScope("avatar-eraser", __version__), metrics(self._app), "")
            self._exporter.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]))
        except Exception:
            log.exception("metrics.not_sent")

    def end(self, patience_s: float) -> None:
        self._ending.set()
        self._thread.join(patience_s)


def start(app: AppContext, environ: MutableMapping[str, str]) -> list[Sender]:
    """One sender for each exporter of OTEL_METRICS_EXPORTER."""
    interval_s = float(environ.get("OTEL_METRIC_EXPORT_INTERVAL") or 60_000) / 1000
    return [Sender(app, exporter, interval_s) for exporter in otel.metric_exporters(environ)]


def metrics(app: AppContext) -> list[Metric]:
    """All of them as they stand now."""
    now = time.time_ns()
    return [Metric(family.name, family.documentation, "", _points(family, now)) for family in Metrics(app).collect()]


def _points(family: Family, now: int) -> Any:
    if family.type == "histogram":
        return Histogram(list(_histograms(family.samples, now)), _SINCE_EVER)
    points = [NumberDataPoint(sample.labels, 0, now, float(sample.value)) for sample in family.samples]
    return Gauge(points) if family.type == "gauge" else Sum(points, _SINCE_EVER, is_monotonic=True)


def _histograms(samples: Sequence[Sample], now: int) -> Iterable[HistogramDataPoint]:
    """Prometheus counts what is at most `le`; OTLP what is between two bounds."""
    every: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    for sample in samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        one = every.setdefault(labels, {"upto": [], "bounds": []})
        if sample.name.endswith("_bucket"):
            one["upto"].append(int(sample.value))
            one["bounds"].append(float(sample.labels["le"]))
        elif sample.name.endswith("_sum"):
            one["sum"] = sample.value
    for labels, one in every.items():
        between = [after - before for before, after in pairwise([0, *one["upto"]])]
        no: Any = None  # the ledger keeps no extremes
        yield HistogramDataPoint(dict(labels), 0, now, one["upto"][-1], one["sum"], between, one["bounds"][:-1], no, no)
