"""Notes, checkpoints and cosignatures are C2SP's: others' notes are read, ours can be verified without us."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from tests.support.receipt_keys import Keys
from worker.receipts.notes import (
    COSIGNATURE,
    ED25519,
    BadNote,
    Note,
    checkpoint,
    checkpoint_text,
    cosigned,
    good_name,
    key_id,
    signed,
    vkey,
)
from worker.receipts.signature import Verifier

ORIGIN, WITNESS = "avatar-eraser/default/2026-11-21", "witness.example/w1"
TEXT = checkpoint_text(ORIGIN, 5, bytes(range(32)))
# the example of golang.org/x/mod/sumdb/note
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""


def test_a_note_of_another_program_is_read_and_verified(tmp_path: Path) -> None:
    name, id_, encoded = GO_KEY.split("+")
    raw = base64.b64decode(encoded)
    public = tmp_path / "go.pub"
    der = bytes.fromhex("302a300506032b6570032100") + raw[1:]
    public.write_bytes(load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    key = Verifier.load(public)
    assert (raw[:1], key_id(name, ED25519, key.public).hex(), vkey(name, ED25519, key.public)) == (ED25519, id_, GO_KEY)
    Note.read(GO_NOTE).signed_by(name, key)
    with pytest.raises(BadNote, match="does not match the key"):
        Note.read(GO_NOTE.replace("answer", "question")).signed_by(name, key)


def test_what_we_sign_is_verified_by_the_words_of_the_specification(log: Keys) -> None:
    note = signed(TEXT, ORIGIN, log[0])
    text, blank, line = note.rpartition("\n\n")
    dash, name, encoded = line.split()
    raw = base64.b64decode(encoded)
    assert (text + "\n", blank, dash, name) == (TEXT, "\n\n", "\u2014", ORIGIN)
    assert raw[:4] == hashlib.sha256(ORIGIN.encode() + b"\n\1" + log[1].public).digest()[:4]
    Ed25519PublicKey.from_public_bytes(log[1].public).verify(raw[4:], TEXT.encode())
    Note.read(note).signed_by(ORIGIN, log[1])
    assert checkpoint(Note.read(note).text) == (ORIGIN, 5, bytes(range(32)))


def test_a_cosignature_is_verified_by_the_words_of_the_specification(log: Keys, witness: Keys) -> None:
    note = cosigned(signed(TEXT, ORIGIN, log[0]), WITNESS, witness[0], 1_679_315_147)
    name, encoded = note.splitlines()[-1].removeprefix("\u2014 ").split()
    raw = base64.b64decode(encoded)
    assert (name, len(raw), int.from_bytes(raw[4:12], "big")) == (WITNESS, 76, 1_679_315_147)
    assert raw[:4] == hashlib.sha256(WITNESS.encode() + b"\n\4" + witness[1].public).digest()[:4]
    message = f"cosignature/v1\ntime 1679315147\n{TEXT}".encode()
    Ed25519PublicKey.from_public_bytes(witness[1].public).verify(raw[12:], message)
    assert Note.read(note).cosigned_by(WITNESS, witness[1]) == 1_679_315_147
    Note.read(note).signed_by(ORIGIN, log[1])
    assert vkey(WITNESS, COSIGNATURE, witness[1].public).split("+")[1] == raw[:4].hex()


def test_nobody_elses_signature_counts(log: Keys, witness: Keys) -> None:
    note = Note.read(cosigned(signed(TEXT, ORIGIN, log[0]), WITNESS, witness[0], 1))
    for name, key in ((ORIGIN, witness[1]), (WITNESS, log[1]), (f"{ORIGIN}x", log[1])):
        with pytest.raises(BadNote, match="has not signed it"):
            note.signed_by(name, key)
        with pytest.raises(BadNote, match="has not signed it"):
            note.cosigned_by(name, key)
    with pytest.raises(BadNote, match="has not signed it"):
        note.signed_by(WITNESS, witness[1])  # a cosignature is no signature, though key and name are the same
    later = cosigned(signed(TEXT, ORIGIN, log[0]), WITNESS, witness[0], 2).replace(TEXT, TEXT.replace("\n5\n", "\n6\n"))
    with pytest.raises(BadNote, match="does not match the key"):
        Note.read(later).cosigned_by(WITNESS, witness[1])


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "no signature\n",
        TEXT,
        f"{TEXT}\n",
        f"{TEXT}\n- name AAAAAAAA\n",
        f"{TEXT}\n\u2014 name\n",
        f"{TEXT}\n\u2014 na+me AAAAAAAAAAA=\n",
        f"{TEXT}\n\u2014 name AAAA\n",
        f"{TEXT}\n\u2014 name !!!!\n",
        f"{TEXT}\n\u2014 name AAAAAAAAAAA=",
        f"a\ttab\n\n\u2014 name AAAAAAAAAAA=\n",  # noqa: F541
        f"{TEXT}\n" + "\u2014 name AAAAAAAAAAA=\n" * 17,
    ],
)
def test_what_is_no_note_is_refused(wrong: str) -> None:
    with pytest.raises(BadNote):
        Note.read(wrong)


@pytest.mark.parametrize(
    "wrong", ["", "o\n1\n", "o\n01\nAAAA\n", f"o\n-1\n{'A' * 43}=\n", TEXT + "more\n", TEXT[:-1], "o\nx\nAAAA\n"]
)
def test_what_is_no_checkpoint_is_refused(wrong: str) -> None:
    with pytest.raises(BadNote, match="no checkpoint"):
        checkpoint(wrong)


def test_names_of_keys() -> None:
    assert good_name(WITNESS)
    assert not any(map(good_name, ("", "a b", "a+b", "a\u2003b", "a\nb")))
