"""ERASER_LOG_FORMAT: how a log line looks."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import Final

from worker.config.environment import one_of

LOG_FORMAT: Final = "ERASER_LOG_FORMAT"


class LogFormat(StrEnum):
    """The forms of a log line."""

    AUTO = "auto"  # text on a terminal, JSON otherwise
    JSON = "json"
    TEXT = "text"


check_log_format: Final = partial(one_of, LogFormat)
