"""Control questions: near enough, from the same view, shared by all absences between them, and never a guess."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.support.lists import EMPTY, OTHERS, VIEW, World
from tests.support.responses import JOB, listing, no_list, response, row
from tests.support.waiting import wait_until
from worker.lookups.sightings import NEAR_S, View
from worker.metastudio.response import Listing
from worker.model.errors import Unreachable
from worker.rules.classify import NOT_SENT, Presence


def test_an_absence_is_asked_for_once_more_between_two_control_questions() -> None:
    world = World()
    assert world.find() is Presence.ABSENT
    assert world.queries == [JOB.id, "all", JOB.id, "all"]


def test_where_absence_is_to_be_expected_the_control_question_goes_first() -> None:
    world = World()
    assert world.find(doubtful=True) is Presence.ABSENT
    assert world.queries == ["all", JOB.id, "all"]


def test_what_is_there_needs_no_control_question() -> None:
    world = World(job=lambda _: listing(row()))
    assert world.find() is Presence.PRESENT
    assert world.queries == [JOB.id]


def test_absences_share_what_lies_between_them() -> None:
    world = World()
    for job in ("a", "b", "c"):
        assert world.find(job) is Presence.ABSENT
    assert world.queries == ["a", "all", "a", "all", "b", "all", "c", "all"]


@pytest.mark.parametrize(("passed", "fresh"), [(NEAR_S - 0.1, True), (NEAR_S + 0.1, False)])
def test_a_control_question_is_near_for_ten_seconds(passed: float, *, fresh: bool) -> None:
    world = World(takes=0.001)
    world.lookups().ask_in_turn()
    world.now += passed
    world.find()
    assert world.queries[1:] == ([JOB.id, "all"] if fresh else [JOB.id, "all", JOB.id, "all"])


def test_a_control_question_that_comes_too_late_after_the_look_proves_nothing() -> None:
    world = World(slot=NEAR_S + 0.1)
    world.lookups().ask_in_turn()
    assert world.find(has_slot=True) is Presence.UNKNOWN


def test_a_look_that_shows_another_job_is_as_good_as_a_control_question() -> None:
    world = World(job=lambda w: listing(row("there")) if w.queries[-1] == "there" else EMPTY)
    world.find("there")
    assert world.find() is Presence.ABSENT
    assert world.queries == ["there", JOB.id, "all"]


@pytest.mark.parametrize(
    "other", [replace(VIEW, key="k2"), replace(VIEW, project_id="q"), replace(VIEW, app_user="u-1")], ids=str
)
def test_what_one_view_shows_says_nothing_about_another(other: View) -> None:
    world = World()
    world.find()
    world.queries.clear()
    world.find(view=other)
    assert world.queries == [JOB.id, "all", JOB.id, "all"]


# -- blind -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("doubtful", [False, True])
def test_an_empty_project_proves_nothing(*, doubtful: bool) -> None:
    world = World(jobs=lambda _: EMPTY)
    assert world.find(doubtful=doubtful) is Presence.UNSEEN
    world.queries.clear()
    assert world.find("b", doubtful=doubtful) is Presence.UNSEEN
    assert world.queries == ["b"], "that it is empty is shared too"


def test_a_key_that_goes_blind_after_the_look_proves_nothing() -> None:
    world = World(jobs=lambda w: OTHERS if w.queries.count("all") == 1 else EMPTY)
    assert world.find() is Presence.UNSEEN


def test_a_key_that_was_blind_when_it_looked_is_asked_again() -> None:
    """The list by id is empty as long as the whole list is; the first control question already shows jobs."""
    world = World(job=lambda w: EMPTY if w.queries.count(JOB.id) == 1 else listing(row()))
    assert world.find() is Presence.PRESENT


SAYS_NOTHING = {
    "500": no_list(response(500)),
    "401": no_list(response(401)),
    "a page": no_list(response(200)),
    "counts and shows none": listing(count=7),
    "counts none and shows some": listing(row("other"), count=0),
    "another project's": listing(row("other", project_id="somebody-s")),
}


@pytest.mark.parametrize("odd", SAYS_NOTHING.values(), ids=SAYS_NOTHING)
@pytest.mark.parametrize("which", [1, 2])
def test_a_control_question_without_a_plain_answer_makes_it_unknown(odd: Listing, which: int) -> None:
    world = World(jobs=lambda w: odd if w.queries.count("all") == which else OTHERS)
    looked = world.lookups().find(JOB.id, listed=True)
    assert looked.what is Presence.UNKNOWN
    assert looked.listing is odd, "the gate learns from what was refused"


def test_a_whole_list_that_has_the_job_contradicts_the_list_without_it() -> None:
    world = World(jobs=lambda _: listing(row(), row("other")))
    assert world.find() is Presence.UNKNOWN


def test_a_row_of_another_project_is_not_the_job() -> None:
    world = World(job=lambda _: listing(row(project_id="somebody-s")))
    assert world.find() is Presence.UNKNOWN


# -- app users ---------------------------------------------------------------------------------------------------------

OWNED = listing(row("other-1"), row("other-2", app_user_id="u-2"))


@pytest.mark.parametrize(
    ("shown", "view", "listed", "worth"),
    [
        (OTHERS, VIEW, False, Presence.UNSEEN),
        (OTHERS, VIEW, True, Presence.ABSENT),
        (OWNED, VIEW, False, Presence.ABSENT),
        (OTHERS, replace(VIEW, app_user="u-1"), False, Presence.ABSENT),
        (OWNED, replace(VIEW, app_user="u-1"), False, Presence.ABSENT),
    ],
)
def test_where_there_are_app_users_whoever_names_none_must_be_shown_one_of_theirs(
    shown: Listing, view: View, listed: bool, worth: Presence
) -> None:
    world = World(jobs=lambda _: shown, has_users=True)
    assert world.find(view=view, listed=listed) is worth


def test_a_list_that_shows_an_app_users_job_is_remembered_for_all() -> None:
    world = World(jobs=lambda _: OWNED)
    world.lookups().ask_in_turn()
    assert world.has_users


@pytest.mark.parametrize("where", ["known_in", "note_in"])
def test_redis_that_goes_away_meanwhile_is_told_in_a_line_and_proves_nothing(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer to a DELETE may be in the caller's hands."""
    world = World(jobs=lambda _: OTHERS if where == "known_in" else OWNED)

    def away(project_id: str) -> bool:
        raise Unreachable("away")

    monkeypatch.setattr(world, where, away)
    assert world.find() is (Presence.UNSEEN if where == "known_in" else Presence.ABSENT)
    logged = [(record.message, record.exc_info) for record in caplog.records]
    assert logged == [("lookup.not_sent", None)]


