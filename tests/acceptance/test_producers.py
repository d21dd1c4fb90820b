"""Whatever a Celery producer does to a message of ours: each line of docs/celery.md, with a producer of its own."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, chord, group, signature

from tests.acceptance.fleet import Fleet
from tests.acceptance.judge import judge
from worker.ledger.keys import OURS
from worker.ledger.parking import Parked, Parking
from worker.model.states import State
from worker.simulator import DEMO_PROJECT

PAGE = (Path(__file__).parents[2] / "docs/celery.md").read_text(encoding="utf-8")


class Installation:
    """A fleet with one worker, and somebody's application."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        (self.worker,) = fleet.start_workers(1)
        self.app = fleet.producer()
        self.ended: list[str] = []

    def job(self) -> str:
        """One that is at MetaStudio."""
        (name,) = self.fleet.plant(f"job-{uuid.uuid4().hex[:12]}")
        return name

    def send(self, job: str, *, app: Celery | None = None, kwargs: dict[str, Any] | None = None, **options: Any) -> str:
        sent = (app or self.app).send_task(
            "eraser.delete", args=[DEMO_PROJECT, job], kwargs=kwargs or {}, queue=OURS.requests, **options
        )
        return str(sent.id)

    def delete(self, job: str) -> Any:
        """A signature, for canvas."""
        return signature("eraser.delete", (DEMO_PROJECT, job), app=self.app, immutable=True, queue=OURS.requests)

    def deleted(self, *jobs: str) -> None:
        for job in jobs:
            self.fleet.wait(lambda job=job: self.fleet.state(job) is State.DELETED, f"{job} is deleted")  # type: ignore[misc]
        self.ended += jobs

    def control(self, app: Celery, command: str, **arguments: str | bool) -> None:
        """A command of Celery's that the worker obeys; one that lives listens to them a little later."""
        answers: list[dict[str, dict[str, str]]] = []

        def obeyed() -> bool:
            answers[:] = app.control.broadcast(command, arguments=arguments, reply=True, timeout=3, limit=1)
            return bool(answers)

        self.fleet.wait(obeyed, f"the worker answers {command}")
        assert "ok" in next(iter(answers[0].values()))

    def parked(self, group_: str, id_: str) -> Parked:
        """What is told of a message."""
        found: list[Parked] = []

        def look() -> bool:
            found[:] = [one for _, one in Parking(self.fleet.client).each(group_) if one.id == id_]
            return bool(found)

        self.fleet.wait(look, f"{id_} is parked as {group_}")
        return found[0]

    def mail(self, queue: str) -> list[str]:
        """The tasks that lie in somebody's queue."""
        return [json.loads(item)["headers"]["task"] for item in self.fleet.client.lrange(queue, 0, -1)]  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def here() -> Iterator[Installation]:
    with Fleet() as fleet:
        made = Installation(fleet)
        with made.app:
            yield made
        assert made.worker.alive
        judge(fleet, made.ended)


def other(here: Installation, **configured: Any) -> Celery:
    """Another application, configured as its owner likes it."""
    app = here.fleet.producer()
    app.conf.update(configured)
    return app


def test_an_eta_or_countdown_is_recorded_at_once(here: Installation) -> None:
    later, soon, then = here.job(), here.job(), datetime.now(UTC) + timedelta(hours=5)
    here.send(later, eta=then, kwargs={"after": "1h"})
    here.send(soon, countdown=1)
    here.fleet.wait(lambda: here.fleet.state(later), "it is recorded")
    found = here.fleet.show(later)
    assert found.due_at is not None
    assert abs(found.due_at / 1000 - then.timestamp()) < 600, "of an ETA and an `after` the later one counts"
    here.deleted(soon)


def test_a_deadline_that_nobody_named_begins_with_the_eta(here: Installation) -> None:
    job = here.job()
    here.send(job, countdown=40 * 86400)
    here.fleet.wait(
        lambda: here.fleet.state(job), "it is recorded, though 40 days are longer than the default deadline"
    )
    found = here.fleet.show(job)
    assert found.due_at is not None
    assert found.deadline_at > found.due_at


