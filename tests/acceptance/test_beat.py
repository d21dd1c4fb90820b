"""Beat's probe: a beat that is frozen or dead is not called well."""

from __future__ import annotations

import os
import time

from tests.acceptance.fleet import Fleet
from worker.execution.health import STALE_S


def health(fleet: Fleet, *words: str) -> tuple[int, str]:
    done = fleet.command("health", "--beat", *words)
    return done.returncode, done.stdout


def test_a_beat_that_is_frozen_or_dead_is_ill() -> None:
    with Fleet() as fleet:
        assert health(fleet)[0] == 1, "there is none"
        schedule = str(fleet.directory / "schedule")
        beat = fleet.start("beat", fleet.celery("beat", "--loglevel", "INFO", "--schedule", schedule))
        fleet.wait(lambda: health(fleet)[0] == 0, "beat ticks")
        (file,) = fleet.directory.glob("avatar-eraser-*/*.schedule")
        ticked = file.stat().st_mtime
        fleet.wait(lambda: file.stat().st_mtime > ticked, "it says so again and again, whenever the next task is due")
        beat.freeze()
        long_ago = time.time() - STALE_S - 10  # as if so much time had passed since
        os.utime(file, (long_ago, long_ago))
        code, output = health(fleet)
        assert (code, "does not tick" in output) == (1, True)
        beat.thaw()
        fleet.wait(lambda: health(fleet)[0] == 0, "it ticks again")
        beat.kill()
        code, output = health(fleet)
        assert (code, "no beat" in output) == (1, True)
