"""The picture of the last hour."""

from __future__ import annotations

import pytest

from worker.interfaces.console.chart import HEIGHT, WIDTH, chart, round_up
from worker.services.throughput import Minute


def minutes(*ends: tuple[int, int]) -> list[Minute]:
    return [Minute(n * 60_000.0, well, dead) for n, (well, dead) in enumerate(ends)]


@pytest.mark.parametrize(
    ("number", "scale"), [(0, 1), (1, 1), (2, 2), (3, 5), (7, 10), (11, 20), (98, 100), (101, 200), (4210, 5000)]
)
def test_the_scale_is_one_that_people_read(number: int, scale: int) -> None:
    assert round_up(number) == scale


def test_every_bar_stands_on_the_ground_and_ends_below_the_top() -> None:
    drawn = chart(minutes((1000, 0), (1, 999), (0, 1), (999, 1), (0, 0)), 180)
    assert drawn.top == 1000
    for bar in drawn.bars:
        assert bar.well_y + bar.well == pytest.approx(HEIGHT)
        assert bar.dead_y + bar.dead == pytest.approx(bar.well_y)
        assert bar.dead_y >= 0
        assert bar.x + bar.width <= WIDTH


def test_one_of_a_thousand_can_be_seen_and_nothing_cannot() -> None:
    few, none = chart(minutes((1000, 1), (0, 0)), 180).bars
    assert few.dead >= 2
    assert (none.well, none.dead) == (0, 0)


def test_each_minute_is_said_in_words_too() -> None:
    (bar,) = chart(minutes((1204, 12)), 180).bars
    assert bar.text == "00:00 UTC: 1,204 deleted or gone, 12 died"


@pytest.mark.parametrize(("limit", "y"), [(180, HEIGHT * 0.1), (200, 0.0), (201, None)])
def test_the_limit_is_a_line_where_it_is_in_the_picture(limit: float, y: float | None) -> None:
    assert chart(minutes((150, 0)), limit).limit_y == (None if y is None else pytest.approx(y))
