"""What got in once goes from records, receipts and the audit, and everything else stays."""

from __future__ import annotations

import json

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.model.target import Target
from worker.receipts.sealing import seal_all

SLIP, OTHER = "Jane Doe, 1990", "jane.doe"  # nothing tells a name from a word


@pytest.fixture
def slipped(undertaker: Undertaker) -> Undertaker:
    undertaker.end("a", to="deleted", claim={"by": OTHER, "why": SLIP})
    undertaker.end("b", to="deleted", claim={"by": OTHER, "why": "T-1"})
    undertaker.request("c", by=OTHER, why=SLIP)
    undertaker.request("c", by="bob", why="T-2")
    undertaker.ledger.cancel([Target(PROJECT, "c")], run="none", why="T-3", by="ops-1")
    undertaker.ledger.cancel([Target(PROJECT, "c")], why=SLIP, by="ops-1")
    seal_all(undertaker.ledger)
    return undertaker


def stored(undertaker: Undertaker) -> str:
    """Everything that Redis has, as text."""
    found = []
    for key in undertaker.redis.scan_iter("*"):
        kind = undertaker.redis.type(key)
        match kind:
            case b"hash":
                found.append(undertaker.redis.hgetall(key))
            case b"stream":
                found.append(undertaker.redis.xrange(key))
            case b"zset":
                found.append(undertaker.redis.zrange(key, 0, -1))
    return str(found)


def test_a_plan_comes_first_and_names_no_text(command: Command, slipped: Undertaker) -> None:
    words = ("redact", "a", "c", "--reason", "TICKET-1")
    refused = command(*words)
    assert (refused.code, "PLAN  redact reason of 2 deletions" in refused.out) == (3, True)
    assert SLIP not in refused.all
    assert command(*words, "--plan", "--json").json == [
        {"what": "reason", "deletions": 2, "texts": 2, "receipts": 2, "acts": 1}
    ]
    assert SLIP in stored(slipped)


def test_the_texts_go_from_everywhere_and_the_chain_still_verifies(command: Command, slipped: Undertaker) -> None:
    before = command("receipts", "export").json
    done = command("redact", "a", "c", "--what", "both", "--reason", "TICKET-1", "--by", "ops-2", "--yes", "--json")
    assert done.json == [{"records": 2, "receipts": 2, "acts": 2, "kept": 0}]
    assert SLIP not in stored(slipped)
    for job in ("a", "c"):
        (found,) = command("show", job, "--json").json
        assert (found["reason"], found["requested_by"]) == ("redacted", "redacted")
        assert SLIP not in json.dumps(found)
    (other,) = command("show", "b", "--json").json
    assert (other["reason"], other["requested_by"]) == ("T-1", OTHER), "another deletion's stay"
    after = command("receipts", "export").json
    assert [line.get("hash") for line in after] == [line.get("hash") for line in before]
    assert SLIP not in json.dumps(after)
    act = command("audit", "--json").json[0]
    assert (act["act"], act["reason"], act["by"]) == ("texts.redacted", "TICKET-1", "ops-2")
    assert act["results"] == {"redacted": 2}
    assert SLIP not in command("audit").out
    again = command("redact", "a", "c", "--what", "both", "--reason", "TICKET-1", "--yes")
    assert "There is no such text" in again.out


def test_only_what_was_named_goes(command: Command, slipped: Undertaker) -> None:
    assert command("redact", "a", "--what", "requester", "--reason", "T-9", "--yes").code == 0
    (found,) = command("show", "a", "--json").json
    assert (found["reason"], found["requested_by"]) == (SLIP, "redacted")
    assert command("redact", "..", "--reason", "T-9", "--yes").code == 2