# -- where nothing may be asked ----------------------------------------------------------------------------------------


def test_where_the_pace_forbids_nothing_is_asked() -> None:
    world = World(slot=None)
    assert world.lookups().find(JOB.id, listed=False).listing is NOT_SENT
    assert world.find(has_slot=True) is Presence.UNKNOWN
    assert world.queries == [JOB.id], "only the look that had its slot"


def test_where_redis_is_away_nothing_is_raised_after_an_answer() -> None:
    world = World(redis_away=True)
    assert world.lookups().find(JOB.id, listed=False).listing is NOT_SENT
    assert world.find(has_slot=True) is Presence.UNKNOWN


def test_where_the_lease_has_no_time_left_nothing_is_asked() -> None:
    world = World()
    assert world.lookups(time_left=lambda: 0.4).find(JOB.id, listed=False).listing is NOT_SENT
    assert world.queries == []


def test_a_fault_of_ours_after_an_answer_is_an_answer_that_says_nothing() -> None:
    def broken(_: World) -> Listing:
        raise ZeroDivisionError("a fault of ours")

    world = World(jobs=broken)
    assert world.find(has_slot=True) is Presence.UNKNOWN


# -- threads -----------------------------------------------------------------------------------------------------------


def test_one_asks_the_control_question_for_all_that_wait() -> None:
    world, may_go, size = World(takes=0.001), threading.Event(), 8

    def slot(*, kind: str, patience_s: float) -> float:
        may_go.wait(10)
        return 0.0

    def joined() -> int:
        event: Any = world.sightings._waiting.get(VIEW)
        return len(event._cond._waiters) if event else 0

    world.lookups().ask_in_turn()
    world.reserve_lookup = slot  # type: ignore[method-assign]
    with ThreadPoolExecutor(size) as pool:
        found = [pool.submit(world.find, f"job-{n}", has_slot=True) for n in range(size)]
        wait_until(lambda: joined() == size - 1, what="one waits for its slot, and all others for its answer")
        may_go.set()
        assert {each.result() for each in found} == {Presence.ABSENT}
    assert world.queries.count("all") == 2, "the one before, and one after for all"
