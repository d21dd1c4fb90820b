"""`eraser request`: what is accepted is recorded, what is not is told, and nothing happens by accident."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.waiting import wait_until
from worker.ledger.bulk_queries import BulkQueries
from worker.ledger.queries import Queries
from worker.model.target import Target
from worker.services import redis_ping

FIELDS = {"kind", "id", "job_id", "state", "accepted", "deduplicated", "effect", "error"}
BAD = ["a/b", "..", ".", "a.b", "a b", "😀", "x" * 65, "", "-x", "a\tb", "a%2fb"]


@pytest.fixture
def queries(undertaker: Undertaker) -> Queries:
    return Queries(undertaker.redis, "default", rate=10)


# -- ids on the command line -------------------------------------------------------------------------------------------


def test_an_accepted_id_is_recorded_in_the_user_lane(command: Command, queries: Queries) -> None:
    ended = command("request", "job-1", "--reason", "TICKET-1", "--by", "ops-7")
    found = queries.show(Target(PROJECT, "job-1"))
    assert ended.code == 0
    assert found is not None
    assert (found.lane, found.reason, found.requested_by) == ("user", "TICKET-1", "ops-7")
    assert "Accepted 1 deletion" in ended.out
    assert "eraser show job-1" in ended.out


def test_json_has_one_line_a_job_with_exactly_the_promised_fields(command: Command) -> None:
    ended = command("request", "job-1", "job-1", "a/b", "--json")
    assert ended.code == 1
    assert [set(line) for line in ended.json] == [FIELDS] * 3
    assert ended.json[0] == {
        "kind": "job",
        "id": "job-1",
        "job_id": "job-1",
        "state": "pending",
        "accepted": True,
        "deduplicated": False,
        "effect": "new",
        "error": None,
    }
    assert ended.json[1]["deduplicated"] is True
    assert (ended.json[2]["accepted"], ended.json[2]["state"]) == (False, None)
    assert "'/'" in ended.json[2]["error"]


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_id_is_told_and_the_good_ones_are_accepted(command: Command, undertaker: Undertaker, bad: str) -> None:
    ended = command("request", "--json", "--", "good-1", bad, "good-2")
    assert ended.code == 1
    assert [line["accepted"] for line in ended.json] == [True, False, True]
    assert "1 to 64 letters" in ended.json[1]["error"]
    assert undertaker.recorded() == 2


def test_people_hear_of_what_was_merged_held_or_deleted_already(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("done-1", to="deleted")
    undertaker.request("there-1")
    ended = command("request", "done-1", "there-1", "new-1", "a/b")
    assert ended.code == 1
    assert "1 new, 1 merged with earlier requests, 1 already done" in ended.out
    assert "1 deleted already, nothing is sent; --force deletes it again" in ended.out
    assert "not accepted: 'a/b'" in ended.err


def test_force_opens_a_new_round_for_what_is_deleted(
    command: Command, undertaker: Undertaker, queries: Queries
) -> None:
    undertaker.end("done-1", to="deleted")
    assert command("request", "done-1", "--json").json[0]["state"] == "deleted"
    assert command("request", "done-1", "--force", "--json").json[0]["state"] == "pending"
    found = queries.show(Target(PROJECT, "done-1"))
    assert found is not None
    assert found.round == 2


def test_a_request_of_a_person_wakes_a_worker(command: Command, undertaker: Undertaker) -> None:
    assert command("request", "job-1").code == 0
    assert undertaker.redis.zrange("{eraser:wakeups}:now", 0, -1) == [b"default"]


def test_a_request_needs_no_broker(command: Command, undertaker: Undertaker) -> None:
    ended = command.process("request", "job-1", ERASER_BROKER_URL="redis://127.0.0.1:1/0")
    assert (ended.code, ended.err) == (0, "")
    assert undertaker.recorded() == 1
    assert undertaker.redis.zscore("eraser:wakeups", "default") is not None


# -- the cap -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["--max", "100"]])
def test_more_than_a_hundred_ids_need_to_be_confirmed(
    command: Command, undertaker: Undertaker, tmp_path: Path, more: list[str]
) -> None:
    file = tmp_path / "ids"
    file.write_text("".join(f"job-{n}\n" for n in range(101)))
    for args, piped in (([str(file)], b""), (["-"], file.read_bytes())):
        ended = command("request", "--from-file", *args, *more, input=piped)
        assert ended.code == 3
        assert "refused by max: 101 ids" in ended.err
        assert "Nothing was recorded" in ended.err
        assert "--max 101" in ended.err
    assert undertaker.recorded() == 0


def test_a_hundred_ids_need_no_confirmation(command: Command, undertaker: Undertaker) -> None:
    assert command("request", *[f"job-{n}" for n in range(100)]).code == 0
    assert undertaker.recorded() == 100


def test_the_cap_counts_ids_on_the_command_line_too(command: Command, undertaker: Undertaker) -> None:
    assert command("request", "a", "b", "--max", "1").code == 3
    assert undertaker.recorded() == 0


# -- files and pipes ---------------------------------------------------------------------------------------------------


def test_a_file_may_have_comments_blank_lines_crlf_and_a_byte_order_mark(
    command: Command, tmp_path: Path, queries: Queries
) -> None:
    file = tmp_path / "ids"
    file.write_bytes(b"\xef\xbb\xbfjob-1\r\n\r\n# a comment\r\n  job-2  \r\njob-3")
    ended = command("request", "--from-file", str(file), "--json")
    assert ended.code == 0
    assert [line["job_id"] for line in ended.json] == ["job-1", "job-2", "job-3"]
    found = queries.show(Target(PROJECT, "job-3"))
    assert found is not None
    assert found.lane == "bulk"


def test_a_bad_line_does_not_stop_a_file(command: Command, undertaker: Undertaker) -> None:
    piped = b"job-1\n\xff\xfe\xfd\n" + b"x" * 100_000 + b"\njob-2\n"
    ended = command("request", "--from-file", "-", "--json", input=piped)
    assert ended.code == 1
    assert [line["accepted"] for line in ended.json] == [True, False, False, True]
    assert max(len(line["job_id"]) for line in ended.json) <= 128
    assert undertaker.recorded() == 2


def test_many_bad_ids_are_counted_and_not_all_told(command: Command) -> None:
    ended = command("request", "--from-file", "-", input=b"a/b\n" * 25)
    assert ended.code == 1
    assert ended.err.count("'a/b'") == 10
    assert "15 more invalid ids" in ended.err


def test_utf_16_is_refused_with_what_to_do(command: Command) -> None:
    ended = command("request", "--from-file", "-", input="job-1\n".encode("utf-16"))
    assert ended.code == 2
    assert "save it as UTF-8" in ended.err


def test_an_empty_file_is_said_in_words(command: Command) -> None:
    ended = command("request", "--from-file", "-", input=b"# nothing today\n\n")
    assert ended.code == 0
    assert "nothing was requested" in ended.err


def test_a_file_that_is_not_there_is_named(command: Command) -> None:
    ended = command("request", "--from-file", "/nonexistent/ids")
    assert ended.code == 2
    assert "cannot read /nonexistent/ids" in ended.err


def test_a_hundred_thousand_ids_come_through_a_pipe(command: Command, undertaker: Undertaker) -> None:
    piped = "".join(f"job-{n}\n" for n in range(100_000))
    ended = command.process("request", "--from-file", "-", "--max", "100000", input=piped)
    assert ended.code == 0, ended.err
    assert "Accepted 100,000 deletions" in ended.out
    assert undertaker.redis.zcard("eraser:{default}:due:bulk") == 100_000


# -- times -------------------------------------------------------------------------------------------------------------


def test_after_and_at_put_the_deletion_off(command: Command, queries: Queries) -> None:
    at = datetime.now(UTC) + timedelta(days=2)
    assert command("request", "job-1", "--after", "24h", "--deadline", "3d").code == 0
    assert command("request", "job-2", "--at", at.isoformat()).code == 0
    one, two = queries.show(Target(PROJECT, "job-1")), queries.show(Target(PROJECT, "job-2"))
    assert one is not None
    assert two is not None
    assert one.due_at == pytest.approx(time.time() * 1000 + 86_400_000, abs=300_000)
    assert one.deadline_at == pytest.approx(time.time() * 1000 + 3 * 86_400_000, abs=300_000)
    assert two.due_at == pytest.approx(at.timestamp() * 1000, abs=5_000)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--after", "24h", "--at", "2099-01-01T00:00:00Z"], "not both"),
        (["--at", "2099-01-01T00:00:00"], "has no time zone"),
        (["--at", "tomorrow"], "such as 2026-11-22T05:10:00Z"),
        (["--at", "2099-02-31T00:00:00Z"], "there is no such time"),
        (["--at", "2020-01-01T00:00:00Z"], "leave it out to delete at once"),
        (["--after", "soon"], "--after: expected a number and s, m, h or d"),
        (["--after", "40d"], "set a deadline of more than 40d"),
        (["--deadline", "0s"], "--deadline: expected more than 0s"),
        (["--wait", "x"], "--wait: expected a number"),
        (["--reason", "née@example.com"], "reason: use a ticket number"),
        (["--by", "John Smith"], "by: use an opaque id"),
        (["--reason", "asked by 415-555-2671"], "reason: this has the form of a phone number"),
        (["--by", "07911123456"], "by: this has the form of a phone number"),
        (["--run", "234123412346"], "run: this has the form of an identity number"),
        (["--app-user", "a b"], "app user: use an opaque id"),
        (["--project", "a/b"], "a project id is 1 to 64"),
        (["--lane", "fast"], "is not one of"),
        (["--from-file", "ids"], "not both"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_to_type(
    command: Command, undertaker: Undertaker, args: list[str], says: str
) -> None:
    ended = command("request", "job-1", *args)
    assert ended.code == 2
    assert says in ended.err
    assert undertaker.recorded() == 0


def test_the_installations_own_form_of_tickets_passes(command: Command, undertaker: Undertaker) -> None:
    words = ("request", "job-1", "--reason", "4500012345")
    assert "ERASER_REASON_PATTERN" in command(*words).err
    assert command(*words, ERASER_REASON_PATTERN="45[0-9]{8}").code == 0
    assert command("pause", *words[2:], ERASER_REASON_PATTERN="45[0-9]{8}").code == 0
    assert command("show", "job-1", "--json").json[0]["reason"] == "4500012345"
    wrong = command("status", ERASER_REASON_PATTERN="45[")
    assert (wrong.code, "a regular expression" in wrong.err) == (2, True)


def test_without_ids_it_says_how_to_give_them(command: Command) -> None:
    ended = command("request")
    assert ended.code == 2
    assert "--from-file FILE" in ended.err


# -- settings and Redis ------------------------------------------------------------------------------------------------


def test_without_a_project_it_says_what_to_set(command: Command) -> None:
    ended = command("request", "job-1", HUAWEICLOUD_SDK_PROJECT_ID=None)
    assert ended.code == 2
    assert "HUAWEICLOUD_SDK_PROJECT_ID" in ended.err


def test_a_wrong_setting_exits_2(command: Command) -> None:
    ended = command("request", "job-1", ERASER_RAET="1")
    assert ended.code == 2
    assert "did you mean ERASER_RATE" in ended.err


@pytest.mark.parametrize("words", [["status"], ["show", "job-1"], ["request", "job-1"], ["resume", "--reason", "T"]])
def test_no_command_waits_for_celery_to_load(command: Command, words: list[str]) -> None:
    command("request", "job-1")
    ended = command.process(*words, PYTHONPROFILEIMPORTTIME="1")
    assert ended.code == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in ended.err.splitlines()}
    assert "redis" in loaded
    assert not loaded & {"celery", "kombu"}


def test_what_is_recorded_and_not_confirmed_is_not_called_unrecorded(
    command: Command, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.ledger.confirmation.WAIT_MS", 50)
    ended = command("request", "job-1", ERASER_REDIS_REPLICAS="1")
    assert (ended.code, undertaker.recorded()) == (4, 1), ended.err
    assert "recorded, and it may still be carried out, but 0 of 1 replicas have it" in ended.err
    assert "(0 of 1 are confirmed; repeat the command: requests for the same job merge)" in ended.err


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "args",
    [
        ["request", "job-1"],
        ["show", "job-1"],
        ["status"],
        ["cancel", "job-1", "--reason", "T"],
        ["pause", "--reason", "T"],
        ["resume", "--reason", "T"],
        ["dead", "groups"],
        ["dead", "replay", "--all", "--reason", "T"],
        ["doctor", "--offline"],
    ],
    ids=lambda args: " ".join(args[:2]),
)
def test_every_command_exits_4_and_says_what_to_do_when_redis_is_away(command: Command, args: list[str]) -> None:
    ended = command(*args, ERASER_REDIS_URL="redis://127.0.0.1:1/0")
    assert ended.code == 4
    assert "check that it runs and that ERASER_REDIS_URL is right" in ended.all
    assert "Traceback" not in ended.all


def test_a_redis_that_says_nothing_is_given_up(command: Command, silent_port: int) -> None:
    assert redis_ping.PATIENCE_S < 4.0, "with the start of the program less than the promised 5 s"
    began = time.monotonic()
    ended = command.process("request", "job-1", ERASER_REDIS_URL=f"redis://127.0.0.1:{silent_port}/0")
    assert ended.code == 4
    assert "gives no answer" in ended.err
    assert time.monotonic() - began < 60.0, "and not after the minutes that a socket takes"


def test_without_any_redis_it_says_how_to_start_one(command: Command, tmp_path: Path) -> None:
    ended = command("request", "job-1", ERASER_REDIS_URL=None, HOME=str(tmp_path))
    assert ended.code == 4
    assert "eraser up" in ended.err


# -- waiting -----------------------------------------------------------------------------------------------------------


def test_wait_exits_0_when_all_are_deleted_or_gone(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("done-1", to="deleted")
    undertaker.end("gone-1", to="gone", status=404, evidence="never_seen")
    ended = command("request", "done-1", "gone-1", "--wait", "60s", "--json")
    assert ended.code == 0
    assert [line["state"] for line in ended.json] == ["deleted", "gone"]


def test_wait_exits_5_when_the_time_is_over(command: Command) -> None:
    ended = command("request", "job-1", "--wait", "0.2s")
    assert ended.code == 5
    assert "Now: 1 pending" in ended.out


def test_wait_exits_1_when_one_ended_badly(command: Command, undertaker: Undertaker) -> None:
    def die() -> None:
        wait_until(lambda: undertaker.redis.exists("eraser:wakeups"), what="the request is recorded")
        undertaker.settle(undertaker.take(), to="dead")

    thread = threading.Thread(target=die)
    thread.start()
    ended = command("request", "job-1", "--wait", "60s", "--json")
    thread.join()
    assert ended.code == 1
    assert [line["state"] for line in ended.json] == ["dead"]


def test_a_bad_id_exits_1_even_when_the_rest_is_deleted(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("done-1", to="deleted")
    assert command("request", "done-1", "a/b", "--wait", "60s").code == 1


# -- what is personal --------------------------------------------------------------------------------------------------


def test_the_app_user_is_kept_for_the_call_and_shown_nowhere(command: Command, undertaker: Undertaker) -> None:
    canary = "app-user-canary-7"
    outputs = [command("request", "job-1", "--app-user", canary), command("request", "job-1", "--json")]
    assert undertaker.redis.hget(f"eraser:{{default}}:d:{PROJECT}/job-1", "user") == canary.encode()
    outputs += [
        command("show", "job-1"),
        command("show", "job-1", "--json"),
        command("status"),
        command("doctor", "--offline"),
    ]
    assert all(canary not in ended.all for ended in outputs)


def test_all_states_are_read_as_they_are_written(command: Command, undertaker: Undertaker) -> None:
    command("request", "job-1")
    found = dict(BulkQueries(undertaker.redis, "default").states([Target(PROJECT, "job-1"), Target(PROJECT, "job-2")]))
    assert list(found.values()) == ["pending", None]


def test_related_is_recorded_and_a_wrong_word_is_refused(command: Command, undertaker: Undertaker) -> None:
    assert command("request", "job-1", "--related", "delete").code == 0
    assert undertaker.take().related == "delete"
    refused = command("request", "job-2", "--related", "all")
    assert refused.code == 2
    assert "leave" in refused.err


def test_a_run_is_listed_and_cancelled_by_its_name(command: Command) -> None:
    ended = command("request", "job-1", "job-2", "--run", "batch-7", "--after", "1h")
    assert "Next: eraser list --run batch-7" in ended.out
    command("request", "job-3", "--after", "1h")
    assert {line["id"] for line in command("list", "--run", "batch-7", "--json").json} == {"job-1", "job-2"}
    assert command("cancel", "--run", "batch-7", "--reason", "T-1").code == 0
    assert {line["id"] for line in command("list", "--state", "pending", "--json").json} == {"job-3"}
    refused = command("request", "job-4", "--run", "Ann Onymous")
    assert (refused.code, "run: use an opaque id" in refused.err) == (2, True)
