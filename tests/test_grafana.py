"""The dashboard for Grafana: each query is parsed by a PromQL parser and finds metrics, labels and words that exist."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest

from tests.support.promql import check_selector, scraped, selectors
from tests.test_alerts import Scene, scene  # noqa: F401 - a fixture
from worker.services.dashboard import WIDTH, dashboard

DOCS = Path(__file__).parents[1] / "docs"
FILE: dict[str, Any] = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in FILE["panels"] if panel["type"] != "row"]
QUERIES = {f"{panel['title']} {one['refId']}": one for panel in PANELS for one in panel["targets"]}
METRICS = set(re.findall(r"^\| `(avatar_eraser_\w+)` \|", (DOCS / "metrics.md").read_text(encoding="utf-8"), re.M))


def parsed(query: str, account: str = "default") -> Any:
    """As Grafana sends it."""
    return promql.parse(query.replace("$account", account).replace("$__rate_interval", "1m"))


def test_the_file_is_what_the_code_makes() -> None:
    """`python -m worker.services.dashboard > docs/grafana.json`"""
    assert dashboard() == FILE


@pytest.mark.parametrize("name", QUERIES)
def test_what_a_query_selects_exists_and_its_legend_names_labels_that_it_has(
    scene: Scene,  # noqa: F811 - a fixture
    name: str,
) -> None:
    scene.undertaker.end("a", to="deleted")
    query, legend = QUERIES[name]["expr"], QUERIES[name]["legendFormat"]
    samples = [dict(labels) for labels in scraped(scene.page())]
    found = list(selectors(parsed(query)))
    assert found
    for selector in found:
        check_selector(selector, samples)
        own = next(labels for labels in samples if labels["__name__"] == selector.name)
        assert ("account" in own) is ('account=~"$account"' in query), "the choice of accounts is for each that has one"
    by = {label for labels in re.findall(r" by \(([^)]*)\)", query) for label in labels.split(", ")}
    assert set(re.findall(r"{{(\w+)}}", legend)) == by - {"le"}
    assert by <= set(own)
    assert legend


def test_every_metric_is_shown() -> None:
    shown = {selector.name for one in QUERIES.values() for selector in selectors(parsed(one["expr"]))}
    assert {name.removesuffix("_bucket") for name in shown} == METRICS


def test_it_is_imported_into_any_grafana_with_any_prometheus() -> None:
    source, account = FILE["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    sources = [account["datasource"], *(panel["datasource"] for panel in PANELS)]
    sources += [one["datasource"] for one in QUERIES.values()]
    assert {json.dumps(each) for each in sources} == {json.dumps({"type": "prometheus", "uid": "${datasource}"})}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(FILE))) == {"datasource", "account", "__rate_interval", "__all"}
    assert "id" not in FILE, "it would overwrite the dashboard that has this number there"


def test_each_panel_has_a_place_of_its_own() -> None:
    every = FILE["panels"]
    assert len({panel["id"] for panel in every}) == len({panel["title"] for panel in every}) == len(every)
    cells = [
        {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        for at in (panel["gridPos"] for panel in every)
    ]
    assert all(one.isdisjoint(other) for one, other in combinations(cells, 2))
    assert {x for cell in cells for x, _ in cell} == set(range(WIDTH))
