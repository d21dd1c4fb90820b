"""Lists for programs and spreadsheets: what a spreadsheet would run is text."""

from __future__ import annotations

import csv
import io

import pytest

from worker.interfaces.cli import rows


def test_rows_of_jobs_may_follow_those_of_other_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    """Only a job has a job_id: the first row is no measure of the columns."""
    assert rows.write(
        [{"kind": "voice_job", "id": "v"}, {"kind": "job", "id": "j", "job_id": "j"}], ["kind", "id", "job_id"]
    )
    assert capsys.readouterr().out == "kind,id,job_id\nvoice_job,v,\njob,j,j\n"


def test_no_cell_begins_as_a_formula_does(capsys: pytest.CaptureFixture[str]) -> None:
    texts = [f"{first}cmd()" for first in "=+-@＝＋－＠"]
    controls = [f"{first}=cmd()" for first in "\t\r\n"]
    plain = ["", "a=b", " b", "'c"]
    assert rows.write(({"code": text, "round": -1} for text in (*texts, *controls, *plain)), ["code", "round"])
    written = list(csv.DictReader(io.StringIO(capsys.readouterr().out, newline="")))
    assert [row["code"] for row in written] == [*(f"'{text}" for text in texts), *["·=cmd()"] * 3, *plain]
    assert {row["round"] for row in written} == {"-1"}
