"""The drill of docs/restore.md, command by command: an older Redis deletes nothing that was held or withdrawn since."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable

from tests.acceptance.fleet import BYSTANDER, Fleet
from tests.receipts.test_archiving import settle
from tests.receipts.test_restored import date_back
from tests.support.dead_letters import Undertaker
from tests.support.forkserver import CHECKOUT
from worker.ledger.holds import HoldList
from worker.model.states import State
from worker.model.target import Target
from worker.receipts.archiving import Archivist
from worker.receipts.dayfiles import DAY_MS
from worker.simulator import DEMO_PROJECT

PAGE = CHECKOUT / "docs" / "restore.md"
DAY = int(time.time() * 1000) // DAY_MS - 4
JOBS = ("kept", "withdrawn", "changed-its-mind", "wanted", "asked-again", BYSTANDER)


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def typed(fleet: Fleet, line: str) -> str:
    """`eraser …` as a person types it."""
    env = fleet.env | {"ERASER_RECEIPTS_DIR": str(fleet.directory / "receipts")}
    done = fleet.command(*line.split()[1:], env=env)
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_drill_of_the_page_loses_no_hold_and_no_withdrawal_and_the_receipts_stay_one_chain() -> None:
    with Fleet() as fleet:
        backup = fleet.directory / "backup"
        undertaker = Undertaker(fleet.redis_server.url, project=DEMO_PROJECT)
        receipts = fleet.directory / "receipts"
        archivist = Archivist(fleet.app.ledger, receipts, fleet.app.settings, fleet.app.not_archived)
        data = fleet.redis_server.directory / "appendonlydir"
        fleet.plant(*JOBS)
        settle(undertaker, DAY, 2)
        archivist.archive("default")
        fleet.ask("kept", "withdrawn", "changed-its-mind", "wanted")
        fleet.redis_server.stop()
        shutil.copytree(data, backup)
        fleet.start_redis()

        HoldList(fleet.ledger).add([Target(DEMO_PROJECT, "kept")], why="CASE-2", by="legal-2")
        fleet.ledger.cancel([Target(DEMO_PROJECT, "withdrawn")], why="T-1")
        date_back(undertaker, DAY + 1)
        settle(undertaker, DAY + 2, 2)
        archivist.archive("default")
        (fleet.directory / "since-the-backup.txt").write_text("asked-again\n")

        def put_back() -> None:
            shutil.rmtree(data)
            shutil.copytree(backup, data)

        def start_worker() -> None:
            (worker,) = [fleet.start_worker(env=fleet.env | {"ERASER_RECEIPTS_DIR": str(receipts)})]
            fleet.wait(lambda: "receipts.segment_begun" in worker.text, "the worker notices that Redis is older")

        steps: dict[str, Callable[[], object]] = {
            "docker compose stop worker beat console": lambda: [worker.kill() for worker in fleet.workers],
            "docker compose stop redis": fleet.redis_server.stop,
            "cp -a /backup/redis/. /data": put_back,
            "docker compose start redis": fleet.start_redis,
            "docker compose start worker beat console": start_worker,
        }
        output: dict[str, str] = {}
        for line in commands():
            if line in steps:
                steps.pop(line)()
            else:
                assert line.startswith("eraser "), line
                output.setdefault(line, typed(fleet, line))
                if "resume" not in "".join(output):
                    assert fleet.metastudio.stats()["effects"] == 0, "nothing is deleted while it is paused"
        assert not steps, "the page leaves these out"
        assert "Redis is older than its archive: it has receipts up to 2 of 5" in output["eraser status"]
        assert "kept" in output["eraser hold list"]
        assert "pending" in output["eraser show changed-its-mind"], "its day was not over: nobody but a person knows"
        fleet.wait(lambda: {fleet.state("wanted"), fleet.state("asked-again")} == {State.DELETED}, "work goes on")
        assert set(fleet.metastudio.job_ids()) == {"kept", "withdrawn", "changed-its-mind", BYSTANDER}
        assert (fleet.state("kept"), fleet.state("withdrawn")) == (State.HELD, State.CANCELLED)
        assert "5" in typed(fleet, f"eraser receipts verify {receipts / 'default'}")
