"""Filters of dead letters: the same options on every command that lists, replays or discards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from worker.execution.app_context import AppContext
from worker.model.states import Cause, Lane
from worker.services import filters
from worker.services.dead_letters import DeadLetterFilter
from worker.services.times import parse_period

F = TypeVar("F", bound=Callable[..., Any])

_NAMES = ("cause", "code", "lane", "run", "project", "job")


def filter_options(command: F) -> F:
    """`--cause`, `--code`, `--lane`, `--run`, `--since`, `--until`, `--job`, `--project`."""
    for option in (
        click.option("--until", metavar="1h|TIME", help="Only those that died before this."),
        click.option("--since", metavar="24h|TIME", help="Only those that died after this."),
        click.option("--project", metavar="P", help=filters.EVERY["project"]),
        click.option("--job", metavar="PREFIX", help=filters.EVERY["job"]),
        click.option("--run", metavar="R", help="Only jobs that this run requested or this replay replayed."),
        click.option("--lane", type=click.Choice([lane.value for lane in Lane]), help="Only this lane."),
        click.option("--code", metavar="C", help="Only this error code, such as MSS.00000004."),
        click.option("--cause", type=click.Choice([cause.value for cause in Cause]), help="Only this cause."),
    ):
        command = option(command)
    return command


def filter_of(app: AppContext, fields: dict[str, Any]) -> DeadLetterFilter:
    """The filter from the options. Raises `UsageError` for an invalid time."""
    since, until = parse_period(fields, app.redis_ms(), "--")
    return DeadLetterFilter(**{name: fields[name] or None for name in _NAMES}, since=since, until=until)
