"""A command finishes on any terminal: one with few characters, without colours, or a closed one."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

ERRORS = "eraser.plain"
# one character for one, so that columns do not move
PLAIN = {"…": ".", "→": ">", "✓": "+", "✗": "x", "×": "x", "·": ".", "–": "-", "—": "-"}


def prepare() -> None:
    """Make the standard streams of this process safe to use. Called once, before anything is opened or printed."""
    _fill_descriptors()
    codecs.register_error(ERRORS, _in_plain)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError):  # a test's
            stream.reconfigure(errors=ERRORS)  # type: ignore[union-attr]


def colour(environ: Mapping[str, str]) -> bool | None:
    """False if colours are not wanted; None: as the stream allows."""
    return False if environ.get("NO_COLOR") or environ.get("TERM") == "dumb" else None


def _fill_descriptors() -> None:
    """Fill closed standard streams: otherwise a socket or a file would get the free number, and the output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _in_plain(error: UnicodeError) -> tuple[str, int]:
    """The text in place of characters that the terminal does not have."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end
