"""The HTTP API's tokens in the console: a secret is shown once, and every change takes effect at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.console_pages import Console, words
from tests.support.dead_letters import PROJECT
from worker.config import api_tokens
from worker.ledger.audit_actions import ActionName

WHO_AND_WHY = {"reason": "TICKET-4711", "by": "ops-7"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.toml"


@pytest.fixture
def console(redis_url: str, file: Path) -> Iterator[Console]:
    one = Console(redis_url, environ={"ERASER_API_TOKENS_FILE": str(file)})
    with one.client:
        yield one


def made(console: Console, **fields: str) -> Any:
    """A box that is not ticked is not sent."""
    return console.post("/tokens", token=console.token(), **WHO_AND_WHY | fields)


def secret_of(response: Any) -> str:
    assert response.status_code == 200, words(response.text)
    found = re.search(r'<code id="secret">([^<]+)</code>', response.text)
    assert found
    return found[1]


def known(console: Console, secret: str) -> bool:
    path = f"/api/projects/{PROJECT}/deletions/j"
    return bool(console.get(path, Authorization=f"Bearer {secret}").status_code != 401)


def test_a_token_is_made_and_its_secret_shown_once(console: Console, file: Path) -> None:
    assert "No token" in console.text("/tokens")
    fields = {"name": "shop", "scope-read": "yes", "scope-request": "yes", "projects": PROJECT}
    secret = secret_of(made(console, **fields))
    (kept,) = api_tokens.read(file.read_text(), "file")
    assert (kept.name, kept.scopes, kept.projects) == ("shop", {"request", "read"}, {PROJECT})
    assert known(console, secret)
    assert secret not in console.get("/tokens").text
    assert f"shop read, request {PROJECT}" in console.text("/tokens")


def test_a_secret_is_replaced_with_an_overlap_and_a_token_revoked(console: Console) -> None:
    fields = {"name": "shop", "scope-read": "yes"}
    old = secret_of(made(console, **fields))
    new = secret_of(console.send("/tokens/shop/rotate", **WHO_AND_WHY, overlap="24h"))
    assert known(console, old)
    assert known(console, new)
    assert "works until" in console.text("/tokens")
    newest = secret_of(console.send("/tokens/shop/rotate", **WHO_AND_WHY))
    assert [known(console, one) for one in (old, new, newest)] == [False, False, True]
    assert "The token shop is revoked" in words(console.send("/tokens/shop/revoke", **WHO_AND_WHY).text)
    assert not known(console, newest)
    assert console.get("/tokens/shop/revoke").status_code == 404


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"name": "Shop", "scope-read": "yes"}, "lower-case"),
        ({"name": "shop", "scope-read": "yes", "reason": ""}, "reason: give a ticket number"),
        ({"name": "shop", "scope-read": "yes", "by": "Li Wei"}, "who"),
        ({"name": "shop"}, "tick what the token may do"),
        ({"name": "shop", "scope-read": "yes", "projects": "a/b"}, "project id"),
    ],
)
def test_a_token_that_cannot_be_is_refused(console: Console, file: Path, fields: dict[str, str], why: str) -> None:
    response = made(console, **fields)
    assert (response.status_code, why in words(response.text).lower()) == (422, True)
    assert not file.exists()


def test_each_change_is_in_the_audit_with_who_and_why(console: Console) -> None:
    made(console, **{"name": "shop", "scope-read": "yes"})
    for verb in ("rotate", "revoke"):
        refused = console.send(f"/tokens/shop/{verb}", reason="", by="ops-7")
        assert (refused.status_code, "Reason: give a ticket number" in words(refused.text)) == (422, True)
        console.send(f"/tokens/shop/{verb}", **WHO_AND_WHY)
    found = [(one.action, one.of, one.by, one.reason) for one in console.app.audit("default").newest()]
    acts = (ActionName.TOKEN_REVOKED, ActionName.TOKEN_ROTATED, ActionName.TOKEN_MADE)
    assert found == [(act, "token shop", "ops-7", "TICKET-4711") for act in acts]
    assert "token shop: revoked" in console.text("/audit")


def test_an_overlap_that_makes_no_sense_changes_nothing(console: Console) -> None:
    old = secret_of(made(console, **{"name": "shop", "scope-read": "yes"}))
    assert console.send("/tokens/shop/rotate", **WHO_AND_WHY, overlap="soon").status_code == 422
    assert known(console, old)


def test_a_file_that_cannot_be_read_is_said(console: Console, file: Path) -> None:
    file.write_text("[shop")
    assert console.get("/tokens").status_code == 422
