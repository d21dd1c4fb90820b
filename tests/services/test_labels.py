"""Labels: what MetaStudio answered, and why it did not, in words."""

from __future__ import annotations

import pytest

from worker.metastudio.response import TransportFailure
from worker.services import labels


def test_an_answer_is_what_there_is_of_it_without_control_characters() -> None:
    assert labels.answer(503, "MSS.00000004", "try later") == "503 MSS.00000004 try later"
    assert labels.answer(200, None, "") == "200"
    assert labels.answer(500, None, "\x1b[31mred") == "500 ·[31mred"


@pytest.mark.parametrize("failure", list(TransportFailure))
def test_every_failure_of_the_transport_has_its_words(failure: TransportFailure) -> None:
    assert labels.failure_text(failure) != labels.failure_text("anything else")


def test_an_unknown_cause_stays_as_it_is() -> None:
    assert labels.cause("a_new_one") == "a_new_one"
    assert labels.remedy("a_new_one") is None
