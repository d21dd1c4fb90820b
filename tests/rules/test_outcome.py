"""What every answer means and what becomes of the deletion: a row for each row of the documents' tables of codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.responses import JOB, REDIS_MS, failure, lease, listing, looked, no_list, response, row
from worker.ledger.types import ABSENT_ONCE, Lease, Settlement, Trial, compact
from worker.metastudio.exchange import Reply
from worker.metastudio.parsing import read_answer, read_listing
from worker.metastudio.response import Body, Listing, Response, TransportFailure
from worker.metastudio.targets.avatar_job import DELETABLE, STATES
from worker.rules import gate_signals
from worker.rules.backoff import Backoff
from worker.rules.classify import NOT_SENT, Presence, ResponseKind, classify, outcome_unknown, presence
from worker.rules.outcome import OutcomeRules, sighting
from worker.rules.settlements import REFUSALS

SCHEDULE = Backoff(retry=(10.0, 30.0, 120.0), not_deletable=(60.0, 600.0))
LAST = SCHEDULE.attempts - 1
JUDGE = OutcomeRules(SCHEDULE, "k1", 0.0)
ABSENT = listing()
SOME_JOB = listing(row("another"))  # what the control GET is answered: somebody's job


def settled(
    rules: OutcomeRules,
    lease: Lease,
    response: Response,
    *,
    listed: Listing = ABSENT,
    control: Listing = SOME_JOB,
    worth: Presence = Presence.ABSENT,
) -> Settlement:
    """What an executor makes of the answer to a DELETE, the second answer included where one is needed."""
    match classify(response):
        case ResponseKind.ASK:
            return rules.after_asking(lease, response, looked(listed, worth))
        case ResponseKind.FORBIDDEN:
            return rules.after_control(lease, response, control.response)
        case _:
            return rules.after_delete(lease, response)


def summary(settlement: Settlement) -> str:
    """A settlement in a line: state, cause, evidence or wait, delay, whether an attempt was used."""
    parts = [settlement.to, settlement.cause, settlement.evidence]
    if settlement.to == "pending":
        parts += [settlement.wait, f"{settlement.delay_s:g}s"]
    if settlement.used:
        parts.append("used")
    return " ".join(part for part in parts if part)


# -- one row an answer -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ends:
    """How it ends for a fresh lease, for a second attempt after one of unknown outcome, and on the last attempt."""

    fresh: str
    unknown: str
    last: str


DELETED = Ends("deleted", "deleted", "deleted")
RETRIED = Ends("pending retry 10s used", "pending retry 30s used", "dead server_error used")
# asking finds it absent
GONE_IF_CALLED = Ends("pending retry 60s", "gone after_our_call", "pending retry 60s")
GONE = Ends("gone after_our_call", "gone after_our_call", "gone after_our_call")
# the control GET is answered well: the account may call, this job may not be deleted
REFUSED = Ends("pending retry 10s used", "pending retry 30s used", "dead refused used")
ACCOUNT = Ends("pending retry 0s", "pending retry 0s", "pending retry 0s")
# nothing was sent, so nothing is used up: not even the last attempt
SPARED = Ends("pending retry 10s", "pending retry 10s", "pending retry 10s")
SLOWER = Ends("pending retry 1s", "pending retry 1s", "pending retry 1s")

Row = tuple[Response, ResponseKind, bool, Ends]


def rows_of(kind: ResponseKind, unknown: bool, ends: Ends) -> Callable[[Response], Row]:
    return lambda answer: (answer, kind, unknown, ends)


ask = rows_of(ResponseKind.ASK, False, GONE_IF_CALLED)
odd = rows_of(ResponseKind.ASK, True, GONE)
failed = rows_of(ResponseKind.FAILED, True, RETRIED)
not_done = rows_of(ResponseKind.FAILED, False, RETRIED)
not_sent = rows_of(ResponseKind.FAILED, False, SPARED)
credentials = rows_of(ResponseKind.CREDENTIALS, False, ACCOUNT)
forbidden = rows_of(ResponseKind.FORBIDDEN, False, REFUSED)
done = rows_of(ResponseKind.DELETED, False, DELETED)
throttled = rows_of(ResponseKind.THROTTLED, False, SLOWER)

METASTUDIO = [
    credentials(response(401, "MSS.00000001")),
    ask(response(400, "MSS.00000002")),
    ask(response(400, "MSS.00000003")),
    failed(response(500, "MSS.00000004")),
    forbidden(response(400, "MSS.00010003")),
    forbidden(response(400, "MSS.00010004")),
    credentials(response(400, "MSS.00010008")),
    forbidden(response(400, "MSS.00010009")),
    ask(response(400, "MSS.10000002")),
    ask(response(400, "MSS.10000003")),
    ask(response(400, "MSS.10001001")),
    ask(response(400, "MSS.10001004")),
    ask(response(400, "MSS.10001002")),
    ask(response(400, "MSS.45000001")),
    failed(response(500, "MSS.45000001")),
    failed(response(500, "MSS.42000007")),
    ask(response(400, "MSS.47000011")),
    ask(response(400, "MSS.20010135")),
    failed(response(500, "MSS.20010135")),
    ask(response(400, "44005901")),
    # the low codes of the other editions: the status decides, whatever the code says
    failed(response(500, "MSS.000000001")),
    failed(response(500, "MSS.000000002")),
    ask(response(400, "MSS.000000003")),
    credentials(response(401, "MSS.000000004")),
    credentials(response(401, "MSS.00000004")),
    ask(response(400, "MSS.00000004")),
    failed(response(500, "MSS.00000003")),
    odd(response(200, "MSS.00000000")),
]
GATEWAY = [
    forbidden(response(404, "APIGW.0101")),
    not_done(response(404, "APIGW.0103")),
    not_done(response(400, "APIGW.0104")),
    not_done(response(400, "APIGW.0105")),
    not_done(response(400, "APIGW.0106")),
    ask(response(400, "APIGW.0201")),
    ask(response(413, "APIGW.0201")),
    ask(response(414, "APIGW.0201")),
    ask(response(494, "APIGW.0201")),
    failed(response(502, "APIGW.0201")),
    failed(response(504, "APIGW.0201")),
    credentials(response(401, "APIGW.0301")),
    forbidden(response(403, "APIGW.0302")),
    credentials(response(401, "APIGW.0303")),
    forbidden(response(403, "APIGW.0304")),
    credentials(response(401, "APIGW.0305")),
    forbidden(response(403, "APIGW.0306")),
    credentials(response(401, "APIGW.0307")),
    throttled(response(429, "APIGW.0308")),
    forbidden(response(403, "APIGW.0310")),
    credentials(response(401, "APIGW.0311")),
    forbidden(response(403, "APIGW.0401")),
    forbidden(response(403, "APIGW.0402")),
    forbidden(response(403, "APIGW.0404")),
    forbidden(response(405, "APIGW.0501")),
    forbidden(response(405, "APIGW.0502")),
    failed(response(500, "APIGW.0601")),
    ask(response(400, "APIGW.0602")),
    failed(response(500, "APIGW.0605")),
    failed(response(500, "APIGW.0606")),
    forbidden(response(400, "APIGW.0607")),
    failed(response(500, "APIGW.0608")),
    failed(response(500, "APIGW.0609")),
    failed(response(500, "APIGW.0611")),
    failed(response(500, "APIGW.0612")),
    failed(response(500, "APIGW.0705")),
    failed(response(502, "APIGW.0610")),
    failed(response(503, "APIGW.0613")),
    forbidden(response(403, "APIGW.0801")),
    forbidden(response(403, "APIGW.0802")),
]
PREFIX = "Incorrect IAM authentication information: "
SERVER_TIME = datetime.fromtimestamp(REDIS_MS / 1000, UTC) + timedelta(minutes=20)
EXPIRED = response(
    401,
    "APIGW.0301",
    message=PREFIX + "calc aksk signature fail:signature expired, signature time:20270115T080000Z,"
    "server time:20270115T082000Z",
    server_time=SERVER_TIME,
)
LOCKED = response(401, "APIGW.0301", message=PREFIX + "AK access failed to reach the limit,forbidden.")
REFUSED_SIGNATURES = [
    credentials(
        response(401, "APIGW.0301", message=PREFIX + "verify aksk signature fail, canonicalRequest:DELETE|/v1")
    ),
    (EXPIRED, ResponseKind.CLOCK, False, ACCOUNT),
    credentials(replace(EXPIRED, server_time=None)),
    credentials(response(401, "APIGW.0301", message=PREFIX + "calc aksk signature fail:body too large")),
    credentials(LOCKED),
    credentials(response(401, "APIGW.0301", message=PREFIX + "Get secretKey failed")),
    credentials(response(401, "APIGW.0301", message=PREFIX + "decrypt token fail")),
]
STATUSES = [
    done(response(200)),
    odd(response(201)),
    odd(response(202)),
    done(response(204)),
    odd(response(206)),
    not_done(response(301)),
    not_done(response(302)),
    not_done(response(304)),
    ask(response(400)),
    credentials(response(401)),
    ask(response(402)),
    forbidden(response(403)),
    ask(response(404)),
    forbidden(response(405)),
    ask(response(406)),
    ask(response(407)),
    not_done(response(408)),
    ask(response(409)),
    ask(response(410)),
    ask(response(413)),
    ask(response(414)),
    throttled(response(429)),
    ask(response(494)),
    failed(response(500)),
    failed(response(501)),
    failed(response(502)),
    failed(response(503)),
    failed(response(504)),
]
BODIES = [
    done(response(200, body=Body.JSON)),
    odd(response(200, body=Body.HTML)),
    odd(response(204, body=Body.HTML)),
    odd(response(200, body=Body.OTHER)),
    odd(response(200, "MSS.00000004")),
    odd(response(200, body=Body.JSON, message="Internal Error")),
    odd(response(200, body=Body.OTHER, truncated=True)),
    odd(response(200, truncated=True)),
    ask(response(400, body=Body.HTML)),
    ask(response(404, body=Body.HTML)),
    ask(response(404, "MSS.00000003")),
    failed(response(502, body=Body.HTML)),
    failed(response(500, body=Body.OTHER, truncated=True)),
]
SILENCES = [
    not_sent(failure(TransportFailure.NOT_SENT)),
    failed(failure(TransportFailure.RESET)),
    failed(failure(TransportFailure.TIMEOUT)),
    failed(failure(TransportFailure.GARBLED)),
]
ROWS = METASTUDIO + GATEWAY + REFUSED_SIGNATURES + STATUSES + BODIES + SILENCES


def _name(answer: Any) -> str | None:
    if not isinstance(answer, Response):
        return None
    parts = [
        answer.status or answer.failure,
        answer.code,
        answer.body if answer.code is None and answer.status else None,
    ]
    return " ".join(str(part) for part in parts if part)


@pytest.mark.parametrize(("answer", "means", "unknown", "ends"), ROWS, ids=_name)
def test_every_answer_of_the_documents_means_one_thing_and_ends_in_one_way(
    answer: Response, means: ResponseKind, unknown: bool, ends: Ends
) -> None:
    assert classify(answer) is means
    assert outcome_unknown(answer) is unknown
    fresh = settled(JUDGE, lease(), answer)
    assert summary(fresh) == ends.fresh
    assert summary(settled(JUDGE, lease(outcome_unknown=True, calls=1, attempts_used=1), answer)) == ends.unknown
    assert summary(settled(JUDGE, lease(attempts_used=LAST, calls=LAST), answer)) == ends.last
    assert fresh.called
    assert fresh.attempt is not None
    assert fresh.attempt.get("status") == answer.status
    assert (fresh.fields.get("unk") == "1") is (unknown and fresh.to == "pending"), "what may have happened is kept"


@pytest.mark.parametrize("silent", list(TransportFailure))
def test_every_silence_has_its_row(silent: TransportFailure) -> None:
    assert any(answer.failure is silent for answer, *_ in SILENCES)


@pytest.mark.parametrize("answered", [response(400), response(403)])
def test_an_answer_that_needs_another_question_is_settled_by_nobody_alone(answered: Response) -> None:
    with pytest.raises(ValueError, match="needs another call"):
        JUDGE.after_delete(lease(), answered)


# -- asking ----------------------------------------------------------------------------------------------------------

REJECTED = response(400, "MSS.00000003")


@pytest.mark.parametrize("state", sorted(STATES | {"A_STATE_OF_NEXT_YEAR"}))
def test_a_job_that_is_there_is_refused_if_deletable_and_waited_for_if_not(state: str) -> None:
    end = JUDGE.after_asking(lease(), REJECTED, looked(listing(row(state=state))))
    if state in DELETABLE:
        assert summary(end) == "pending retry 10s used"
        assert end.fields == {"listed": "1", "refused": "1"}
    else:
        assert summary(end) == "pending not_deletable_yet 60s"
        assert end.fields == {"listed": "1", "later": "1", "look": "0", "refused": "0"}
        assert end.event is not None
        assert end.event["job_state"] == state


@dataclass(frozen=True)
class Absence:
    """What is known of a job that a well-formed list does not have, and how that ends."""

    ends: str
    worth: Presence = Presence.ABSENT
    unknown: bool = False
    listed: bool = False
    looks: int = 0
    unseen: int = 0


SECOND = ABSENT_ONCE + 1
STEPS = len(SCHEDULE.retry)
ABSENCES = [
    Absence("gone after_our_call", unknown=True),
    Absence("gone after_our_call", unknown=True, listed=True),
    Absence("gone after_our_call", unknown=True, looks=1),
    Absence("gone seen_before", listed=True),
    Absence("gone seen_before", listed=True, looks=SECOND),
    Absence("pending retry 60s"),
    Absence("pending retry 60s", looks=1),  # looked before, but that was not answered
    Absence("pending retry 60s", looks=7, unseen=2),
    Absence("gone never_seen", looks=SECOND),
]


@pytest.mark.parametrize("case", ABSENCES, ids=str)
@pytest.mark.parametrize("how", ["after a DELETE", "by a look alone"])
def test_absence_between_control_questions_is_proof_as_far_as_it_goes(case: Absence, how: str) -> None:
    held = lease(
        outcome_unknown=case.unknown, listed=case.listed, lookup_count=case.looks, empty_lookup_count=case.unseen
    )
    if how == "by a look alone":
        end = JUDGE.after_look(replace(held, lookup_count=case.looks or 1), looked(ABSENT))
    else:
        end = JUDGE.after_asking(held, REJECTED, looked(ABSENT))
    assert end is not None
    assert summary(end) == case.ends
    assert not end.used
    if end.to == "pending":
        assert int(end.fields["look"]) > ABSENT_ONCE, "the next look is the second one"
        assert end.fields["unseen"] == "0", "the project is not empty"


@pytest.mark.parametrize("known", [{}, {"outcome_unknown": True}, {"listed": True}, {"lookup_count": SECOND}], ids=str)
@pytest.mark.parametrize("how", ["after a DELETE", "by a look alone"])
def test_where_the_whole_project_looks_empty_absence_is_no_proof_whatever_is_known(
    known: dict[str, Any], how: str
) -> None:
    """It is asked again, uses no attempt, and needs a person after the last step: 16 hours by default."""
    held, waits = lease(**known), []
    for _ in range(STEPS):
        if how == "by a look alone":
            end = JUDGE.after_look(replace(held, lookup_count=held.lookup_count or 1), looked(ABSENT, Presence.UNSEEN))
        else:
            end = JUDGE.after_asking(held, REJECTED, looked(ABSENT, Presence.UNSEEN))
        assert end is not None
        assert (end.to, end.wait, end.used, end.evidence) == ("pending", "retry", False, None)
        assert int(end.fields["look"]) % ABSENT_ONCE > 0, "no DELETE before it is seen"
        waits.append(end.delay_s)
        held = after(held, end)
    assert waits == [60.0, 60.0, 120.0]
    end = JUDGE.after_look(held, looked(ABSENT, Presence.UNSEEN))
    assert end is not None
    assert summary(end) == "dead not_visible"


def test_a_500_is_a_failed_attempt_however_empty_the_list_is() -> None:
    end = JUDGE.after_asking(lease(outcome_unknown=True), response(500), looked(ABSENT, Presence.UNSEEN))
    assert summary(end) == "pending retry 10s used"


def test_what_was_withdrawn_is_looked_for_until_its_deadline_and_never_dead_as_not_visible() -> None:
    end = JUDGE.after_look(
        lease(lookup_count=1, empty_lookup_count=99, outcome_unknown=True, cancel_requested=True),
        looked(ABSENT, Presence.UNSEEN),
    )
    assert end is not None
    assert summary(end) == "pending retry 120s"


@pytest.mark.parametrize("probe", [None, "account"])
def test_an_empty_list_is_no_sign_of_life(probe: str | None) -> None:
    """Half a service answers so, and opens no gate."""
    end = JUDGE.after_look(lease(lookup_count=1, probe=probe), looked(ABSENT, Presence.UNSEEN))
    assert end is not None
    assert end.signal is not None
    assert (end.signal.kind, end.signal.probe) == ("none", probe)


UNANSWERED = {
    "another job's row (the filter matched a part of the id)": listing(row("job-10")),
    "the same id in other letters": listing(row("JOB-1")),
    "counted but not shown": listing(count=1),
    "none counted, yet another's row": listing(row("job-10"), count=0),
    "not well-formed": no_list(response(200, body=Body.JSON)),
    "a page": no_list(response(200, body=Body.HTML)),
    "cut short": no_list(response(200, body=Body.OTHER, truncated=True)),
    "no content": no_list(response(204)),
    "400": no_list(response(400, "MSS.00000003")),
    "401": no_list(response(401, "APIGW.0301")),
    "403": no_list(response(403, "APIGW.0302")),
    "404": no_list(response(404)),
    "404 from the gateway": no_list(response(404, "APIGW.0101")),
    "429": no_list(response(429, "APIGW.0308")),
    "500": no_list(response(500, "MSS.00000004")),
    "302": no_list(response(302)),
    "silence": no_list(failure(TransportFailure.TIMEOUT)),
    "not asked": NOT_SENT,
}


@pytest.mark.parametrize("listed", UNANSWERED.values(), ids=UNANSWERED)
def test_whatever_else_a_list_says_is_no_answer_and_uses_no_attempt(listed: Listing) -> None:
    assert presence(listed, JOB.id) == (Presence.UNKNOWN, None)
    asking = JUDGE.after_asking(lease(), REJECTED, looked(listed))
    looking = JUDGE.after_look(lease(lookup_count=SECOND, listed=True, outcome_unknown=True), looked(listed))
    assert looking is not None
    assert summary(asking) == "pending retry 10s"
    assert summary(looking) == "pending retry 30s"
    assert asking.fields == {"look": "1"}
    assert looking.fields == {"look": str(SECOND + 1)}


@pytest.mark.parametrize(
    "listed", [listing(row()), listing(row("job-10"), row(), row("job-1-2")), listing(row(), count=0)]
)
def test_the_row_with_exactly_this_id_is_the_job(listed: Listing) -> None:
    what, which = presence(listed, JOB.id)
    assert what is Presence.PRESENT
    assert which is not None
    assert which.id == JOB.id


def test_a_look_that_is_never_answered_becomes_rare() -> None:
    waits, looks = [], 1
    for _ in range(3000):
        end = JUDGE.after_look(lease(lookup_count=looks), looked(NOT_SENT))
        assert end is not None
        looks = int(end.fields["look"])
        waits.append(end.delay_s)
    assert waits[:5] == [30.0, 120.0, 120.0, 120.0, 120.0]
    assert looks < ABSENT_ONCE, "it never counts as an absence"


def test_a_delete_that_is_never_explained_becomes_rare_too() -> None:
    ends = [JUDGE.after_asking(lease(calls=n), REJECTED, looked(NOT_SENT)) for n in range(4)]
    assert [end.delay_s for end in ends] == [10.0, 30.0, 120.0, 120.0]


def test_an_odd_success_of_a_job_that_is_still_there_is_a_failure() -> None:
    end = JUDGE.after_asking(lease(), response(200, body=Body.HTML), looked(listing(row())))
    assert summary(end) == "pending retry 10s used"
    assert end.fields == {"listed": "1", "unk": "1"}


def test_a_500_of_a_job_that_is_still_there_is_this_job_s_own() -> None:
    end = JUDGE.after_asking(lease(outcome_unknown=True), response(500), looked(listing(row())))
    assert summary(end) == "pending retry 10s used"
    assert end.signal is not None
    assert end.signal.kind == "fail"
    last = JUDGE.after_asking(
        lease(outcome_unknown=True, attempts_used=LAST, calls=LAST), response(500), looked(listing(row()))
    )
    assert summary(last) == "dead server_error used"


@pytest.mark.parametrize("listed", UNANSWERED.values(), ids=UNANSWERED)
def test_a_500_that_asking_does_not_explain_is_a_failure_like_any_other(listed: Listing) -> None:
    end = JUDGE.after_asking(lease(outcome_unknown=True), response(500), looked(listed))
    assert summary(end) == "pending retry 10s used"


def test_what_no_document_calls_an_id_or_a_state_is_not_kept() -> None:
    strange = row(state="\ud800 +86 139 0000 0000", asset_id="x" * 65, voice_train_job_id="Zhang San")
    end = JUDGE.after_asking(lease(), REJECTED, looked(listing(strange)))
    assert end.event is not None
    assert end.event["job_state"] == "unreadable"
    assert not {"asset", "voice"} & set(end.fields)
    kept = sighting(looked(listing(row(asset_id="a-1", voice_train_job_id="v_2"))))
    assert kept == {"look": "0", "listed": "1", "asset": "a-1", "voice": "v_2"}


# -- a look first ----------------------------------------------------------------------------------------------------


def test_a_look_that_finds_it_deletable_lets_the_delete_go() -> None:
    assert JUDGE.after_look(lease(lookup_count=1), looked(listing(row()))) is None


def test_a_look_that_finds_it_in_training_waits_and_the_last_step_repeats() -> None:
    training = listing(row(state="TRAINING"))
    ends = [JUDGE.after_look(lease(lookup_count=1, not_deletable_count=n), looked(training)) for n in (0, 1, 2, 50)]
    assert [end and summary(end) for end in ends] == [
        "pending not_deletable_yet 60s",
        *["pending not_deletable_yet 600s"] * 3,
    ]


@pytest.mark.parametrize("state", ["JOB_SUCCESS", "TRAINING"])
def test_a_cancel_takes_effect_when_the_job_is_still_there(state: str) -> None:
    end = JUDGE.after_look(
        lease(lookup_count=1, cancel_requested=True, outcome_unknown=True), looked(listing(row(state=state)))
    )
    assert end is not None
    assert summary(end) == "cancelled"


def test_a_cancel_comes_too_late_when_the_job_is_gone() -> None:
    end = JUDGE.after_look(lease(lookup_count=1, cancel_requested=True, outcome_unknown=True), looked(ABSENT))
    assert end is not None
    assert summary(end) == "gone after_our_call"


def test_a_cancel_waits_while_nobody_can_tell() -> None:
    end = JUDGE.after_look(lease(lookup_count=1, cancel_requested=True, outcome_unknown=True), looked(NOT_SENT))
    assert end is not None
    assert end.to == "pending"


# -- refusals and prohibitions ---------------------------------------------------------------------------------------


def test_a_refusal_is_repeated_a_few_times_and_then_shown_to_a_person() -> None:
    ends = [
        JUDGE.after_asking(lease(refused_count=n, attempts_used=n, calls=n), REJECTED, looked(listing(row())))
        for n in range(REFUSALS)
    ]
    assert [summary(end) for end in ends] == ["pending retry 10s used", "pending retry 30s used", "dead refused used"]
    assert [end.fields["refused"] for end in ends] == ["1", "2", "3"]


def test_a_refusal_ends_sooner_where_there_are_fewer_attempts() -> None:
    end = OutcomeRules(Backoff((), (60.0,)), "k1", 0.0).after_asking(lease(), REJECTED, looked(listing(row())))
    assert summary(end) == "dead refused used"


FORBIDDEN = response(403, "APIGW.0302")
CONTROLS = [
    (SOME_JOB, "pending retry 10s used", "forbidden"),
    (ABSENT, "pending retry 10s used", "forbidden"),
    (no_list(response(200, body=Body.HTML)), "pending retry 10s", "listed"),
    (no_list(response(200, "MSS.00000004")), "pending retry 10s", "listed"),
    (no_list(response(204)), "pending retry 10s", "listed"),
    (no_list(response(400, "MSS.00000003")), "pending retry 10s", "listed"),
    (no_list(response(401, "APIGW.0301")), "pending retry 0s", "credentials"),
    (no_list(EXPIRED), "pending retry 0s", "clock"),
    (no_list(FORBIDDEN), "pending retry 10s", "misconfigured"),
    (no_list(response(404, "APIGW.0101")), "pending retry 10s", "misconfigured"),
    (no_list(response(400, "MSS.00010009")), "pending retry 10s", "misconfigured"),
    (no_list(response(429, "APIGW.0308")), "pending retry 1s", "throttled"),
    (no_list(response(429, "APIGW.0308", retry_after_s=7.0)), "pending retry 7s", "throttled"),
    (no_list(response(500)), "pending retry 10s", "fail"),
    (no_list(failure(TransportFailure.RESET)), "pending retry 10s", "fail"),
    (NOT_SENT, "pending retry 10s", "none"),
]


@pytest.mark.parametrize(("control", "ends", "teaches"), CONTROLS)
@pytest.mark.parametrize("answer", [FORBIDDEN, response(404, "APIGW.0101"), response(405, "APIGW.0501")], ids=_name)
def test_a_control_call_tells_the_account_from_the_job(
    answer: Response, control: Listing, ends: str, teaches: str
) -> None:
    end = JUDGE.after_control(lease(), answer, control.response)
    assert summary(end) == ends
    assert end.signal is not None
    assert end.signal.kind == teaches
    assert end.to != "gone"


def test_a_prohibition_that_no_control_call_explains_becomes_rare() -> None:
    ends = [JUDGE.after_control(lease(calls=n), FORBIDDEN, response(500)) for n in range(4)]
    assert [end.delay_s for end in ends] == [10.0, 30.0, 120.0, 120.0]


def test_a_project_that_is_not_the_keys_closes_the_account_ever_more_rarely() -> None:
    answer = response(400, "MSS.00010009")
    ends = [JUDGE.after_control(lease(calls=n), answer, answer) for n in range(4)]
    assert [end.delay_s for end in ends] == [10.0, 30.0, 120.0, 120.0]


# -- waits -----------------------------------------------------------------------------------------------------------


def test_a_job_that_is_throttled_for_ever_becomes_rare_and_uses_no_attempt() -> None:
    ends = [JUDGE.after_delete(lease(calls=n), response(429)) for n in range(9)]
    assert [end.delay_s for end in ends] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert not any(end.used for end in ends)


@pytest.mark.parametrize(("retry_after", "wait"), [(0.0, 1.0), (30.0, 30.0), (900.0, 900.0), (1e9, 900.0)])
def test_a_429_waits_as_long_as_it_says_but_not_past_the_deadline(retry_after: float, wait: float) -> None:
    end = JUDGE.after_delete(lease(), response(429, retry_after_s=retry_after))
    assert end.delay_s == wait
    assert end.signal is not None
    assert end.signal.kind == "throttled"
    assert end.signal.retry_after == (retry_after * 1000 or None)


@pytest.mark.parametrize(("retry_after", "wait"), [(3.0, 10.0), (300.0, 300.0), (1e9, 86400.0)])
def test_a_503_waits_at_least_as_long_as_it_says(retry_after: float, wait: float) -> None:
    assert JUDGE.after_delete(lease(), response(503, retry_after_s=retry_after)).delay_s == wait


def test_what_cannot_be_sent_waits_and_uses_nothing() -> None:
    end = JUDGE.unsendable(lease(), "x" * 1000)
    assert summary(end) == "pending turn 10s"
    assert not end.called
    assert end.event == {"event": "deletion.postponed", "error": "x" * 200}


def test_what_is_given_back_teaches_nothing() -> None:
    end = JUDGE.give_back(lease())
    assert summary(end) == "pending turn 0s"
    assert end.signal is not None
    assert end.signal.kind == "none"


# -- what the gate learns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response(200), "ok"),
        (response(400), "ok"),
        (response(404), "ok"),
        (response(429), "throttled"),
        (response(500), "fail"),
        (failure(TransportFailure.NOT_SENT), "fail"),
        (response(302), "fail"),
        (response(401), "credentials"),
        (response(400, "MSS.00010008"), "credentials"),
        (response(403), "misconfigured"),
        (EXPIRED, "clock"),
    ],
    ids=_name,
)
def test_each_answer_teaches_the_gate_its_kind(answer: Response, kind: str) -> None:
    signal = JUDGE.signal(answer, lease(probe="account"))
    assert (signal.kind, signal.key, signal.probe) == (kind, "k1", "account")


def test_a_question_that_was_not_asked_teaches_no_failure() -> None:
    """Five of them in a row would have been an outage that nobody had."""
    end = JUDGE.after_asking(lease(), REJECTED, looked(NOT_SENT))
    assert end.signal is not None
    assert end.signal.kind == "ok", "the DELETE itself was answered"


def test_a_page_in_the_place_of_a_list_is_no_sign_of_life() -> None:
    end = JUDGE.after_look(lease(lookup_count=1), looked(no_list(response(200, body=Body.HTML))))
    assert end is not None
    assert end.signal is not None
    assert end.signal.kind == "fail"


def test_a_list_is_a_sign_of_life_only_where_the_delete_before_it_was_answered() -> None:
    """Where lists are answered and DELETEs are not, looks between the failures kept the gate open."""
    alone = JUDGE.after_look(lease(lookup_count=1), looked(ABSENT))
    failed = JUDGE.after_asking(lease(outcome_unknown=True), response(500), looked(ABSENT))
    answered = JUDGE.after_asking(lease(), REJECTED, looked(ABSENT))
    kinds = [end.signal.kind for end in (alone, failed, answered) if end is not None and end.signal is not None]
    assert kinds == ["listed", "listed", "ok"]


def test_a_list_teaches_its_kind_to_whoever_tries_with_it() -> None:
    trial = Trial("account", "p", None, 0.0, 0.0)
    for answer, kind in ((SOME_JOB, "listed"), (ABSENT, "listed"), (no_list(response(400)), "listed"),
                       (no_list(response(200)), "fail"), (no_list(response(503)), "fail"), (no_list(EXPIRED), "clock"),
                       (no_list(response(401)), "credentials"), (no_list(response(403)), "misconfigured")):  # fmt: skip
        assert gate_signals.of_listing(answer, trial, "k1").kind == kind


def test_the_skew_is_the_server_s_time_less_redis_s_at_that_moment() -> None:
    signal = JUDGE.signal(replace(EXPIRED, ms=4000), lease())
    assert signal.skew == 20 * 60_000 - 4000


@pytest.mark.parametrize(
    ("behind_s", "kind"),
    [(None, "clock"), (0, "credentials"), (59, "credentials"), (-59, "credentials"), (20 * 60, "clock")],
)
def test_expired_although_signed_with_its_own_clock_is_the_key_s_affair(behind_s: float | None, kind: str) -> None:
    assert EXPIRED.server_time is not None
    signed_at = None if behind_s is None else EXPIRED.server_time - timedelta(seconds=behind_s)
    assert JUDGE.signal(replace(EXPIRED, signed_at=signed_at), lease(skew_ms=0)).kind == kind


# -- properties ------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=8,
)
CODES = sorted({answer.code for answer, *_ in ROWS if answer.code})
ERRORS = st.fixed_dictionaries(
    {},
    optional={
        "error_code": st.sampled_from(CODES) | st.text(max_size=80) | JSON,
        "error_msg": st.text(max_size=600) | st.sampled_from([EXPIRED.message, LOCKED.message]),
        "request_id": st.text(max_size=100),
    },
)
JOBS = st.fixed_dictionaries(
    {"job_id": st.just(JOB.id) | st.text(max_size=100), "state": st.sampled_from(sorted(STATES)) | st.text()},
    optional={"asset_id": st.text(max_size=400), "voice_train_job_id": st.text(max_size=400)},
)
LISTS = st.fixed_dictionaries({"count": st.integers(-1, 3) | JSON, "jobs": st.lists(JOBS, max_size=3) | JSON})
SURROGATES = st.sampled_from([b'{"count":1,"jobs":[{"job_id":"job-1","state":"\\ud800","asset_id":"\\udfff"}]}'])
BYTES = (
    st.builds(lambda value: json.dumps(value).encode(), ERRORS | LISTS | JSON) | st.binary(max_size=100) | SURROGATES
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(["text/html", "application/json"]),
        "Retry-After": st.sampled_from(["0", "7", "1000000", "Sun, 22 Nov 2026 08:00:00 GMT", "soon"]),
        "X-Request-Id": st.text(max_size=100),
    },
)
KNOWN_STATUSES = sorted({answer.status for answer, *_ in ROWS if answer.status})
REPLIES = st.builds(
    Reply,
    status=st.sampled_from(KNOWN_STATUSES) | st.integers(100, 999),
    failure=st.none(),
    ms=st.integers(0, 10**6),
    headers=HEADERS,
    body=st.just(b"") | BYTES,
    truncated=st.booleans(),
) | st.builds(Reply, status=st.none(), failure=st.sampled_from(TransportFailure), ms=st.integers(0, 10**6))
ANSWERS = st.builds(lambda reply: read_answer(reply, secrets=()), REPLIES)
LISTINGS = st.builds(lambda reply: read_listing(reply, secrets=()), REPLIES) | st.sampled_from([ABSENT, NOT_SENT])
LEASES = st.builds(
    lease,
    attempts_used=st.integers(0, 5),
    calls=st.integers(0, 50),
    not_deletable_count=st.integers(0, 50),
    refused_count=st.integers(0, 5),
    lookup_count=st.sampled_from([0, 1, 2, ABSENT_ONCE - 1, SECOND, 2 * ABSENT_ONCE - 1]),
    empty_lookup_count=st.integers(0, 5),
    outcome_unknown=st.booleans(),
    listed=st.booleans(),
    cancel_requested=st.booleans(),
    probe=st.sampled_from([None, "outage", "credentials"]),
    skew_ms=st.none() | st.floats(-1e7, 1e7),
)
JUDGES = st.builds(OutcomeRules, st.just(SCHEDULE), st.just("k1"), st.floats(0, 1, exclude_max=True))
WORTHS = st.sampled_from([Presence.ABSENT, Presence.UNSEEN, Presence.UNKNOWN])


def attempted(
    rules: OutcomeRules, held: Lease, answer: Response, listed: Listing, control: Listing, worth: Presence
) -> Settlement:
    """One attempt as an executor makes it: a look first where one is due, then the DELETE and what explains it."""
    if held.lookup_count or held.cancel_requested:
        settlement = rules.after_look(held, looked(listed, worth))
        if settlement is not None:
            return settlement
        held = replace(held, lookup_count=0, listed=True)
    if classify(answer) is ResponseKind.FAILED and held.outcome_unknown and answer.status:
        return rules.after_asking(held, answer, looked(listed, worth))
    return settled(rules, held, answer, listed=listed, control=control, worth=worth)


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for inner in value.values() for text in texts(inner)]
    return [value] if isinstance(value, str) else []


@given(JUDGES, LEASES, ANSWERS, LISTINGS, LISTINGS, WORTHS)
def test_whatever_comes_is_settled_and_no_failure_is_called_a_success(
    rules: OutcomeRules, held: Lease, answer: Response, listed: Listing, control: Listing, worth: Presence
) -> None:
    end = attempted(rules, held, answer, listed, control, worth)
    if end.to == "deleted":
        assert answer.status in (200, 204)
        assert answer.code is None
    if end.to == "gone":
        assert listed.response.status == 200
        assert listed.count == 0
        assert listed.rows == ()
        assert worth is Presence.ABSENT
        assert end.evidence
    if end.to == "dead":
        assert end.cause
    assert end.to in ("deleted", "gone", "dead", "cancelled", "pending")
    assert end.delay_s <= 86400
    assert (held.cancel_requested and end.to == "cancelled") or end.to != "cancelled"


@given(JUDGES, LEASES, ANSWERS, LISTINGS, LISTINGS, WORTHS)
def test_a_settlement_carries_little_text_and_all_of_it_can_be_sent(
    rules: OutcomeRules, held: Lease, answer: Response, listed: Listing, control: Listing, worth: Presence
) -> None:
    for end in (attempted(rules, held, answer, listed, control, worth), rules.give_back(held)):
        for text in texts(end.attempt) + texts(end.event) + texts(end.fields):
            assert len(text.encode()) <= 200
        assert end.signal is not None
        assert len((end.signal.why or "").encode()) <= 300, "a status and a code stand before the message"
        compact(end.as_options()).encode()


def after(held: Lease, end: Settlement) -> Lease:
    """The lease that the next executor gets: what the ledger makes of a settlement."""
    fields = {name: int(value) for name, value in end.fields.items() if name in ("later", "refused", "look", "unseen")}
    return replace(
        held,
        attempts_used=held.attempts_used + end.used,
        calls=held.calls + end.called,
        not_deletable_count=fields.get("later", held.not_deletable_count),
        refused_count=fields.get("refused", held.refused_count),
        lookup_count=fields.get("look", held.lookup_count),
        empty_lookup_count=0 if "listed" in end.fields else fields.get("unseen", held.empty_lookup_count),
        outcome_unknown=held.outcome_unknown or "unk" in end.fields,
        listed=held.listed or "listed" in end.fields,
    )


@given(JUDGES, st.lists(st.tuples(ANSWERS, LISTINGS, LISTINGS, WORTHS), max_size=30))
def test_no_sequence_of_answers_uses_more_attempts_than_there_are(
    rules: OutcomeRules, responses: list[tuple[Response, Listing, Listing, Presence]]
) -> None:
    held = lease()
    for answer, listed, control, worth in responses:
        end = attempted(rules, held, answer, listed, control, worth)
        held = after(held, end)
        assert held.attempts_used <= SCHEDULE.attempts
        if end.to != "pending":
            break
        assert held.attempts_used < SCHEDULE.attempts, "it would wait for an attempt that it does not have"


FAILURES = ANSWERS.filter(
    lambda answer: classify(answer) is ResponseKind.FAILED and answer.failure is not TransportFailure.NOT_SENT
)


@given(JUDGES, st.lists(FAILURES, min_size=SCHEDULE.attempts, max_size=SCHEDULE.attempts))
def test_pure_failures_end_dead_after_exactly_the_attempts_there_are(
    rules: OutcomeRules, failures: list[Response]
) -> None:
    held, ends = lease(), []
    for answer in failures:
        end = attempted(rules, held, answer, listing(row()), SOME_JOB, Presence.UNKNOWN)
        held = after(held, end)
        ends.append(end.to)
    assert ends == ["pending"] * (SCHEDULE.attempts - 1) + ["dead"]


def test_calls_without_a_connection_use_no_attempt_and_slow_down() -> None:
    held, waits = lease(), []
    for _ in range(3 * SCHEDULE.attempts):
        end = JUDGE.after_delete(held, failure(TransportFailure.NOT_SENT))
        held = after(held, end)
        waits.append(end.delay_s)
        assert (end.to, end.used, end.signal and end.signal.kind) == ("pending", False, "fail")
    assert held.attempts_used == 0
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
