"""What people may write into a record: opaque ids and ticket numbers, nothing that is somebody's."""

from __future__ import annotations

import pytest

from worker.model.errors import UsageError
from worker.model.ids import check_opaque, check_reason

PHONES = ["13812345678", "86-13812345678", "138-1234-5678"]


@pytest.mark.parametrize("phone", PHONES)
def test_a_mobile_number_is_no_reason_and_names_nobody(phone: str) -> None:
    for text in (phone, f"asked by {phone}", f"caller:{phone}."):
        with pytest.raises(UsageError, match="personal data"):
            check_reason(text)
    with pytest.raises(UsageError, match="phone number"):
        check_opaque(phone, "by")


@pytest.mark.parametrize("text", ["TICKET-4711", "INC-13812345678", "2026-11-22", "1795349662123", "case 12/7"])
def test_ticket_numbers_dates_and_times_are_reasons(text: str) -> None:
    assert check_reason(text) == text


def test_an_app_user_is_whatever_metastudio_was_told() -> None:
    assert check_opaque("13812345678", "app user") == "13812345678"
