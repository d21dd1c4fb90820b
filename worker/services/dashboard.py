"""The dashboard for Grafana, docs/grafana.json: `python -m worker.services.dashboard > docs/grafana.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from worker.services.dashboard_panels import ROWS, Panel
from worker.services.metrics import PREFIX

WIDTH: Final = 24  # columns of Grafana's grid
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED = "green", "yellow", "red"


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "avatar-eraser",
        "title": "avatar-eraser",
        "description": "Deletions of MetaStudio avatar training jobs, from the metrics of `eraser metrics --serve`.",
        "tags": ["avatar-eraser"],
        "schemaVersion": 39,
        "editable": True,
        "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "graphTooltip": 1,  # one crosshair for all panels
        "templating": {"list": _variables()},
        "panels": list(_panels()),
    }


def _variables() -> list[dict[str, Any]]:
    accounts = f"label_values({PREFIX}deletions, account)"
    every = {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return [
        {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
        {
            **{"name": "account", "label": "Account", "type": "query", "datasource": SOURCE, "refresh": 2, "sort": 1},
            **{"query": {"qryType": 1, "query": accounts, "refId": "accounts"}, **every},
        },
    ]


def _panels() -> Iterator[dict[str, Any]]:
    number, x, y, height = 0, 0, 0, 0
    for title, panels in ROWS.items():
        number, x, y = number + 1, 0, y + height
        yield {
            **{"id": number, "type": "row", "title": title, "collapsed": False, "panels": []},
            "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
        }
        y += 1
        for panel in panels:
            if x + panel.width > WIDTH:
                x, y = 0, y + height
            number, height = number + 1, 4 if panel.kind == "stat" else 8
            yield {"id": number, **_form(panel), "gridPos": {"x": x, "y": y, "w": panel.width, "h": height}}
            x += panel.width


def _form(panel: Panel) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": one.query, "legendFormat": one.legend}
        for n, one in enumerate(panel.series)
    ]
    steps = [(None, GREEN), (panel.warn, YELLOW), (panel.bad, RED)]
    custom = {"fillOpacity": 20 if panel.stacked else 5, "showPoints": "never"}
    defaults: dict[str, Any] = {
        **{"unit": panel.unit, "min": 0},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": at, "color": to} for at, to in steps if at or to is GREEN],
        },
    }
    if panel.kind == "timeseries":
        defaults["custom"] = custom | {"stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"}}
    return {
        **{"type": panel.kind, "title": panel.title, "description": panel.about, "datasource": SOURCE},
        **{"targets": targets, "fieldConfig": {"defaults": defaults, "overrides": []}, "options": _OPTIONS[panel.kind]},
    }


_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "graphMode": "none"},
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    "status-history": {"legend": {"showLegend": False}, "showValue": "never", "rowHeight": 0.9},
}

if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=1) + "\n")
