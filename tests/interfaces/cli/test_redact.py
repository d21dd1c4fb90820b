"""What got in once goes from records, receipts and the audit, and everything else stays."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.command import Command
from tests.support.dead_letters import PROJECT, Undertaker
from worker.ledger.holds import HoldList
from worker.ledger.replays import Replays, ReplayStage
from worker.ledger.schema.keys import Key
from worker.ledger.types import BY_ERASURE, DeletionRequest, GateSignal, Settlement
from worker.model.states import Lane
from worker.model.target import MODEL_ASSET, Target
from worker.receipts import commitments
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


WORDS = ("user", "bulk", "pending", "lane", "why", "run-1")  # each is also a value or a name in a record


def everything(undertaker: Undertaker) -> dict[str, Any]:
    """All that the account has, parsed, but for what every act changes, and for receipts and audit."""
    prefix, found = undertaker.ledger.prefix, {}
    for key in undertaker.redis.scan_iter(f"{prefix}*"):
        name = key.decode().removeprefix(prefix)
        match undertaker.redis.type(key):
            case b"hash":
                found[name] = parsed(undertaker.redis.hgetall(key))
            case b"zset":
                found[name] = parsed(undertaker.redis.zrange(key, 0, -1, withscores=True))
    return {
        name: value for name, value in found.items() if not name.startswith(("ops", "audit", "receipts", "account"))
    }


def parsed(stored: Any) -> Any:
    """The same with everything that is JSON, and with lines of a history, as what they say."""
    match stored:
        case bytes():
            return [parsed(line) for line in stored.decode().split("\n")]
        case str():
            begin = re.search(r"[{\[]", stored)
            return [stored[: begin.start()], json.loads(stored[begin.start() :])] if begin else stored
        case dict():
            return {name.decode(): parsed(value) for name, value in stored.items()}
        case list() | tuple():
            return [parsed(one) for one in stored]
    return stored


def masked(value: Any, texts: set[str], places: list[str]) -> Any:
    """The same without these texts where they say who or why; `places` gets the names of these places."""
    if isinstance(value, list):
        return [masked(one, texts, places) for one in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, one in value.items():
        text = one[0] if isinstance(one, list) and len(one) == 1 else one
        if name in ("by", "why") and text in texts:
            places.append(name)
            found[name] = "redacted" if text is one else ["redacted"]
        else:
            found[name] = masked(one, texts, places)
    return found


def feed(undertaker: Undertaker, letter: Target) -> None:
    """A replay begins the letter's new round."""
    replays = Replays(undertaker.ledger)
    replays.snapshot("replay-1", [letter])
    who: dict[str, Any] = {"why": "T-7", "by": "ops-1"}
    terms = replays.terms("replay-1", what="one", groups={}, mark=replays.mark(), deadline_s=86_400, **who)
    assert replays.start(terms)
    replay = replays.find("replay-1")
    assert replay is not None
    assert replays.requeue_batch(replay, 1, ReplayStage.REST)


