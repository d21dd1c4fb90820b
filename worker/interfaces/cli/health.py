"""`eraser health`: for container probes; cheap, and it never causes a useless restart."""

from __future__ import annotations

import os
import sys
import time
from typing import NoReturn

import click

from worker.config.data_directory import data_directory, find_running
from worker.config.settings import Settings
from worker.execution import health as beats
from worker.interfaces.cli.printing import json_line, json_option
from worker.model.errors import Unreachable
from worker.services.redis_ping import require_redis

PATIENCE_S = 2.0


@click.command()
@click.option("--beat", is_flag=True, help="Celery's beat instead: 1 also when none runs on this machine.")
@json_option
def health(beat: bool, as_json: bool) -> None:
    """For probes. Exit 0: healthy. Exit 1: a worker of this machine runs but takes no work while Redis answers.

    If Redis is unreachable the worker is not at fault: exit 0, since a restart would not help.

    \b
    eraser health
    eraser health --beat
    """
    settings = Settings.load(os.environ)
    if beat:
        _beat(settings, as_json=as_json)
    stale = beats.stale(now=time.time())
    living = beats.living()
    away = _redis_away(settings)
    ill = bool(stale) and away is None
    if as_json:
        workers = [{"pid": pid, "silent_s": dict(stale).get(pid)} for pid in living]
        json_line({"healthy": not ill, "redis": away or "answers", "workers": workers})
    else:
        click.echo(_say(stale, living, away))
    sys.exit(1 if ill else 0)


def _beat(settings: Settings, *, as_json: bool) -> NoReturn:
    silent = dict(beats.stale(beats.BEAT, now=time.time()))
    living, away = beats.living(beats.BEAT), _redis_away(settings)
    ill = not living or (bool(silent) and away is None)
    if as_json:
        messages = [{"pid": pid, "silent_s": silent.get(pid)} for pid in living]
        json_line({"healthy": not ill, "redis": away or "answers", "beats": messages})
    elif not living:
        click.echo("failing: no beat of this user runs on this machine; start it: celery -A worker beat")
    elif ill:
        told_of = ", ".join(f"process {pid} for {age:.0f} s" for pid, age in silent.items())
        click.echo(f"failing: beat does not tick ({told_of}), while Redis answers; restart it")
    else:
        click.echo(
            "ok: beat ticks" if away is None else f"ok: Redis is unreachable, which a restart would not fix ({away})"
        )
    sys.exit(1 if ill else 0)


def _redis_away(settings: Settings) -> str | None:
    url = settings.redis_url or find_running(data_directory(settings.simulated))
    if url is None:
        return "no Redis: ERASER_REDIS_URL is not set and no `eraser up` runs"
    try:
        require_redis(url, patience_s=PATIENCE_S)
    except Unreachable as error:
        return str(error)
    return None


def _say(stale: list[tuple[int, float]], living: list[int], away: str | None) -> str:
    silent = ", ".join(f"process {pid} took nothing for {age:.0f} s" for pid, age in stale)
    if away is not None:
        return f"ok: Redis is unreachable, which a restart would not fix ({away})"
    if stale:
        return f"failing: {silent}, while Redis answers; restart it"
    if not living:
        return "ok: Redis answers, and no worker of this user runs on this machine"
    workers = (
        "the worker of this machine takes" if len(living) == 1 else f"the {len(living)} workers of this machine take"
    )
    return f"ok: Redis answers, and {workers} work"
