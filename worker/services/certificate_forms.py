"""A certificate as a page, a text or JSON, and back. Pure.

Page and text carry the certificate itself, as JSON, and are made from nothing else. So whoever reads one back makes it
anew and compares: words that were altered are found like a hash that was.
"""

from __future__ import annotations

import base64
import hashlib
import json
import textwrap
from collections.abc import Iterator, Mapping
from enum import StrEnum
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

from worker.receipts.certificate import KIND, NotGenuine, Verified, verify
from worker.receipts.signature import Verifier
from worker.services.certificate_words import Words, words

_BEGIN: Final = '<script type="application/json" id="certificate">'
_END: Final = "</script>\n</body>\n</html>\n"
_CUT: Final = "---- the certificate itself, for `eraser receipts verify` ----\n"
_WIDTH = 78
LONGEST = 4 * 1024 * 1024  # of a certificate in any form


class CertificateForm(StrEnum):
    """How it is written."""

    HTML = "html"
    TXT = "txt"
    JSON = "json"


def form_as(form: CertificateForm, certificate: dict[str, Any]) -> str:
    """Write it."""
    if form is CertificateForm.JSON:
        return f"{_json(certificate)}\n"
    found = verify(certificate)
    content = words(found, certificate)
    return _page(content, certificate) if form is CertificateForm.HTML else _text(content, certificate)


def read(written: bytes) -> tuple[CertificateForm, dict[str, Any]] | None:
    """The certificate in a file; None: it is none at all."""
    try:
        text = written.decode()
    except UnicodeDecodeError:
        return None
    form, inner = CertificateForm.JSON, text
    if _BEGIN in text:
        form, inner = CertificateForm.HTML, text.rpartition(_BEGIN)[2].removesuffix(_END)
    elif _CUT in text:
        form, inner = CertificateForm.TXT, text.rpartition(_CUT)[2]
    try:
        certificate = json.loads(inner)
    except (ValueError, RecursionError):
        return (form, {}) if form is not CertificateForm.JSON else None
    if form is CertificateForm.JSON and (not isinstance(certificate, dict) or certificate.get("kind") != KIND):
        return None
    return form, certificate if isinstance(certificate, dict) else {}


def _check_words(form: CertificateForm, certificate: dict[str, Any], written: bytes) -> None:
    """Raise `NotGenuine` if the words around a certificate that verifies are not what it says."""
    if form_as(form, certificate).encode() != written:
        raise NotGenuine(
            "its words are not those of its receipt: they were altered, or another version of this program wrote them. "
            "The receipt in it verifies, so ask for the certificate anew"
        )


def _json(certificate: dict[str, Any]) -> str:
    return json.dumps(certificate, separators=(",", ":"), ensure_ascii=False)


# -- a text ------------------------------------------------------------------------------------------------------------


def _text(content: Words, certificate: dict[str, Any]) -> str:
    lines = [content.title.upper(), "=" * len(content.title), "", *textwrap.wrap(content.summary, _WIDTH)]
    for section in content.sections:
        lines += ["", section.title, "-" * len(section.title)]
        for sentence in section.sentences:
            lines += textwrap.wrap(f"* {sentence}", _WIDTH, subsequent_indent="  ", break_long_words=False)
        for name, value in section.facts:
            lines += textwrap.wrap(f"{name}: {value}", _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    if certificate["proof"]:
        lines += ["", *certificate["proof"].splitlines()]
    return "\n".join([*lines, "", _CUT + _json(certificate)]) + "\n"


# -- a page ------------------------------------------------------------------------------------------------------------


def _page(content: Words, certificate: dict[str, Any]) -> str:
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    return "".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n',
            f"<title>{escape(content.title)}</title>\n",
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f"<style>{style}</style>\n</head>\n<body>\n<main>\n",
            f'<header class="{escape(content.verdict)}{" left" if content.left else ""}">',
            f"<h1>{escape(content.title)}</h1>\n",
            f"<p>{escape(content.summary)}</p></header>\n",
            *_sections(content),
            f"<h3>Inclusion proof</h3>\n<pre>{escape(certificate['proof'])}</pre>\n" if certificate["proof"] else "",
            "</main>\n",
            _BEGIN,
            _json(certificate).replace("<", "\\u003c"),
            _END,
        )
    )


@cache
def _style() -> str:
    return Path(__file__).with_name("certificate.css").read_text(encoding="utf-8")


def _sections(content: Words) -> Iterator[str]:
    for section in content.sections:
        yield f'<section class="{section.title.partition(" ")[0].lower()}">\n<h2>{escape(section.title)}</h2>\n'
        if section.sentences:
            yield "<ul>\n" + "".join(f"<li>{escape(one)}</li>\n" for one in section.sentences) + "</ul>\n"
        if section.facts:
            rows = (f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n" for name, value in section.facts)
            yield "<dl>\n" + "".join(rows) + "</dl>\n"
        yield "</section>\n"


def verified(
    written: bytes, *, key: Verifier | None, witnesses: Mapping[str, Verifier] | None = None
) -> tuple[dict[str, Any], Verified] | None:
    """The certificate in a file, and what verified; None: it is none. Raises `NotGenuine`."""
    if (found := read(written)) is None:
        return None
    form, certificate = found
    good = verify(certificate, key=key, witnesses=witnesses)
    if form is not CertificateForm.JSON:
        _check_words(form, certificate, written)
    return certificate, good


def verified_words(certificate: dict[str, Any]) -> tuple[Verified, Words]:
    """What a page of the console needs."""
    found = verify(certificate)
    return found, words(found, certificate)
