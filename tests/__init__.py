"""The tests. They keep byte code, whatever the environment says: dozens of processes would compile the same files."""

from __future__ import annotations

import os
import sys

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