def test_what_expired_is_not_recorded_and_told(here: Installation) -> None:
    late, never, in_time = here.job(), here.job(), here.job()
    ids = [
        here.send(late, expires=datetime.now(UTC) - timedelta(seconds=5)),
        here.send(never, countdown=60, expires=30),
    ]
    here.send(in_time, expires=3600)
    here.deleted(in_time)
    for id_ in ids:
        assert "expired" in here.parked("bad:eraser.delete", id_).why
    assert here.fleet.state(late) is here.fleet.state(never) is None


@pytest.mark.parametrize("priority", range(10))
def test_every_priority_is_taken(here: Installation, priority: int) -> None:
    job, steps = here.job(), {"priority_steps": list(range(10))}
    here.send(job, priority=priority)
    here.deleted(job)
    again = here.job()
    with other(here, broker_transport_options=steps) as app:
        here.send(again, app=app, priority=priority)
    here.deleted(again)


@pytest.mark.parametrize("how", ["gzip", "bzip2", "lzma"])
def test_what_is_compressed_is_unpacked(here: Installation, how: str) -> None:
    job = here.job()
    here.send(job, compression=how)
    here.deleted(job)


@pytest.mark.parametrize("how", ["yaml", "pickle"])  # msgpack: see test_messages.py
def test_other_serializers_are_told(here: Installation, how: str) -> None:
    job = here.job()
    parked = here.parked("bad:eraser.delete", here.send(job, serializer=how))
    assert "send JSON" in parked.why
    assert here.fleet.state(job) is None


def test_the_first_protocol_is_read(here: Installation) -> None:
    job, later = here.job(), here.job()
    with other(here, task_protocol=1) as app:
        here.send(job, app=app, kwargs={"by": "svc-1"})
        here.send(later, app=app, countdown=3600)
    here.deleted(job)
    assert here.fleet.show(job).requested_by == "svc-1"
    here.fleet.wait(lambda: here.fleet.state(later), "its ETA is recorded at once too")
    assert here.fleet.state(later) is State.PENDING


def test_a_run_is_named_and_an_unknown_argument_is_told_with_those_that_are_known(here: Installation) -> None:
    job = here.job()
    here.send(job, kwargs={"run": "cleanup-1"})
    parked = here.parked("bad:eraser.delete", here.send(here.job(), kwargs={"name": "x"}))
    assert "unexpected keyword argument 'name'; known: project_id, job_id, lane, by, reason, run," in parked.why
    here.deleted(job)
    assert here.fleet.show(job).run == "cleanup-1"


def test_a_link_and_a_chain_go_on_once_it_is_recorded(here: Installation) -> None:
    linked, first, second = here.job(), here.job(), here.job()
    note = signature("shop.note", app=here.app, immutable=True, queue="celery.shop")
    here.send(linked, link=note)
    chain(here.delete(first), here.delete(second), note).apply_async()
    here.deleted(linked, first, second)
    here.fleet.wait(
        lambda: here.mail("celery.shop") == ["shop.note"] * 2, "its owner's queue has the next task of both"
    )


def test_a_next_task_without_a_queue_is_parked_as_foreign(here: Installation) -> None:
    job = here.job()
    here.send(job, link=signature("shop.lost", app=here.app, immutable=True))
    here.deleted(job)
    here.fleet.wait(lambda: list(Parking(here.fleet.client).each("foreign:shop.lost")), "it is parked")


def test_link_error_is_called_where_the_request_is_bad_and_nothing_else_is(here: Installation) -> None:
    note = signature("shop.sorry", app=here.app, immutable=True, queue="celery.shop-errors")
    wrong = signature("shop.glad", app=here.app, immutable=True, queue="celery.shop-errors")
    id_ = here.send("../x", link=wrong, link_error=note)
    here.parked("bad:eraser.delete", id_)
    here.fleet.wait(lambda: here.mail("celery.shop-errors") == ["shop.sorry"], "its owner hears of the error")


