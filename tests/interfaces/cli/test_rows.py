"""Lists for programs and spreadsheets: what a spreadsheet would run is text."""

from __future__ import annotations

import csv
import io

import pytest

from worker.interfaces.cli import rows


def test_no_cell_begins_as_a_formula_does(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [f"{first}cmd()" for first in "=+-@＝＋－＠"]
    controls = [f"{first}=cmd()" for first in "\t\r\n"]
    plain = ["", "a=b", " b", "'c"]
    assert rows.write({"code": text, "round": -1} for text in (*texts, *controls, *plain))
    written = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert [row["code"] for row in written] == [*(f"'{text}" for text in texts), *["·=cmd()"] * 3, *plain]
    assert {row["round"] for row in written} == {"-1"}
