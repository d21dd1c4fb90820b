"""A rolling update and its rollback under load: two versions of the schema side by side, and nobody notices.

The neighbour is this checkout with the next version, which writes one more field into records and receipts.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from typing import Any

from tests.acceptance.fleet import PATIENCE_S, Fleet, Process, tell
from tests.acceptance.judge import every_call_is_recorded, judge
from tests.support.forkserver import CHECKOUT
from worker.execution.live_workers import versions
from worker.ledger.schema.states import VERSION
from worker.model.states import State
from worker.receipts.serialization import Form
from worker.services.receipts_export import export
from worker.simulator import FaultKind

JOBS = [f"job-{n:04d}" for n in range(3000)]
WAITING = 60  # deletions at least, all the time: two seconds' work
NEXT, TOO_FAR = VERSION + 1, VERSION + 2
CHANGES = {  # file -> what stands there, and what the next version has in its place
    "worker/ledger/schema/states.py": (f"VERSION: Final = {VERSION} ", "VERSION: Final = {version} "),
    "worker/ledger/schema/fields.py": (
        "    # whose it is\n",
        '    BATCH = "batch", "id", "new", "request"\n\n    # whose it is\n',
    ),
    "worker/ledger/lua/request.lua": (
        "  return 'pending'\nend",
        "  redis.call('HSET', k, F.batch, 'batch-7')\n  return 'pending'\nend",
    ),
    "worker/ledger/lua/_receipt.lua": ("'v', '2')", "'v', SCHEMA_VERSION, 'batch', r[F.batch] or '')"),
}


class Program:
    """The same program with another version of the schema."""

    def __init__(self, fleet: Fleet, version: int) -> None:
        self.fleet, self.version, self.tree = fleet, version, fleet.directory / f"program-{version}"
        for package in ("worker", "tasks"):
            shutil.copytree(CHECKOUT / package, self.tree / package, ignore=shutil.ignore_patterns("__pycache__"))
        for file, (before, after) in CHANGES.items():
            path = self.tree / file
            text = path.read_text(encoding="utf-8")
            assert text.count(before) == 1, f"{file} has changed: let this test change it otherwise"
            path.write_text(
                text.replace(before, after.format(version=version) if file.endswith("states.py") else after)
            )
        self.env = fleet.env | {"PYTHONPATH": str(self.tree)}

    def command(self, *words: str) -> Process:
        """`eraser WORDS`, when it has ended."""
        argv = [sys.executable, "-m", "worker.interfaces.cli", *words]
        name = f"{self.version}-{words[0]}-{len(self.fleet.others)}"
        process = self.fleet.start(name, argv, env=self.env)
        process.popen.wait(PATIENCE_S)
        return process


class Load:
    """Asks for one job after the other, so that there is always work."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet, self.requested = fleet, 0

    def wait(self, predicate: Callable[[], object], what: str) -> None:
        """Wait until it is so, and keep the workers busy meanwhile."""

        def busy() -> object:
            if self.requested - self.fleet.settled() < WAITING:
                self.fleet.ask(*self.more(30))
            return predicate()

        self.fleet.wait(busy, what)

    def more(self, count: int) -> list[str]:
        """The next ones, for whoever asks for them."""
        self.requested += count
        return JOBS[self.requested - count : self.requested]

    def replace(self, old: list[Process], new: list[Process]) -> None:
        """One by one, as a rolling update does: the new ones work before an old one is told to end."""
        self.wait(lambda: len(live(self.fleet)) == len(old) + len(new), "both versions are at work")
        for one in old:
            before = self.fleet.settled()
            one.ask_to_end()
            self.wait(lambda one=one: not one.alive, "it has ended")  # type: ignore[misc]
            assert one.popen.returncode == 0, one.text[-2000:]
            self.wait(lambda before=before: self.fleet.settled() > before + 20, "work goes on")  # type: ignore[misc]
        assert all(one.alive for one in new)
        assert len(live(self.fleet)) == len(new)


