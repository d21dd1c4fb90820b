"""Who and why enter a receipt's hash as commitments, so that what was written by mistake can be removed later. Pure.

    commitment = SHA-256 of ["<salt>","<place>","<text>"] in canonical form, where the salt is 128 random bits

The text and its salt stand beside the commitment and are not hashed themselves. Without the salt nobody can try out
which text it was; so a redacted receipt has neither, and its hash, its chain and its signature are what they were.
A place is a field (`reason`) or that of another requester (`claims/0/reason`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from worker.receipts.canonical import canonical

COMMITTED: Final = ("requested_by", "reason", "finished_by", "finished_reason")  # fields that are not hashed themselves
OF_CLAIMS: Final = ("requested_by", "reason")  # the same of each claim
NAMES: Final = ("salts", "commitments")  # the fields that they add to a receipt
_SALT = 32  # hexadecimal digits
_Wanted = Callable[[str, str], bool]  # place, text


def _places(receipt: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Every place of a text: its name, and where it stands."""
    for name in COMMITTED:
        yield name, receipt, name
    for number, claim in enumerate(receipt["claims"] or ()):
        for name in OF_CLAIMS:
            yield f"claims/{number}/{name}", claim, name


def texts(receipt: dict[str, Any]) -> dict[str, str]:
    """Every text of who and why that a receipt has, by its place."""
    return {place: holder[name] for place, holder, name in _places(receipt) if holder[name] is not None}


def commitment(salt: str, place: str, text: str) -> str:
    """What is hashed in the place of a text."""
    return hashlib.sha256(canonical([salt, place, text])).hexdigest()


def committed(receipt: dict[str, Any], secret: str) -> dict[str, Any]:
    """A receipt with a commitment and a salt for each of its texts.

    secret: 128 random bits of this receipt, from which its salts are derived. It stays in Redis, so that no salt leads
    to another one.
    """
    found = texts(receipt)
    salts = {place: hashlib.sha256(f"{secret}/{place}".encode()).hexdigest()[:_SALT] for place in found}
    return receipt | {
        "salts": salts,
        "commitments": {place: commitment(salts[place], place, text) for place, text in found.items()},
    }


def hashed(line: dict[str, Any]) -> dict[str, Any]:
    """What of a line its hash is of: without its hash, and commitments instead of texts and salts."""
    left_out = {"hash"}
    if "commitments" not in line:  # a trailer, or a receipt of schema version 1
        return {name: value for name, value in line.items() if name not in left_out}
    left_out |= {"salts", *COMMITTED}
    bare = {name: value for name, value in line.items() if name not in left_out}
    claims = line["claims"] or []
    return bare | {"claims": [{name: claim[name] for name in claim if name not in OF_CLAIMS} for claim in claims]}


def why_wrong(line: dict[str, Any]) -> str | None:
    """Why the texts of a receipt are not those that were committed; None: they are, or were redacted."""
    places = {place: holder.get(name) for place, holder, name in _places(line)}
    for names in (line["salts"], line["commitments"]):
        if [place for place in places if place in names] != list(names):
            return "it has commitments to what it does not have"
    for place, text in places.items():
        salt, promised = line["salts"].get(place), line["commitments"].get(place)
        if (text is None) != (salt is None) or (text is not None and promised is None):
            return f"{place} has a text without a commitment, or a salt without a text"
        if text is not None and (not isinstance(text, str) or not isinstance(salt, str)):
            return f"{place} is no text"
        if text is not None and commitment(salt, place, text) != promised:
            return f"{place} is not the text that was committed"
    return None


def redacted_places(line: dict[str, Any]) -> list[str]:
    """The places whose text was removed."""
    return [place for place in line.get("commitments", ()) if place not in line["salts"]]


def redact(line: dict[str, Any], wanted: _Wanted) -> dict[str, Any]:
    """The receipt without the texts that are meant, and without their salts. Its hash is what it was."""
    claims = [dict(claim) for claim in line["claims"] or ()]
    made = line | {"claims": claims, "salts": dict(line["salts"])}
    for place, holder, name in _places(made):
        if holder[name] is not None and wanted(place, holder[name]):
            holder[name] = None
            del made["salts"][place]
    return made
