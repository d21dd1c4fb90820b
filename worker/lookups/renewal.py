"""Asks once more where only the token of a call had expired."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from worker.metastudio.client import Client
from worker.metastudio.response import Listing, Shown
from worker.rules.classify import ResponseKind, classify

Answer = TypeVar("Answer", Listing, Shown)


def with_new_token(remote: Client, question: Callable[[], Answer]) -> Answer:
    """The answer to a question; to the same one again, if its token was refused and there is another one."""
    answer = question()
    refused = classify(answer.response) is ResponseKind.CREDENTIALS
    return question() if refused and remote.renew(answer.response) else answer
