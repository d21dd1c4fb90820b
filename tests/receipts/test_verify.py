"""Every kind of tampering with a file of receipts is found, and the first line of it is named."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.ledger.schema.states import VERSION
from worker.model.errors import UsageError
from worker.receipts import serialization, trailer
from worker.receipts.canonical import canonical
from worker.receipts.chain import genesis, linked, sealed
from worker.receipts.commitments import committed
from worker.receipts.merkle import Tree
from worker.receipts.notes import Note, checkpoint, checkpoint_text, signed
from worker.receipts.receipt import FIELDS
from worker.receipts.serialization import Form, header, read, written
from worker.receipts.signature import Signer, Verifier
from worker.receipts.verify import VerificationError, verify

COUNT = 12
BOTH = pytest.mark.parametrize("form", [*Form])
Raw = list[bytes]
TREE = ("selection", "day", "root", "checkpoint")  # what a trailer says since version 2


def receipt(n: int, **more: Any) -> dict[str, Any]:
    values = {
        "v": 2,
        "n": n,
        "account": "default",
        "project_id": "p",
        "kind": "job",
        "id": f"job-{n}",
        "job_id": f"job-{n}",
        "state": "deleted",
    }
    values |= {"requested_at": "2026-11-21T10:00:00.000Z", "finished_at": f"2026-11-21T10:00:{n % 60:02}.000Z"}
    values |= {"reason": 'TICKET-1, "late"', "lane": "bulk", "claims": [{"requested_by": "ann", "reason": None}]}
    values |= {"round": 1, "attempts": 1, "status": 200, "request_id": "x"}
    return committed(dict.fromkeys(FIELDS) | values | more, f"{n:032x}")


def chained(receipts: list[dict[str, Any]], prev: str | None = None) -> list[dict[str, Any]]:
    prev, lines = prev or genesis("default"), []
    for one in receipts:
        lines.append(linked(one, prev))
        prev = lines[-1]["hash"]
    return lines


def whole(form: Form, lines: list[dict[str, Any]], signer: Signer | None = None, day: str | None = None) -> Raw:
    """A file as an export writes it, or the archive."""
    tree = Tree()
    for line in lines:
        tree.add(bytes.fromhex(line["hash"]))
    end = trailer.made(
        "default",
        root=tree.root,
        day=day,
        count=len(lines),
        prev=lines[0]["prev"],
        first_n=lines[0]["n"],
        last_n=lines[-1]["n"],
        head=lines[-1]["hash"],
        signer=signer,
    )
    texts = [name for name in [header(form)] if name] + [written(form, line) for line in [*lines, end]]
    return [f"{text}\n".encode() for text in texts]


@cache
def good(form: Form) -> tuple[bytes, ...]:
    return tuple(whole(form, chained([receipt(n) for n in range(1, COUNT + 1)])))


def fault(raw: Raw, **known: Any) -> VerificationError:
    with pytest.raises(VerificationError) as found:
        verify(lambda: raw, **known)
    return found.value


def at(form: Form, n: int) -> int:
    """The index of receipt n among the lines."""
    return n - 1 + (form is Form.CSV)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Signer, Verifier]:
    """Made as docs/proof.md says."""
    folder = tmp_path_factory.mktemp("keys")
    for command in (
        "openssl genpkey -algorithm ed25519 -out receipts.key",
        "openssl pkey -in receipts.key -pubout -out receipts.pub",
    ):
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return Signer.load(folder / "receipts.key"), Verifier.load(folder / "receipts.pub")


@BOTH
def test_what_was_written_verifies(form: Form) -> None:
    reading = verify(lambda: good(form))
    assert reading.form is form
    assert (reading.summary.receipts, reading.summary.jobs) == (COUNT, COUNT)
    assert reading.trailer["count"] == COUNT


@BOTH
def test_a_part_of_a_chain_verifies_and_says_where_it_begins(form: Form) -> None:
    lines = chained([receipt(n) for n in range(1, 9)])[4:]
    raw = whole(form, lines)
    assert verify(lambda: raw).trailer["first_n"] == 5
    assert verify(lambda: raw, after=lines[0]["prev"])
    assert "does not continue from the previous file" in str(fault(raw, after="0" * 64))


@BOTH
def test_both_forms_say_the_same(form: Form) -> None:
    assert [read(form, raw[:-1].decode()) for raw in good(form)[int(form is Form.CSV) :]] == [
        read(Form.JSONL, raw[:-1].decode()) for raw in good(Form.JSONL)
    ]


def test_a_hash_can_be_computed_without_us(tmp_path: Path) -> None:
    file = tmp_path / "receipts.jsonl"
    file.write_bytes(good(Form.JSONL)[0])
    script = (
        "import json,sys,hashlib\nd=json.load(open(sys.argv[1]));h=d.pop('hash');who=('requested_by','reason')\n"
        "for n in ('salts','finished_by','finished_reason',*who): del d[n]\n"
        "for c in d['claims']:\n for n in who: del c[n]\nprint(hashlib.sha256(json.dumps(d,"
    )
    script += "sort_keys=True,separators=(',',':'),ensure_ascii=False).encode()).hexdigest()==h)"
    done = subprocess.run(["python3", "-c", script, file], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


# -- what changes some lines -------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("n", [1, 5, COUNT])
def test_an_edit(form: Form, n: int) -> None:
    raw = list(good(form))
    raw[at(form, n)] = raw[at(form, n)].replace(b"deleted", b"discarded")
    found = fault(raw)
    assert found.line == at(form, n) + 1
    assert f"altered: receipt {n} (job job-{n}) has a hash mismatch" in str(found)


@BOTH
@pytest.mark.parametrize("n", [1, 5, COUNT])
def test_an_edit_with_its_hash_made_anew(form: Form, n: int) -> None:
    lines = chained([receipt(n) for n in range(1, COUNT + 1)])
    end = read(form, good(form)[-1][:-1].decode())
    lines[n - 1] = sealed(lines[n - 1] | {"state": "discarded"})
    raw = list(good(form))
    raw[at(form, n)] = f"{written(form, lines[n - 1])}\n".encode()
    assert end["head"] != lines[-1]["hash"] or n < COUNT
    found = fault(raw)
    assert found.line == at(form, n) + 1
    assert "hash recomputed" in str(found)


@BOTH
@pytest.mark.parametrize(("first", "last"), [(1, 1), (5, 5), (5, 7), (COUNT, COUNT), (COUNT - 2, COUNT)])
def test_a_drop(form: Form, first: int, last: int) -> None:
    raw = list(good(form))
    del raw[at(form, first) : at(form, last) + 1]
    found = fault(raw)
    assert found.line == at(form, first) + 1
    assert "dropped" in str(found)
    if last < COUNT:
        assert f"receipt {first}" in str(found)
    else:
        assert f"{last - first + 1} of 12 receipts are missing before the trailer" in str(found)


@BOTH
@pytest.mark.parametrize(("one", "other"), [(1, 2), (5, 6), (3, 9), (COUNT - 1, COUNT)])
def test_a_swap(form: Form, one: int, other: int) -> None:
    raw = list(good(form))
    a, b = at(form, one), at(form, other)
    raw[a], raw[b] = raw[b], raw[a]
    found = fault(raw)
    assert found.line == a + 1
    assert f"moved: receipt {other} (job job-{other}) is in place of receipt {one}, which is in line {b + 1}" in str(
        found
    )


@BOTH
@pytest.mark.parametrize("n", [1, 5, COUNT])
def test_a_line_twice(form: Form, n: int) -> None:
    raw = list(good(form))
    raw.insert(at(form, n), raw[at(form, n)])
    found = fault(raw)
    assert found.line == at(form, n) + 2
    assert "moved or added" in str(found)


@BOTH
def test_a_cut(form: Form) -> None:
    raw = list(good(form))
    assert "the trailer is missing: the file was cut here" in str(fault(raw[:-1]))
    assert fault(raw[:-1]).line == len(raw)
    assert fault(raw[:6]).line == 7
    half = [*raw[:6], raw[6][:40]]
    assert fault(half).line == 7
    assert "ends in the middle" in str(fault(half))
    assert "empty" in str(fault([]))


@BOTH
def test_something_added_at_the_end(form: Form) -> None:
    raw = list(good(form))
    more = chained([receipt(COUNT + 1)], read(form, raw[-1][:-1].decode())["head"])[0]
    line = f"{written(form, more)}\n".encode()
    found = fault([*raw, line])
    assert (found.line, "added: it is after the trailer" in str(found)) == (len(raw) + 1, True)
    found = fault([*raw[:-1], line, raw[-1]])
    assert (found.line, "added" in str(found)) == (len(raw), True)


@BOTH
def test_the_trailer_altered(form: Form) -> None:
    raw = list(good(form))
    raw[-1] = raw[-1].replace(b":12,", b":11,", 1)
    found = fault(raw)
    assert found.line == len(raw)
    assert "trailer has a hash mismatch" in str(found)


@BOTH
def test_a_receipt_of_another_account(form: Form) -> None:
    lines = chained([receipt(1), receipt(2, account="other"), receipt(3)])
    found = fault(whole(form, lines))
    assert found.line == at(form, 2) + 1
    assert "of another account, other" in str(found)


def test_a_chain_that_begins_as_no_chain_of_this_account_can() -> None:
    raw = whole(Form.JSONL, chained([receipt(1), receipt(2)], prev="0" * 64))
    assert "does not begin its chain" in str(fault(raw))


def test_another_file_is_told() -> None:
    assert "another kind of file" in str(fault([b"hello\n"]))
    assert fault([b"[]\n"]).line == 1
    assert fault([b'{"a":' * 100_000 + b"\n"]).line == 1


# -- what computes everything anew -------------------------------------------------------------------------------------


@BOTH
def test_a_chain_computed_anew_is_found_by_the_head_only(form: Form) -> None:
    head = read(form, good(form)[-1][:-1].decode())["head"]
    lie = [receipt(n, state="deleted" if n != 5 else "gone") for n in range(1, COUNT + 1)]
    raw = whole(form, chained(lie))
    assert verify(lambda: raw).summary.receipts == COUNT, "consistent within itself"
    assert verify(lambda: good(form), head=head)
    assert f"not the one given" in str(fault(raw, head=head))  # noqa: F541


@BOTH
def test_a_cut_with_a_new_trailer_is_found_by_the_head_only(form: Form) -> None:
    lines = chained([receipt(n) for n in range(1, COUNT + 1)])
    raw = whole(form, lines[:8])
    assert verify(lambda: raw)
    assert fault(raw, head=lines[-1]["hash"]).line == 0


@BOTH
def test_receipts_added_with_a_new_trailer_are_found_by_the_head(form: Form) -> None:
    lines = chained([receipt(n) for n in range(1, COUNT + 1)])
    found = fault(whole(form, lines), head=lines[7]["hash"])
    assert found.line == at(form, 9) + 1
    assert "everything after it is newer, or was added" in str(found)


@BOTH
@pytest.mark.parametrize("way", ["computed anew", "cut", "signature taken away", "signed by another key"])
def test_without_the_key_nobody_makes_a_file_that_verifies_with_it(
    form: Form, way: str, keys: tuple[Signer, Verifier], tmp_path: Path
) -> None:
    signer, key = keys
    lines = chained([receipt(n) for n in range(1, COUNT + 1)])
    raw = whole(form, lines, signer)
    assert verify(lambda: raw, key=key).trailer["signature"]["key"] == key.fingerprint
    signature = read(form, raw[-1][:-1].decode())["signature"]
    match way:
        case "computed anew":
            raw = whole(form, chained([receipt(n, state="gone") for n in range(1, COUNT + 1)]))
        case "cut":
            raw = whole(form, lines[:8])
        case "signature taken away":
            raw = whole(form, lines)
            signature = None
        case _:
            subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "k"], check=True)
            raw = whole(form, lines, Signer.load(tmp_path / "k"))
            signature = read(form, raw[-1][:-1].decode())["signature"]
    end = sealed(read(form, raw[-1][:-1].decode()) | {"signature": signature})
    raw[-1] = f"{written(form, end)}\n".encode()
    assert verify(lambda: raw), "consistent within itself"
    assert "signed" in str(fault(raw, key=key)) or "signature" in str(fault(raw, key=key))


# -- the tree of a day -------------------------------------------------------------------------------------------------


def test_a_day_has_a_checkpoint_that_its_key_signed(keys: tuple[Signer, Verifier]) -> None:
    signer, key = keys
    raw = whole(Form.JSONL, chained([receipt(1), receipt(2)]), signer, day="2026-11-21")
    end = verify(lambda: raw, key=key).trailer
    note = Note.read(end["checkpoint"])
    note.signed_by("avatar-eraser/default/2026-11-21", key)
    assert checkpoint(note.text) == ("avatar-eraser/default/2026-11-21", 2, bytes.fromhex(end["root"]))
    assert verify(lambda: whole(Form.JSONL, chained([receipt(1)]), signer)).trailer["checkpoint"] is None
    assert verify(lambda: whole(Form.JSONL, chained([receipt(1)]), day="2026-11-21")).trailer["checkpoint"] is None


def forged(raw: Raw, signer: Signer | None, **lies: Any) -> Raw:
    """With a trailer that says this, and is hashed and signed anew."""
    end = read(Form.JSONL, raw[-1][:-1].decode()) | lies
    end |= {"signature": signer.sign(trailer.statement(end)) if signer else None}
    return [*raw[:-1], f"{written(Form.JSONL, sealed(end))}\n".encode()]


def test_a_root_that_is_not_that_of_the_receipts_is_found(keys: tuple[Signer, Verifier]) -> None:
    signer, _ = keys
    raw = whole(Form.JSONL, chained([receipt(n) for n in range(1, 6)]), signer)
    assert "the trailer's root is not that of the receipts" in str(fault(forged(raw, signer, root="0" * 64)))


@pytest.mark.parametrize("lie", ["another day", "another root", "no note", "no day"])
def test_a_checkpoint_of_something_else_is_found(keys: tuple[Signer, Verifier], lie: str) -> None:
    signer, _ = keys
    raw = whole(Form.JSONL, chained([receipt(1), receipt(2)]), signer, day="2026-11-21")
    origin = "avatar-eraser/default/2026-11-21"
    root = bytes.fromhex(read(Form.JSONL, raw[-1][:-1].decode())["root"])
    wrong: dict[str, Any] = {
        "another day": {"checkpoint": signed(checkpoint_text(f"{origin[:-2]}22", 2, root), origin, signer)},
        "another root": {"checkpoint": signed(checkpoint_text(origin, 2, bytes(32)), origin, signer)},
        "no note": {"checkpoint": "a text"},
        "no day": {"day": None},
    }
    assert "altered" in str(fault(forged(raw, signer, **wrong[lie])))


def test_a_checkpoint_that_another_key_signed_is_found(keys: tuple[Signer, Verifier], tmp_path: Path) -> None:
    signer, key = keys
    raw = whole(Form.JSONL, chained([receipt(1), receipt(2)]), signer, day="2026-11-21")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "k"], check=True)
    origin, theirs = "avatar-eraser/default/2026-11-21", Signer.load(tmp_path / "k")
    root = bytes.fromhex(read(Form.JSONL, raw[-1][:-1].decode())["root"])
    lie = forged(raw, signer, checkpoint=signed(checkpoint_text(origin, 2, root), origin, theirs))
    assert verify(lambda: lie), "consistent within itself"
    assert "its checkpoint: that key has not signed it" in str(fault(lie, key=key))


def test_a_trailer_of_version_1_has_no_root_and_verifies() -> None:
    raw = whole(Form.JSONL, chained([receipt(1)]))
    end = read(Form.JSONL, raw[-1][:-1].decode())
    old = sealed({name: value for name, value in end.items() if name not in TREE} | {"v": 1})
    assert verify(lambda: [raw[0], f"{written(Form.JSONL, old)}\n".encode()]).trailer["v"] == 1
    lie = sealed({name: value for name, value in end.items() if name not in TREE})
    assert "altered" in str(fault([raw[0], f"{written(Form.JSONL, lie)}\n".encode()]))


# -- anything ----------------------------------------------------------------------------------------------------------


def cut(raw: bytes, i: int, j: int) -> bytes:
    return raw[: min(i, j)] + raw[max(i, j) :]


def flip(raw: bytes, i: int, j: int) -> bytes:
    return raw[:i] + bytes([raw[i] ^ (1 << j % 8)]) + raw[i + 1 :]


def insert(raw: bytes, i: int, j: int) -> bytes:
    return raw[:i] + raw[j : j + 20] + raw[i:]


def truncate(raw: bytes, i: int, j: int) -> bytes:
    return raw[:i]


@BOTH
@settings(max_examples=300, deadline=None)
@given(data=st.data(), change=st.sampled_from([cut, flip, insert, truncate]))
def test_no_byte_can_be_changed_unseen(form: Form, data: st.DataObject, change: Callable[..., bytes]) -> None:
    whole_file = b"".join(good(form))
    place = st.integers(0, len(whole_file) - 1)
    changed = change(whole_file, data.draw(place), data.draw(place))
    if changed == whole_file:
        return
    raw = changed.splitlines(keepends=True)
    fault(raw)


@BOTH
@settings(max_examples=200, deadline=None)
@given(order=st.lists(st.integers(1, COUNT), min_size=0, max_size=COUNT + 2))
def test_no_choice_of_lines_but_the_whole_verifies(form: Form, order: list[int]) -> None:
    raw = list(good(form))
    chosen = [*raw[: at(form, 1)], *(raw[at(form, n)] for n in order), raw[-1]]
    if order == list(range(1, COUNT + 1)):
        verify(lambda: chosen)
    else:
        wrong = next((k for k, n in enumerate(order) if n != k + 1), len(order))
        assert fault(chosen).line in (at(form, wrong + 1) + 1, 0)


def test_what_is_signed_is_all_of_the_trailer_but_signature_and_hash() -> None:
    end = read(Form.JSONL, good(Form.JSONL)[-1][:-1].decode())
    values = {name: value for name, value in end.items() if name not in ("signature", "hash")}
    assert trailer.statement(end) == canonical(values)
    assert set(values) == {"kind", "v", "account", "count", "first_n", "last_n", "prev", "head", *TREE}


# -- what none of ours is, though its hashes are right -----------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    "more", [{"state": None}, {"job_id": None}, {"n": 10**4200}, {"n": True}, {"attempts": -(2**60)}]
)
def test_a_receipt_that_says_what_no_receipt_can_say_is_altered(form: Form, more: dict[str, Any]) -> None:
    with pytest.raises(VerificationError, match="altered"):
        verify(partial(whole, form, chained([receipt(1) | more])))


@BOTH
@pytest.mark.parametrize(
    "more", [{"first_n": None}, {"last_n": None}, {"count": 10**4200}, {"signature": {"key": "x"}}]
)
def test_a_trailer_that_says_what_no_trailer_can_say_is_altered(form: Form, more: dict[str, Any]) -> None:
    lines = whole(form, chained([receipt(1)]))
    end = read(form, lines.pop().decode().removesuffix("\n"))
    lines.append(f"{written(form, sealed({**end, **more}))}\n".encode())
    with pytest.raises(VerificationError, match=r"altered|dropped|trailer"):
        verify(lambda: lines)


@given(
    st.lists(st.binary(max_size=80), max_size=6), st.sampled_from([b"", b'{"kind":"avatar-eraser receipts"', b'"# {'])
)
@settings(max_examples=200)
def test_garbage_is_told_and_is_no_error_of_ours(pieces: list[bytes], begin: bytes) -> None:
    with pytest.raises(VerificationError):
        verify(lambda: [begin + piece + b"\n" for piece in pieces])


# -- versions ----------------------------------------------------------------------------------------------------------


def test_a_neighbour_may_have_more_fields_and_its_receipts_chain_with_ours() -> None:
    theirs = receipt(2, v=VERSION + 1, batch="b-1")
    lines = chained([receipt(1), theirs, receipt(3)])
    assert tuple(lines[1])[-5:] == ("batch", "salts", "commitments", "prev", "hash")
    assert verify(lambda: whole(Form.JSONL, lines)).summary.receipts == 3


def test_a_program_with_one_more_field_verifies_the_receipts_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = whole(Form.JSONL, chained([receipt(1), receipt(2, v=VERSION + 1, batch=None)]))
    fields = (*FIELDS, "batch")
    monkeypatch.setattr(serialization, "VERSION", VERSION + 1)
    monkeypatch.setattr(serialization, "FIELDS", fields)
    chain = ("salts", "commitments", "prev", "hash")
    monkeypatch.setattr(serialization, "COLUMNS", (*fields, *chain))
    kinds = dict.fromkeys((*fields, *chain), object)
    monkeypatch.setattr(serialization, "_KINDS", kinds)
    assert verify(lambda: raw).summary.receipts == 2


@pytest.mark.parametrize("form", [*Form])
def test_a_receipt_of_a_version_that_is_not_known_is_not_called_altered(form: Form) -> None:
    raw = whole(form, chained([receipt(1), receipt(2, v=VERSION + 2)]))
    found = fault(raw)
    assert found.line == at(form, 2) + 1
    assert f"a program of schema version {VERSION + 2} wrote it; this one has {VERSION}" in str(found)
    assert "docs/upgrading.md" in str(found)


@pytest.mark.parametrize("form", [*Form])
def test_a_trailer_of_a_version_that_is_not_known_is_not_called_altered(
    form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = chained([receipt(1)])
    for version in (VERSION + 1, VERSION + 2):
        monkeypatch.setattr(trailer, "VERSION", version)
        raw = whole(form, lines)
        if version == VERSION + 1:
            assert verify(lambda raw=raw: raw).trailer["v"] == version
        else:
            assert f"schema version {version} wrote it" in str(fault(raw))


@BOTH
def test_whoever_only_changes_the_version_is_found(form: Form) -> None:
    raw = list(good(form))
    raw[at(form, 3)] = raw[at(form, 3)].replace(b'"v":2', b'"v":9').replace(b"2,3,", b"9,3,")
    found = fault(raw)
    assert (found.line, "altered" in str(found)) == (at(form, 3) + 1, True)


def test_a_neighbours_receipt_fits_no_column() -> None:
    lines = chained([receipt(1), receipt(2, v=VERSION + 1, batch="b-1")])
    with pytest.raises(UsageError, match=r"receipt 2 has fields of schema version 3, .* export without -o csv"):
        whole(Form.CSV, lines)
