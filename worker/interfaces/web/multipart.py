"""One form with a file, as a browser sends it (RFC 7578). Pure; whoever reads the body bounds it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BOUNDARY = re.compile(r'multipart/form-data;.*boundary="?([0-9A-Za-z\'()+_,./:=? -]{1,70})"?', re.I)
_NAME, _FILE = re.compile(rb'[; ]name="([^"]*)"'), re.compile(rb'[; ]filename="([^"]*)"')
_MOST = 20  # parts


@dataclass(frozen=True, slots=True)
class Multipart:
    """The fields, and the content of each file by the name of its field."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # of files, as the browser calls them


def read(content_type: str, body: bytes) -> Multipart:
    """What was sent; nothing, if it is not such a form."""
    found, boundary = Multipart(), _BOUNDARY.match(content_type)
    if boundary is None:
        return found
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())
    for piece in pieces[1 : _MOST + 1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        name, file = _NAME.search(head), _FILE.search(head)
        if piece.startswith(b"--") or not blank or name is None:
            continue
        if file is None:
            found.fields[name[1].decode(errors="replace")] = content.decode(errors="replace")
        elif file[1]:
            found.files[name[1].decode(errors="replace")] = content
            found.names[name[1].decode(errors="replace")] = file[1].decode(errors="replace")
    return found
