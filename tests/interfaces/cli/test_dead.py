"""`eraser dead`: groups, lists, plans; and nothing is done that nobody confirmed."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.waiting import wait_until

GROUP = {*("group", "cause", "status", "code", "count", "first_seen", "last_seen", "last_replay", "oldest_deadline")}
LETTER = {
    *(
        "project_id",
        "kind",
        "id",
        "job_id",
        "group",
        "cause",
        "status",
        "code",
        "finished_at",
        "deadline_at",
        "requested_at",
    ),
    *("requested_by", "reason", "run", "replay", "round", "lane", "days_left"),
}
RESULT = {"project_id", "kind", "id", "job_id", "state", "done", "error"}
FAILED = "server_error-500-MSS.00000004"


@pytest.fixture
def some(undertaker: Undertaker) -> Undertaker:
    """Five of server_error, two of refused, one of deadline."""
    undertaker.end(*[f"e-{n}" for n in range(5)], claim={"why": "TICKET-1", "by": "ops-7"})
    undertaker.end("r-1", "r-2", cause="refused", status=400, code="MSS.00000003")
    undertaker.end("d-1", cause="deadline", status=None, code=None)
    return undertaker


MANY = """
for n = 0, ARGV[2] - 1 do
  local ref = ARGV[3] .. n
  redis.call('HSET', ARGV[1] .. 'd:' .. ref, unpack(ARGV, 5))
  redis.call('ZADD', ARGV[1] .. 'dead', ARGV[4], ref)
