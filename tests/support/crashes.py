"""A process that is gone in the middle of what it does, at each line of ours in turn."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def crash_at(line: int, files: tuple[str, ...], act: Callable[[], object]) -> bool:
    """Do it in a process that is gone at the n-th line of these files that it comes to.

    files: how their names end. Returns whether it came that far.
    """
    child = os.fork()
    if child == 0:
        lines = set()

        def trace(frame: Any, event: str, arg: object) -> Any:
            if not frame.f_code.co_filename.endswith(files):
                return None
            lines.add((frame.f_code.co_filename, frame.f_lineno))
            if len(lines) == line:
                os._exit(9)
            return trace

        code = 1
        try:
            sys.settrace(trace)
            act()
            code = 0
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9)
    return code == 9
