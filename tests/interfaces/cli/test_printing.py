"""Tables: what a person reads in a narrow window is whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.interfaces.cli import printing
from worker.interfaces.cli.printing import FOLDED, GAP, fitted

GROUP = "server_error-500-MSS.00000004"
JOB = "0f3a61c2-9b1e-4c55-8f21-5ad7c0e9b101"
PROJECT = "0605768a2c8026af2f8bc00f4b0d3b7c"


def test_a_narrow_window_wraps_at_words_and_cuts_no_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(printing, "PIPED_WIDTH", 80)
    columns = ["GROUP", "COUNT", "FIRST SEEN", "LAST SEEN", "LAST REPLAY", "OLDEST DEADLINE"]
    printing.table(columns, [(GROUP, 60, "3 min 51 s ago", "30 s ago", "never", "30 days left")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    words = " ".join(lines).split()
    assert {GROUP, "60", "3", "min", "51", "30", "never", "days", "left", "REPLAY", "DEADLINE"} <= set(words)


def test_what_does_not_fit_at_all_stays_one_line_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(printing, "PIPED_WIDTH", 80)
    printing.table(["JOB", "PROJECT", "DIED", "GROUP"], [(JOB, PROJECT, "2 min 3 s ago", GROUP)])
    _, row = capsys.readouterr().out.splitlines()
    assert row.split("  ") == [JOB, PROJECT, "2 min 3 s ago", GROUP]


def test_only_the_last_column_may_have_its_longest_words_folded() -> None:
    assert fitted([(23, 10), (4, 4), (8, 8), (18, 18), (80, 33)], 80) == [10, 4, 8, 18, 32]


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 40)).map(lambda w: (max(w), w[1])), min_size=1, max_size=8)
)
def test_columns_fit_where_their_words_do_and_no_other_is_below_its_longest_word(
    columns: list[tuple[int, int]],
) -> None:
    widths = fitted(columns, 80)
    assert all(width <= line for width, (line, _) in zip(widths, columns, strict=True))
    assert all(word <= width for width, (_, word) in zip(widths[:-1], columns[:-1], strict=True))
    fits = sum(word for _, word in columns) <= 80 - GAP * (len(columns) - 1)
    assert widths[-1] >= (columns[-1][1] if fits else min(FOLDED, columns[-1][1]))
    if sum(widths) > 80 - GAP * (len(columns) - 1):
        assert not fits
        assert widths == [line for line, _ in columns]
