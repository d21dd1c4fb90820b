"""The last line of a file of receipts: it describes the lines above it, so that cutting and adding are detected;
may be signed.
"""

from __future__ import annotations

from typing import Any

from worker.ledger.schema.states import VERSION
from worker.receipts import notes
from worker.receipts.canonical import canonical
from worker.receipts.chain import sealed
from worker.receipts.serialization import KIND
from worker.receipts.signature import Signer


def made(
    account: str,
    *,
    signer: Signer | None,
    root: bytes,
    day: str | None = None,
    selection: str | None = None,
    **chain: Any,
) -> dict[str, Any]:
    """The trailer.

    chain: `count`, `first_n`, `last_n`, `prev` (the hash before the first receipt of the file) and `head` (that of the
    last). root: of the Merkle tree of the file's receipts. day: the UTC day, if the file has exactly its receipts: then
    a key also signs a checkpoint of it. selection: of what they are single receipts, if the file has gaps.
    """
    line: dict[str, Any] = {"kind": KIND, "v": VERSION, "account": account}
    line |= {name: chain[name] for name in ("count", "first_n", "last_n", "prev", "head")}
    line |= {"selection": selection, "day": day, "root": root.hex(), "checkpoint": None}
    if signer and day:
        line["checkpoint"] = notes.signed(checkpoint_text(line), notes.origin_of(account, day), signer)
    line["signature"] = signer.sign(statement(line)) if signer else None
    return sealed(line)


def checkpoint_text(trailer: dict[str, Any]) -> str:
    """The checkpoint of a day, without a signature."""
    origin = notes.origin_of(trailer["account"], trailer["day"])
    return notes.checkpoint_text(origin, trailer["count"], bytes.fromhex(trailer["root"]))


def statement(trailer: dict[str, Any]) -> bytes:
    """The signed statement: the trailer without its signature and its hash."""
    return canonical({name: value for name, value in trailer.items() if name not in ("signature", "hash")})
