"""A certificate says in plain English what was erased, by whose word, and what could not be checked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.receipts.test_verify import chained, receipt
from worker.receipts.certificate import made, verify
from worker.receipts.commitments import committed, redact
from worker.receipts.receipt import EVENTS
from worker.services.certificate_forms import CertificateForm, form_as
from worker.services.certificate_words import Words, words

CLAIMS = [{"requested_by": "bob", "reason": None, "run": None, "policy": "old"}]


def content(line: dict[str, Any] | None = None, **fields: Any) -> Words:
    """What a certificate of such a receipt says; without a check of its fields, as a later version may write it."""
    line = line or chained([receipt(7, **fields)])[0]
    certificate = made(line, signer=None, proof=None)
    found = verify(made(chained([receipt(7)])[0], signer=None, proof=None))
    return words(type(found)(line, by_key=False), certificate)


def section(found: Words, title: str) -> str:
    (one,) = [section for section in found.sections if section.title == title]
    return "\n".join([*one.sentences, *(f"{name}: {value}" for name, value in one.facts)])


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        ({"state": "deleted"}, "was deleted. MetaStudio, the service that held it, confirmed that on 21 November 2026"),
        ({"state": "gone", "evidence": "seen_before"}, "is gone: when MetaStudio was asked on"),
        ({"state": "gone", "evidence": "never_seen"}, "MetaStudio never listed it: no proof that it ever was"),
        (
            {"state": "cancelled", "sent": "no"},
            "10:00:07 UTC. No call to delete it was sent: this is no proof of a del",
        ),
        (
            {"state": "cancelled", "sent": "yes"},
            "A call to delete it had been sent before; what became of it, MetaStudi",
        ),
        ({"state": "cancelled", "sent": "perhaps"}, "Whether a call to delete it had been sent before is not known."),
        ({"state": "discarded"}, "was given up by an operator on 21 November 2026, 10:00:07 UTC. It may still exist."),
    ],
)
def test_each_end_in_one_sentence(fields: dict[str, Any], summary: str) -> None:
    found = content(**fields)
    assert summary in found.summary
    ended = fields["state"] in ("deleted", "gone")
    assert found.title.startswith("Certificate of deletion" if ended else "Certificate of a request that ended without")
    assert ("no proof that anything was deleted" in section(found, "What could not be checked")) == (not ended)
    assert section(found, "What was erased" if ended else "What was to be erased")


@pytest.mark.parametrize(
    ("event", "summary"),
    [
        ("restored", "it was taken up again, after it had been given up. It may still exist."),
        ("released", "a person removed the hold on it. It may still exist."),
        ("hold_ended", "the hold on it ended. It may still exist."),
    ],
)
def test_what_goes_on_has_not_ended(event: str, summary: str) -> None:
    found = content(state="pending", event=event, finished_by="ops-1")
    assert found.title == "Certificate of a request that has not ended"
    assert "has not ended: on 21 November 2026, 10:00:07 UTC" in found.summary
    assert found.summary.endswith(summary)
    assert "no proof that anything was deleted" in section(found, "What could not be checked")


def test_what_came_back_is_called_no_deletion() -> None:
    found = content(later(state="deleted", event="came_back", recorded_at="2026-12-21T10:00:00.000Z"))
    assert found.title == "Certificate of a deletion that did not last"
    assert found.summary.endswith("and came back: on 21 December 2026, 10:00:00 UTC MetaStudio had it again.")
    assert "It has to be deleted again." in section(found, "What could not be checked")


@pytest.mark.parametrize(
    ("event", "end"),
    [
        ("verified", "It was asked about again on 21 December 2026, 10:00:00 UTC."),
        ("gone_again", "It came back later, and on 21 December 2026, 10:00:00 UTC it was gone again."),
    ],
)
def test_what_was_looked_at_again_is_a_deletion(event: str, end: str) -> None:
    found = content(later(state="deleted", event=event, recorded_at="2026-12-21T10:00:00.000Z"))
    assert found.title == "Certificate of deletion"
    assert "confirmed that on 21 November 2026" in found.summary
    assert found.summary.endswith(end)


def test_every_event_of_a_receipt_has_words_of_its_own() -> None:
    written = {content(later(state="deleted", event=event)).summary for event in (None, *EVENTS)}
    assert len(written) == len(EVENTS) + 1


def test_who_asked_and_why() -> None:
    found = section(content(requested_by="ann", reason="T-1", claims=CLAIMS), "By whose word")
    assert found == (
        "Requested: 21 November 2026, 10:00:00 UTC, by ann; reason: T-1\nAlso requested: by bob; retention policy old"
    )
    given_up = content(state="discarded", finished_by="ops-1", finished_reason="T-9", reason=None)
    assert "Given up: by ops-1; reason: T-9" in section(given_up, "By whose word")
    assert "by an unnamed requester" in section(given_up, "By whose word")


def test_what_was_redacted_is_said_to_be() -> None:
    line = chained([receipt(7, requested_by="ann", reason="T-1", claims=CLAIMS, finished_by="ops-1")])[0]
    found = section(content(redact(line, lambda place, text: True)), "By whose word")
    assert found == (
        "Requested: 21 November 2026, 10:00:00 UTC, by somebody whose name was redacted; the reason was redacted\n"
        "Also requested: by somebody whose name was redacted; retention policy old\n"
        "Ended: by somebody whose name was redacted"
    )


def test_without_an_inventory_it_says_what_was_not_asked() -> None:
    unchecked = "What could not be checked"
    nothing = section(content(), unchecked)
    assert "Whether a model asset or a voice belonged to it, and is left: it was not asked." in nothing
    assert "Backups and logs that MetaStudio keeps" in nothing
    named = section(content(asset_id="as-1", voice_train_job_id="v-1", related="not checked"), unchecked)
    assert "What became of its model asset as-1 and its voice training job v-1: it was not asked" in named


@pytest.mark.parametrize(
    ("kind", "thing"),
    [("model_asset", "model asset a-1"), ("voice_asset", "voice asset a-1"), ("voice_job", "voice training job a-1")],
)
def test_a_part_that_was_deleted_by_itself_has_a_certificate_of_its_own(kind: str, thing: str) -> None:
    found = content(later(kind=kind, id="a-1", job_id=None))
    assert f"The {thing} was deleted." in found.summary
    unchecked = section(found, "What could not be checked")
    assert "Backups and logs" in unchecked
    assert "identity cards" not in unchecked
    assert "belonged to it" not in unchecked


def test_an_inventory_alone_does_not_mean_that_anybody_looked_afterwards() -> None:
    found = section(content(later(inventory="done", asset_id="as-1")), "What could not be checked")
    assert "What became of its model asset as-1: it was not asked" in found


PARTS = [
    {"part": "model_asset", "id": "as-1", "removed_by": "us", "evidence": "purged"},
    {"part": "voice_job", "id": "v-1", "removed_by": "service", "evidence": "absent_seen_before"},
    {"part": "voice_asset", "id": "va-1", "removed_by": None, "evidence": "kept"},
]


def later(**fields: Any) -> dict[str, Any]:
    return chained([committed(receipt(7) | fields, "0" * 32)])[0]


def test_parts_of_the_erasure_are_told_where_the_receipt_has_them() -> None:
    found = content(later(erasure="partial", inventory="done", related=PARTS))
    erased = section(found, "What was erased")
    assert "Erasure as a whole: Parts of it were left where they are" in erased
    assert "Its model asset: as-1: gone, removed by our call" in erased
    assert "Its voice training job: v-1: gone: MetaStudio had shown it before" in erased
    unchecked = section(found, "What could not be checked")
    assert "Its voice asset va-1: still there: it was not to be deleted." in unchecked
    assert "as-1" not in unchecked
    assert "it was not asked" not in unchecked


@pytest.mark.parametrize(
    "verdict", ["whole", "whole_by_acknowledgement", "pending", "partial", "incomplete", "unverifiable"]
)
def test_every_verdict_has_words_and_what_was_left_is_in_the_first_lines(verdict: str) -> None:
    found = content(later(state="deleted", erasure=verdict, inventory="done", related=[]))
    left = verdict in ("partial", "incomplete")
    assert (found.left, "Something that belonged to it was left behind" in found.summary) == (left, left)
    erased = section(content(later(erasure=verdict, inventory="done", related=[])), "What was erased")
    (line,) = [line for line in erased.splitlines() if line.startswith("Erasure as a whole: ")]
    assert line.endswith(".")
    assert verdict not in line.split()


EVIDENCE = "purged absent_seen_before absent_never_seen in_bin acknowledged kept refused blocked foreign not_visible"


@pytest.mark.parametrize("evidence", [*EVIDENCE.split(), "not_permitted", "unknown"])
def test_every_evidence_of_a_part_has_words(evidence: str) -> None:
    part = {"part": "model_asset", "id": "as-1", "removed_by": None, "evidence": evidence}
    found = content(later(erasure="pending", inventory="done", related=[part]))
    assert "_" not in section(found, "What was erased").partition("Its model asset: as-1:")[2]
    gone = evidence in ("purged", "absent_seen_before", "acknowledged")
    assert ("as-1" in section(found, "What could not be checked")) == (not gone)


def test_without_an_answer_before_the_deletion_it_says_that_nothing_is_known() -> None:
    found = section(content(later(erasure="unverifiable", inventory="none", related=[])), "What could not be checked")
    assert "What else belonged to it: that could not be found out before the deletion" in found


def test_what_metastudio_or_a_person_wrote_is_no_markup() -> None:
    line = chained([receipt(7, code="<b>&", reason="</script><script>alert(1)</script>")])[0]
    page = form_as(CertificateForm.HTML, made(line, signer=None, proof=None))
    assert "<b>" not in page
    assert "alert(1)</script><" not in page
    assert page.count("<script") == 1
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page
