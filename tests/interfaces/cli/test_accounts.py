"""`eraser accounts` when a project moves to another account: said everywhere, acted on by nobody, carried over."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.http_site import DELETIONS, Site
from worker.execution.app_context import AppContext
from worker.model.target import Target
from worker.services import metrics

OTHER = "1" * 32
WHO_AND_WHY = ("--reason", "TICKET-1", "--by", "ops-1")
MOVE = ("accounts", "move", PROJECT, "--to", "studio-b", *WHO_AND_WHY)
ADDRESS = "https://metastudio.cn-north-4.myhuaweicloud.com"
TWO = "[accounts.studio-a]\nprojects = [{}]\n[accounts.studio-b]\nprojects = [{}]\n"


class Installation:
    """`before("status")` with the settings of yesterday, `after("status")` with those of today."""

    def __init__(self, command: Command, directory: Path) -> None:
        self.command = command
        self.old, self.new = directory / "old.toml", directory / "new.toml"
        self.old.write_text(TWO.format(f'"{PROJECT}", "{OTHER}"', '"2222"'))
        self.new.write_text(TWO.format(f'"{OTHER}"', f'"{PROJECT}", "2222"'))

    def before(self, *words: str, **more: Any) -> Any:
        return self.command(*words, ERASER_CONFIG=str(self.old), **more)

    def after(self, *words: str, **more: Any) -> Any:
        return self.command(*words, ERASER_CONFIG=str(self.new), **more)

    def without_a(self, *words: str, **more: Any) -> Any:
        """studio-a is gone from the settings altogether."""
        self.new.write_text(f'[accounts.studio-b]\nprojects = ["{PROJECT}", "{OTHER}"]\n')
        return self.after(*words, **more)

    @property
    def app(self) -> AppContext:
        environ = {**self.command.environ, "ERASER_CONFIG": str(self.new)}
        return AppContext.load({name: value for name, value in environ.items() if value})


@pytest.fixture
def house(command: Command, tmp_path: Path, redis_url: str) -> Installation:
    """Of the project that moves: one on hold, one pending, a dead letter, one deleted. And a bystander."""
    made = Installation(command, tmp_path)
    assert made.before("request", "first").code == 0
    assert made.before("cancel", "first", *WHO_AND_WHY).code == 0
    letters = Undertaker(redis_url, account="studio-a")
    letters.end("dead-1")
    letters.end("deleted-1", to="deleted")
    assert made.before("request", "held-1", "waits-1", "--after", "1h").code == 0
    assert made.before("hold", "add", "held-1", *WHO_AND_WHY).code == 0
    assert made.before("hold", "add", "--app-user", "u-7", *WHO_AND_WHY).code == 0
    assert made.before("request", "other-1", "--project", OTHER, "--after", "1h").code == 0
    return made


def test_nothing_is_begun_for_it_and_each_refusal_says_what_to_type(house: Installation) -> None:
    for words in (
        ("request", "waits-1"),
        ("request", "new-1"),
        ("dead", "replay", "dead-1", *WHO_AND_WHY),
        ("dead", "replay", "--all", "--yes", *WHO_AND_WHY),
    ):
        refused = house.after(*words)
        assert refused.code == 3, words
        assert f"eraser accounts move {PROJECT} --to studio-b --reason R" in refused.err, words
        assert "give the project to studio-a again" in refused.err
    assert house.after("request", "other-2", "--project", OTHER).code == 0, "a bystander goes on"
    assert house.before("request", "new-1").code == 0, "and so does whose settings are right"


def test_no_sweep_reads_its_jobs(house: Installation) -> None:
    policy = f'[policies.old]\nprojects = ["{PROJECT}"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\n'
    house.new.write_text(house.new.read_text() + policy)
    for verb in ("plan", "run"):
        refused = house.after("retention", verb, "old")
        assert refused.code == 3
        assert "eraser accounts move" in refused.err


def test_what_looks_or_stops_finds_it_where_it_lies(house: Installation) -> None:
    assert json.loads(house.after("show", "held-1", "--json").out)["account"] == "studio-a"
    assert house.after("hold", "add", "waits-1", *WHO_AND_WHY).code == 0
    assert json.loads(house.after("show", "waits-1", "--json").out)["state"] == "held"
    assert house.after("hold", "remove", "waits-1", *WHO_AND_WHY).code == 0
    assert house.after("cancel", "waits-1", *WHO_AND_WHY).code == 0


def test_status_doctor_metrics_and_the_list_say_it(house: Installation) -> None:
    command = f"eraser accounts move {PROJECT} --to studio-b --reason R"
    (status,) = house.after("status", "--json").json
    assert status["projects_elsewhere"] == [
        {"project_id": PROJECT, "account": "studio-a", "settings": "studio-b", "moving": False, "command": command}
    ]
    assert status["accounts_gone"] == []
    assert command in house.after("status").out
    rows = {row["check"]: row for row in house.after("doctor", "--offline", "--json").json}
    assert (rows[f"project {PROJECT}"]["verdict"], rows[f"project {PROJECT}"]["todo"]) == ("wrong", command)
    assert command in house.after("accounts", "list").out
    page = metrics.exposition(house.app)[1].decode()
    assert "avatar_eraser_projects_elsewhere 1.0" in page
    assert house.before("status", "--json").json[0]["projects_elsewhere"] == []


def test_an_account_that_is_gone_and_not_empty_is_an_alarm(house: Installation) -> None:
    (status,) = house.without_a("status", "--json").json
    (gone,) = status["accounts_gone"]
    assert (gone["account"], gone["in_settings"], gone["deletions"], gone["holds"]) == ("studio-a", False, 6, 2)
    assert {stray["project_id"] for stray in status["projects_elsewhere"]} == {PROJECT, OTHER}
    assert (
        "account studio-a is gone from the settings, and 6 deletions and 2 holds are still there"
        in house.after("status").out
    )
    rows = {row["check"]: row for row in house.after("doctor", "--offline", "--json").json}
    assert rows["account studio-a"]["verdict"] == "wrong"
    assert "avatar_eraser_accounts_gone 1.0" in metrics.exposition(house.app)[1].decode()
    accounts = {one["account"]: one for one in house.after("accounts", "list", "--json").json}
    assert sorted(accounts["studio-a"]["projects"]) == sorted([PROJECT, OTHER])
    for project in (PROJECT, OTHER):
        assert house.after("accounts", "move", project, "--to", "studio-b", "--yes", *WHO_AND_WHY).code == 0
    assert house.after("status", "--json").json[0]["projects_elsewhere"] == []
    (gone,) = house.after("status", "--json").json[0]["accounts_gone"]
    assert (gone["deletions"], gone["holds"]) == (0, 1), "the app user's hold is everywhere, and is taken away there"
    assert house.after("hold", "remove", "--app-user", "u-7", "--account", "studio-a", *WHO_AND_WHY).code == 0
    assert house.after("status", "--json").json[0]["accounts_gone"] == []


def test_a_move_shows_its_plan_and_then_carries_everything(house: Installation) -> None:
    planned = house.after(*MOVE)
    assert planned.code == 3
    assert f"PLAN  move project {PROJECT} from account studio-a to studio-b" in planned.out
    for line in ("1  pending", "1  held", "1  deleted", "1  dead", "1  cancelled", "1  hold of jobs"):
        assert line in planned.out
    assert " ".join(MOVE[:5]) in planned.err
    assert house.after("status", "--json").json[0]["projects_elsewhere"] != [], "a plan changes nothing"
    done = house.after(*MOVE, "--yes", "--json")
    assert (done.code, done.json) == (0, [{"project_id": PROJECT, "to": "studio-b", "carried": 5, "left": 0}])
    assert house.after("status", "--json").json[0]["projects_elsewhere"] == []
    for job, state in (("held-1", "held"), ("waits-1", "pending"), ("dead-1", "dead"), ("deleted-1", "deleted")):
        found = json.loads(house.after("show", job, "--json").out)
        assert (found["account"], found["state"]) == ("studio-b", state)
    assert "its project was moved here from account studio-a" in house.after("show", "dead-1").out
    assert house.after("request", "held-1").code == 0
    assert json.loads(house.after("show", "held-1", "--json").out)["state"] == "held", "its hold binds here too"
    assert house.after("dead", "replay", "dead-1", *WHO_AND_WHY).code == 0
    entries = [entry for entry in house.after("audit", "--json").json if entry["act"] == "project.moved"]
    assert {entry["account"] for entry in entries} == {"studio-a", "studio-b"}
    assert {(entry["by"], entry["reason"], entry["count"]) for entry in entries} == {("ops-1", "TICKET-1", 5)}
    assert house.after(*MOVE, "--yes", "--json").json[0]["carried"] == 0, "again is as once"
    assert house.before("request", "x").code == 3, "and the old settings are the wrong ones now"


def test_the_receipts_of_before_stay_in_a_whole_chain_and_are_found(house: Installation, tmp_path: Path) -> None:
    assert house.after(*MOVE, "--yes").code == 0
    for account, number in (("studio-a", 2), ("studio-b", 0)):
        file = tmp_path / f"{account}.jsonl"
        assert house.after("receipts", "export", "--account", account, "--to", str(file)).code == 0
        assert sum('"job_id"' in line for line in file.read_text().splitlines()) == number
        if number:
            assert house.after("receipts", "verify", str(file)).code == 0
    assert house.without_a("receipts", "export", "--account", "studio-a").code == 0, "also of an account that is gone"


def test_whoever_reads_what_was_settled_misses_nothing(house: Installation, redis_url: str, tmp_path: Path) -> None:
    site = Site(redis_url, tmp_path / "tokens.toml", {"ERASER_CONFIG": str(house.new), "ERASER_REGION": "cn-north-4"})
    with site.client:
        first = site.call("GET", DELETIONS, params={"limit": "1"}).json()
        assert [item["job_id"] for item in first["items"]] == ["first"]
        assert house.after(*MOVE, "--yes").code == 0
        assert house.after("cancel", "waits-1", *WHO_AND_WHY).code == 0
        second = site.call("GET", DELETIONS, params={"settled_since": first["cursor"]}).json()
        assert [item["job_id"] for item in second["items"]] == ["dead-1", "deleted-1", "waits-1"]
        third = site.call("GET", DELETIONS, params={"settled_since": second["cursor"]}).json()
        assert third["items"] == []
        assert [item["job_id"] for item in site.call("GET", DELETIONS).json()["items"]] == [
            "first",
            "dead-1",
            "deleted-1",
            "waits-1",
        ]


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("studio-c", "there is no account 'studio-c'"),
        ("studio-a", "give project .* to account studio-b, not to studio-a"),
    ],
)
def test_it_goes_only_where_the_settings_say(house: Installation, to: str, why: str) -> None:
    if to == "studio-a":  # it lies there: somebody typed it the wrong way round
        assert house.after(*MOVE, "--yes").code == 0
    refused = house.after("accounts", "move", PROJECT, "--to", to, "--yes", *WHO_AND_WHY)
    assert refused.code == 2
    assert re.search(why, refused.err)


def test_it_goes_to_no_other_metastudio(command: Command, tmp_path: Path) -> None:
    house, elsewhere = Installation(command, tmp_path), 'endpoint = "http://127.0.0.1:9"\n'
    assert house.before("request", "waits-1", "--after", "1h").code == 0
    house.new.write_text(house.new.read_text().replace("[accounts.studio-b]\n", f"[accounts.studio-b]\n{elsewhere}"))
    refused = house.after(*MOVE, "--yes")
    assert refused.code == 3
    assert f"account studio-a belongs to {ADDRESS}, and studio-b to http://127.0.0.1:9" in refused.err
    assert house.before("request", "waits-2").code == 0, "nothing was begun"


def test_calls_under_way_are_told_and_carried_the_next_time(
    house: Installation, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.services.project_moves.PATIENCE_S", 0.0)
    letters = Undertaker(redis_url, account="studio-a")
    letters.request("running-1")
    lease = letters.take()
    first = house.after(*MOVE, "--yes", "--json")
    assert (first.code, first.json[-1]["left"]) == (5, 1)
    for refused in (house.after("request", "x"), house.before("request", "x")):
        assert (refused.code, "is being moved from studio-a to studio-b" in refused.err) == (3, True)
    assert house.after("status", "--json").json[0]["projects_elsewhere"][0]["moving"] is True
    letters.settle(lease, to="deleted")
    assert house.after(*MOVE, "--yes", "--json").json[-1] == {
        "project_id": PROJECT, "to": "studio-b", "carried": 1, "left": 0,
    }  # fmt: skip
    assert house.after("request", "x").code == 0


def test_a_process_that_only_records_follows_where_the_project_lies(house: Installation) -> None:
    """A producer has neither an address nor the file: it must not be fooled into a ledger that nobody looks after."""
    producer: dict[str, Any] = {"ERASER_REGION": None}
    assert house.command("request", "recorded-1", **producer).code == 0
    assert house.app.bulk_queries("studio-a").states([Target(PROJECT, "recorded-1")]).__next__()[1] == "pending"
    assert house.command("status", "--json", **producer).json[0]["accounts_gone"] == []
    house.after(*MOVE, "--yes")
    assert house.command("request", "recorded-2", **producer).code == 0
    assert json.loads(house.after("show", "recorded-2", "--json").out)["account"] == "studio-b"
