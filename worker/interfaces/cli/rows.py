"""Long lists as a table for people, or for programs and spreadsheets: `-o table|json|csv`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from worker.interfaces.cli.printing import for_programs, json_line, remember_form
from worker.services.labels import plain

# how a formula may begin, by OWASP's page on CSV injection; spreadsheets in Chinese take full width, too
FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")

output_option = click.option(
    *("-o", "--output"),
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    callback=remember_form,
)


def write(found: Iterable[dict[str, Any]], columns: Sequence[str]) -> bool:
    """Write each as a line of JSON, or of CSV below the names of its columns. Returns whether there were any."""
    line = json_line if for_programs() else _csv_line(columns)
    any_rows = False
    for one in found:
        line(one)
        any_rows = True
    return any_rows


def _csv_line(columns: Sequence[str]) -> Callable[[dict[str, Any]], object]:
    writer = csv.DictWriter(sys.stdout, columns, lineterminator="\n")
    writer.writeheader()
    return lambda one: writer.writerow({name: _cell(value) for name, value in one.items()})


def _cell(value: object) -> object:
    """A code comes from outside: a spreadsheet must not run it as a formula, nor may it end the row."""
    if isinstance(value, str):
        value = plain(value)
        return f"'{value}" if value.startswith(FORMULAS) else value
    return value