@pytest.mark.parametrize("word", WORDS)
def test_a_text_that_is_also_a_word_of_records_goes_and_no_deletion_is_lost(
    command: Command, undertaker: Undertaker, word: str
) -> None:
    claim = {"by": word, "why": word, "run": "run-1"}
    for job, to in {"dead": "dead", "discarded": "dead", "deleted": "deleted", "replayed": "dead"}.items():
        undertaker.end(job, to=to, claim=claim)
    refs = {job: Target(PROJECT, job) for job in ("discarded", "held", "running", "pending", "replayed")}
    undertaker.ledger.discard([refs["discarded"]], why=word, by=word)
    undertaker.request("running", lane=Lane.USER, **claim)
    lease = undertaker.take()
    undertaker.request("held", "pending", lane=Lane.USER, **claim)
    undertaker.request("held", "pending", by="bob", why=word)
    feed(undertaker, refs["replayed"])
    HoldList(undertaker.ledger).add([refs["held"]], why="T-8", by="ops-1")
    seal_all(undertaker.ledger)
    before = everything(undertaker)
    jobs = ("dead", "deleted", *refs)
    done = command("redact", *jobs, "--what", "both", "--reason", "T-9", "--by", "ops-2", "--yes", "--json")
    assert done.json[0]["records"] == len(jobs)
    texts = {word, "bob", "ops-1", "T-7", "T-8"}
    places: list[str] = []
    left: list[str] = []
    expected = {name: masked(one, texts, places) if name.startswith("d:") else one for name, one in before.items()}
    after = everything(undertaker)
    assert after == expected, "who and why have changed, and nothing else"
    assert len(places) > len(jobs) * 2
    masked(after, {word}, left)
    assert left == []
    receipts = [line for line in command("receipts", "export").json if "requested_by" in line]
    assert receipts
    assert not [line for line in receipts if word in commitments.texts(line).values()]
    assert not [act for act in command("audit", "--json").json if word in (act["by"], act["reason"])]
    undertaker.settle(lease, to="deleted")
    HoldList(undertaker.ledger).remove([refs["held"]], why="T-8", by="ops-1")
    for _ in ("pending", "held", "replayed"):
        undertaker.settle(undertaker.take(), to="deleted")
    for job in (*refs, "deleted"):
        (found,) = command("show", job, "--json").json
        assert found["state"] == ("discarded" if job == "discarded" else "deleted")
        assert found["run"] == "run-1"
    assert command("damaged", "list", "--json").json == []


def test_claims_that_only_the_history_has_lose_their_texts(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("a", to="deleted", claim={"by": OTHER, "why": SLIP})
    undertaker.request("a", by="bob", why="T-1", force=True)
    undertaker.redis.delete(undertaker.ledger.prefix + "receipts")  # they have left for files that are not here
    assert SLIP in stored(undertaker)
    command("redact", "a", "--what", "both", "--reason", "T-9", "--yes")
    assert SLIP not in stored(undertaker)
    assert OTHER not in stored(undertaker)


def test_that_an_erasure_asked_for_a_part_stays(command: Command, undertaker: Undertaker) -> None:
    """By that its claims are found when the job's deletion is withdrawn."""
    part = Target(PROJECT, "part-1", MODEL_ASSET)
    undertaker.ledger.request([part], DeletionRequest(by=BY_ERASURE, why=SLIP))
    command("redact", str(part).partition("/")[2], "--what", "both", "--reason", "T-9", "--yes")
    assert SLIP not in stored(undertaker)
    claim = undertaker.redis.hmget(f"{undertaker.ledger.prefix}d:{part}", "by", "why")
    assert claim == [b"erasure", b"redacted"]


def test_who_closed_a_scope_goes_and_the_scope_stays_closed(command: Command, undertaker: Undertaker) -> None:
    undertaker.request("a", by=OTHER, why="T-1")
    undertaker.request("b", by="bob", why=OTHER)
    lease = undertaker.take()
    signal = GateSignal("misconfigured", key="k1", why="403")
    how: dict[str, Any] = {"called": True, "ms": 1.0, "attempt": {"status": 403}, "delay_s": 10}
    settlement = Settlement(ref=lease.ref, token=lease.token, to="pending", signal=signal, **how)
    undertaker.ledger.take(worker="w1", key="k1", settlement=settlement, want=False)
    closures = undertaker.ledger.prefix + Key.CLOSURES
    before = undertaker.redis.hgetall(closures)
    assert OTHER in str(before)
    assert command("redact", lease.ref.id, "--what", "requester", "--reason", "TICKET-1", "--yes").code == 0
    after = {name: json.loads(text) for name, text in undertaker.redis.hgetall(closures).items()}
    assert after == {name: json.loads(text) | {"by": "redacted"} for name, text in before.items()}
