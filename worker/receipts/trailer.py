"""The last line of a file of receipts: it describes the lines above it, so that cutting and adding are detected;
may be signed.
"""

from __future__ import annotations

from typing import Any

from worker.ledger.schema.states import VERSION
from worker.receipts.canonical import canonical
from worker.receipts.chain import sealed
from worker.receipts.serialization import KIND
from worker.receipts.signature import Signer


def made(account: str, *, signer: Signer | None, **chain: Any) -> dict[str, Any]:
    """The trailer. chain: `count`, `first_n`, `last_n`, `prev` (the hash before the first receipt of the file) and
    `head` (that of the last).
    """
    line: dict[str, Any] = {"kind": KIND, "v": VERSION, "account": account}
    line |= {name: chain[name] for name in ("count", "first_n", "last_n", "prev", "head")}
    line["signature"] = signer.sign(statement(line)) if signer else None
    return sealed(line)


def statement(trailer: dict[str, Any]) -> bytes:
    """The signed statement: the trailer without its signature and its hash."""
    return canonical({name: value for name, value in trailer.items() if name not in ("signature", "hash")})
