"""`eraser doctor`: is everything set up correctly?"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from worker.interfaces.cli import startup
from worker.interfaces.cli.printing import STYLES, json_option, result, say
from worker.model.errors import SettingsError, SettingsErrors
from worker.services.doctor import checks as health
from worker.services.doctor.check import Check, Level
from worker.services.labels import count


@click.command()
@click.option("--offline", is_flag=True, help="No call to MetaStudio.")
@json_option
def doctor(offline: bool) -> None:
    """Check settings, Redis and its durability, broker, workers, clocks and credentials.

    Exit 0 when nothing is wrong, 1 when something is, 2 when a setting or the schema version is, 4 when Redis does not
    answer.

    \b
    eraser doctor --offline
    """
    found = []
    for check in _checks(offline=offline):
        found.append(check)
        result(check.as_json())
        _tell(check)
    wrong = sum(check.verdict is Level.WRONG for check in found)
    warnings = sum(check.verdict is Level.WARNING for check in found)
    verdict = f"{count(wrong, 'thing')} wrong" if wrong else "Nothing is wrong"
    say()
    say(f"{verdict}, {count(warnings, 'warning')}." if warnings else f"{verdict}.")
    if any(check.name in ("settings", health.SCHEMA) and check.verdict is Level.WRONG for check in found):
        sys.exit(SettingsError.exit_code)
    sys.exit(4 if any(check.unreachable for check in found) else 1 if wrong else 0)


def _checks(*, offline: bool) -> Iterator[Check]:
    try:
        app = startup.load()
    except SettingsError as error:
        for each in error.errors if isinstance(error, SettingsErrors) else (error,):
            yield Check("settings", Level.WRONG, str(each), "correct it; nothing else can be checked before")
        return
    yield from health.settings_checks(app)
    yield from health.checks(app, offline=offline)


def _tell(check: Check) -> None:
    style = STYLES[check.verdict.value]
    say(f"{check.verdict.value:8} {check.name:30} {check.found}", style=style if check.verdict != "ok" else None)
    if check.todo:
        say(f"{'':8} {'':30} → {check.todo}")
