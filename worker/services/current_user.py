"""The default actor: the user of this machine, as an opaque id."""

from __future__ import annotations

import getpass
import os

from worker.config.personal import check_opaque
from worker.model.errors import UsageError


def operator() -> str:
    """The system's user name if it is a valid opaque id, else the user's number: `uid-1000`."""
    try:
        return check_opaque(getpass.getuser(), "by") or _number()
    except (UsageError, OSError, KeyError, ImportError):  # no such user in a container: KeyError before Python 3.13
        return _number()


def _number() -> str:
    return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"
