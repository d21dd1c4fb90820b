"""Asks what an experiment asks: how MetaStudio describes each thing, and whether its list has it.

Unlike the other lookups it keeps what was answered for what is not there, and proves nothing by it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from worker.ledger.deletions import Ledger
from worker.lookups.renewal import with_new_token
from worker.metastudio.client import Client
from worker.metastudio.response import Response
from worker.metastudio.targets.adapter import Row
from worker.model.errors import EraserError
from worker.model.target import Target
from worker.rules.experiment import Observation, Question

log = logging.getLogger(__name__)

PATIENCE_S: Final = 5.0  # for a slot: nobody waits for an experiment
_WORD: Final = re.compile(r"[A-Za-z0-9_]{1,64}")  # a state; anything else may be a text of a person's


@dataclass(frozen=True, slots=True)
class Examiner:
    """Asks for one account. `pause(s)` returns True to stop."""

    remote: Client
    pace: Ledger
    pause: Callable[[float], bool]

    def examine(self, look: int, targets: Iterable[Target]) -> list[Observation]:
        """Two answers for each target. One that could not be asked has no status."""
        return [one for target in targets for one in self._of(look, target)]

    def _of(self, look: int, target: Target) -> Iterator[Observation]:
        for question in (Question.SHOW, Question.LIST):
            response, row = self._ask(question, target)
            state = row.state if row is not None and _WORD.fullmatch(row.state) else "?" if row is not None else None
            status, code = (response.status, response.code) if response is not None else (None, None)
            at = int(self.pace.now_ms())
            yield Observation(look, at, target.kind, target.id, question.value, status, code, state)

    def _ask(self, question: Question, target: Target) -> tuple[Response | None, Row | None]:
        try:
            wait_s = self.pace.reserve_lookup(kind=target.kind, patience_s=PATIENCE_S)
            if wait_s is None or (wait_s and self.pause(wait_s)):
                return None, None
            if question is Question.SHOW:
                shown = with_new_token(self.remote, lambda: self.remote.show(target))
                return shown.response, shown.row
            how: dict[str, Any] = {"kind": target.kind, "quota": True}
            listing = with_new_token(self.remote, lambda: self.remote.ask(target.project_id, [target.id], **how))
            if listing.response.quota is not None:
                self.pace.note_quota(asdict(listing.response.quota))
            row = next((row for row in listing.rows or () if row.id == target.id), None)
            usable = listing.response.status != 200 or listing.rows is not None
            return (listing.response if usable else None), row
        except EraserError as error:
            log.warning("lookup.not_sent", extra={"account": self.pace.account, "error": str(error)})
            return None, None