def live(fleet: Fleet) -> list[int]:
    """The version of each worker that lives."""
    return sorted(versions(fleet.client, fleet.app.keys).values())


def everything(fleet: Fleet) -> dict[bytes, Any]:
    return {key: fleet.client.dump(key) for key in fleet.client.scan_iter()}


def test_an_update_and_its_rollback_under_load_lose_nothing_and_do_nothing_twice() -> None:
    with Fleet(settings={"ERASER_RATE": "30"}, simulator=("--latency", "0.03")) as fleet:
        fleet.plant(*JOBS)
        for job in JOBS[::15]:
            fleet.metastudio.fault(FaultKind.ERROR, job)
        load, theirs, too_far = Load(fleet), Program(fleet, NEXT), Program(fleet, TOO_FAR)
        ours = fleet.start_workers(2)
        newer = [fleet.start_worker(env=theirs.env) for _ in ours]
        load.replace(ours, newer)
        assert live(fleet) == [NEXT, NEXT]
        ids = fleet.directory / "ids.txt"
        batch = load.more(100)
        ids.write_text("\n".join(batch))
        assert theirs.command("request", "--from-file", str(ids)).popen.returncode == 0
        load.wait(lambda: any(fleet.state(job) is State.DELETED for job in batch), "the newer ones end some of them")
        again = [fleet.start_worker() for _ in newer]
        load.replace(newer, again)
        assert live(fleet) == [VERSION, VERSION]
        refused = fleet.start_worker(env=too_far.env)
        load.wait(lambda: not refused.alive, "a program two steps ahead of the running one is refused")
        fleet.wait_until_settled(load.requested)

        requested = JOBS[: load.requested]
        assert fleet.states() == {State.DELETED: len(requested)}
        every_call_is_recorded(fleet, judge(fleet, requested))
        the_receipts_of_both_are_one_chain(fleet, theirs, len(requested))
        tell(f"{len(requested)} deletions")
        assert fleet.client.hget(fleet.ledger.prefix + "account", "schema") == str(NEXT).encode()
        assert refused.popen.returncode == 2
        assert f"which runs now, has version {VERSION}, and this program has {TOO_FAR}" in refused.text
        assert all(one.alive for one in again)


def the_receipts_of_both_are_one_chain(fleet: Fleet, theirs: Program, count: int) -> None:
    file = fleet.directory / "receipts.jsonl"
    made = export(fleet.app, fleet.account, file, Form.JSONL)
    assert (made.fault, made.summary.receipts) == (None, count)
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()[:-1]]
    assert {line["v"] for line in lines} == {VERSION, NEXT}
    assert {line.get("batch") for line in lines} == {None, "batch-7"}
    verified = theirs.command("receipts", "verify", str(file))
    assert verified.popen.returncode == 0, verified.text
    exported = theirs.command("receipts", "export", "--to", str(fleet.directory / "theirs.jsonl"))
    assert exported.popen.returncode == 0, exported.text
    assert made.trailer["head"] in exported.text, "the other program makes the same chain"


def test_a_program_two_steps_away_is_refused_and_leaves_everything_as_it_was() -> None:
    with Fleet() as fleet:
        fleet.plant(*JOBS[:3])
        fleet.ask(*JOBS[:3])
        other = Program(fleet, TOO_FAR)
        before = everything(fleet)
        worker = fleet.start_worker(env=other.env)
        ended = [other.command("status"), other.command("request", "job-9"), other.command("pause", "--reason", "T-1")]
        worker.popen.wait(PATIENCE_S)
        for process in (worker, *ended):
            assert process.popen.returncode == 2, process.text
            assert f"has version {VERSION}, and this program has {TOO_FAR}" in process.text
            assert "docs/upgrading.md" in process.text
            assert "Traceback" not in process.text
        assert everything(fleet) == before
        assert fleet.metastudio.calls() == []
