"""Many things in shares: a few at a time, or those that belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
K = TypeVar("K")


def batches(things: Iterable[T], most: int) -> Iterator[list[T]]:
    """So many at a time, in their order."""
    rest = iter(things)
    while batch := list(islice(rest, most)):
        yield batch


def grouped(things: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """By their key; keys in the order in which they come first."""
    found: dict[K, list[T]] = {}
    for one in things:
        found.setdefault(key(one), []).append(one)
    return found