def test_a_link_waits_for_what_is_parked_and_comes_with_it(here: Installation) -> None:
    note = signature("shop.never", app=here.app, immutable=True, queue="celery.shop-never")
    sent = here.app.send_task("eraser.delete", args=["3" * 32, "x"], queue=OURS.requests, link=note, link_error=note)
    here.parked(f"refused:{'3' * 32}", str(sent.id))
    assert here.mail("celery.shop-never") == []


def test_a_group_is_as_many_deletions_and_a_chord_has_no_end(here: Installation) -> None:
    jobs, others = [here.job() for _ in range(5)], [here.job() for _ in range(3)]
    group(here.delete(job) for job in jobs).apply_async()
    with other(here, result_backend="cache+memory://") as app:
        body = signature("shop.body", app=app, immutable=True, queue="celery.shop-body")
        head = [signature("eraser.delete", (DEMO_PROJECT, job), app=app, queue=OURS.requests) for job in others]
        chord(head, body, app=app).apply_async()
    here.deleted(*jobs, *others)
    assert here.mail("celery.shop-body") == []


def test_results_headers_and_limits_mean_nothing_to_us(here: Installation) -> None:
    job = here.job()
    id_ = here.send(
        job,
        ignore_result=False,
        retry=True,
        headers={"x-shop": "1"},
        reply_to="somewhere",
        shadow="another name",
        time_limit=1,
        soft_time_limit=1,
        retries=7,
        stamped_headers=["tenant"],
        tenant="t-1",
    )
    here.deleted(job)
    assert not list(here.fleet.client.scan_iter("celery-task-meta-*"))
    with other(here, result_backend=here.fleet.app.settings.broker_url) as app:
        assert app.AsyncResult(id_).state == "PENDING", "to Celery that means: nothing is known of it"


def test_a_rate_limit_keeps_no_message_in_memory(here: Installation) -> None:
    jobs = [here.job() for _ in range(20)]
    with other(here, control_exchange=OURS.control) as app:
        here.control(app, "rate_limit", task_name="eraser.delete", rate_limit="1/h")
    for job in jobs:
        here.send(job)
    here.deleted(*jobs)


def test_a_message_that_is_revoked_before_it_is_taken_is_not_recorded(here: Installation) -> None:
    job, id_ = here.job(), str(uuid.uuid4())
    with other(here, control_exchange=OURS.control) as app:
        here.control(app, "revoke", task_id=id_)
    here.send(job, task_id=id_)
    after = here.job()
    here.send(after)
    here.deleted(after)
    here.fleet.wait(lambda: id_ in here.worker.text, "the worker says that it was revoked")
    assert here.fleet.state(job) is None


def test_what_is_recorded_goes_on_whatever_is_revoked(here: Installation) -> None:
    job = here.job()
    id_ = here.send(job, countdown=2)
    here.fleet.wait(lambda: here.fleet.state(job), "it is recorded")
    with other(here, control_exchange=OURS.control) as app:
        here.control(app, "revoke", task_id=id_, terminate=True)
    here.deleted(job)


def test_the_same_sent_twice_merges(here: Installation) -> None:
    job, id_ = here.job(), str(uuid.uuid4())
    for _ in range(5):
        here.send(job, task_id=id_)
    here.deleted(job)
    assert here.fleet.metastudio.effects()[job] == 1


def test_each_line_of_the_page_has_its_test() -> None:
    section = PAGE.split("\n## ")[1]
    kwargs = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    named = {word for line in kwargs for word in re.findall(r"`(\w+)`", line)}
    assert len(named) > 20
    here = Path(__file__).read_text(encoding="utf-8")
    untried = {word for word in named if not re.search(rf"\b{word}\b", here)}
    assert untried == set(), "what docs/celery.md says of these nothing here tries"
