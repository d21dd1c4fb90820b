"""Operators of a campaign: they cancel and hold what waits, and keep what was acknowledged."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

import redis

from benchmarks.reckoning import Word
from tests.acceptance.fleet import Fleet
from worker.ledger.holds import HoldList
from worker.model.errors import EraserError
from worker.model.target import Target
from worker.simulator import DEMO_PROJECT

ACKNOWLEDGED = ("cancelled", "held", "may_be_deleted")  # nothing more is sent; `in_flight` says that something is


class Operators:
    """A thread of their own. What Redis did not answer is no word, but may have been done."""

    def __init__(self, fleet: Fleet, chance: random.Random, *, cancel: bool = True) -> None:
        self.words: list[Word] = []
        self.tried_to_cancel: set[str] = set()
        self.results: Counter[str] = Counter()
        self._fleet = fleet
        self._chance = chance
        self._cancels = 0.15 if cancel else 0.0  # of all acts; the others hold
        self._held: list[Word] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Every hold is let go."""
        self._end.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._end.wait(self._chance.uniform(0.0, 0.4)):
            with contextlib.suppress(EraserError, redis.RedisError):
                waiting: Any = self._fleet.client.zrandmember(f"{self._fleet.ledger.prefix}due:bulk", 1)
                for member in waiting:
                    ref = Target.parse(member.decode())
                    (self._cancel if self._chance.random() < self._cancels else self._hold)(ref)
                if self._held and self._chance.random() < 0.7:
                    self._let_go(self._held.pop(0))
        for word in self._held:
            self._let_go(word)

    def _cancel(self, ref: Target) -> None:
        self.tried_to_cancel.add(ref.id)
        ((_, result),) = self._fleet.ledger.cancel([ref], why="T-1")
        self._note(Word(ref.id, "cancel", time.monotonic()), result)

    def _hold(self, ref: Target) -> None:
        word = Word(ref.id, "hold", float("inf"))
        self._held.append(word)  # to be let go, acknowledged or not
        ((_, result),) = HoldList(self._fleet.ledger).add([ref], why="T-1", by="ops-7")
        word.since = time.monotonic()
        self._note(word, result)

    def _note(self, word: Word, result: str) -> None:
        self.results[f"{word.action}: {result}"] += 1
        if result in ACKNOWLEDGED:
            self.words.append(word)

    def asked_for(self, jobs: Iterable[str]) -> None:
        """Somebody asks for these, perhaps once more: what was cancelled before may be sent again."""
        self._void("cancel", set(jobs))

    def _void(self, action: str, jobs: set[str]) -> None:
        now = time.monotonic()
        for word in list(self.words):
            if word.action == action and word.job in jobs:
                word.until = min(word.until, now)

    def _let_go(self, word: Word) -> None:
        self._void("hold", {word.job})
        while True:
            with contextlib.suppress(EraserError):
                HoldList(self._fleet.ledger).remove([Target(DEMO_PROJECT, word.job)])
                return
