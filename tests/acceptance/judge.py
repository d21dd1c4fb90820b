"""What must hold at the end of every run, whatever was killed: read from the ledger and from MetaStudio's own log."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.fleet import Fleet
from tests.support.ledgers import INDEXES
from worker.ledger.receipts import Checkpoint
from worker.ledger.records import Deletion
from worker.model.states import State
from worker.receipts.sealing import seal_all, sealed_lines
from worker.services import metrics
from worker.simulator import DEMO_PROJECT


def judge(fleet: Fleet, accepted: Collection[str], *, frozen: Collection[str] = ()) -> dict[str, Deletion]:
    """Check every promise; returns each deletion. `frozen`: jobs whose calls may overlap, their process was stopped."""
    each_is_in_exactly_one_index(fleet, accepted)
    deletions = everything(fleet)
    calls = fleet.metastudio.calls()
    what_is_deleted_was_deleted_once(fleet, deletions.values())
    no_calls_overlapped(calls, frozen)
    every_attempt_is_in_the_servers_log(deletions.values(), calls)
    each_end_left_its_receipt(fleet, deletions)
    the_metrics_say_the_same(fleet, deletions.values(), calls)
    every_line_of_the_logs_is_an_event(fleet)
    return deletions


def everything(fleet: Fleet) -> dict[str, Deletion]:
    """Every deletion of the ledger with its history."""
    return {d.ref.id: d for state in State for d in fleet.queries.each(state, history=True)}


def each_is_in_exactly_one_index(fleet: Fleet, accepted: Collection[str]) -> None:
    """Nothing that was accepted is lost, and each record stands where its state says, and nowhere else."""
    prefix = fleet.ledger.prefix
    where: dict[str, list[str]] = defaultdict(list)
    for index in INDEXES:
        members: Any = fleet.client.zrange(prefix + index, 0, -1)
        for member in members:
            where[member.decode()].append(index)
    lost = {f"{DEMO_PROJECT}/{job}" for job in accepted} - set(where)
    assert not lost, f"{len(lost)} accepted deletions are in no index: {sorted(lost)[:5]}"
    twice = {ref: indexes for ref, indexes in where.items() if len(indexes) != 1}
    assert not twice, f"in more than one index: {twice}"
    pipe = fleet.client.pipeline(transaction=False)
    for ref in where:
        pipe.hmget(f"{prefix}d:{ref}", "state", "lane")
    for (ref, (index,)), (state, lane) in zip(where.items(), pipe.execute(), strict=True):
        expected = f"due:{lane.decode()}" if state == b"pending" else state.decode()
        assert index == expected, f"{ref} is {state} and stands in {index}"


def what_is_deleted_was_deleted_once(fleet: Fleet, deletions: Iterable[Deletion]) -> None:
    effects = fleet.metastudio.effects()
    more = {job: times for job, times in effects.items() if times > 1}
    assert not more, f"deleted more than once: {more}"
    for d in deletions:
        if d.state is State.DELETED:
            assert d.ref.id in effects, f"{d.ref.id} is called deleted, and the server never deleted it"


def no_calls_overlapped(calls: list[dict[str, Any]], frozen: Collection[str] = ()) -> None:
    """At the server, by its own clock: no DELETE of a job begins before the one before it has ended."""
    under_way: dict[str, float] = {}
    for call in sorted(calls, key=lambda call: call["started"]):
        job = call["job_id"]
        if call["operation"] != "delete" or job in frozen:
            continue
        before = under_way.get(job)
        assert before is None or before <= call["started"], f"two DELETEs of {job} at once: {call}"
        under_way[job] = call["ended"] if call["ended"] is not None else float("inf")


def every_attempt_is_in_the_servers_log(deletions: Iterable[Deletion], calls: list[dict[str, Any]]) -> None:
    """Each recorded answer was really given, by a DELETE of this job, and is recorded once."""
    by_id = {call["request_id"]: call for call in calls}
    recorded: Counter[str] = Counter()
    for d in deletions:
        for attempt in d.attempts:
            request_id = attempt.fields.get("request_id")
            if request_id is None:
                assert "failure" in attempt.fields, f"{d.ref.id}: neither an answer nor silence: {attempt}"
                continue
            recorded[request_id] += 1
            call = by_id.get(request_id)
            assert call is not None, f"{d.ref.id}: the server knows no request {request_id}"
            assert (call["operation"], call["job_id"]) == ("delete", d.ref.id), f"{attempt} was {call}"
            assert call["status"] == attempt.fields["status"], f"{attempt} was answered {call['status']}"
    twice = [request_id for request_id, times in recorded.items() if times > 1]
    assert not twice, f"recorded more than once: {twice[:5]}"


def each_end_left_its_receipt(fleet: Fleet, deletions: Mapping[str, Deletion]) -> None:
    """Whatever was killed: an unbroken chain, in which the last receipt of each job says how its deletion ended."""
    seal_all(fleet.ledger)
    receipts = fleet.app.receipts(fleet.account)
    lines = [line.values for line in sealed_lines(receipts, Checkpoint(), receipts.progress().sealed)]
    assert [line["n"] for line in lines] == list(range(1, receipts.progress().n + 1))
    latest = {line["job_id"]: line for line in lines}
    for job, d in deletions.items():
        if d.state not in (State.DELETED, State.GONE, State.CANCELLED, State.DISCARDED):
            continue
        receipt, calls = latest[job], [attempt for attempt in d.attempts if attempt.round == d.round]
        assert (receipt["state"], receipt["evidence"], receipt["cause"]) == (d.state.value, d.evidence, d.cause), job
        assert receipt["attempts"] == max((attempt.n for attempt in calls), default=0), job
        assert receipt["request_id"] == (calls[-1].fields.get("request_id") if calls else None), job


def the_metrics_say_the_same(fleet: Fleet, deletions: Collection[Deletion], calls: list[dict[str, Any]]) -> None:
    """Whatever was killed: what is exposed is what the records say, and it explains every call in the server's log."""
    scraped = Scrape(fleet)

    def agree(what: str, found: Mapping[str, int], expected: Mapping[str, int]) -> None:
        assert found == expected, f"{what}: the metrics say {dict(found)}, the records {dict(expected)}"

    states = Counter(d.state.value for d in deletions)
    agree("states", scraped.by("deletions", "state"), states)
    outcomes = Counter(attempt.fields["outcome"] for d in deletions for attempt in d.attempts)
    agree("attempts", scraped.by("attempts_total", "outcome"), outcomes)
    agree("lengths of calls", scraped.by("call_seconds_count", "outcome"), outcomes)
    causes = Counter(d.cause or "unknown" for d in deletions if d.state is State.DEAD)
    agree("dead letters", scraped.by("dead_letters", "cause"), causes)

    happened = scraped.by("events_total", "event")
    histories = Counter(event.name for d in deletions for event in d.events)
    requested = scraped.by("events_total", "detail", event="deletion.requested")
    agree("leases lost", {"": happened["deletion.lost"]}, {"": histories["deletion.lost"]})
    agree("records", {"new": requested["new"]}, {"new": len(deletions)})
    if not {"deletion.requested", "deletion.replayed", "deletion.discarded"} & set(histories):
        late = Counter(event.fields["was"] for d in deletions for event in d.events if event.fields.get("late"))
        ended = states + late  # a late 200 ends once more what had ended otherwise
        ends = {"deleted": "deletion.deleted", "gone": "deletion.gone", "dead": "deletion.died"}
        agree(
            "ends", {state: happened[event] for state, event in ends.items()}, {state: ended[state] for state in ends}
        )

    answered = sum("request_id" in attempt.fields for d in deletions for attempt in d.attempts)
    silent = sum(outcomes.values()) - answered
    ours = {d.ref.id for d in deletions}
    unheard = sum(call["operation"] == "delete" and call["job_id"] in ours for call in calls) - answered
    assert 0 <= unheard <= silent + happened["deletion.lost"] + happened["deletion.stale_result"], (
        "calls that nothing explains"
    )


