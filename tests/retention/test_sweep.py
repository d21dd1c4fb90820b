"""Plans and runs: what is asked for is what the policy says, read by brute force; never more than the caps allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.retention import DAY, NOW, POLICY, PROJECT, House, job
from worker.ledger.runs import Runs
from worker.metastudio.targets.avatar_job import DELETABLE, STATES, JobRow
from worker.model.errors import EraserError, Unreachable
from worker.model.target import Target
from worker.retention.plan import CapOverride
from worker.retention.policy import FINISHED
from worker.retention.sweep import sweep


@pytest.fixture
def house(client: redis.Redis, tmp_path: Path) -> House:
    return House(client, tmp_path)


# -- the policy, read by brute force -----------------------------------------------------------------------------------

ANY = st.sampled_from
TIMES = st.one_of(st.none(), st.floats(-5, 200).map(lambda days: NOW - timedelta(days=days)))
ROWS = st.builds(
    JobRow,
    id=st.integers(0, 60).map(lambda n: f"job-{n}"),
    state=ANY(["TRAIN_FAILED", "TRAIN_FAILED", "JOB_REJECT", "JOB_SUCCESS", "TRAINING", "COMPILE_FAILED", "NEW_STATE"]),
    create_time=TIMES,
    last_update_time=TIMES,
    asset_id=ANY([None, "asset-1"]),
    app_user_id=ANY([None, "u-1", "u-2"]),
    batch_name=ANY([None, "spring", "springs"]),
    name=ANY([None, "x", "X"]),
    tags=ANY([(), ("a",), ("a", "b"), ("ab",)]),
    model_resolution=ANY([None, "1080P", "4K"]),
    is_flexus=ANY([None, True, False]),
)
POLICIES = st.fixed_dictionaries(
    {"states": st.sets(ANY(["TRAIN_FAILED", "JOB_REJECT", "JOB_SUCCESS"]), min_size=1), "older_than": ANY([1, 30, 90])},
    optional={
        "age_by": ANY(["create_time", "last_update_time"]),
        "batch_name": st.just("spring"),
        "tag": st.just("a"),
        "job_name": st.just("x"),
        "resolution": st.just("4K"),
        "flexus": st.booleans(),
        "app_user": st.just("u-1"),
        "max_jobs": st.integers(1, 30),
        "max_percent": st.integers(1, 100),
    },
)
JOBS = st.sets(st.integers(0, 60).map(lambda n: f"job-{n}"), max_size=5)


def written(terms: dict[str, Any]) -> str:
    lines = [
        f'projects = ["{PROJECT}"]',
        f"states = {sorted(terms['states'])}",
        f'older_than = "{terms["older_than"]}d"',
    ]
    lines += ["include_finished = true"] if terms["states"] & FINISHED else []
    for name in set(terms) - {"states", "older_than"}:
        value = terms[name]
        lines.append(f"{name} = {str(value).lower() if isinstance(value, bool | int) else repr(value)}")
    return "\n".join(lines) + "\n"


def meant(terms: dict[str, Any], row: JobRow, held: set[str], users: set[str], requested: set[str]) -> bool:
    """The policy in the plainest words that there are."""
    age = row.last_update_time if terms.get("age_by") == "last_update_time" else row.create_time
    return all(
        [
            row.state in terms["states"],
            row.state in DELETABLE,
            age is not None and (NOW - age).total_seconds() >= terms["older_than"] * 86400,
            "batch_name" not in terms or row.batch_name == terms["batch_name"],
            "tag" not in terms or terms["tag"] in row.tags,
            "job_name" not in terms or row.name == terms["job_name"],
            "resolution" not in terms or row.model_resolution == terms["resolution"],
            "flexus" not in terms or row.is_flexus is terms["flexus"],
            "app_user" not in terms or row.app_user_id == terms["app_user"],
            row.id not in held,
            row.app_user_id not in users,
            row.id not in requested,
        ]
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ROWS, max_size=60, unique_by=lambda row: row.id), POLICIES, JOBS, st.sets(ANY(["u-1", "u-2"])), JOBS)
def test_what_is_requested_is_what_a_brute_force_reading_of_the_policy_says(
    client: redis.Redis, rows: list[JobRow], terms: dict[str, Any], held: set[str], users: set[str], requested: set[str]
) -> None:
    client.flushall()
    with TemporaryDirectory() as directory:
        house = House(client, Path(directory), written(terms))
        house.lister.jobs = rows
        house.holds.add([Target(PROJECT, name) for name in held], why="CASE-1", by="legal")
        for user in users:
            house.holds.add_user(user, why="CASE-1", by="legal")
        house.request(*requested)
        wanted = {row.id for row in rows if meant(terms, row, held, users, requested)}
        many = len(wanted) > terms.get("max_jobs", 100)
        much = len(wanted) > 10 and len(wanted) > len(rows) * terms.get("max_percent", 5) / 100
        swept = house.run()
        assert bool(swept.refused) == (many or much)
        assert house.requested() == (set() if many or much else wanted)
        assert {name for name, why in house.verdicts().items() if why is None} == (wanted if many or much else set())
        allowed = CapOverride(len(wanted), frozenset({PROJECT}))
        house.run(allowed=allowed)
        assert house.requested() == wanted, "with an allowance the rest goes too, and nothing else"


@pytest.mark.parametrize("state", sorted(STATES))
def test_only_jobs_in_the_states_that_are_named_are_chosen(house: House, state: str) -> None:
    house.lister.jobs = [job("a", state)]
    assert house.verdicts() == {"a": None if state == "TRAIN_FAILED" else "state"}


def test_the_reasons_are_told_one_by_one(house: House) -> None:
    house.write(POLICY + 'tag = "trial"\n')
    tagged = {"tags": ("trial",)}
    house.lister.jobs = [
        job("chosen", **tagged),
        job("training", "TRAINING", **tagged),
        job("young", days=89.9, **tagged),
        job("ageless", days=None, **tagged),
        job("from-the-future", days=-3, **tagged),
        job("untagged"),
        job("held", **tagged),
        job("asked", **tagged),
        job("a/../b", **tagged),
    ]
    house.holds.add([Target(PROJECT, "held")], why="CASE-1", by="legal")
    house.request("asked")
    assert house.verdicts() == {
        "chosen": None,
        "training": "state",
        "young": "too_young",
        "ageless": "no_time",
        "from-the-future": "too_young",
        "untagged": "filter",
        "held": "held",
        "asked": "already_requested",
        "a/../b": "bad_id",
    }


def test_a_clock_of_ours_that_runs_ahead_makes_no_job_older(house: House) -> None:
    house.lister.jobs, house.lister.date = [job("a", days=1)], NOW
    house.now = NOW + 365 * DAY
    assert house.verdicts() == {"a": "too_young"}


@pytest.mark.parametrize("age_by", ["create_time", "last_update_time"])
@pytest.mark.parametrize("year", [1, 1601, 1900, 1970])
def test_a_time_before_any_job_is_how_programs_say_that_they_know_none(house: House, age_by: str, year: int) -> None:
    house.write(POLICY + f'age_by = "{age_by}"\n')
    nothing = datetime(year, 1, 1, tzinfo=UTC)
    house.lister.jobs = [
        JobRow("a", "TRAIN_FAILED", create_time=nothing, last_update_time=nothing),
        job("old", days=300),
    ]
    assert house.verdicts() == {"a": "no_time", "old": None}


def test_by_last_update_the_time_counts_when_the_user_touched_it(house: House) -> None:
    house.write(POLICY + 'age_by = "last_update_time"\n')
    house.lister.jobs = [job("touched", days=300, last_update_time=NOW - DAY), job("old", days=300)]
    assert house.verdicts() == {"touched": "too_young", "old": None}


def test_what_was_cancelled_may_be_asked_for_again_and_the_dead_may_not(house: House) -> None:
    house.lister.jobs = [job("cancelled"), job("waiting")]
    house.request("cancelled", "waiting")
    house.app.ledger("default").cancel([Target(PROJECT, "cancelled")], why="T-1")
    assert house.verdicts() == {"cancelled": None, "waiting": "already_requested"}


def test_server_filters_only_narrow(house: House) -> None:
    """Here they are ignored altogether: the rows that come are judged all the same."""
    house.write(POLICY + "narrow = true\n")
    house.lister.jobs = [job("old"), job("young", days=1), job("training", "TRAINING")]
    assert house.verdicts() == {"old": None, "young": "too_young", "training": "state"}
    assert house.lister.queries[-1]["states"] == ("TRAIN_FAILED",)


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_run_asks_in_the_bulk_lane_with_grace_run_policy_and_what_was_seen(house: House) -> None:
    house.write(POLICY + 'reason = "TICKET-1"\n')
    house.lister.jobs = [job("a", asset_id="asset-1"), job("b", asset_id="no/id")]
    run = house.run(by="ops-1").run
    record = house.record("a")
    assert (record["lane"], record["wait"], record["listed"], record["asset"]) == ("bulk", "grace", "1", "asset-1")
    assert (record["pol"], record["run"], record["by"], record["why"]) == ("old", run.id, "policy:old", "TICKET-1")
    assert "asset" not in house.record("b")
    due = house.client.zscore("eraser:{default}:due:bulk", f"{PROJECT}/a")
    assert due is not None
    seconds, _ = house.client.time()
    assert due / 1000 - seconds == pytest.approx(7 * 86400, abs=60)
    assert float(record["dl"]) / 1000 - seconds == pytest.approx(37 * 86400, abs=60)


def test_a_row_of_another_project_is_not_requested_of_this_one(house: House) -> None:
    """It would be absent here, and seen before: called gone on a list's word alone."""
    house.lister.jobs = [job("a", project_id=PROJECT), job("b", project_id="somebody-s"), job("c")]
    assert house.verdicts() == {"a": None, "b": "filter", "c": None}


