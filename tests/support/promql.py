"""As much of PromQL as the example alerts need, computed from two scrapes: then and now. Parsed by a real parser."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]  # `__name__` is a label

COMPARED: dict[str, Callable[[Any, Any], bool]] = {"==": operator.eq, ">": operator.gt}


def scraped(page: bytes) -> Vector:
    """Every sample of a page."""
    families = text_string_to_metric_families(page.decode())
    return {frozenset({"__name__": s.name, **s.labels}.items()): s.value for f in families for s in f.samples}


def selectors(node: Any) -> Iterator[Any]:
    """Each selector of an expression."""
    found: list[Any] = []
    promql.walk(node, lambda at: found.append(at) if isinstance(at, promql.VectorSelector) else None)
    return iter(found)


def matches(matcher: Any, labels: dict[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    match matcher.op:
        case promql.MatchOp.Equal:
            return bool(value == matcher.value)
        case promql.MatchOp.Re:
            return re.fullmatch(matcher.value, value) is not None
    raise ValueError(matcher.op)


def check_selector(selector: Any, samples: list[dict[str, str]]) -> None:
    """Fail for a metric, a label or a word among a label's values that no sample has: a typing error finds nothing."""
    own = [labels for labels in samples if labels["__name__"] == selector.name]
    assert own, f"there is no {selector.name}"
    for matcher in selector.matchers.matchers:
        for word in matcher.value.split("|"):
            assert word in {labels.get(matcher.name) for labels in own}, f"{matcher.name} is never {word!r}"
        assert any(matches(matcher, labels) for labels in own)


class Scrapes:
    """`fires(expression)`: the labels and values for which an alert would fire."""

    def __init__(self, then: bytes, now: bytes) -> None:
        self._then, self._now = scraped(then), scraped(now)

    def fires(self, expression: str) -> list[tuple[dict[str, str], float]]:
        result = self._value(promql.parse(expression))
        return [(dict(labels), value) for labels, value in result.items()]

    def _value(self, node: Any) -> Any:
        match node:
            case promql.NumberLiteral():
                return node.val
            case promql.VectorSelector():
                return self._select(node, self._now)
            case promql.AggregateExpr() if str(node.op) == "sum":
                return _sum(self._value(node.expr), node.modifier.labels if node.modifier else [])
            case promql.Call():
                return self._called(node)
            case promql.BinaryExpr():
                return _combined(str(node.op), self._value(node.lhs), self._value(node.rhs), node.modifier)
        raise ValueError(f"{type(node).__name__}: {node}")

    def _select(self, node: Any, scrape: Vector) -> Vector:
        every = ((labels, dict(labels), value) for labels, value in scrape.items())
        return {
            labels: value
            for labels, named, value in every
            if named["__name__"] == node.name and all(matches(m, named) for m in node.matchers.matchers)
        }

    def _called(self, node: Any) -> Vector:
        match node.func.name:
            case "absent":
                return {} if self._value(node.args[0]) else {frozenset(): 1.0}
            case "increase":
                selector = node.args[0].vector_selector
                before, after = self._select(selector, self._then), self._select(selector, self._now)
                return {
                    _nameless(labels): value - before[labels] for labels, value in after.items() if labels in before
                }
        raise ValueError(node.func.name)


def _sum(vector: Vector, by: list[str]) -> Vector:
    sums: Vector = {}
    for labels, value in vector.items():
        group = frozenset((name, text) for name, text in labels if name in by)
        sums[group] = sums.get(group, 0.0) + value
    return sums


def _combined(op: str, left: Any, right: Any, modifier: Any) -> Any:
    on = modifier.matching.labels if modifier and modifier.matching else None
    if isinstance(right, dict):
        keys = {_key(labels, on): value for labels, value in right.items()}
    match op:
        case "and":
            return {labels: value for labels, value in left.items() if _key(labels, on) in keys}
        case "or":
            return left | {labels: value for labels, value in right.items() if labels not in left}
        case "*" if isinstance(left, float) and isinstance(right, dict):
            return {_nameless(labels): left * value for labels, value in right.items()}
        case "*":
            return left * right
    compare = COMPARED[op]
    if isinstance(right, dict):
        return {ls: value for ls, value in left.items() if compare(value, keys.get(_key(ls, on), math.nan))}
    return {labels: value for labels, value in left.items() if compare(value, right)}


def _key(labels: Labels, on: list[str] | None) -> Labels:
    return frozenset((name, text) for name, text in labels if (name in on if on is not None else name != "__name__"))


def _nameless(labels: Labels) -> Labels:
    return _key(labels, None)
