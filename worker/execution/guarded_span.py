"""A span that fails nothing: what its SDK raises when it begins or ends is logged once, and the work goes on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

_logged = False  # once a process: every span of a broken sampler or processor fails alike


class GuardedSpan(AbstractContextManager[Any]):
    """`begin` makes the span; `without`: what stands for it if that fails. An error of the body passes unchanged."""

    def __init__(self, begin: Callable[[], AbstractContextManager[Any]], without: object = None) -> None:
        self._begin, self._without = begin, without
        self._span: AbstractContextManager[Any] | None = None

    def __enter__(self) -> Any:
        try:
            span = self._begin()
            entered = span.__enter__()
        except Exception as error:
            note(error)
            return self._without
        self._span = span
        return entered

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._span is None:
            return
        try:
            self._span.__exit__(kind, raised, trace)
        except Exception as error:
            if error is not raised:
                note(error)


def note(error: Exception) -> None:
    """Log an error of the SDK, or of what it was told to run."""
    global _logged  # noqa: PLW0603
    if not _logged:
        _logged = True
        log.error("tracing.failed", extra={"error": f"{type(error).__name__}: {error}"})
