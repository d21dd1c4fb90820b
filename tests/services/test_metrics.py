"""The metrics say what the ledger says, with every series there from the start and no id among the labels."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support.dead_letters import PROJECT, Undertaker
from worker.execution.app_context import AppContext
from worker.ledger.keys import OURS
from worker.ledger.runs import Run, Runs
from worker.model.states import Cause, Lane, Outcome, State
from worker.model.target import Target
from worker.services import metrics
from worker.services.labels import GATES

ROOT = Path(__file__).parents[2]
LIST = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


Load = Callable[..., AppContext]


class Page:
    """What a scrape says."""

    def __init__(self, app: AppContext) -> None:
        self.text = metrics.exposition(app)[1].decode()
        self.families = {family.name: family for family in text_string_to_metric_families(self.text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float:
        """The one sample with at least these labels."""
        found = [
            s.value for s in self.samples if s.name == f"avatar_eraser_{name}" and labels.items() <= s.labels.items()
        ]
        (value,) = found
        return value

    def values(self, label: str) -> set[str]:
        return {sample.labels[label] for sample in self.samples if label in sample.labels}


@pytest.fixture
def load(redis_url: str) -> Iterator[Load]:
    """A runtime with these settings beside Redis's address; its connections end with the test."""
    with ExitStack() as stack:

        def load(**settings: str) -> AppContext:
            app = AppContext.load({"ERASER_REDIS_URL": redis_url} | settings)
            stack.callback(app.redis.close)
            return app

        yield load


@pytest.fixture
def app(load: Load) -> AppContext:
    return load()


def test_every_series_is_there_before_anything_happened(app: AppContext) -> None:
    page = Page(app)
    assert page("up") == 1
    assert page.values("state") == set(State)
    assert page.values("cause") == set(Cause)
    assert page.values("outcome") == set(Outcome)
    assert page.values("gate") == set(GATES)
    assert page.values("lane") == set(Lane)
    assert {page("events_total", event=event, detail=detail) for event, detail in metrics.EVENTS} == {0}
    assert page("workers") == page("dispatcher") == 0


