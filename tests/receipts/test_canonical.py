"""The canonical form is RFC 8785: to the byte what its reference implementation makes, whatever a receipt holds."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.receipts.canonical import canonical

NAMES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=8)
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
PLAIN = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS
DOCUMENTS = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5), max_leaves=20
)


@settings(max_examples=500, deadline=None)
@given(DOCUMENTS)
def test_it_is_what_the_reference_implementation_of_rfc_8785_makes(document: Any) -> None:
    assert canonical(document) == rfc8785.dumps(document)


@pytest.mark.parametrize("text", ["\x00\x1f\x7f", "\u2028\u2029", 'quote " and \\', "\b\f\n\r\t/", "é Ω 是 😀"])
def test_texts_that_writers_of_json_disagree_about(text: str) -> None:
    assert canonical({text[-1]: text}) == rfc8785.dumps({text[-1]: text})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800"])
def test_what_rfc_8785_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  (one of three)
        canonical([value])


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq on PATH")
def test_jq_makes_it_too() -> None:
    document = {"b": ["T-1", None, 2**53 - 1], "a": {"z": True, "text": '"late" é 是 😀 /'}, "c": []}
    made = subprocess.run(["jq", "-cS", "."], input=json.dumps(document).encode(), capture_output=True, check=True)
    assert made.stdout.removesuffix(b"\n") == canonical(document)
