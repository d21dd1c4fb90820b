"""The simulator's verifier: agrees with the published vectors and with our own signing, and says no as the gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.caller import Caller
from worker.metastudio import signing
from worker.simulator import Credential, Simulator
from worker.simulator.http1 import Request, read_head
from worker.simulator.verification import KeyRing, Refusal, Refused, canonical_request, check, read_authorization

VECTORS = json.loads(
    (Path(__file__).parents[1] / "support" / "vectors" / "sdk-vectors.json").read_text(encoding="utf-8")
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PREFIX = "Incorrect IAM authentication information: "


def as_received(vector: dict[str, str]) -> Request:
    """A vector's request through the simulator's own parser, as its bytes came over the wire."""
    headers = {**vector["headers"], "Host": vector["wire_host"]}  # type: ignore[dict-item]
    lines = [f"{vector['method']} {vector['wire_target']} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return read_head("\r\n".join(lines).encode())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["note"])
def test_the_verifier_judges_what_the_official_sdk_signed_as_expected(vector: dict[str, dict[str, bool]]) -> None:
    request = as_received(vector)  # type: ignore[arg-type]
    claim = read_authorization(request)
    assert claim is not None
    signed_at = datetime.strptime(request.header["x-sdk-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    refusal = check(request, claim, str(vector["sk"]), signed_at)
    assert (refusal is None) is vector["verifier_accepts"]["split_then_decode"]


segments = st.text(min_size=1, max_size=8).filter(lambda text: "/" not in text and text.isprintable())
words = st.text(max_size=8).filter(lambda text: text.isprintable())


@given(st.lists(segments, max_size=4), st.lists(st.tuples(segments, words), max_size=4), words, st.binary(max_size=9))
def test_two_implementations_build_the_same_canonical_request(
    parts: list[str], pairs: list[tuple[str, str]], value: str, body: bytes
) -> None:
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    query = urlencode(pairs, quote_via=quote, safe="~")
    headers = [("host", "h:1"), ("x-app-userid", value.strip()), ("x-sdk-date", "20260101T000000Z")]
    received = Request("DELETE", f"{path}?{query}" if query else path, tuple(headers), body)
    ours = signing.canonical_request("DELETE", path, query, headers, body)
    assert canonical_request(received, ("host", "x-app-userid", "x-sdk-date")) == ours


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator() as app:
        app.fill(9)
        yield app


def test_a_wrong_secret_is_answered_with_the_canonical_request_on_one_line(simulator: Simulator) -> None:
    caller = Caller.of(simulator, sk="wrong", signed_at=datetime.now(UTC))
    response = caller.delete("job-00001")
    assert (response.status, response.code) == (401, "APIGW.0301")
    date = f"{caller.signed_at:%Y%m%dT%H%M%SZ}"
    assert response.message == (
        f"{PREFIX}verify aksk signature fail, canonicalRequest:DELETE|{caller.jobs}/job-00001/||host:{caller.host}|"
        f"x-project-id:{caller.project}|x-sdk-date:{date}||host;x-project-id;x-sdk-date|{signing.EMPTY_HASH}"
    )
    assert response.json["request_id"] == response.headers["x-request-id"]
    assert (response.headers["transfer-encoding"], response.headers["connection"]) == ("chunked", "close")
    assert simulator.stats()["refused_by_reason"] == {"signature": 1}
    assert (simulator.calls()[-1]["ak"], simulator.calls()[-1]["refused"]) == (simulator.ak, "signature")
    assert len(simulator.job_ids()) == 9


def test_the_echo_gives_signed_tokens_away_as_the_gateway_does(simulator: Simulator) -> None:
    simulator.set_credential("AK2", "SK2", security_token="TOKEN-CANARY")
    response = Caller.of(simulator, ak="AK2", sk="wrong", security_token="TOKEN-CANARY").delete("job-00001")
    assert "x-security-token:TOKEN-CANARY" in response.message


@pytest.mark.parametrize("seconds", [-901, 901])
def test_a_signature_outside_the_clock_window_is_expired_and_tells_both_times(seconds: int) -> None:
    request, claim = _signed(NOW + timedelta(seconds=seconds))
    refusal = check(request, claim, "SK", NOW)
    assert refusal is not None
    times = f"signature time:{request.header['x-sdk-date']},server time:20260101T000000Z"
    assert refusal.message == f"{PREFIX}calc aksk signature fail:signature expired, {times}"


@pytest.mark.parametrize("seconds", [-900, 0, 900])
def test_a_signature_at_the_edge_of_the_clock_window_holds(seconds: int) -> None:
    request, claim = _signed(NOW + timedelta(seconds=seconds))
    assert check(request, claim, "SK", NOW) is None


def test_the_servers_clock_can_be_wrong_and_its_date_header_says_so(simulator: Simulator) -> None:
    simulator.set_clock(3600)
    response = Caller.of(simulator).delete("job-00001")
    assert (response.status, "signature expired" in response.message) == (401, True)
    theirs = parsedate_to_datetime(response.headers["date"])
    assert abs((theirs - datetime.now(UTC)).total_seconds() - 3600) < 300
    assert Caller.of(simulator, signed_at=theirs).delete("job-00001").status == 200


@pytest.mark.parametrize("date", ["", "20261122", "2026-11-22T05:10:45Z", "20261399T000000Z"])
def test_a_missing_or_garbled_date_is_refused(simulator: Simulator, date: str) -> None:
    caller = Caller.of(simulator)
    sent = caller.bytes("DELETE", f"{caller.jobs}/job-00001").decode()
    head, _, rest = sent.partition("X-Sdk-Date: ")
    line = f"X-Sdk-Date: {date}\r\n" if date else ""
    response = caller.send_raw((head + line + rest.partition("\r\n")[2]).encode())
    assert (response.status, response.code) == (401, "APIGW.0301")
    assert simulator.stats()["refused_by_reason"] == {"date": 1}


def test_a_date_that_is_not_signed_is_refused() -> None:
    request, claim = _signed(NOW, names=("host",))
    refusal = check(request, claim, "SK", NOW)
    assert refusal is not None
    assert refusal.reason is Refused.DATE


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "x-auth-token not found"),
        ("Authorization: Basic dXNlcg==\r\n", "x-auth-token not found"),
        ("Authorization: SDK-HMAC-SHA256 Access=AK\r\n", "x-auth-token not found"),
        ("X-Auth-Token: MIIabc\r\n", "decrypt token fail"),
    ],
)
def test_a_call_without_a_readable_signature_is_refused(simulator: Simulator, header: str, message: str) -> None:
    caller = Caller.of(simulator)
    response = caller.send_raw(f"DELETE {caller.jobs}/job-00001 HTTP/1.1\r\nHost: h\r\n{header}\r\n".encode())
    assert (response.status, response.code, response.message) == (401, "APIGW.0301", PREFIX + message)


def test_the_body_that_arrived_is_what_must_have_been_signed(simulator: Simulator) -> None:
    caller = Caller.of(simulator)
    target = f"{caller.jobs}/job-00001"
    signed_empty = caller.bytes("DELETE", target).replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n{}")
    response = caller.send_raw(signed_empty)
    assert response.message.endswith("|44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a")
    assert caller.send("DELETE", target, b"{}").status == 200


@pytest.mark.parametrize("sent", [None, "another"])
def test_a_temporary_key_needs_its_security_token(simulator: Simulator, sent: str | None) -> None:
    simulator.set_credential("AK2", "SK2", security_token="TOKEN")
    response = Caller.of(simulator, ak="AK2", sk="SK2", security_token=sent).delete("job-00001")
    assert response.message == f"{PREFIX}Get secretKey failed"
    assert Caller.of(simulator, ak="AK2", sk="SK2", security_token="TOKEN").delete("job-00001").status == 200


def test_credentials_are_added_replaced_disabled_and_removed_at_run_time(simulator: Simulator) -> None:
    first, second = Caller.of(simulator, ak="AK2", sk="SK2"), Caller.of(simulator, ak="AK2", sk="SK3")
    unknown = f"{PREFIX}Get secretKey failed"
    assert first.list().message == unknown
    simulator.set_credential("AK2", "SK2")
    assert first.list().status == 200
    simulator.disable_credential("AK2")
    assert first.list().message == unknown
    simulator.enable_credential("AK2")
    simulator.set_credential("AK2", "SK3")
    assert (first.list().status, second.list().status) == (401, 200)
    simulator.remove_credential("AK2")
    assert second.list().message == unknown


def test_more_than_five_failures_in_a_row_lock_the_key_for_good_calls_too(simulator: Simulator) -> None:
    good, bad = Caller.of(simulator), Caller.of(simulator, sk="wrong")
    locked = f"{PREFIX}AK access failed to reach the limit,forbidden."
    responses = [bad.list() for _ in range(6)]
    assert ["verify aksk signature fail" in response.message for response in responses] == [True] * 5 + [False]
    assert (responses[5].message, good.list().message) == (locked, locked)
    assert simulator.stats()["refused_by_reason"] == {"signature": 5, "locked": 2}
    simulator.unlock(simulator.ak)
    assert good.list().status == 200


def test_a_good_call_forgets_the_failures_before_it(simulator: Simulator) -> None:
    good, bad = Caller.of(simulator), Caller.of(simulator, sk="wrong")
    for _ in range(3):
        assert [bad.list().status for _ in range(5)] == [401] * 5
        assert good.list().status == 200


def test_a_lock_ends_after_its_time_and_other_keys_never_feel_it() -> None:
    keys = KeyRing((Credential("AK", "SK"), Credential("AK2", "SK")), lock_s=300)
    wrong, right, other = _signed(NOW, sk="no")[0], _signed(NOW)[0], _signed(NOW, ak="AK2")[0]
    for _ in range(6):
        keys.admit(wrong, NOW, 1000.0)
    verdicts = [keys.admit(right, NOW, at) for at in (1000.0, 1299.0, 1300.0)]
    assert [isinstance(verdict, Refusal) for verdict in verdicts] == [True, True, False]
    assert isinstance(keys.admit(other, NOW, 1000.0), Credential)


def test_a_credential_shows_no_secret() -> None:
    assert "CANARY" not in repr(Credential("AK", "CANARY", "CANARY"))


def _signed(at: datetime, *, ak: str = "AK", sk: str = "SK", names: tuple[str, ...] = ("host", "x-sdk-date")) -> tuple:
    date = f"{at:%Y%m%dT%H%M%SZ}"
    headers = [("host", "h"), ("x-sdk-date", date)]
    canonical = signing.canonical_request("GET", "/p", "", [pair for pair in headers if pair[0] in names], b"")
    value = signing.authorization(ak, names, signing.signature(sk, signing.string_to_sign(date, canonical)))
    request = Request("GET", "/p", (*headers, ("authorization", value)))
    return request, read_authorization(request)
