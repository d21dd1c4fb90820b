"""What is understood of an answer, and that no answer is ever too odd to read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.metastudio.exchange import Reply
from worker.metastudio.parsing import read_answer, read_listing, read_shown
from worker.metastudio.response import Body, TransportFailure
from worker.rules.classify import ResponseKind, classify

SECRET = "S3cretS3cret"


def reply(body: object = b"", status: int = 400, truncated: bool = False, **headers: str) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, None, 5, {name.replace("_", "-"): v for name, v in headers.items()}, raw, truncated)


def read(body: object = b"", **kwargs: Any) -> Any:
    return read_answer(reply(body, **kwargs), secrets=[SECRET])


def job(**fields: Any) -> dict[str, Any]:
    return {"job_id": "j1", "state": "JOB_SUCCESS", **fields}


def test_what_the_gateway_repeats_of_a_wrongly_signed_call_is_not_told_to_people() -> None:
    refusal = "Incorrect IAM authentication information: verify aksk signature fail"
    response = read(
        {"error_code": "APIGW.0301", "error_msg": f"{refusal}, canonicalRequest:GET|/v1/p/jobs/||host:x"}, status=401
    )
    assert response.in_words() == f"401 APIGW.0301 {refusal}"
    assert "canonicalRequest" in response.message, "but in the history it is"


# --- errors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"error_code": "MSS.00000003", "error_msg": "Invalid parameter"},
        {"errorCode": "MSS.00000003", "errorMsg": "Invalid parameter"},
        {"code": "MSS.00000003", "message": "Invalid parameter"},
        {"error": {"error_code": "MSS.00000003", "error_msg": "Invalid parameter"}},
        {"error": {"code": "MSS.00000003", "message": "Invalid parameter", "title": "Bad"}},
        {
            "commond_result": "EXCUTE_FAILED",
            "error_info": {"error_code": "MSS.00000003", "error_msg": "Invalid parameter"},
        },
    ],
)
def test_every_shape_of_an_error_is_understood(body: object) -> None:
    response = read(body)
    assert (response.code, response.message, response.body) == ("MSS.00000003", "Invalid parameter", Body.JSON)


@pytest.mark.parametrize("body", [{"commond_result": "EXCUTE_FAILED", "excute_failed_msg": "no"}, {"error": "no"}])
def test_a_200_that_says_that_it_failed_is_no_success(body: object) -> None:
    response = read(body, status=200)
    assert response.message == "no"
    assert classify(response) is ResponseKind.ASK


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (401, "401"),
        (0, "0"),
        (True, None),
        (None, None),
        (1.5, None),
        (10**40, None),
        ("x" * 33, None),
        ("", None),
        ("APIGW 0308", None),
        ("MSS.1\n", None),
        (["MSS.1"], None),
        (SECRET, None),
    ],
)
def test_a_code_is_short_and_plain_or_no_code_at_all(code: object, expected: str | None) -> None:
    assert read({"code": code}).code == expected


def test_the_message_is_redacted_with_the_secrets_in_use() -> None:
    message = read({"error_msg": f"x {SECRET} y zhang@example.com " + "z" * 500}).message
    assert message.startswith("x *** y *** zzz")
    assert len(message.encode()) <= 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Body.EMPTY),
        (b" \r\n ", Body.EMPTY),
        (b"{}", Body.JSON),
        (b"\xef\xbb\xbf{}", Body.JSON),
        (b"[]", Body.OTHER),
        (b"null", Body.OTHER),
        (b'"text"', Body.OTHER),
        (b"<html></html>", Body.HTML),
        (b"  <!DOCTYPE html>", Body.HTML),
        (b'{"error_code": "MSS.1", ', Body.OTHER),
        (b"\xff\xfe\x00", Body.OTHER),
        (b"[" * 60_000, Body.OTHER),
        (b'{"a":' * 10_000, Body.OTHER),
        (b"9" * 60_000, Body.OTHER),
        (b'{"error_code": ' + b"9" * 60_000 + b"}", Body.OTHER),
        (b'{"a": NaN, "b": 1e999}', Body.JSON),
    ],
)
def test_odd_bodies_are_named_and_never_raise(body: bytes, kind: Body) -> None:
    for status in (200, 400, 502):
        assert read_answer(reply(body, status), secrets=()).body is kind
        assert read_listing(reply(body, status), secrets=()).rows is None
        assert read_shown(reply(body, status), "j1", secrets=()).row is None


def test_an_html_page_is_known_by_its_content_type_too() -> None:
    assert read(b"Bad Gateway", Content_Type="text/html; charset=utf-8").body is Body.HTML


def test_an_error_that_is_not_utf8_still_gives_its_code() -> None:
    response = read('{"error_code": "MSS.00000003", "error_msg": "任务"}'.encode("gbk"))
    assert response.code == "MSS.00000003"


keys = st.sampled_from(
    ["error_code", "error_msg", "code", "message", "error", "request_id", "count", "jobs", "state", "job_id", "tags"]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


@given(
    body=st.binary(max_size=200) | st.builds(lambda v: json.dumps(v).encode(), json_values),
    status=st.integers(100, 999),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "Date", "X-Request-Id", "Content-Type"]), st.text()),
    truncated=st.booleans(),
)
@example(b"{}", 503, {"Retry-After": "²", "Date": "Thu, 99 Foo 99999 99:99:99 +9999"}, False)
@example(b'{"error_msg": "server time:99999999T999999Z"}', 401, {}, False)
@example(b'{"error_msg": "\\ud800"}', 401, {"X-Request-Id": "\ud800"}, False)
def test_no_answer_is_too_odd_to_read(body: bytes, status: int, headers: dict[str, str], truncated: bool) -> None:
    came = Reply(status, None, 1, headers, body, truncated)
    for response in (
        read_answer(came, secrets=()),
        read_listing(came, secrets=()).response,
        read_shown(came, "j1", secrets=()).response,
    ):
        assert response.status == status
        assert response.code is None or len(response.code) <= 32
        assert response.message is None or len(response.message.encode()) <= 200
        assert response.request_id is None or len(response.request_id) <= 64
        assert response.retry_after_s is None or response.retry_after_s >= 0


def test_silence_stays_silence() -> None:
    response = read_answer(Reply(None, TransportFailure.TIMEOUT, 7), secrets=())
    assert (response.status, response.failure, response.ms, response.code) == (None, TransportFailure.TIMEOUT, 7, None)


# --- headers ----------------------------------------------------------------------------------------------------


def test_the_request_id_is_the_headers_else_the_bodys() -> None:
    assert read({"request_id": "body"}, X_Request_Id="head").request_id == "head"
    assert read({"request_id": "body"}).request_id == "body"
    assert read({"request_id": 7}).request_id is None


def test_a_request_id_is_cut_and_cleaned() -> None:
    assert read(X_Request_Id="a\t b\x1b" + "c" * 99).request_id == "ab" + "c" * 62
    assert SECRET not in (read(X_Request_Id=SECRET).request_id or "")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("1.5", 1.5),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("9" * 400, None),
        ("soon", None),
        ("", None),
        ("Tue, 01 Dec 2026 10:00:30 GMT", 30.0),
        ("Tue, 01 Dec 2026 09:00:00 GMT", 0.0),
        ("Tue, 01 Dec 2026 10:00:30 -0000", 30.0),
    ],
)
def test_retry_after_is_seconds_counted_from_the_answers_own_date(header: str, seconds: float | None) -> None:
    assert read(Retry_After=header, Date="Tue, 01 Dec 2026 10:00:00 GMT").retry_after_s == seconds


def test_retry_after_without_a_date_counts_from_our_clock() -> None:
    assert read(Retry_After="Tue, 01 Dec 2099 10:00:00 GMT").retry_after_s > 0


def test_the_servers_date_is_utc() -> None:
    assert read(Date="Tue, 01 Dec 2026 18:00:00 +0800").date == datetime(2026, 12, 1, 10, tzinfo=UTC)
    assert read(Date="yesterday").date is None


def test_a_refused_signature_tells_the_servers_time() -> None:
    message = (
        "Incorrect IAM authentication information: calc aksk signature fail:signature expired,"
        "signature time:20211217T064303Z,server time:20211217T065804Z"
    )
    response = read({"error_code": "APIGW.0301", "error_msg": message}, status=401)
    assert response.server_time == datetime(2021, 12, 17, 6, 58, 4, tzinfo=UTC)
    assert response.message == message
    assert read({"error_msg": "server time:20219917T065804Z"}).server_time is None
    assert read({"error_msg": "server time:99991231T235959Z"}).server_time is None, "a second later is no time at all"


# --- list -------------------------------------------------------------------------------------------------------


def test_a_list_gives_its_count_and_rows() -> None:
    listing = read_listing(reply({"count": 7, "jobs": [job()]}, 200), secrets=())
    assert listing.count == 7
    assert listing.rows is not None
    assert [row.id for row in listing.rows] == ["j1"]


def test_an_empty_list_is_well_formed() -> None:
    listing = read_listing(reply({"count": 0, "jobs": []}, 200), secrets=())
    assert (listing.count, listing.rows) == (0, ())


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"count": 0},
        {"jobs": []},
        {"count": 0, "jobs": None},
        {"count": 0, "jobs": {}},
        {"count": "0", "jobs": []},
        {"count": False, "jobs": []},
        {"count": -1, "jobs": []},
        {"count": 0.0, "jobs": []},
        {"count": 1, "jobs": [None]},
        {"count": 1, "jobs": [job(job_id=7)]},
        {"count": 1, "jobs": [job(state=None)]},
        {"count": 1, "jobs": [{"job_id": "j1"}]},
        {"count": 2, "jobs": [job(), {}]},
        {"error_code": "MSS.00000004", "error_msg": "Internal Error"},
    ],
)
def test_a_list_that_is_not_well_formed_proves_nothing(body: object) -> None:
    listing = read_listing(reply(body, 200), secrets=())
    assert (listing.count, listing.rows) == (None, None)


@pytest.mark.parametrize("odd", [{"status": 206}, {"status": 500}, {"status": 200, "truncated": True}])
def test_a_list_that_is_no_complete_200_proves_nothing(odd: dict[str, Any]) -> None:
    assert read_listing(reply({"count": 0, "jobs": []}, **odd), secrets=()).count is None


def test_a_list_that_is_not_utf8_proves_nothing() -> None:
    body = '{"count": 1, "jobs": [{"job_id": "j1", "state": "作业"}]}'.encode("gbk")
    assert read_listing(reply(body, 200), secrets=()).rows is None


def test_of_a_job_only_the_fields_we_need_are_kept() -> None:
    body = job(
        contact="13912345678",
        cover_download_url="https://b/x?sig=1",
        create_time="2020-07-30T10:43:17Z",
        last_update_time="2020-07-30T18:43:17+08:00",
        asset_id="a",
        app_user_id="u",
        batch_name="b",
        name="n",
        tags=["t", 7],
        model_resolution="4K",
        is_flexus=True,
        voice_train_job_id="v",
    )
    listing = read_listing(reply({"count": 1, "jobs": [body]}, 200), secrets=())
    assert listing.rows is not None
    row = listing.rows[0]
    assert "13912345678" not in repr(listing)
    assert "sig=1" not in repr(listing)
    assert row.create_time == row.last_update_time == datetime(2020, 7, 30, 10, 43, 17, tzinfo=UTC)
    assert (row.asset_id, row.app_user_id, row.batch_name, row.name) == ("a", "u", "b", "n")
    assert (row.tags, row.model_resolution, row.is_flexus, row.voice_train_job_id) == (("t",), "4K", True, "v")


@pytest.mark.parametrize(
    "time", ["2020-07-30T10:43:17", "2020-07-30", "soon", 1596105797000, None, "0001-01-01T00:00:00+14:00"]
)
def test_a_time_that_could_be_misread_is_no_time(time: object) -> None:
    shown = read_shown(reply(job(create_time=time), 200), "j1", secrets=())
    assert shown.row is not None
    assert shown.row.create_time is None


def test_the_text_of_a_200_that_may_describe_a_person_is_not_kept() -> None:
    body = job(message="Zhang San", error_msg="Zhang San", contact="+8613912345678")
    assert "Zhang" not in repr(read_shown(reply(body, 200), "j1", secrets=()))
    assert "Zhang" not in repr(read_listing(reply({"count": 1, "jobs": [body], "message": "Zhang"}, 200), secrets=()))


# --- show -------------------------------------------------------------------------------------------------------


def test_a_shown_job_is_the_one_that_was_asked_for() -> None:
    assert read_shown(reply(job(), 200), "j1", secrets=()).row is not None
    assert read_shown(reply(job(), 200), "j2", secrets=()).row is None
    assert read_shown(reply(job(), 400), "j1", secrets=()).row is None


def test_a_reply_does_not_show_its_body_or_headers() -> None:
    assert "secret" not in repr(reply(b"secret", X_Request_Id="secret"))
