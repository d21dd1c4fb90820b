"""Signatures against the published vectors, the SDK's recorded ones, and the official signer itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from worker.metastudio.credentials import Credentials
from worker.metastudio.signing import (
    SdkHmacSha256,
    authorization,
    canonical_path,
    canonical_query,
    canonical_request,
    signature,
    string_to_sign,
)
from worker.model.errors import UsageError

VECTORS = Path(__file__).parents[1] / "support" / "vectors"
PUBLISHED = json.loads((VECTORS / "signing-vectors.json").read_text("utf-8"))
FROM_SDK = json.loads((VECTORS / "sdk-vectors.json").read_text("utf-8"))

AK = "AKEXAMPLE0000000000A"
SK = "SkExampleSkExampleSkExampleSkExample0000"
PROJECT = "0605768a2c8026af2f8bc00f4b0d3b7c"
JOB = "efc5300ecdba4ea48d1ff13a9d907bc0"
URL = f"https://metastudio.cn-north-4.myhuaweicloud.com/v1/{PROJECT}/digital-human-training-manage/user/jobs/{JOB}"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def signed_headers(vector: dict[str, Any]) -> list[tuple[str, str]]:
    """As a verifier finds them: those that the SignedHeaders of the vector name."""
    names = vector["canonical_request"].split("\n")[-2].split(";")
    values = {name.lower(): value for name, value in vector["headers"].items()}
    return [(name, values[name]) for name in names]


def date_of(vector: dict[str, Any]) -> str:
    return next(value for name, value in vector["headers"].items() if name.lower() == "x-sdk-date")


def canonical_of(vector: dict[str, Any]) -> str:
    url = urlsplit(vector["url"])
    return canonical_request(vector["method"], url.path, url.query, signed_headers(vector), vector["body"].encode())


vectors = pytest.mark.parametrize(
    "vector", PUBLISHED + FROM_SDK, ids=lambda v: v.get("note") or v["source"].rpartition("/")[2][:50]
)


@vectors
def test_the_canonical_request_is_the_published_one(vector: dict[str, Any]) -> None:
    assert canonical_of(vector) == vector["canonical_request"]


@vectors
def test_the_string_to_sign_is_the_published_one(vector: dict[str, Any]) -> None:
    assert string_to_sign(date_of(vector), vector["canonical_request"]) == vector["string_to_sign"]


@vectors
def test_the_signature_is_the_published_one(vector: dict[str, Any]) -> None:
    assert signature(vector["sk"], vector["string_to_sign"]) == vector["signature"]


@vectors
def test_the_authorization_header_is_the_published_one(vector: dict[str, Any]) -> None:
    if vector["authorization"] is None:
        assert vector["ak"] is None, "only the example without an access key has none"
        return
    names = [name for name, _ in signed_headers(vector)]
    assert authorization(vector["ak"], names, vector["signature"]) == vector["authorization"]


def test_all_the_vectors_are_here() -> None:
    assert (len(PUBLISHED), len(FROM_SDK)) == (13, 21)


text = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
header_value = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), max_size=20)
header_name = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True)


@given(
    method=st.sampled_from(["GET", "delete", "POST", "PUT"]),
    segments=st.lists(text, max_size=4),
    query=st.lists(st.tuples(text, text), max_size=5),
    headers=st.dictionaries(header_name.map(str.lower), header_value, max_size=4),
    body=st.binary(max_size=50),
    sk=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=50),
)
def test_any_request_is_signed_as_the_official_sdk_signs_it(
    method: str, segments: list[str], query: list[tuple[str, str]], headers: dict[str, str], body: bytes, sk: str
) -> None:
    for reserved in ("content-type", "x-sdk-content-sha256", "authorization"):
        headers.pop(reserved, None)  # these change what the SDK signs, not how
    headers |= {"host": "example.com:8443", "x-sdk-date": "20260101T000000Z"}
    path = "/" + "/".join(segments)
    sdk = SdkRequest(
        method=method,
        schema="https",
        host="example.com:8443",
        resource_path=path,
        query_params=list(query),
        header_params=dict(headers),
        body=body,
    )
    Signer(BasicCredentials(AK, sk)).sign(sdk)

    canonical = canonical_request(method, path, query, list(headers.items()), body)
    ours = signature(sk, string_to_sign("20260101T000000Z", canonical))

    assert authorization(AK, headers, ours) == sdk.header_params["Authorization"]


@given(query=st.lists(st.tuples(text, text), max_size=5))
def test_a_query_as_sent_and_its_pairs_have_one_canonical_form(query: list[tuple[str, str]]) -> None:
    assert canonical_query(canonical_query(query)) == canonical_query(query)


@given(path=text.map("/".__add__))
def test_a_path_as_sent_is_signed_like_the_path_it_encodes(path: str) -> None:
    assert canonical_path(quote(path)) == canonical_path(path.replace("%", "%25"))


def test_a_text_stands_in_for_the_hash_of_the_body() -> None:
    assert canonical_request("GET", "/", "", [], "UNSIGNED-PAYLOAD").endswith("\nUNSIGNED-PAYLOAD")


def test_the_headers_are_signed_in_the_order_of_their_names() -> None:
    assert ";".join(["a", "b"]) in canonical_request("GET", "/", "", [("b", "2"), ("a", "1")], b"")


def prepared(url: str = URL, method: str = "DELETE", **headers: str) -> requests.PreparedRequest:
    request = requests.PreparedRequest()
    request.method, request.url, request.headers = method, url, CaseInsensitiveDict(headers)
    return request


def sign(request: requests.PreparedRequest, **kwargs: Any) -> requests.PreparedRequest:
    return SdkHmacSha256(Credentials(AK, SK, **kwargs), signed_at=NOW)(request)


def test_a_prepared_request_carries_what_the_gateway_needs() -> None:
    headers = sign(prepared(), project_id=PROJECT).headers
    assert headers["X-Sdk-Date"] == "20260101T000000Z"
    assert headers["Host"] == "metastudio.cn-north-4.myhuaweicloud.com"
    assert headers["X-Project-Id"] == PROJECT
    assert headers["Authorization"].startswith(
        f"SDK-HMAC-SHA256 Access={AK}, SignedHeaders=host;x-project-id;x-sdk-date, Signature="
    )


def test_the_token_and_the_app_user_are_signed_when_present_and_nothing_else_is() -> None:
    request = sign(prepared(**{"X-App-UserId": "u1", "User-Agent": "x", "Accept": "*/*"}), security_token="TOKEN")
    assert request.headers["X-Security-Token"] == "TOKEN"
    assert "SignedHeaders=host;x-app-userid;x-sdk-date;x-security-token," in request.headers["Authorization"]


def test_the_auth_object_signs_as_the_official_sdk_does() -> None:
    request = sign(prepared(f"{URL}?state=B,A&limit=1"), project_id=PROJECT, security_token="T+/=")
    names = ("Host", "X-Project-Id", "X-Sdk-Date", "X-Security-Token")
    sdk = SdkRequest(
        method="DELETE",
        schema="https",
        host=request.headers["Host"],
        resource_path=urlsplit(URL).path,
        query_params=[("state", "B,A"), ("limit", 1)],
        header_params={name: request.headers[name] for name in names},
        body="",
    )
    Signer(BasicCredentials(AK, SK)).sign(sdk)
    assert request.headers["Authorization"] == sdk.header_params["Authorization"]


def test_a_request_signed_again_gets_a_new_date_and_a_new_signature() -> None:
    request = sign(prepared())
    first = request.headers["Authorization"]
    SdkHmacSha256(Credentials(AK, SK), signed_at=NOW + timedelta(seconds=1))(request)
    assert request.headers["X-Sdk-Date"] == "20260101T000001Z"
    assert request.headers["Authorization"] != first


def test_a_permanent_key_does_not_send_the_token_of_the_temporary_one_before_it() -> None:
    request = sign(prepared(), security_token="TOKEN")
    sign(request)
    assert "X-Security-Token" not in request.headers
    assert "x-security-token" not in request.headers["Authorization"]


def test_the_project_that_is_called_wins_over_the_project_of_the_key() -> None:
    assert sign(prepared(**{"X-Project-Id": "called"}), project_id=PROJECT).headers["X-Project-Id"] == "called"


def test_a_corrected_clock_is_turned_into_utc_and_a_clock_without_zone_is_refused() -> None:
    east = datetime(2026, 1, 1, 8, tzinfo=timezone(timedelta(hours=8)))
    request = SdkHmacSha256(Credentials(AK, SK), signed_at=east)(prepared())
    assert request.headers["X-Sdk-Date"] == "20260101T000000Z"
    with pytest.raises(UsageError, match="time zone"):
        SdkHmacSha256(Credentials(AK, SK), signed_at=datetime(2026, 1, 1))  # noqa: DTZ001  the mistake under test


def test_without_a_corrected_clock_this_machines_clock_signs() -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    request = SdkHmacSha256(Credentials(AK, SK))(prepared())
    signed = datetime.strptime(request.headers["X-Sdk-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert before <= signed <= datetime.now(UTC)


@pytest.mark.parametrize("body", ['{"a": 1}', b'{"a": 1}'])
def test_a_body_is_signed_whether_text_or_bytes(body: str | bytes) -> None:
    request = prepared(method="POST")
    request.body = body
    with_body = sign(request).headers["Authorization"]
    assert with_body != sign(prepared(method="POST")).headers["Authorization"]
    request.body = b'{"a": 1}'
    assert sign(request).headers["Authorization"] == with_body


def test_a_stream_is_refused_as_a_body() -> None:
    request = prepared(method="POST")
    request.body = iter([b"x"])  # type: ignore[assignment]
    with pytest.raises(UsageError, match="bytes and text"):
        sign(request)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://127.0.0.1:8080/v1", "127.0.0.1:8080"),
        ("http://[::1]:8080/v1?a=b", "[::1]:8080"),
        ("http://user:pass@127.0.0.1/v1#part", "127.0.0.1"),
    ],
)
def test_the_host_is_signed_as_in_the_url(url: str, host: str) -> None:
    assert sign(prepared(url)).headers["Host"] == host
