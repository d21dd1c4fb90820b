"""Whether a text has personal data that its form gives away: an e-mail address, a phone number, an identity number.

A name cannot be told from a word. What has the form of a phone number of some country is refused, whatever it is; what
people use as ids has other forms:

    INC0012345, TICKET-13800138000     letters before a number make it a ticket
    0f3a61c2b7d04e5f, a UUID           letters among the digits make an id
    12345678                           a number of up to eight digits
    1795355663, 1795355663322          seconds or milliseconds since 1970, from 2020 to May 2033, or 2040
    2026-11-22, 2026112200001234       a date, and with it what follows
"""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from typing import Any, Final

from worker.model.errors import UsageError
from worker.model.ids import is_opaque, is_reason

_MAIL: Final = re.compile(r"@|\(at\)", re.IGNORECASE)
_EDGES: Final = r" :;,(/#)"
_NUMBER: Final = re.compile(rf"(?<![^{_EDGES}])\d(?:[ ().-]{{0,2}}\d)+(?![-.]?[0-9A-Za-z])")
_AREA: Final = re.compile(rf"(?<![^{_EDGES}])0\d{{1,4}}/\d{{5,8}}(?![-.]?[0-9A-Za-z])")  # 030/12345678
_DATE: Final = re.compile(r"(?:19|20)\d\d(?P<sep>[-. ]?)(?:0[1-9]|1[0-2])(?P=sep)(?:0[1-9]|[12]\d|3[01])")
_RECENT: Final = re.compile(r"20[2-9]")  # nobody who was born then had an avatar trained
_TOKEN: Final = re.compile(rf"[^{_EDGES}]+")
_TICKET: Final = re.compile(r"[A-Za-z]+[-_.]")
_SINCE_S: Final = 1_577_836_800  # 2020
_UNTIL_S: Final = {10: 2_000_000_000, 13: 2_208_988_800}  # May 2033: later seconds begin like 202, an area code; 2040
_LEAST, _MOST = 9, 15  # digits of a phone number: with the code of its area, and E.164
_WITH_BLANKS: Final = 8  # where they are grouped by blanks
_TICKETS: Final = (9, 12)  # digits of numbers that more often are something else
# of those, what begins like a mobile number with the code of its country
_MOBILE: Final = re.compile(
    r"447|91[6-9]|393|628|639|81[789]0|8210|905|971|9665|923|201[0125]|2547|380|3519|9725|0(?!00)"
)
_IDENTITY: Final = {  # country -> the numbers of its people, as python-stdnum names them
    "be": "nn",
    "bg": "egn",
    "ca": "sin",
    "ch": "ssn",
    "cn": "ric",
    "cu": "ni",
    "cz": "rc",
    "ee": "ik",
    "es": "dni nie",
    "fi": "hetu",
    "fr": "nir",
    "gr": "amka",
    "il": "idnr",
    "in_": "aadhaar",
    "is_": "kennitala",
    "it": "codicefiscale",
    "jp": "in_",
    "kr": "rrn",
    "lt": "asmens",
    "mx": "curp",
    "nl": "bsn",
    "no": "fodselsnummer",
    "pl": "pesel",
    "pt": "cc",
    "ro": "cnp",
    "se": "personnummer",
    "si": "emso",
    "th": "pin",
    "tr": "tckimlik",
    "za": "idnr",
}
_IDENTITY_LENGTHS: Final = range(9, 20)  # characters of one

_allowed: re.Pattern[str] | None = None


def allow(pattern: re.Pattern[str] | None) -> None:
    """Let whatever matches pass: the form of this installation's tickets. For the whole process."""
    global _allowed  # noqa: PLW0603 - the checks are called where there are no settings
    _allowed = pattern


def personal(text: str) -> str | None:
    """What personal data the text has the form of; None: of none. Never part of the text itself."""
    if _allowed is not None and _allowed.fullmatch(text):
        return None
    if _MAIL.search(text):
        return "an e-mail address"
    if _AREA.search(text) or any(_is_phone(match[0]) for match in _NUMBER.finditer(text)):
        return "a phone number"
    tokens = [*_TOKEN.findall(text), *("".join(filter(str.isdigit, match[0])) for match in _NUMBER.finditer(text))]
    return "an identity number" if any(_is_identity(token) for token in tokens) else None


def _is_phone(text: str) -> bool:
    """Whether a number, perhaps in groups, has the form of one."""
    digits = "".join(filter(str.isdigit, text))
    if _DATE.match(text) or _is_time(digits) or len(digits) > _MOST:
        return False
    if text == digits:
        return bool(_MOBILE.match(digits)) if len(digits) in _TICKETS else len(digits) > _LEAST
    if text.count(".") == 3 and len(text) == len(digits) + 3:  # an address of a machine, a version
        return False
    return len(digits) >= (_WITH_BLANKS if " " in text else _LEAST)


def _is_time(digits: str) -> bool:
    until = _UNTIL_S.get(len(digits)) if digits.isdigit() else None
    return until is not None and _SINCE_S <= int(digits[:10]) < until


def _is_identity(token: str) -> bool:
    """Whether it is an identity number of some country, with its check digit."""
    token = token.rstrip(".")
    if len(token) not in _IDENTITY_LENGTHS or sum(map(str.isdigit, token)) < 7 or _TICKET.match(token):
        return False
    if _is_time(token) or (_DATE.match(token) and _RECENT.match(token)):
        return False
    return any(module.is_valid(token) for module in _modules())


@cache
def _modules() -> tuple[Any, ...]:
    """Imported only where something may be one."""
    return tuple(
        import_module(f"stdnum.{country}.{name}") for country, names in _IDENTITY.items() for name in names.split()
    )


# -- what people say of a request or an act ---------------------------------------------------------------------------


def check_opaque(text: str | None, what: str, *, known: bool = False) -> str | None:
    """Return `text` if it is an opaque id (requester, run) without personal data. Raise `UsageError` otherwise.

    known: it is in the ledger already, and only names what is there.
    """
    if text is None:
        return text
    if not is_opaque(text):
        form = "1 to 64 letters, digits or . _ : / # -"
        raise UsageError(f"{what}: use an opaque id of {form}; never a name, e-mail or phone number")
    if not known:
        _refuse_personal(text, what)
    return text


def check_app_user(text: str | None, what: str = "app user") -> str | None:
    """The same of an app user: whatever MetaStudio knows. It is sent and never shown, so only its form is checked."""
    return check_opaque(text, what, known=True)


def check_reason(text: str | None) -> str | None:
    """Return `text` if it is a reason such as a ticket number; raise `UsageError` otherwise."""
    if text is not None:
        if not is_reason(text):
            raise UsageError(
                "reason: use a ticket number or a few plain words, 1 to 64 letters, digits, blanks or "
                ". _ : ; , / # ( ) -; never personal data"
            )
        _refuse_personal(text, "reason")
    return text


def _refuse_personal(text: str, what: str) -> None:
    if found := personal(text):
        raise UsageError(
            f"{what}: this has the form of {found}, and personal data must not be stored. Of a ticket's number write "
            "TICKET-NUMBER, or allow its form with ERASER_REASON_PATTERN"
        )
