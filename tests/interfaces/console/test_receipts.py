"""Receipts in the console: found by job or time, saved as a file, and a file that somebody hands in verified."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.console_pages import Console, links, words
from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.receipt_keys import new_keys
from worker.interfaces.console import receipts as page
from worker.interfaces.web import multipart
from worker.interfaces.web.request_guard import BODY_LIMIT


@pytest.fixture
def console(redis_url: str, undertaker: Undertaker, tmp_path: Path) -> Iterator[Console]:
    new_keys(tmp_path, "receipts")
    undertaker.end(
        *[f"job-{n:02d}" for n in range(60)], to="deleted", claim={"by": "svc-1", "why": "T-1", "run": "RUN-1"}
    )
    undertaker.end("other", to="gone", evidence="never_seen", status=404, code=None)
    one = Console(redis_url, environ={"ERASER_RECEIPT_KEY_FILE": str(tmp_path / "receipts.key")})
    with one.client:
        yield one


def hand_in(console: Console, written: bytes, **fields: str) -> Any:
    """The form, as a browser sends it with a file."""
    headers = {"Origin": console.base, "Sec-Fetch-Site": "same-origin"}
    data = {"token": console.token(), **fields}
    return console.client.post("/receipts/verify", data=data, files={"file": ("x.jsonl", written)}, headers=headers)


def saved(console: Console, query: str = "") -> bytes:
    response = console.get(f"/receipts/export{query}")
    assert response.status_code == 200, words(response.text)
    return bytes(response.content)


def test_what_ended_is_listed_page_by_page_with_its_certificates(console: Console) -> None:
    first = console.get("/receipts").text
    assert first.count('data-name="State"') == 50
    assert len(re.findall(r">\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC</time>", first)) == 50
    later = next(to for to in links(first) if "from=" in to)
    rest = console.get(later).text
    assert rest.count('data-name="State"') == 11
    assert f"/deletions/{PROJECT}/job-00/certificate" in links(first)
    assert "No receipts in that time" in console.text("/receipts?since=0.001s")


def test_a_job_is_found_by_its_certificate(console: Console) -> None:
    assert console.get("/receipts?job=other").headers["location"] == f"/deletions/{PROJECT}/other/certificate"


@pytest.mark.parametrize(
    "query", ["job=..", "project=a%2Fb", "since=then", "from=x", "project=1605768a2c8026af2f8bc00f4b0d3b7c&since=x"]
)
def test_what_makes_no_sense_is_said(console: Console, query: str) -> None:
    assert console.get(f"/receipts?{query}").status_code == 422


def test_receipts_are_saved_and_verify_here_and_an_altered_file_does_not(console: Console) -> None:
    written = saved(console)
    assert len(written.splitlines()) == 62
    text = words(hand_in(console, written, by_key="yes").text)
    assert "It verifies 61 receipts, none altered, dropped or added" in text
    assert "Signed by" in text
    assert "consistent within itself" in words(hand_in(console, written).text)
    altered = written.replace(b'"job-07"', b'"job-97"')
    text = words(hand_in(console, altered, by_key="yes").text)
    assert "It does not verify Line 8" in text
    head = json.loads(written.splitlines()[-1])["head"]
    assert "It verifies" in words(hand_in(console, written, head=head).text)
    assert "It does not verify" in words(hand_in(console, written, head="0" * 64).text)


def test_a_selection_says_what_it_is(console: Console) -> None:
    written = saved(console, "?run=RUN-1&form=csv")
    assert written.startswith(b"v,n,account")
    assert "run RUN-1: whether it has every receipt of that, it cannot prove" in words(hand_in(console, written).text)


def test_a_run_of_before_is_exported_whatever_its_name_has_the_form_of(
    console: Console, undertaker: Undertaker
) -> None:
    undertaker.end("earlier", to="deleted", claim={"by": "svc-1", "why": "T-1", "run": (run := "13800138000")})
    receipt, trailer = map(json.loads, saved(console, f"?run={run}").splitlines())
    assert (receipt["id"], trailer["selection"]) == ("earlier", f"run {run}")
    assert console.get("/receipts/export?run=a%20b").status_code == 422, "and what is no name of a run is refused"


def test_a_certificate_is_verified_with_its_words(console: Console) -> None:
    for form in ("html", "txt", "json"):
        written = console.get(f"/deletions/{PROJECT}/other/certificate?form={form}").content
        assert "It verifies A certificate: gone" in words(hand_in(console, written, by_key="yes").text)
    altered = written.replace(b"never_seen", b"seen_before")
    assert "It does not verify" in words(hand_in(console, altered).text)


@pytest.mark.parametrize("written", [b"", b"hello", b"\x00\xff" * 100, b"{}", b"\r\n--x--\r\n"])
def test_what_is_no_file_of_receipts_is_said(console: Console, written: bytes) -> None:
    response = hand_in(console, written)
    assert (response.status_code, "verifies" in response.text) in ((422, False), (200, False))


def test_a_file_is_bounded_and_kept_nowhere(console: Console, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    written = saved(console)
    many = written * (2 * BODY_LIMIT // len(written))
    assert len(many) > BODY_LIMIT
    assert "added: it is after the trailer" in words(hand_in(console, many).text)
    assert hand_in(console, b"x" * (page.LARGEST + 1)).status_code == 422
    assert hand_in(console, b"x" * (page.LARGEST + 5_000)).status_code == 413
    assert list((tmp_path / "scratch").iterdir()) == []
    sent = {"Origin": console.base, "Content-Type": "application/x-www-form-urlencoded"}
    body = f"token={console.token()}&jobs={'x' * BODY_LIMIT}"
    assert console.client.post("/holds", content=body, headers=sent).status_code == 413, "other forms stay small"


def test_the_file_of_nobody_is_not_even_read(console: Console) -> None:
    console.client.cookies.clear()
    read: list[int] = []

    def body() -> Iterator[bytes]:
        for _ in range(4):
            read.append(1)
            yield b"x" * 1024

    headers = {"Origin": console.base, "Content-Type": "multipart/form-data; boundary=x"}
    assert console.client.post("/receipts/verify", content=body(), headers=headers).status_code == 403
    assert read == []


def test_a_form_with_a_file_is_read_as_it_is_sent() -> None:
    content = b"a\r\n--other\r\n\r\nb\n\r\x00"
    body = (
        b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\nt-1\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a \xc3\xa9.jsonl"\r\n'
        b"Content-Type: text/plain\r\n\r\n" + content + b"\r\n--x--\r\n"
    )
    found = multipart.read('multipart/form-data; boundary="x"', body)
    assert (found.fields, found.files) == ({"token": "t-1"}, {"file": content})
    for kind, sent in (("text/plain", body), ("multipart/form-data", body), ("multipart/form-data; boundary=y", body)):
        assert multipart.read(kind, sent) == multipart.Multipart()
    assert multipart.read("multipart/form-data; boundary=x", body[:60]).files == {}
