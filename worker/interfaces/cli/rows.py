"""Long lists as a table for people, or for programs and spreadsheets: `-o table|json|csv`."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from itertools import chain
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


def write(found: Iterable[dict[str, Any]]) -> bool:
    """Write each as a line of JSON or of CSV. Returns whether there were any."""
    rest = iter(found)
    if (first := next(rest, None)) is None:
        return False
    if for_programs():
        for one in chain([first], rest):
            json_line(one)
        return True
    writer = csv.DictWriter(sys.stdout, list(first), lineterminator="\n")
    writer.writeheader()
    for one in chain([first], rest):
        writer.writerow({name: _cell(value) for name, value in one.items()})
    return True


def _cell(value: object) -> object:
    """A code comes from outside: a spreadsheet must not run it as a formula, nor may it end the row."""
    if isinstance(value, str):
        value = plain(value)
        return f"'{value}" if value.startswith(FORMULAS) else value
    return value
