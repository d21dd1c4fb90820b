"""The OpenAPI document as a page for people: flat rows that a template shows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """A parameter, a field or an answer: its name, its type, and what it means."""

    name: str
    kind: str
    text: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    summary: str
    text: str
    parameters: tuple[Row, ...]
    body: str
    answers: tuple[Row, ...]


def operations(document: Data) -> Iterator[Operation]:
    """Every operation, in the document's order."""
    for path, item in document["paths"].items():
        for method, one in item.items():
            if method != "parameters":
                yield Operation(
                    method.upper(),
                    path,
                    one["summary"],
                    one.get("description", ""),
                    tuple(_parameter(each) for each in (*item.get("parameters", ()), *one.get("parameters", ()))),
                    _content(one.get("requestBody", {})),
                    tuple(_answer(document, status, each) for status, each in one["responses"].items()),
                )


def schemas(document: Data) -> Iterator[tuple[str, tuple[Row, ...]]]:
    """Every schema with its fields."""
    for name, schema in document["components"]["schemas"].items():
        required, fields = schema.get("required", ()), schema.get("properties", {}).items()
        yield name, tuple(Row(key, kind(each), each.get("description", ""), key in required) for key, each in fields)


def kind(schema: Data) -> str:
    """A schema's type in a few words: `text, such as 24h`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if choices := schema.get("oneOf") or schema.get("anyOf"):
        return " or ".join(kind(each) for each in choices)
    if "enum" in schema:
        return " | ".join("null" if value is None else str(value) for value in schema["enum"])
    types = schema.get("type", "any")
    found = " or ".join([types] if isinstance(types, str) else types)
    if "items" in schema:
        found = f"list of {kind(schema['items'])}"
    example = schema.get("example", schema.get("format"))
    return f"{found}, such as {example}" if example else found


def _parameter(one: Data) -> Row:
    return Row(one["name"], f"{one['in']}: {kind(one['schema'])}", one.get("description", ""), one["required"])


def _answer(document: Data, status: str, one: Data) -> Row:
    if "$ref" in one:
        one = document["components"]["responses"][one["$ref"].rpartition("/")[2]]
    return Row(status, _content(one), one["description"])


def _content(one: Data) -> str:
    return ", ".join(f"{kind(body['schema'])} ({media})" for media, body in one.get("content", {}).items())
