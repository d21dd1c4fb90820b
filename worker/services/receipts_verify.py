"""Verifying a file of receipts, or a certificate, that somebody hands in. It is read in memory, and kept nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BytesIO

from worker.receipts import verify
from worker.receipts.certificate import NotGenuine, Verified
from worker.receipts.dayfiles import LONGEST
from worker.receipts.signature import Verifier
from worker.receipts.verify import VerificationError
from worker.services import certificate_forms
from worker.services.labels import count, plain


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it verifies; what it is, or the first fault; what was found in it, by name."""

    good: bool
    summary: str
    facts: tuple[tuple[str, str], ...] = ()
    by_key: str | None = None  # the fingerprint of the key that was asked for


def judge(written: bytes, *, key: Verifier | None = None, head: str | None = None) -> Verdict:
    """key: that must have signed it; head: the hash that its last receipt must have. Without both it is only
    consistent within itself."""
    by_key = key.fingerprint if key else None
    try:
        if found := certificate_forms.verified(written, key=key):
            return _certificate(found[1], by_key)
        read = verify.verify(lambda: iter(partial(BytesIO(written).readline, LONGEST), b""), head=head, key=key)
    except (VerificationError, NotGenuine) as fault:
        return Verdict(False, plain(str(fault)), by_key=by_key)
    trailer, summary = read.trailer, read.summary
    facts = [("Account", str(trailer["account"]))]
    if summary.receipts:
        facts.append(("Receipts", f"{trailer['first_n']:,} to {trailer['last_n']:,}"))
    facts += [(name, f"{number:,}") for name, number in summary.ends.items() if number]
    facts += [("Finished", f"{summary.first_at} to {summary.last_at}")] if summary.receipts else []
    facts += [("Redacted", count(read.redacted, "text"))] if read.redacted else []
    if of := trailer.get("selection"):
        facts.append(("Selection", f"{plain(of)[:80]}: whether it has every receipt of that, it cannot prove"))
    facts.append(("Head", str(trailer["head"])))
    return Verdict(True, f"{count(summary.receipts, 'receipt')}, none altered, dropped or added", tuple(facts), by_key)


def _certificate(good: Verified, by_key: str | None) -> Verdict:
    line = good.receipt
    facts = [(name, str(line[field])) for name, field in (("Account", "account"), ("Project", "project_id"))]
    facts += [(str(line["kind"]), str(line["id"])), ("Receipt", f"{line['n']:,}"), ("Hash", str(line["hash"]))]
    if good.origin:
        facts.append(("Proof", f"one of {count(good.size or 0, 'receipt')} of {good.origin}"))
    return Verdict(True, f"A certificate: {line['state']}, {line['finished_at']}", tuple(facts), by_key)
