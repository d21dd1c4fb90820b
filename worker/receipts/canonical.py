"""The canonical form of what is hashed and signed: RFC 8785 (JCS), as far as our documents need it. Pure.

Names are ASCII and numbers are whole and below 2**53; for those, this is RFC 8785 to the byte
(`tests/receipts/test_canonical.py` compares). Any library of JCS makes the same bytes, and so does `jq -cS`.
"""

from __future__ import annotations

import json
from typing import Any


def canonical(value: Any) -> bytes:
    """The one form of a value, in UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
