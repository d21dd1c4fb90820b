"""`eraser list`: for people, for programs and for spreadsheets, page by page."""

from __future__ import annotations

import csv
import io
import re
import shlex

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.model.erasure import Verdict
from worker.model.states import State, WaitingFor
from worker.model.target import KINDS
from worker.services import filters

ROW = {
    *("project_id", "kind", "id", "job_id", "state", "waiting_for", "cause", "evidence", "lane", "reason"),
    *("requested_by", "requested_at", "due_at", "deadline_at", "finished_at", "round", "account", "run", "replay"),
    *("may_be_deleted", "status", "code", "asset_id", "voice_train_job_id", "erasure"),
}


@pytest.fixture
def some(undertaker: Undertaker) -> Undertaker:
    undertaker.end("bad", claim={"by": "svc-1", "why": "=T-1", "app_user": "u-canary"}, code="=cmd()")
    undertaker.end("good", to="deleted")
    undertaker.request("waits", delay_s=3600, by="ops-7", app_user="u-canary")
    return undertaker


def test_a_line_of_json_has_exactly_the_promised_fields(command: Command, some: Undertaker) -> None:
    for args in (["--json"], ["-o", "json"]):
        ended = command("list", *args)
        assert [line["id"] for line in ended.json] == ["waits", "good", "bad"]
        assert all(set(line) == ROW for line in ended.json)
        assert (ended.err, "canary" in ended.out) == ("", False)
    waits, good, bad = ended.json
    assert (waits["waiting_for"], waits["finished_at"], waits["requested_by"]) == ("grace", None, "ops-7")
    assert (bad["cause"], bad["status"], bad["due_at"]) == ("server_error", 500, None)
    assert good["finished_at"].endswith("Z")


def test_for_people_it_is_a_table(command: Command, some: Undertaker) -> None:
    out = command("list").out
    assert re.search(r"^waits +pending +grace +in (59 min|1 h)", out, re.M)
    assert re.search(r"^bad +dead +server_error ", out, re.M)
    assert PROJECT not in out, "there is but one"
    assert command("list", "--state", "held").out == "No deletion is in these states.\n"
    assert command("list", "--by", "nobody").out == "No deletion matches these filters.\n"


@pytest.mark.parametrize("args", [["-o", "csv"], ["-o", "json"], ["--json"]])
def test_programs_get_nothing_and_a_word_beside_it(command: Command, some: Undertaker, args: list[str]) -> None:
    ended = command("list", "--by", "nobody", *args)
    assert (ended.code, ended.err) == (0, "No deletion matches these filters.\n")
    if "csv" not in args:
        assert ended.out == ""
        return
    (names,) = ended.out.splitlines()  # a reader of CSV needs them, also of a list without rows
    assert names == command("list", "-o", "csv").out.splitlines()[0]
    assert set(names.split(",")) == ROW


def test_the_help_names_every_value_that_a_filter_may_have(command: Command) -> None:
    words = set(re.findall(r"\w+", command("list", "--help").out))
    assert words >= {*State, *WaitingFor, *Verdict, *KINDS, *filters.ORDERS, filters.ALL}


def test_the_list_of_dead_letters_leads_to_that_of_every_state(command: Command) -> None:
    own, every = (" ".join(command(*words, "--help").out.split()) for words in (("dead", "list"), ("list",)))
    assert "eraser list --state dead" in own
    for name in ("project", "job"):
        assert filters.EVERY[name] in own
        assert filters.EVERY[name] in every


def test_a_spreadsheet_runs_nothing(command: Command, some: Undertaker) -> None:
    (bad,) = csv.DictReader(io.StringIO(command("list", "--state", "dead", "-o", "csv").out))
    assert (bad["reason"], bad["code"], set(bad)) == ("'=T-1", "'=cmd()", ROW)


@pytest.mark.parametrize("form", ["table", "json"])
def test_a_list_goes_on_where_it_ended(command: Command, undertaker: Undertaker, form: str) -> None:
    names = [f"j-{n}" for n in range(7)]
    undertaker.end(*names, to="deleted")
    args, found = ["list", "--state", "deleted", "--limit", "3", "-o", form], list[str]()
    for size in (3, 3, 1):
        ended = command(*args)
        page = re.findall(r"j-\d", ended.out if form == "json" else ended.out.partition("There are more")[0])
        assert len(set(page)) == size
        found += dict.fromkeys(page)
        more = re.search(r"There are more: eraser (.+)", ended.out if form == "table" else ended.err)
        args = shlex.split(more[1]) if more else []
    assert (found, args) == (names[::-1], [])


def test_programs_get_all_of_them(command: Command, undertaker: Undertaker) -> None:
    undertaker.request(*(f"j-{n}" for n in range(1203)))
    ended = command("list", "--json")
    assert (len({line["id"] for line in ended.json}), ended.err) == (1203, "")
    assert "There are more: eraser list --cursor " in command("list").out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--state", "dying"], "--state: expected all, or some of"),
        (["--waiting-for", "turn", "--state", "dead"], "--waiting-for: only what is pending has one"),
        (["--cursor", "abc"], "cursor: this is none of a list of ours"),
        (["--since", "yesterday"], "--since: expected a time"),
    ],
)
def test_what_is_wrong_is_named(command: Command, args: list[str], says: str) -> None:
    ended = command("list", *args)
    assert (ended.code, says in ended.err, ended.out) == (2, True, ""), ended.err
