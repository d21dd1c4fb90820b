"""Holds what tests see against the JSON schemas: what a command prints with --json, and what the HTTP API answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import click
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from worker.interfaces.api.openapi import DOCUMENT
from worker.interfaces.cli import eraser, schemas

_KNOWN: Registry[Any] = Registry().with_resource(
    schemas.VOCABULARY,
    Resource.from_contents(schemas.vocabulary()),  # type: ignore[arg-type]
)
_SCHEMAS = schemas.schemas()
_METHODS = ("get", "post", "delete", "put", "patch")


@cache
def commands() -> dict[str, click.Command]:
    """Every command that has `--json`, by its name."""
    every = dict(_each(eraser))
    del every["console token"]  # the earlier name of another one
    return {name: command for name, command in every.items() if "--json" in options(command)}


def options(command: click.Command) -> set[str]:
    """Its options."""
    return {option for param in command.params for option in param.opts}


def _each(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _each(command, f"{before}{name} ")
        else:
            yield before + name, command


def name_of(words: Sequence[str]) -> str | None:
    """The command that these words call; None: none with `--json`."""
    return next((name for n in (3, 2, 1) if (name := " ".join(words[:n])) in commands()), None)


def why_not(name: str, value: Any) -> list[str]:
    """What is wrong with JSON by the schema of this name: of a command, or `error`, `receipt`, `webhook`."""
    found = Draft202012Validator(_SCHEMAS[name], registry=_KNOWN).iter_errors(value)
    return [each.message for error in found for each in (error.context or [error])]


def check_printed(words: Sequence[str], out: str, err: str, code: int) -> None:
    """What a command printed is what its schema says; if it failed, stdout says so, or the last line of stderr."""
    name = name_of(words)
    if "--json" not in words or name is None or {"csv", "html", "txt"} & set(words):
        return
    for line in out.splitlines():
        assert why_not(name, json.loads(line)) == [], (words, line)
    last = (err.splitlines() or [""])[-1]
    if last.startswith('{"error"'):
        assert why_not("error", found := json.loads(last)) == [], (words, last)
        assert code in (0, found["error"]["exit_code"]), (words, last)  # 0: it was waited out
    else:
        assert code == 0 or out, (words, err)


# -- the HTTP API ------------------------------------------------------------------------------------------------------


def operation_of(method: str, path: str) -> tuple[str, str] | None:
    """The operation of OpenAPI's document that is called: its method and its path there."""
    for known, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"{\w+}", "[^/?]*", known), path.partition("?")[0]) and method.lower() in item:
            return method.lower(), known
    return None


def check_answered(method: str, path: str, response: Any) -> None:
    """An answer is one of those in the document, and has no field that is not in it."""
    operation = operation_of(method, path)
    if operation is None:
        return
    schema = schema_of(*operation, response.status_code)
    document: Any = {**schema, "components": DOCUMENT["components"]}
    wrong = [error.message for error in Draft202012Validator(document).iter_errors(response.json())]
    more = {name for name in left_out(schema, response.json()) if ".events." not in name}
    assert (wrong, more) == ([], set()), f"{method} {path}: {wrong} {more} {response.text}"


def schema_of(method: str, path: str, status: int) -> Any:
    """The schema of an answer."""
    response = DOCUMENT["paths"][path][method]["responses"][str(status)]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    (content,) = response["content"].values()
    return content["schema"]


def left_out(schema: Any, sent: Any, where: str = "") -> set[str]:
    """The fields of an answer that a schema of the document does not name."""
    if "$ref" in schema:
        found = DOCUMENT
        for name in schema["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        schema = {**found, **schema, "properties": found.get("properties", {}) | schema.get("properties", {})}
    if "anyOf" in schema and "properties" not in schema and isinstance(sent, dict):
        return min((left_out(one, sent, where) for one in schema["anyOf"]), key=len)
    if isinstance(sent, list):
        return set().union(*(left_out(schema["items"], one, where) for one in sent))
    if not isinstance(sent, dict):
        return set()
    named = schema.get("properties", {})
    missing = {f"{where}.{name}" for name in set(sent) - set(named)}
    return missing.union(
        *(left_out(named[name], value, f"{where}.{name}") for name, value in sent.items() if name in named)
    )