def test_a_list_that_shows_an_app_users_job_is_remembered(house: House) -> None:
    """Absences in a view that shows none of theirs prove nothing then."""
    users = house.app.ledger("default").users
    house.lister.jobs = [job("a")]
    house.plan()
    assert not users.known_in(PROJECT)
    house.lister.jobs = [job("a"), job("b", app_user_id="u-1")]
    house.plan()
    assert users.known_in(PROJECT)


def test_a_second_run_requests_nothing_new(house: House) -> None:
    house.lister.jobs = [job(f"job-{n}") for n in range(8)]
    assert house.run().run.requested == 8
    again = house.run().run
    assert (again.selected, again.requested, again.skipped) == (0, 0, {"already_requested": 8})


@pytest.mark.parametrize(
    ("matching", "others", "stops"), [(10, 0, False), (11, 0, True), (11, 209, False), (11, 208, True)]
)
def test_five_per_cent_and_more_than_ten_are_too_much(house: House, matching: int, others: int, stops: bool) -> None:
    house.lister.jobs = [job(f"a-{n}") for n in range(matching)] + [job(f"b-{n}", "TRAINING") for n in range(others)]
    swept = house.run()
    assert bool(swept.refused) is stops
    assert house.requested() == (set() if stops else {f"a-{n}" for n in range(matching)})