end
"""


def bury(undertaker: Undertaker, number: int) -> None:
    """Very many dead letters, written at once."""
    now = time.time() * 1000
    log = "\n".join("A 1 1 1700000000000 " + json.dumps({"status": 500, "message": "x" * 100}) for _ in range(11))
    fields: dict[str, Any] = {"state": "dead", "lane": "bulk", "at": now, "dl": now + 1e9, "end": now}
    fields |= {"cause": "server_error", "sc": 500, "log": log}
    values = [value for field in fields.items() for value in field]
    undertaker.redis.eval(MANY, 0, undertaker.ledger.prefix, number, f"{PROJECT}/many-", now, *values)


# -- reading ---------------------------------------------------------------------------------------------------------


def test_a_dead_letter_has_the_round_that_show_says(command: Command, some: Undertaker) -> None:
    (letter,) = command("dead", "list", "--job", "d-", "--json").json
    assert letter["round"] == command("show", "d-1", "--json").json[0]["round"] == 1


def test_groups_have_exactly_the_promised_fields(command: Command, some: Undertaker) -> None:
    found = command("dead", "groups", "--json").json
    assert all(set(group) == GROUP for group in found)
    assert [(group["group"], group["count"]) for group in found] == [
        (FAILED, 5),
        ("refused-400-MSS.00000003", 2),
        ("deadline", 1),
    ]
    assert found[0]["last_replay"] is None
    assert found[0]["oldest_deadline"].endswith("Z")


def test_groups_are_the_same_in_every_call(command: Command, some: Undertaker) -> None:
    before = [group["group"] for group in command("dead", "groups", "--json").json]
    some.end("r-3", cause="refused", status=400, code="MSS.00000003")
    assert {group["group"] for group in command("dead", "groups", "--json").json} == set(before)


def test_groups_for_people_end_with_the_next_command(command: Command, some: Undertaker) -> None:
    out = command("dead", "groups").out
    assert "8 dead letters in 3 groups." in out
    assert f"Next: eraser dead show {FAILED}" in out


@pytest.mark.parametrize("args", [["groups"], ["list"]])
def test_no_dead_letters_is_said_in_words(command: Command, args: list[str]) -> None:
    ended = command("dead", *args)
    assert ended.code == 0
    assert "No dead letters: nothing needs a person." in ended.out


def test_a_group_is_shown_by_the_beginning_of_its_name(command: Command, some: Undertaker) -> None:
    out = command("dead", "show", "server*").out
    assert "5 dead letters" in out
    assert "What to do: replay when MetaStudio has recovered" in out
    assert f"eraser dead replay {FAILED}" in out
    (found,) = command("dead", "show", "server*", "--json").json
    assert set(found) == GROUP | {"letters"}


def test_a_group_that_is_not_there_or_not_clear_is_refused_with_what_there_is(
    command: Command, some: Undertaker
) -> None:
    some.end("x-1", code="MSS.00000009")
    unknown, unclear = command("dead", "show", "nope"), command("dead", "show", "server*")
    assert (unknown.code, unclear.code) == (2, 2)
    assert "there are: deadline, refused-400-MSS.00000003" in unknown.err
    assert "'server*' matches 2 groups" in unclear.err
    short = command("dead", "show", "server")
    assert (short.code, "write 'server*'" in short.err) == (2, True)


def test_a_list_can_be_filtered(command: Command, some: Undertaker) -> None:
    def jobs(*args: str) -> list[str]:
        return sorted(line["job_id"] for line in command("dead", "list", "--json", *args).json)

    assert jobs("--cause", "refused") == ["r-1", "r-2"]
    assert jobs("--code", "MSS.00000003") == ["r-1", "r-2"]
    assert jobs("--job", "d-") == ["d-1"]
    assert jobs("--since", "1h", "--limit", "3") != []
    assert jobs("--until", "1h") == []
    assert jobs("--since", "2020-01-01T00:00:00Z", "--cause", "deadline") == ["d-1"]
    assert all(set(line) == LETTER for line in command("dead", "list", "-o", "json").json)


def test_letters_of_several_accounts_are_newest_first_and_a_limit_takes_the_newest(
    command: Command, redis_url: str, tmp_path: Path
) -> None:
    config = tmp_path / "eraser.toml"
    config.write_text('[accounts.a]\nprojects = ["p1"]\n[accounts.b]\nprojects = ["p2"]\n')
    first, second = Undertaker(redis_url, "a", "p1"), Undertaker(redis_url, "b", "p2")
    for number in range(2):
        for undertaker, name in ((first, "a"), (second, "b")):
            undertaker.end(f"{name}-{number}")
            seconds, micros = undertaker.redis.time()
            wait_until(lambda died=(seconds, micros + 2000): first.redis.time() > died, every=0)
    house = {"ERASER_CONFIG": str(config)}
    listed = command("dead", "list", "--json", **house).json
    assert [line["job_id"] for line in listed] == ["b-1", "a-1", "b-0", "a-0"]
    plan = command("dead", "replay", "--all", "--limit", "2", "--reason", "T-1", "--json", **house).json[0]
    assert [share["count"] for share in plan["accounts"]] == [1, 1]


def test_a_job_in_the_place_of_a_group_is_told_the_command_for_one(command: Command, some: Undertaker) -> None:
    assert "one job: `eraser show r-1`" in command("dead", "show", "r-1").err


def test_a_job_that_is_not_dead_is_told_its_state_in_whichever_project_it_is(
    command: Command, redis_url: str, tmp_path: Path
) -> None:
    config = tmp_path / "eraser.toml"
    config.write_text('[accounts.a]\nprojects = ["p1", "p2"]\n')
    Undertaker(redis_url, "a", "p2").end("job-1", to="deleted")
    ended = command(
        "dead", "replay", "job-1", "--reason", "T-1", ERASER_CONFIG=str(config), HUAWEICLOUD_SDK_PROJECT_ID=None
    )
    assert (ended.code, "job-1: it is deleted in project p2, not dead" in ended.err) == (1, True), ended.all


def test_a_filter_that_nothing_passes_is_said_in_words(command: Command, some: Undertaker) -> None:
    assert "No dead letter matches these filters" in command("dead", "list", "--job", "zzz").out


def test_a_wrong_time_says_both_forms(command: Command, some: Undertaker) -> None:
    ended = command("dead", "list", "--since", "yesterday")
    assert ended.code == 2
    assert "such as 24h" in ended.err


def test_csv_is_read_back_and_is_no_formula(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-1", code="=cmd()", claim={"why": "a; b"})
    (row,) = csv.DictReader(io.StringIO(command("dead", "list", "-o", "csv").out))
    assert set(row) == LETTER
    assert (row["code"], row["reason"]) == ("'=cmd()", "a; b")


# -- replaying --------------------------------------------------------------------------------------------------------


def test_one_job_that_is_named_is_replayed_at_once_in_the_user_lane(command: Command, some: Undertaker) -> None:
    ended = command("dead", "replay", "e-1", "--reason", "T-1", "--by", "ops-7")
    assert ended.code == 0
    assert "1 dead letter replayed." in ended.out
    (shown,) = command("show", "e-1", "--json").json
    assert (shown["state"], shown["lane"], shown["round"]) == ("pending", "user", 2)
    assert shown["events"][-1]["why"] == "T-1"


def test_who_asked_and_why_outlives_a_replay_in_the_record_the_history_and_the_receipt(
    command: Command, undertaker: Undertaker
) -> None:
    undertaker.request("e-1", by="ann", why="TICKET-1")
    undertaker.end("e-1", claim={"by": "bob", "why": "TICKET-2"})
    (before,) = command("show", "e-1", "--json").json
    command("dead", "replay", "e-1", "--reason", "INC-77", "--by", "ops-7")
    undertaker.settle(undertaker.take(), to="dead")
    command("dead", "replay", "e-1", "--reason", "INC-78", "--by", "ops-8")
    (shown,) = command("show", "e-1", "--json").json
    assert (shown["requested_by"], shown["reason"], shown["round"]) == ("ann", "TICKET-1", 3)
    first, second = (event for event in shown["events"] if event["event"] == "deletion.replayed")
    assert (first["why"], second["why"]) == ("INC-77", "INC-78")
    assert [claim | {"lane": "bulk"} for claim in shown["claims"]] == before["claims"]
    assert shown["requested_at"] == before["requested_at"]
    page = command("show", "e-1").out
    for line in ("requested by ann: TICKET-1", "requested again by bob: TICKET-2", "a new round by ops-7: INC-77"):
        assert page.count(line) == 1, page
    undertaker.settle(undertaker.take(), to="deleted")
    receipt = command("receipts", "export").json[0]
    assert (receipt["requested_by"], receipt["reason"]) == ("ann", "TICKET-1")


def test_a_letter_that_is_requested_anew_still_tells_who_asked_first(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("e-1", claim={"by": "ann", "why": "TICKET-1"})
    undertaker.request("e-1", by="bob", why="TICKET-2")
    (shown,) = command("show", "e-1", "--json").json
    assert (shown["requested_by"], shown["reason"]) == ("ann", "TICKET-1")
    assert [(claim["requested_by"], claim["reason"]) for claim in shown["claims"]] == [("bob", "TICKET-2")]
    page = command("show", "e-1").out
    assert page.count("requested by ann: TICKET-1") == page.count("a new round (it was dead) by bob: TICKET-2") == 1


def test_a_replay_wakes_a_worker(command: Command, some: Undertaker) -> None:
    some.redis.delete("eraser:{default}:wakeups")  # wake-ups of the executors that made these letters
    some.redis.hdel("eraser:{default}:gate", "called_until")
    assert command("dead", "replay", "e-1", "--reason", "T-1").code == 0
    assert some.redis.zrange("{eraser:wakeups}:now", 0, -1) == [b"default"]
    assert some.redis.zscore("eraser:wakeups", "default") is not None


def test_many_show_a_plan_and_want_yes(command: Command, some: Undertaker) -> None:
    ended = command("dead", "replay", "server*", "r-1", "nix", "--reason", "T 1")
    assert ended.code == 3
    assert "PLAN  replay 6 dead letters" in ended.out
    assert FAILED in ended.out
    assert "skipped: nix: not a dead job and not a group" in ended.out
    assert "account default: 6 at 9." in ended.out
    assert "Dry run, nothing was done" in ended.err
    assert "eraser dead replay 'server*' r-1 nix --reason 'T 1' --snapshot 8 --yes" in ended.err
    assert command("status", "--json").json[0]["states"]["dead"] == 8


@pytest.mark.parametrize("verb", ["replay", "discard"])
@pytest.mark.parametrize("what", ["e-1", "server*", "--all"])
def test_a_plan_alone_ends_well_and_does_nothing(command: Command, some: Undertaker, verb: str, what: str) -> None:
    words = ["dead", verb, what, "--reason", "T-1", "--plan"]
    ended = command(*words)
    assert (ended.code, "PLAN" in ended.out) == (0, True)
    assert f"Nothing was done. To execute:\n  eraser dead {verb}" in ended.err
    assert "--yes" in ended.err
    (planned,) = command(*words, "--json").json
    assert planned["over_cap"] is False
    assert command("status", "--json").json[0]["states"]["dead"] == 8
    assert command(*words, "--yes").code == 2


def test_the_command_that_a_refusal_names_does_it(command: Command, some: Undertaker) -> None:
    ended = command("dead", "replay", "server*", "r-1", "--reason", "T 1", "--snapshot", "8", "--yes", "--no-wait")
    assert ended.code == 5
    assert "Started replay-" in ended.out
    assert "6 dead letters: nothing has started yet." in ended.out
    assert "eraser replay cancel replay-" in ended.out


def test_what_died_after_the_plan_is_not_replayed(command: Command, some: Undertaker) -> None:
    some.end("e-9")
    ended = command("dead", "replay", "server*", "--reason", "T 1", "--snapshot", "8", "--json")
    assert ended.code == 3
    assert ended.json[0]["will_be_replayed"] == 5
    assert command("dead", "replay", "server*", "--reason", "T 1", "--json").json[0]["will_be_replayed"] == 6
    assert "the plan's number" in command("dead", "replay", "server*", "--reason", "T", "--snapshot", "now").err


def test_a_few_jobs_that_are_named_need_no_plan(command: Command, some: Undertaker) -> None:
    ended = command("dead", "replay", "e-1", "r-1", "--reason", "T-1")
    assert ended.code == 0
    assert "2 dead letters replayed." in ended.out
    assert command("show", "r-1", "--json").json[0]["lane"] == "user"


def test_the_same_filters_choose_what_is_listed_replayed_and_discarded(command: Command, some: Undertaker) -> None:
    args = ["--code", "MSS.00000003", "--lane", "bulk", "--since", "1h", "--job", "r-"]
    assert len(command("dead", "list", *args, "--json").json) == 2
    ended = command("dead", "replay", *args, "--reason", "T-1")
    assert "PLAN  replay 2 dead letters: code MSS.00000003, lane bulk, since" in ended.out
    assert f"eraser dead replay {' '.join(args[:4])} --job r- --since 1h --reason T-1 --snapshot 8 --yes" in ended.err
    assert command("dead", "discard", *args, "--reason", "T-1", "--yes").code == 0
    assert command("status", "--json").json[0]["states"]["discarded"] == 2


def test_a_group_remembers_when_it_was_replayed(command: Command, some: Undertaker) -> None:
    assert command("dead", "replay", "server*", "--limit", "2", "--yes", "--no-wait", "--reason", "canary").code == 5
    group = command("dead", "groups", "--json").json[0]
    assert group["group"] == FAILED
    assert group["last_replay"] is not None
    assert "never" in command("dead", "groups").out  # the others


@pytest.mark.parametrize("verb", ["replay", "discard"])
@pytest.mark.parametrize("more", [["--yes"], ["--yes", "--max", "100"], []])
def test_above_a_hundred_the_number_has_to_be_confirmed(
    command: Command, undertaker: Undertaker, verb: str, more: list[str]
) -> None:
    bury(undertaker, 101)
    ended = command("dead", verb, "--all", "--reason", "T-1", *more)
    assert ended.code == 3
    assert "refused by max: 101 dead letters" in ended.err
    bound = " --snapshot 0" if verb == "replay" else ""
    assert f"eraser dead {verb} --all --reason T-1{bound} --yes --max 101" in ended.err
    assert undertaker.redis.zcard("eraser:{default}:dead") == 101


def test_what_is_not_dead_is_skipped_with_its_state(command: Command, some: Undertaker) -> None:
    some.end("done-1", to="deleted")
    ended = command("dead", "replay", "done-1", "--reason", "T-1")
    assert ended.code == 1
    assert "done-1: it is deleted, not dead" in ended.err
    assert "Nothing was done" in ended.out
    (line,) = command("dead", "replay", "done-1", "--reason", "T-1", "--json").json
    assert set(line) == RESULT
    assert (line["done"], line["error"]) == (False, "it is deleted, not dead")


def test_all_of_nothing_is_said_in_words(command: Command) -> None:
    ended = command("dead", "replay", "--all", "--yes", "--reason", "T-1")
    assert ended.code == 0
    assert "Nothing was done: no dead deletion matches" in ended.out


def test_a_job_of_two_projects_needs_its_project(command: Command, redis_url: str, undertaker: Undertaker) -> None:
    undertaker.end("job-1")
    Undertaker(redis_url, project="other").end("job-1")
    ended = command("dead", "replay", "job-1", "--reason", "T-1")
    assert ended.code == 2
    assert "--project other" in ended.err
    assert command("dead", "replay", "job-1", "--project", "other", "--reason", "T-1").code == 0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["replay", "--reason", "T"], "or --all"),
        (["replay", "e-1", "--all", "--reason", "T"], "not both"),
        (["replay", "e-1"], "--reason"),
        (["replay", "e-1", "--reason", "a@b"], "reason: use a ticket number"),
        (["discard", "e-1", "--reason", "T", "--by", "a b"], "by: use an opaque id"),
        (["list", "--cause", "bad luck"], "is not one of"),
    ],
)
def test_wrong_usage_exits_2(command: Command, some: Undertaker, args: list[str], says: str) -> None:
    ended = command("dead", *args)
    assert ended.code == 2
    assert says in ended.err


# -- giving up, and taking back ---------------------------------------------------------------------------------------


def test_a_letter_is_discarded_and_restored(command: Command, some: Undertaker) -> None:
    ended = command("dead", "discard", "r-1", "--reason", "T-1")
    assert ended.code == 0
    assert "eraser dead restore r-1" in ended.out
    assert command("show", "r-1", "--json").json[0]["state"] == "discarded"
    assert command("dead", "restore", "r-1", "--reason", "T-1", "--json").json == [
        {
            "project_id": PROJECT,
            "kind": "job",
            "id": "r-1",
            "job_id": "r-1",
            "state": "dead",
            "done": True,
            "error": None,
        }
    ]
    assert {group["group"]: group["count"] for group in command("dead", "groups", "--json").json}[
        "refused-400-MSS.00000003"
    ] == 2


def test_a_group_that_was_discarded_is_restored_after_a_plan(command: Command, some: Undertaker) -> None:
    assert command("dead", "discard", "server*", "--reason", "T-1", "--yes").code == 0
    planned = command("dead", "restore", "server*", "--reason", "T-1", "--json")
    assert (planned.code, planned.json) == (
        3,
        [{"what": FAILED, "will_be_restored": 5, "skipped": [], "groups": {FAILED: 5}, "cap": 100, "over_cap": False}],
    )
    assert command("dead", "discard", "r-1", "d-1", "--reason", "T", "--json").json[0]["will_be_discarded"] == 2
    assert command("dead", "restore", "server*", "--reason", "T-1").code == 3
    assert "5 dead letters restored." in command("dead", "restore", "server*", "--reason", "T-1", "--yes").out


def test_what_was_not_discarded_cannot_be_restored(command: Command, some: Undertaker) -> None:
    ended = command("dead", "restore", "e-1", "--reason", "T-1")
    assert ended.code == 1
    assert "it is dead, not discarded" in ended.err


def test_after_thirty_days_it_is_too_late(command: Command, some: Undertaker) -> None:
    command("dead", "discard", "e-1", "--reason", "T-1")
    long_ago = time.time() * 1000 - 31 * 86_400_000
    some.redis.hset(f"eraser:{{default}}:d:{PROJECT}/e-1", "end", f"{long_ago:.0f}")
    ended = command("dead", "restore", "e-1", "--reason", "T-1")
    assert ended.code == 1
    assert "more than 30 days ago" in ended.out