def test_the_page_says_what_the_ledger_says(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", to="deleted")
    undertaker.end("c")
    undertaker.end("d", to="gone", evidence="after_our_call")
    undertaker.request("e", lane=Lane.USER)
    undertaker.request("a", "e")
    undertaker.ledger.pause(why="T-1", by="ops-7")
    page = Page(app)
    assert page("deletions", state="deleted") == 2
    assert page("deletions", state="pending") == page("due_deletions", lane="user") == 1
    assert page("oldest_due_age_seconds", lane="bulk") == 0
    assert page("dead_letters", cause="server_error") == 1
    assert page("events_total", event="deletion.requested", detail="new") == 5
    assert page("events_total", event="deletion.requested", detail="done") == 1
    assert page("events_total", event="deletion.gone", detail="after_our_call") == 1
    assert (page("attempts_total", outcome="deleted"), page("attempts_total", outcome="failed")) == (2, 2)
    assert (page("gate", gate="paused"), page("gate", gate="ok")) == (1, 0)


def test_a_lane_is_as_old_as_its_most_overdue_deletion(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.request("a", "b", lane=Lane.USER)
    undertaker.redis.zadd(undertaker.ledger.prefix + "due:user", {f"{PROJECT}/a": (time.time() - 300) * 1000})
    assert 300 <= Page(app)("oldest_due_age_seconds", lane="user") < 400


def test_the_histogram_is_cumulative_and_in_seconds(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", to="deleted")  # each took 41 ms
    page = Page(app)
    assert page("call_seconds_bucket", outcome="deleted", le="0.025") == 0
    assert page("call_seconds_bucket", outcome="deleted", le="0.05") == 2
    assert page("call_seconds_bucket", outcome="deleted", le="+Inf") == 2
    assert page("call_seconds_count", outcome="deleted") == 2
    assert page("call_seconds_sum", outcome="deleted") == pytest.approx(0.082)


def test_workers_that_fell_silent_are_no_workers(app: AppContext) -> None:
    now = time.time() * 1000
    app.redis.zadd(OURS.workers, {"w1": now, "w2": now - 60_000})
    app.redis.hset(OURS.worker_info, mapping={"w1": '{"threads": 16}', "w2": '{"threads": 16}'})
    app.redis.set(OURS.dispatcher, "w1")
    page = Page(app)
    assert (page("workers"), page("worker_threads"), page("dispatcher")) == (1, 16, 1)


def test_accounts_are_told_apart(load: Load, redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "eraser.toml").write_text('[accounts.a]\nprojects = ["p1"]\n[accounts.b]\nprojects = ["p2"]\n')
    Undertaker(redis_url, account="b", project="p2").end("j")
    page = Page(load(ERASER_CONFIG=str(tmp_path / "eraser.toml"), ERASER_REGION="cn-north-4"))
    assert page("dead_letters", account="a", cause="server_error") == 0
    assert page("dead_letters", account="b", cause="server_error") == 1


def test_a_policy_that_stopped_itself_is_seen(load: Load, tmp_path: Path) -> None:
    policy = '[policies.{}]\nprojects = ["p"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\nreason = "T-1"\n'
    policy += 'schedule = "30 3 * * 0"\n'
    (tmp_path / "eraser.toml").write_text(policy.format("old") + policy.format("well"))
    app = load(ERASER_CONFIG=str(tmp_path / "eraser.toml"), ERASER_PROJECTS="p")
    run = Run("r1", "old", "h", "default", time.time() * 1000, stopped_by="cap")
    Runs(app.ledger("default")).write(run)
    page = Page(app)
    assert (page("sweep_stopped", policy="old"), page("sweep_stopped", policy="well")) == (1, 0)
    assert page("schedule_stopped") == 1, "there is a schedule, and beat was not seen yet"


def test_policies_that_cannot_be_read_stop_the_schedule(load: Load, tmp_path: Path) -> None:
    (tmp_path / "eraser.toml").write_text("[policies.old]\nunheard = 1\n")
    app = load(ERASER_CONFIG=str(tmp_path / "eraser.toml"))
    assert Page(app)("schedule_stopped") == 1


def test_openmetrics_is_spoken_to_those_who_ask_for_it(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a", to="deleted")
    content_type, page = metrics.exposition(app, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text")
    assert "avatar_eraser_events" in {family.name for family in parse_openmetrics(page.decode())}


def test_no_label_is_an_id(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end(
        "job-with-a-name", to="gone", evidence="never_seen", claim={"run": "run-1", "by": "ann", "why": "T-9"}
    )
    undertaker.end("another", claim={"app_user": "u-77"})
    undertaker.ledger.replay([Target(PROJECT, "another")], why="T-9", deadline_s=60)
    text = Page(app).text
    for planted in ("job-with-a-name", "another", PROJECT, "run-1", "ann", "T-9", "u-77", "MSS.", "req-1"):
        assert planted not in text


def test_a_dead_redis_is_a_page_that_says_so(load: Load) -> None:
    page = Page(load(ERASER_REDIS_URL="redis://127.0.0.1:1"))
    assert page("up") == 0
    assert len(page.samples) == 1


def test_every_event_that_a_move_counts_is_known_from_the_start() -> None:
    """Their details are held by the ledger's invariant, see `tests.support.ledgers`."""
    moves = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "worker" / "ledger" / "lua").glob("*.lua"))
    counted = set(re.findall(r"count\('(deletion\.\w+)", moves))
    assert "deletion.replayed" in counted
    assert counted - {event for event, _ in metrics.EVENTS} == set()


def test_every_metric_is_in_the_list_and_nothing_else(app: AppContext, undertaker: Undertaker) -> None:
    undertaker.end("a")
    page = Page(app)
    names = {
        f"{name}_total" if family.type == "counter" and not name.endswith("_total") else name
        for name, family in page.families.items()
    }
    assert set(re.findall(r"^\| `(avatar_eraser_\w+)`", LIST, re.M)) == names
    for label in ("event", "detail", "outcome", "gate", "cause"):
        for value in filter(None, page.values(label)):
            assert f"`{value}`" in LIST, f"{label} {value}"