def test_more_than_a_hundred_are_too_much_however_large_the_project(house: House) -> None:
    house.lister.jobs = [job(f"a-{n}") for n in range(101)] + [job(f"b-{n}", "TRAINING") for n in range(5000)]
    swept = house.run()
    (why,) = swept.refused
    assert why == "101 jobs, and max_jobs is 100"
    assert swept.run.stopped_by == why
    assert swept.run.skipped["over_cap"] == 101
    assert house.requested() == set()
    assert "--max 101 --confirm " + PROJECT in swept.plan.how_to_allow()


def test_the_policys_own_caps_stand_in_place_of_ours(house: House) -> None:
    house.write(POLICY + "max_jobs = 200\nmax_percent = 100\n")
    house.lister.jobs = [job(f"a-{n}") for n in range(200)]
    assert house.run().run.requested == 200


def test_an_allowance_is_for_so_many_of_this_project_and_no_more(house: House) -> None:
    house.lister.jobs = [job(f"a-{n}") for n in range(150)]
    assert house.run(allowed=CapOverride(149, frozenset({PROJECT}))).refused
    assert house.run(allowed=CapOverride(150, frozenset({"another"}))).refused
    assert house.requested() == set()
    assert house.run(allowed=CapOverride(150, frozenset({PROJECT}))).run.requested == 150