def every_line_of_the_logs_is_an_event(fleet: Fleet) -> None:
    """Celery's own lines too; those about a deletion name its account and job. Before the first there is a banner."""
    lines = [line for worker in fleet.workers for line in worker.text.splitlines() if line.startswith("{")]
    assert lines
    for entry in map(json.loads, lines):
        assert {"time", "level", "event", "logger"} <= set(entry), entry
        if entry["logger"].startswith("worker."):
            assert re.fullmatch(r"[a-z]+\.[a-z_]+", entry["event"]), entry
        if entry["event"].startswith("deletion."):
            assert {"account", "job_id"} <= set(entry), entry


class Scrape:
    """What `eraser metrics` says of the fleet's account."""

    def __init__(self, fleet: Fleet) -> None:
        page = metrics.exposition(fleet.app)[1].decode()
        every = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
        self._samples = [sample for sample in every if sample.labels.get("account") == fleet.account]

    def by(self, name: str, label: str, **having: str) -> Counter[str]:
        """Sums by one label, without those that are 0."""
        found: Counter[str] = Counter()
        for sample in self._samples:
            if sample.name == f"avatar_eraser_{name}" and having.items() <= sample.labels.items():
                found[sample.labels[label]] += int(sample.value)
        return +found


def every_call_is_recorded(fleet: Fleet, deletions: dict[str, Deletion]) -> None:
    """Where nothing was killed: each DELETE at the server is an attempt of its deletion, in the same order."""
    arrived: dict[str, list[Any]] = defaultdict(list)
    for call in fleet.metastudio.calls():
        if call["operation"] == "delete":
            arrived[call["job_id"]].append(call["status"])
    for job, deletion in deletions.items():
        attempts = [attempt for attempt in deletion.attempts if attempt.fields.get("failure") != "not_sent"]
        assert len(attempts) == len(arrived[job]), f"{job}: {arrived[job]} arrived, recorded are {attempts}"
