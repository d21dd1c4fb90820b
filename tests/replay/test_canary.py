"""How far a replay goes on: pure decisions, whatever the counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.ledger.replays import Replay, ReplayStage, ReplayState
from worker.replay.canary import HUNDRED, MOST_AHEAD, Requeue, Stop, Wait, decide, look_again_s

NEW = Replay(
    **dict.fromkeys(Replay.__slots__, 0)  # type: ignore[arg-type]
    | {"id": "r", "account": "default", "state": ReplayState.RUNNING, "stage": ReplayStage.CANARY, "groups": {}}
    | {"what": "all", "why": "T-1", "by": None, "ended": None, "fed_at": None, "end_why": None, "end_by": None}
)


def replay_at(stage: ReplayStage, total: int, fed: int, **words: int) -> Replay:
    return replace(NEW, stage=stage, total=total, cursor=fed, fed=fed, open=fed, **words)


@st.composite
def any_counts(draw: st.DrawFn) -> Replay:
    """Whatever a replay can look like."""
    total = draw(st.integers(1, 2_000))
    fed = draw(st.integers(0, total))
    ok = draw(st.integers(0, fed))
    failed = draw(st.integers(0, fed - ok))
    aside = draw(st.integers(0, fed - ok - failed))
    return replay_at(draw(st.sampled_from(list(ReplayStage))), total, fed, ok=ok, failed=failed, aside=aside)


def play(total: int, fails: Any, *, pace: float = 10.0) -> tuple[int, str | None]:
    """A whole replay whose letters are answered at once, `fails(n)` says how: how many were fed, why it stopped."""
    now = replay_at(ReplayStage.CANARY, total, 0)
    for _ in range(10_000):
        match decide(now, pace):
            case Stop(why):
                return now.fed, why
            case Wait():
                if not now.left and not now.ahead:
                    return now.fed, None
                failed = bool(fails(now.ok + now.failed))  # the next word comes
                now = replace(now, failed=now.failed + failed, ok=now.ok + (not failed), open=now.open - 1)
            case Requeue(count, stage):
                count = min(count, now.left)
                now = replace(now, stage=stage, cursor=now.cursor + count, fed=now.fed + count, open=now.open + count)
    raise AssertionError("it never ends")


@given(any_counts(), st.floats(0.1, 1000))
def test_no_more_is_fed_than_there_is_and_than_the_stage_allows(counts: Replay, pace: float) -> None:
    match decide(counts, pace):
        case Requeue(count, stage):
            assert 0 <= count <= MOST_AHEAD
            most = {
                ReplayStage.CANARY: 1,
                ReplayStage.TEN: 11 + counts.aside,
                ReplayStage.HUNDRED: max(HUNDRED, counts.fed),
            }.get(stage)
            assert count == 0 or most is None or counts.ahead + count <= most
            assert (count, stage) != (0, counts.stage), "nothing would change, for ever"


@given(any_counts(), st.floats(0.1, 1000), st.integers(1, 5))
def test_waiting_is_not_failing(counts: Replay, pace: float, more: int) -> None:
    """More letters that wait never stop a replay that would go on without them."""
    begun = {"fed": counts.fed + more, "open": counts.open + more}
    waiting = replace(counts, cursor=counts.cursor + more, total=counts.total + more, **begun)  # type: ignore[arg-type]
    if not isinstance(decide(counts, pace), Stop):
        assert not isinstance(decide(waiting, pace), Stop)


@given(st.integers(1, 1_500))
def test_what_succeeds_is_fed_to_its_end(total: int) -> None:
    assert play(total, lambda _: False) == (total, None)


@given(st.integers(1, 1_500))
def test_a_canary_that_fails_again_stops_the_rest(total: int) -> None:
    fed, why = play(total, lambda n: n == 0)
    assert (fed, why) == (1, "the canary failed again at its first attempt")


@pytest.mark.parametrize(("good", "most"), [(1, 11), (11, 100), (50, 100)])
def test_half_of_the_ten_or_of_the_hundred_stop_the_rest(good: int, most: int) -> None:
    fed, why = play(1_000, lambda n: n >= good)
    assert why is not None
    assert fed == most


def test_after_a_hundred_of_which_most_were_deleted_nothing_stops_it() -> None:
    assert play(1_000, lambda n: n > 60) == (1_000, None)


def test_a_canary_that_is_not_deletable_yet_lets_another_go_first() -> None:
    assert decide(replay_at(ReplayStage.CANARY, 500, 1, aside=1), 10) == Requeue(1, ReplayStage.CANARY)


def test_the_rest_is_fed_thirty_seconds_ahead() -> None:
    assert decide(replay_at(ReplayStage.REST, 5_000, 100, ok=100), 10) == Requeue(300, ReplayStage.REST)
    assert decide(replay_at(ReplayStage.REST, 5_000, 400, ok=100), 10) == Wait()
    assert decide(replay_at(ReplayStage.REST, 5_000, 400, ok=101), 10) == Requeue(1, ReplayStage.REST)


def test_a_replay_that_cannot_go_on_is_looked_at_ever_more_seldom() -> None:
    assert [look_again_s(ReplayStage.CANARY, idle) for idle in (-1, 0, 1, 20, 3_600)] == [0.2, 0.2, 0.2, 1.0, 5.0]
    assert [look_again_s(ReplayStage.REST, idle) for idle in (0, 60, 3_600)] == [1.0, 3.0, 5.0]