def test_a_list_that_does_not_end_requests_nothing_unless_partial(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.lister.jobs = [job(f"a-{n}") for n in range(8)] + [job(f"b-{n}", "TRAINING") for n in range(200)]
    listing = house.lister.list

    def break_off(project: str, *, offset: int, limit: int, **filters: Any) -> Any:
        if offset > 0:
            house.lister.faults = [403]
        return listing(project, offset=offset, limit=limit, **filters)

    monkeypatch.setattr(house.lister, "list", break_off)
    swept = house.run()
    assert swept.unread
    assert house.requested() == set()
    assert swept.run.stopped_by is not None
    assert "refuses the list: 403" in swept.run.stopped_by
    assert house.run(partial=True).run.requested == 8


def test_a_run_is_a_record(house: House) -> None:
    house.lister.jobs = [job("a"), job("b", "TRAINING"), job("c", days=1)]
    run = house.run(by="ops-1").run
    runs = Runs(house.app.ledger("default"))
    found = runs.find(run.id)
    assert found == run
    assert (run.policy, run.policy_hash, run.by) == ("old", house.policy.hash, "ops-1")
    assert (run.listed, run.selected, run.requested, run.stopped_by) == (3, 1, 1, None)
    assert run.skipped == {"state": 1, "too_young": 1}
    assert runs.latest(10) == [run]
    assert runs.find("another") is None


def test_a_run_knows_how_its_deletions_ended(house: House) -> None:
    house.lister.jobs = [job("a"), job("b"), job("c")]
    run = house.run().run
    ledger = house.app.ledger("default")
    ledger.cancel([Target(PROJECT, "a")], why="T-1", run=run.id)
    runs = Runs(ledger)
    found = runs.find(run.id)
    assert found is not None
    assert found.outcomes == {"cancelled": 1}
    names = [f"eraser:{{default}}:{kind}:{run.id}" for kind in ("run", "outcomes")]
    assert [house.client.ttl(name) for name in names] == [-1, -1], "Redis's clock may jump"
    ledger.forget(keep_s=0.0)
    assert house.client.exists(*names) == 0
    assert runs.latest(9) == []


def test_a_run_that_somebody_began_and_lost_is_gone_on_with(house: House) -> None:
    house.lister.jobs = [job(f"job-{n}") for n in range(4)]
    begun = house.run().run
    Runs(house.app.ledger("default")).write(begun)
    house.lister.jobs.append(job("job-5"))
    again = sweep(house.app, begun, house.plan).run
    assert (again.selected, again.requested) == (5, 5)


@pytest.mark.parametrize("cause", ["paused", "credentials"])
def test_a_closed_gate_is_not_knocked_at(house: House, cause: str) -> None:
    ledger = house.app.ledger("default")
    ledger.pause(why="T-1") if cause == "paused" else ledger.block_account(cause, "no key")
    with pytest.raises(Unreachable, match="closed"):
        house.run()
    assert house.lister.queries == []


def test_a_list_is_signed_with_metastudios_clock_where_it_differs(house: House) -> None:
    house.plan()
    assert house.lister.queries[-1]["signed_at"] is None
    house.client.hset("eraser:{default}:gate", mapping={"skew": "3600000"})
    house.plan()
    ahead = house.lister.queries[-1]["signed_at"] - datetime.now(UTC)
    assert ahead.total_seconds() == pytest.approx(3600, abs=60)


def test_a_full_redis_stops_the_run_and_the_record_says_so(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.lister.jobs = [job("a")]

    def full(*_: object, **__: object) -> Any:
        raise EraserError("Redis is nearly full")

    monkeypatch.setattr(house.app.ledger("default"), "request", full)
    with pytest.raises(EraserError):
        house.run()
    (run,) = Runs(house.app.ledger("default")).latest(1)
    assert run.stopped_by == "Redis is nearly full"


def test_a_run_that_breaks_off_for_whatever_reason_is_not_told_as_finished(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.lister.jobs = [job("a")]

    def fails(*_: object, **__: object) -> Any:  # an error that nobody foresaw
        raise redis.ResponseError("user_script:30: attempt to compare nil with number")

    monkeypatch.setattr(house.app.ledger("default"), "request", fails)
    with pytest.raises(redis.ResponseError):
        house.run()
    (run,) = Runs(house.app.ledger("default")).latest(1)
    assert run.stopped_by is not None
