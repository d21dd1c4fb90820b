"""`eraser health`: for container probes; cheap, and it never causes a useless restart."""

from __future__ import annotations

import os
import sys
import time

import click

from worker.config.data_directory import data_directory, find_running, why_silent
from worker.config.settings import Settings
from worker.execution import health as beats
from worker.interfaces.cli.printing import json_option, result, say
from worker.ledger.bindings import bindings, refuse_unknown
from worker.ledger.connection import connect
from worker.ledger.keys import Keys
from worker.model.errors import EraserError, OtherSchema, Unreachable
from worker.services.redis_ping import require_redis

PATIENCE_S = 2.0


@click.command()
@click.option("--beat", is_flag=True, help="Celery's beat instead: 1 also when none runs on this machine.")
@json_option
def health(beat: bool) -> None:
    """Whether this machine's worker takes work, for probes. Exit 0: healthy. Exit 1: it runs but takes none while
    Redis answers.

    If Redis is unreachable the worker is not at fault: exit 0, since a restart would not help.

    \b
    eraser health
    eraser health --beat
    """
    kind, processes = (beats.BEAT, "beats") if beat else (beats.WORKER, "workers")
    settings = Settings.load(os.environ)
    silent, living, away = dict(beats.stale(kind, now=time.time())), beats.living(kind), _redis_away(settings)
    healthy = (bool(living) or not beat) and (not silent or away is not None)
    refused = None if away else _refused(settings)
    found = [{"pid": pid, "silent_s": silent.get(pid)} for pid in living]
    result({"healthy": healthy, "redis": away or "answers", "refused": refused, processes: found})
    say(_in_words(silent, len(living), away, beat=beat))
    if refused:
        say(f"note: a restart would not help: {refused}")
    sys.exit(0 if healthy else 1)


def _in_words(silent: dict[int, float], living: int, away: str | None, *, beat: bool) -> str:
    if beat and not living:
        return "failing: no beat of this user runs on this machine; start it: celery -A worker beat"
    if away is not None:
        return f"ok: Redis is unreachable, which a restart would not fix ({away})"
    if silent:
        verb = "" if beat else "took nothing "
        which = ", ".join(f"process {pid} {verb}for {age:.0f} s" for pid, age in silent.items())
        return f"failing: {f'beat does not tick ({which})' if beat else which}, while Redis answers; restart it"
    if beat:
        return "ok: beat ticks"
    if not living:
        return "ok: Redis answers, and no worker of this user runs on this machine"
    workers = "the worker of this machine takes" if living == 1 else f"the {living} workers of this machine take"
    return f"ok: Redis answers, and {workers} work"


def _redis_away(settings: Settings) -> str | None:
    url = settings.redis_url or find_running(data_directory(settings.simulated))
    if url is None:
        silent = why_silent(data_directory(settings.simulated))
        return silent or "no Redis: ERASER_REDIS_URL is not set and no `eraser up` runs"
    try:
        require_redis(url, patience_s=PATIENCE_S)
    except Unreachable as error:
        return str(error)
    return None


def _refused(settings: Settings) -> str | None:
    """Why the ledger refuses this program, and so each process of it that starts."""
    url = settings.redis_url or find_running(data_directory(settings.simulated)) or ""
    try:
        with connect(url, timeout_s=PATIENCE_S) as client:
            refuse_unknown(bindings(client, settings.accounts, Keys(settings.namespace)))
    except EraserError as error:  # or Redis just went away
        return str(error) if isinstance(error, OtherSchema) else None
    return None
