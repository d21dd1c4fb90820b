"""A forked child finds free what a thread of its parent held, and waits for nothing that such a thread was to do."""

from __future__ import annotations

import gc
import os
import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE_S
from worker.config import forks, known_secrets
from worker.execution import app_context
from worker.execution.app_context import AppContext
from worker.ledger.cluster import Cluster
from worker.lookups.sightings import Sightings, View
from worker.metastudio.iam import IamTokens
from worker.metastudio.login import LoginSource

WORKER = Path(__file__).parents[2] / "worker"
LOGIN = LoginSource("u", "d", environ={})
VIEW = View("k", "p", None)
MAKERS: dict[str, Callable[[], object]] = {
    "worker/config/known_secrets.py": lambda: known_secrets,
    "worker/ledger/cluster.py": lambda: Cluster([], lambda _host, _port: None),
    "worker/lookups/sightings.py": Sightings,
    "worker/metastudio/renewing.py": lambda: IamTokens(LOGIN, endpoint="https://iam.example.com"),
    "worker/metastudio/login.py": lambda: LOGIN,
    "worker/execution/ledger_context.py": lambda: AppContext.load({}),
    "worker/execution/app_context.py": lambda: app_context,
}
# Their locks and events are those of threads, which stay where they were started.
THREADS = (
    *("receipts/periodic.py", "execution/dispatcher.py", "execution/intake.py"),
    *("execution/fallback.py", "execution/deliverer.py", "services/otlp.py", "execution/prefetch.py"),
)


def locks(of: object) -> list[str]:
    return [name for name, value in vars(of).items() if isinstance(value, type(threading.Lock()))]


def in_child(act: Callable[[], bool]) -> bool:
    child = os.fork()
    if child == 0:
        signal.alarm(int(PATIENCE_S))
        os._exit(0 if act() else 1)
    return os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("made_in", MAKERS)
def test_a_lock_that_is_held_at_a_fork_is_free_in_the_child(made_in: str) -> None:
    one = MAKERS[made_in]()
    names = locks(one)
    assert names
    for name in names:
        assert getattr(one, name).acquire(blocking=False)
    try:
        assert in_child(lambda: all(getattr(one, name).acquire(blocking=False) for name in names))
        assert not any(getattr(one, name).acquire(blocking=False) for name in names), "here they are held"
    finally:
        for name in names:
            getattr(one, name).release()


def test_a_child_asks_itself_what_a_thread_of_its_parent_was_about_to_ask() -> None:
    sightings = Sightings()
    assert sightings.queue(VIEW) is None, "it is to ask"
    assert sightings.queue(VIEW) is not None, "this one waits for it"
    assert in_child(lambda: sightings.queue(VIEW) is None)


def test_a_child_stops_on_its_own() -> None:
    app = AppContext.load({})
    app.stopping.set()
    assert in_child(lambda: not app.stopping.is_set())


def test_every_lock_of_ours_is_known_here() -> None:
    """Another one needs `when_forked`, and a line above."""
    makes = (f"threading.{kind}" for kind in ("Lock", "RLock", "Condition", "Event", "BoundedSemaphore", "Semaphore"))
    words = tuple(makes)
    found = {
        path.relative_to(WORKER.parent).as_posix()
        for path in WORKER.rglob("*.py")
        if "simulator" not in path.parts
        and any(f"{word}{end}" in path.read_text(encoding="utf-8") for word in words for end in "()")
    }
    bare = re.compile(r"^from threading import .*(Lock|Condition|Event|Semaphore)", re.MULTILINE)
    by_another_name = [path.name for path in WORKER.rglob("*.py") if bare.search(path.read_text(encoding="utf-8"))]
    assert not by_another_name, "write threading.Lock(), so that it is found here"
    assert found == {*MAKERS, *(f"worker/{name}" for name in THREADS)}
    assert all("when_forked(" in (WORKER.parent / name).read_text(encoding="utf-8") for name in MAKERS)


def test_what_is_gone_is_renewed_no_more() -> None:
    gc.collect()
    before = len(forks._renewals)
    one = threading.Thread(target=Sightings)
    one.start()
    one.join()
    gc.collect()
    assert len(forks._renewals) == before
