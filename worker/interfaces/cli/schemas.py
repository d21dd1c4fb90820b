"""All JSON that we print or send, as JSON schemas: `python -m worker.interfaces.cli.schemas docs/schemas`.

One vocabulary: a field means the same and has the same type wherever it stands. Any value may be null: not known yet,
or there is none. A command prints objects of one of its forms, one a line, with all of the form's fields and no others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worker.interfaces.cli.schema_forms import COMMANDS, FIELDS, PARTS, RECEIPT, TRAILER, TYPES, WEBHOOKS, WORDS

BASE = "https://json-schema.org/draft/2020-12/schema"
VOCABULARY = "vocabulary.json"
OTHERS = {  # file -> its title, and the forms of what is in it
    "error": ("The last line on stderr of a command with --json that fails", ["error=error_object"]),
    "receipt": ("A line of a file of receipts; the last one describes those above it", [RECEIPT, TRAILER]),
}


def vocabulary() -> dict[str, Any]:
    """Every field by its name, every type, and every object that stands within another."""
    named = {field: _type(kind) for kind, fields in FIELDS.items() for field in fields.split()}
    objects = {name: _nullable(_form(form)) for name, form in PARTS.items()}
    objects["happened"] = {"type": ["object", "null"], "required": ["at", "event"], "properties": _fields("at event")}
    objects["parts_or_text"] = {"anyOf": [_type("related"), _type("text")]}
    objects["webhook_data"] = {"anyOf": [_form(form) for form in dict.fromkeys(WEBHOOKS.values())]}
    defs = {**TYPES, **named, **WORDS, **objects}
    return {"$schema": BASE, "title": "The vocabulary of avatar-eraser", "$defs": defs}


def schemas() -> dict[str, dict[str, Any]]:
    """Each schema by its name: a command's, or `error`, `receipt` and `webhook`."""
    made = {name: _schema(f"A line of: eraser {name} --json", forms) for name, forms in COMMANDS.items()}
    made |= {name: _schema(title, forms) for name, (title, forms) in OTHERS.items()}
    return made | {"webhook": {"$schema": BASE, "title": "The body of a webhook", "oneOf": [*map(_message, WEBHOOKS)]}}


def files() -> dict[str, str]:
    """Each file's name and content."""
    made = {VOCABULARY: vocabulary()} | {f"{name.replace(' ', '-')}.json": one for name, one in schemas().items()}
    return {name: json.dumps(document, indent=1) + "\n" for name, document in made.items()}


def _schema(title: str, forms: Sequence[str]) -> dict[str, Any]:
    found = [_form(form) for form in forms]
    return {"$schema": BASE, "title": title, **(found[0] if len(found) == 1 else {"oneOf": found})}


def _message(event: str) -> dict[str, Any]:
    properties = {"type": {"const": str(event)}, **_fields("timestamp"), "data": _form(WEBHOOKS[event])}
    return {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}


def _form(form: str) -> dict[str, Any]:
    left_out = {"job_id", *(word.partition("=")[0][:-1] for word in form.split() if "?" in word)}
    properties = _fields(form)
    required = [name for name in properties if name not in left_out]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _fields(form: str) -> dict[str, Any]:
    words = (word.replace("?", "").partition("=") for word in form.split())
    return {name: _type(kind or name) for name, _, kind in words}


def _type(kind: str) -> dict[str, Any]:
    match kind[0]:
        case "[":
            return {"type": ["array", "null"], "items": _type(kind[1:-1])}
        case "{":
            return {"type": ["object", "null"], "additionalProperties": _type(kind[1:-1])}
    return {"$ref": f"{VOCABULARY}#/$defs/{kind}"}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"type": ["object", "null"]}


if __name__ == "__main__":
    for file, content in files().items():
        (Path(sys.argv[1]) / file).write_text(content, encoding="utf-8")
