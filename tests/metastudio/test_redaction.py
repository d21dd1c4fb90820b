"""Nothing secret or personal survives a foreign message."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.config import known_secrets
from worker.metastudio import redaction
from worker.metastudio.redaction import MASK, MAX_BYTES, redact

ECHO = (
    "Incorrect IAM authentication information: verify aksk signature fail, canonicalRequest:DELETE|/v1/"
    "0605768a2c8026af2f8bc00f4b0d3b7c/jobs/||host:h|x-app-userid:zhang san|x-security-token:gQpjbi1ub3J0aC00|hash"
)

secret = st.text(st.characters(exclude_categories=("C", "Z"), exclude_characters="*"), min_size=8, max_size=60)


@given(st.text(max_size=600))
@example("a" * 199 + "é")
@example("\ud800" * 300)
def test_the_result_is_one_short_printable_line(text: str) -> None:
    result = redact(text)
    assert len(result.encode()) <= MAX_BYTES
    assert result.isprintable()


@given(before=st.text(max_size=300), planted=secret, after=st.text(max_size=300))
def test_a_secret_never_survives(before: str, planted: str, after: str) -> None:
    assert planted not in redact(before + planted + after, secrets=[planted])


@given(secrets=st.lists(secret, min_size=2, max_size=4), glue=st.text(max_size=5))
def test_of_several_secrets_none_survives(secrets: list[str], glue: str) -> None:
    result = redact(glue.join(secrets), secrets=secrets)
    assert not [s for s in secrets if s in result]


def test_a_secret_that_stands_beyond_the_end_of_a_long_message_does_not_leak_its_beginning() -> None:
    result = redact("@" * 16380 + " " + "SECRET" * 5, secrets=["SECRET" * 5])
    assert "SECR" not in result


@given(
    secrets=st.lists(secret, min_size=2, max_size=4),
    before=st.text(max_size=30),
    glue=st.text(max_size=5),
    others=st.sampled_from([0, 1, 500]),
)
def test_of_many_known_secrets_none_survives(secrets: list[str], before: str, glue: str, others: int) -> None:
    known_secrets.forget()
    for n in range(others):
        known_secrets.add(f"other-{n}", f"secret-of-an-account-{n:04}", f"MIIE/{n:04}+==")
    for n, each in enumerate(secrets[:-1]):
        known_secrets.add(f"source-{n}", each)
    result = redact(before + glue.join(secrets), secrets=secrets[-2:])
    assert not [s for s in secrets if s in result]
    if others == 500:
        assert redact("a=secret-of-an-account-0007.MIIE%2F0499%2B%3D%3D") == "a=***.***"


def test_a_secret_is_spelled_once_however_many_calls_have_secrets_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each account has its key and each call its app user: what is known is not gone through for each of them."""
    spelled = []
    monkeypatch.setattr(redaction, "quote", lambda text, **_: spelled.append(text) or text)
    for n in range(40):
        known_secrets.add(f"account-{n}", f"key-of-account-{n:02}")
    for _ in range(2):
        for n in range(40):
            assert redact("it went well", secrets=(f"key-of-account-{n:02}", f"app-user-{n:02}")) == "it went well"
    assert len(spelled) <= 80


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the password redis is wrong", "the password *** is wrong"),
        ("redis", "***"),
        ("redis://:redis@host", "***"),
        ("口令redis错误", "口令***错误"),
        ("predis and redis7 and REDIS", "predis and redis7 and REDIS"),
    ],
)
def test_a_short_secret_is_masked_where_it_is_no_part_of_a_word(text: str, expected: str) -> None:
    known_secrets.add("REDIS_URL", "redis")
    assert redact(text) == expected
    assert redact(text, secrets=["redis"]) == expected


def test_a_secret_is_also_found_as_it_looks_in_a_url() -> None:
    assert redact("token gQ%2B%2F%3D%3D bad", secrets=["gQ+/=="]) == "token *** bad"


def test_the_echoed_canonical_request_loses_the_values_of_the_access_headers() -> None:
    result = redact(ECHO[30:])
    assert "gQpj" not in result
    assert "zhang" not in result
    assert "x-app-userid:***|x-security-token:***|hash" in result
    assert "0605768a2c8026af2f8bc00f4b0d3b7c" in result


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X-Auth-Token: MIIabc def|x", "X-Auth-Token:***|x"),
        ('{"x-auth-token": "MIIabc"}', '{"x-auth-token":***'),
        ("Authorization: SDK-HMAC-SHA256 Access=AK, Signature=ab", "Authorization:***"),
        ("got Access=AKEX123, Signature=0a1b2c end", "got Access=***, Signature=*** end"),
        ("mail zhang.san+x@example.com.cn now", "mail *** now"),
        ("邮箱：张三@例子.中国", "***"),
        ("call +86 139 1234 5678 or 13912345678", "call *** or ***"),
        ("手机13912345678号", "手机***号"),
        ("tel13912345678x", "tel***x"),
        ("see https://b.obs.cn-north-4.com/id.jpg?AWSAccessKeyId=A&Signature=s now",
         "see https://b.obs.cn-north-4.com/id.jpg?*** now"),
        ("GET /v1/x?marker=1", "GET /v1/x?***"),
        ("really? yes", "really? yes"),
        ("a\r\nb\x00c\u202ed\u2028e", "a b c d e"),
    ],
)  # fmt: skip
def test_what_is_masked(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Invalid parameter",
        "job efc5300ecdba4ea48d1ff13a9d907bc0 of 26f06524-4f75-4f75-8f75-123456789012",
        "id 01234567890123456789012345678901",
        "signature time:20211217T064303Z,server time:20211217T065804Z",
        "policy user over ratelimit,limit:200,time:5 minute",
        "since 2020-07-30T10:43:17Z, 2020-07-30 10:43:17",
        "APIGW.0308 任务不存在",
        "host;x-project-id;x-sdk-date;x-security-token|44136fa3",
    ],
)
def test_what_helps_is_kept(text: str) -> None:
    assert redact(text) == text


def test_a_long_message_is_cut_between_characters_and_shows_that_it_was() -> None:
    result = redact("中" * 100)
    assert result == "中" * 65 + "…"


def test_no_secret_at_all_changes_nothing() -> None:
    assert redact("fine", secrets=["", "x" * 9]) == "fine"
    assert MASK not in redact("fine")


@pytest.mark.parametrize("part", ["a", "1", "@", "://", "+1", "x-auth-token:", "1-", "a?", "\ud800"])
def test_a_megabyte_of_the_worst_is_no_hard_work(part: str) -> None:
    assert len(redact(part * (1_000_000 // len(part)), secrets=["s" * 40]).encode()) <= MAX_BYTES
