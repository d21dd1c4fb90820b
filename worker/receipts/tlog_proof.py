"""The proof that a receipt is in the tree of its day, in the format of c2sp.org/tlog-proof@v1. Pure.

It has an index, the hashes from leaf to root, and the day's checkpoint: nothing of any other receipt.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from worker.receipts.merkle import root_of_proof
from worker.receipts.notes import BadNote, Note, checkpoint

_FIRST: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,15})")
_MOST = 63  # hashes


@dataclass(frozen=True, slots=True)
class TlogProof:
    """One as it is written. `note`: the checkpoint with its signatures."""

    index: int
    hashes: tuple[bytes, ...]
    note: str

    def __str__(self) -> str:
        lines = [_FIRST, f"index {self.index}", *(base64.b64encode(one).decode() for one in self.hashes)]
        return "\n".join(lines) + "\n\n" + self.note

    @classmethod
    def read(cls, written: str) -> TlogProof:
        """Raises `BadNote` for any other form than that of `str`, and for extra data, which ours have not."""
        head, blank, note = written.partition("\n\n")
        first, index, *hashes = [*head.split("\n"), ""][: _MOST + 3]
        match = _INDEX.fullmatch(index)
        if first != _FIRST or match is None or not blank:
            raise BadNote("it is no tlog-proof@v1 of a receipt")
        try:
            found = cls(int(match[1]), tuple(base64.b64decode(one, validate=True) for one in hashes if one), note)
        except binascii.Error:
            raise BadNote("a hash of the proof is not base64") from None
        if str(found) != written or any(len(one) != 32 for one in found.hashes):
            raise BadNote("the proof is not as it is written")
        return found

    def of_receipt(self, hash: str) -> tuple[str, int, Note]:
        """The origin and the size of the tree that has the receipt with this hash, and the checkpoint that says so.

        Raises `BadNote` if the proof does not lead to its root.
        """
        note = Note.read(self.note)
        origin, size, root = checkpoint(note.text)
        try:
            leads_there = root_of_proof(bytes.fromhex(hash), self.index, size, self.hashes) == root
        except ValueError as error:
            raise BadNote(str(error)) from None
        if not leads_there:
            raise BadNote("the proof does not lead from this receipt to the root of its checkpoint")
        return origin, size, note
