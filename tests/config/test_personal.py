"""Personal data is known by its form; whatever people use as ids and tickets passes."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest

from worker.config import personal as module
from worker.config.personal import check_app_user, check_opaque, check_reason, personal
from worker.model.errors import UsageError
from worker.model.ids import is_opaque

PHONES = [  # as people write them, in countries of every continent
    "13812345678",
    "86-13812345678",
    "138-1234-5678",
    "138 1234 5678",
    "0171 2345678",
    "0171-2345678",
    "01712345678",
    "(030) 12345678",
    "030/12345678",
    "4915112345678",
    "0049 151 12345678",
    "44 20 7946 0958",
    "07911 123456",
    "447911123456",
    "01.23.45.67.89",
    "01 23 45 67 89",
    "33612345678",
    "(415) 555-2671",
    "415-555-2671",
    "415.555.2671",
    "4155552671",
    "2025550123",  # of Washington; seconds since 1970, too, but of 2034
    "2125550123",
    "1 415 555 2671",
    "14155552671",
    "919876543210",
    "98765 43210",
    "010-1234-5678",
    "090-1234-5678",
    "03-1234-5678",
    "9123 4567",
    "12 34 56 78",
    "11 98765-4321",
    "0412 345 678",
    "254712345678",
    "0803 123 4567",
    "971501234567",
]
IDENTITIES = {  # made up, with a valid check digit
    "cn.ric": "11010519491231002X",
    "in_.aadhaar": "234123412346",
    "nl.bsn": "111222333",
    "es.dni": "54362315K",
    "es.nie": "X2482300W",
    "it.codicefiscale": "RCCMNL83S18D969H",
    "fi.hetu": "131052-308T",
    "mx.curp": "BOXW310820HNERXN09",
    "fr.nir": "295109912611193",
    "pl.pesel": "44051401359",
    "se.personnummer": "198803200016",
    "ca.sin": "123456782",
    "il.idnr": "039337423",
    "jp.in_": "123456789018",
    "kr.rrn": "971013-9019902",
    "za.idnr": "7503305044089",
    "tr.tckimlik": "17291716060",
    "th.pin": "3100600445635",
    "no.fodselsnummer": "15108695088",
}
MADE = random.Random(4711)


def hex_of(digits: int) -> str:
    return f"{MADE.getrandbits(4 * digits):0{digits}x}"


def moment() -> datetime:
    return datetime(2021, 1, 1, tzinfo=UTC) + timedelta(seconds=MADE.randrange(15 * 365 * 86_400))


def seconds() -> int:
    """Seconds since 1970, before they begin like an area code of North America: until May 2033."""
    return MADE.randrange(1_609_459_200, 2_000_000_000)


def number(most: int) -> int:
    return MADE.randrange(10 ** MADE.randint(1, most))


FORMS: list[Callable[[], str]] = [
    lambda: str(uuid.UUID(int=MADE.getrandbits(128), version=4)),
    lambda: uuid.UUID(int=MADE.getrandbits(128), version=4).hex,
    lambda: hex_of(MADE.choice([7, 8, 16, 24, 32, 40, 64])),
    lambda: f"{MADE.choice(['TICKET', 'INC', 'CASE', 'REQ', 'ops'])}-{number(14)}",
    lambda: f"{MADE.choice(['INC', 'CHG', 'RITM', 'SR'])}{number(14):07}",
    lambda: f"#{number(8)}",
    lambda: str(number(8)),
    lambda: f"{moment():%Y-%m-%d}",
    lambda: f"{moment():%Y%m%d}",
    lambda: f"{moment():%Y%m%dT%H%M%SZ}",
    lambda: f"{moment():%Y%m%d%H%M%S}",
    lambda: f"{moment():%Y-%m-%d}-{number(4):04}",
    lambda: f"{moment():%Y%m%d}{number(8):08}",
    lambda: f"failed-trainings-{moment():%Y%m%d-%H%M%S}-{hex_of(4)}",
    lambda: f"replay-{moment():%Y%m%d-%H%M%S}-{hex_of(4)}",
    lambda: str(seconds()),
    lambda: str(int(moment().timestamp() * 1000)),
    lambda: f"support-{number(6)}",
    lambda: f"shop/u-{number(12)}",
    lambda: f"TICKET-{number(6)}: closed on {moment():%Y-%m-%d}, see CASE {number(6)}",
]


@pytest.fixture(autouse=True)
def _no_pattern() -> Iterator[None]:
    yield
    module.allow(None)


@pytest.mark.parametrize("phone", PHONES)
def test_a_phone_number_of_any_country_is_known_alone_and_among_words(phone: str) -> None:
    for text in (phone, f"asked by {phone}", f"caller: {phone}, again", f"caller ({phone})"):
        assert personal(text), text


@pytest.mark.parametrize(("name", "number"), IDENTITIES.items())
def test_an_identity_number_is_known_by_its_check_digit(name: str, number: str) -> None:
    assert import_module(f"stdnum.{name}").is_valid(number), "the example itself"
    assert personal(number)
    assert personal(f"asked by {number}")
    assert not personal(f"TICKET-{number}")


@pytest.mark.parametrize("number", ["11010519491231002Y", "54362315L", "123456783", "RCCMNL83S18D969I"])
def test_a_number_whose_check_digit_is_wrong_is_none(number: str) -> None:
    assert personal(number) is None


@pytest.mark.parametrize("text", ["ann@example.com", "ann(at)example.com"])
def test_an_address_is_known(text: str) -> None:
    assert personal(text) == "an e-mail address"


def test_of_ten_thousand_ids_none_is_refused() -> None:
    made = [FORMS[n % len(FORMS)]() for n in range(10_000)]
    assert [text for text in made if personal(text)] == []
    assert [text for text in made if check_reason(text) != text] == []
    assert [text for text in made if is_opaque(text) and check_opaque(text, "run") != text] == []


@pytest.mark.parametrize("text", ["192.168.100.200", "release 10.0.19045.4529", "4711", "case 12/7", "1,000,000 jobs"])
def test_other_numbers_pass(text: str) -> None:
    assert personal(text) is None


def test_what_the_installation_allows_passes_and_nothing_else_does() -> None:
    assert personal("4500012345")
    module.allow(re.compile("45[0-9]{8}"))
    assert personal("4500012345") is None
    assert personal("asked by 4500012345"), "only as a whole"
    assert personal("13812345678")


MOBILES = ["13812345678", "86-13812345678", "138-1234-5678"]


@pytest.mark.parametrize("phone", MOBILES)
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
    assert check_app_user("13812345678") == "13812345678"
    with pytest.raises(UsageError, match="app user: use an opaque id"):
        check_app_user("Anna Nowak")
