"""`eraser show`: the record, its timeline in words, and the promised JSON."""

from __future__ import annotations

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.erasures import PARTS, erased
from worker.ledger.records import Attempt, Deletion, Event
from worker.model.erasure import Verdict
from worker.model.target import Target
from worker.services.show import left_out, timeline

PROMISED = [
    *(
        "project_id",
        "kind",
        "id",
        "job_id",
        "state",
        "waiting_for",
        "cause",
        "evidence",
        "lane",
        "reason",
        "requested_by",
    ),
    *("requested_at", "due_at", "deadline_at", "finished_at", "round", "attempts"),
]
EXTRA = {"replay", "account", "run", "may_be_deleted", "claims", "events", "related", "erasure", "inventory"}
EXTRA |= {"asset_id", "voice_train_job_id", "archived"}
ATTEMPT = {"n", "round", "at", "status", "code", "message", "request_id", "ms", "outcome"}


def test_json_has_exactly_the_promised_fields_and_ours(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-1", message="boom", claim={"why": "TICKET-1", "by": "ops-7", "run": "run-1"})
    (found,) = command("show", "job-1", "--json").json
    assert list(found)[: len(PROMISED)] == PROMISED
    assert set(found) == set(PROMISED) | EXTRA
    assert [set(attempt) for attempt in found["attempts"]] == [ATTEMPT]
    assert (found["state"], found["cause"], found["reason"]) == ("dead", "server_error", "TICKET-1")
    assert found["requested_at"].endswith("Z")
    assert found["attempts"][0]["request_id"] == "req-1"


def test_a_dead_letter_is_told_with_its_attempts_and_what_to_type(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-1", message="boom [red]x[/red]", claim={"why": "TICKET-1", "by": "ops-7"})
    ended = command("show", "job-1")
    assert ended.code == 0
    assert "dead: needs a person" in ended.out
    assert "MetaStudio failed or did not answer until all attempts were used" in ended.out
    assert "attempt 1: 500 MSS.00000004 boom [red]x[/red] after 41 ms → failed" in ended.out
    assert "X-Request-Id req-1" in ended.out
    assert "30 days left" in ended.out
    assert "1, 1 attempt used" in ended.out, "of how many only its worker knew"
    assert "eraser dead replay job-1" in ended.out


def test_what_it_waits_for_and_until_when(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1")
    undertaker.settle(undertaker.take(), to="pending", wait="retry", delay_s=600, fields={"unk": "1"})
    ended = command("show", "job-1")
    assert "waiting for its next attempt" in ended.out
    assert "it may be deleted" in ended.out
    assert "in 9 min" in ended.out or "in 10 min" in ended.out
    assert command("show", "job-1", "--json").json[0]["may_be_deleted"] is True


def test_evidence_is_told_in_words(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-1", to="gone", status=404, code="MSS.00000005", evidence="seen_before")
    assert "MetaStudio had listed the job before; afterwards it was absent" in command("show", "job-1").out


def test_what_was_not_visible_says_what_to_type_if_it_was_the_projects_last_job(
    command: Command, undertaker: Undertaker
) -> None:
    undertaker.end("job-1", to="dead", cause="not_visible", status=400, code="MSS.00000003")
    for ended in (command("show", "job-1"), command("dead", "show", "not_visible*")):
        text = " ".join(ended.out.split())
        assert "if it was the project's last job and you know that it is gone" in text
        assert "eraser dead discard JOB_ID --reason 'last job of the project'" in text
        assert "eraser doctor" in text
        assert "--app-user" in text
    typed = ("dead", "discard", "job-1", "--reason", "last job of the project", "--by", "ops")
    assert command(*typed).code == 0
    assert command("show", "job-1", "--json").json[0]["state"] == "discarded"


def test_a_job_that_nobody_asked_for_exits_1_and_says_what_to_type(command: Command) -> None:
    ended = command("show", "job-1")
    assert ended.code == 1
    assert f"eraser request job-1 --project {PROJECT}" in ended.err


@pytest.mark.parametrize("bad", ["a/b", "..", "", "x" * 65, "😀"])
def test_a_bad_id_is_refused(command: Command, bad: str) -> None:
    ended = command("show", "--", bad)
    assert ended.code == 2
    assert "a job id is 1 to 64" in ended.err


def test_every_requester_is_in_the_timeline(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("job-1", by="ops-1", why="T-1")
    undertaker.request("job-1", by="ops-2", why="T-2", run="run-9")
    ended = command("show", "job-1")
    assert "requested by ops-1: T-1" in ended.out
    assert "requested again by ops-2 for run-9: T-2" in ended.out
    (claim,) = command("show", "job-1", "--json").json[0]["claims"]
    assert set(claim) == {"requested_by", "reason", "run", "lane", "requested_at"}


def test_what_a_terminal_would_obey_is_not_printed(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-1", message="\x1b[2Jgone\x07")
    assert "\x1b[2J" not in command("show", "job-1").out


def deletion(attempts: list[Attempt], events: list[Event]) -> Deletion:
    empty = dict.fromkeys(
        ("waiting_for", "cause", "evidence", "reason", "requested_by", "run", "due_at", "finished_at", "status", "code")
    )
    return Deletion(
        **empty,  # type: ignore[arg-type]
        ref=Target(PROJECT, "job-1"),
        account="default",
        state="pending",  # type: ignore[arg-type]
        lane="user",
        claims=(),
        requested_at=0.0,
        deadline_at=1e12,
        round=2,
        used=0,
        may_be_deleted=False,
        cancel_wanted=False,
        asset_id=None,
        voice_train_job_id=None,
        attempts=tuple(attempts),
        events=tuple(events),
    )


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        ("deletion.looked", {"found": "absent", "status": 200}, "asked MetaStudio for the job: it is not there (200)"),
        ("deletion.looked", {"found": "present", "job_state": "TRAINING"}, "it is there, in state TRAINING"),
        ("deletion.looked", {"found": "unseen", "status": 200}, "neither is any other job: no proof, asked again"),
        ("deletion.died", {"cause": "deadline"}, "died: its deadline passed while it waited"),
        ("deletion.lost", {}, "not counted"),
        ("deletion.deleted", {"late": True, "was": "dead"}, "deleted, late; it had become dead"),
        ("deletion.postponed", {"probe": "outage", "status": 503}, "probe failed"),
        ("deletion.postponed", {"error": "HUAWEICLOUD_SDK_AK: not set"}, "not sent: HUAWEICLOUD_SDK_AK: not set"),
        ("deletion.requested", {"was": "dead", "by": "ops"}, "requested again, a new round (it was dead) by ops"),
        ("deletion.something_new", {}, "deletion.something_new"),
    ],
)
def test_events_are_told_in_words(name: str, fields: dict[str, object], words: str) -> None:
    moment, requested = timeline(deletion([], [Event(1.0, name, fields)]))
    assert words in moment.text
    assert requested.text == "requested"


def test_a_timeline_is_newest_first_and_tells_silences() -> None:
    silent = Attempt(1, 2, 10.0, {"failure": "timeout", "ms": 45000, "outcome": "failed"})
    later = Attempt(2, 2, 20.0, {"status": 200, "ms": 40, "outcome": "deleted"})
    first, second, _ = timeline(deletion([silent, later], []))
    assert first.text == "attempt 2: 200 after 40 ms → deleted"
    assert second.text == "attempt 1: no answer: the call timed out after 45000 ms → failed"


def test_attempts_that_were_not_kept_are_counted() -> None:
    kept = [Attempt(n, 2, float(n), {"status": 500}) for n in (1, 2, 3, *range(15, 35))]
    assert left_out(deletion(kept, [])) == 11


def test_what_a_job_left_behind_is_said_part_by_part(command: Command, undertaker: Undertaker) -> None:
    erased(undertaker, "job-1")
    text = " ".join(command("show", "job-1").out.split())
    assert "partial: something was left behind" in text
    assert "model asset a-1: still there" in text
    assert "voice job v-1: still there (it names no training job)" in text
    assert "voice asset va-1: gone: MetaStudio says that its files are deleted; MetaStudio removed it" in text
    assert "not checked" not in text
    (found,) = command("show", "job-1", "--json").json
    assert (found["erasure"], found["inventory"]) == ("partial", "none")
    part = {"part", "id", "project_id", "before", "after", "removed_by", "evidence", "calls", "verified_at", "due"}
    assert [set(one) for one in found["related"]] == [part] * 3
    assert "inventory none: nobody could say" in text


def test_what_was_left_behind_leads_to_the_command_that_deletes_it(command: Command, undertaker: Undertaker) -> None:
    erased(undertaker, "job-1", parts=[{**PARTS[0], "named_by": "job", "project_id": PROJECT}])
    erased(undertaker, "job-2", Verdict.WHOLE_BY_ACKNOWLEDGEMENT, parts=[])
    typed = f"eraser related erase job-1 --project {PROJECT} --reason TICKET"
    assert f"Next: {typed}" in command("show", "job-1").out
    assert "PLAN" in command(*typed.split()[1:]).out, "it is a command that shows its plan first"
    assert "Next:" not in command("show", "job-2").out
