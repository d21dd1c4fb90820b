"""A login for tokens: read from settings, never shown, known again by a fingerprint that gives nothing away."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.config.settings import Settings
from worker.metastudio.iam import IamTokens
from worker.metastudio.login import Login, LoginSource
from worker.metastudio.wiring import source_of
from worker.model.errors import SettingsError

PASSWORD = "C4n4ry-pa55word"
LOGIN = {"ERASER_IAM_USER": "eraser", "ERASER_IAM_PASSWORD": PASSWORD, "ERASER_IAM_DOMAIN": "studio"}
REGION = {"ERASER_REGION": "cn-north-4"}


def tokens_of(environ: Mapping[str, str], account: str = "default") -> IamTokens:
    source = source_of(Settings.load(environ).accounts[account].credentials, environ)
    assert isinstance(source, IamTokens)
    return source


# The value


def test_a_login_shows_who_but_never_the_password() -> None:
    login = Login("eraser", PASSWORD, "studio")
    assert repr(login) == str(login) == "Login(user=eraser, password=***, domain=studio)"
    for travel in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            travel(login)


def test_a_fingerprint_is_eight_hex_digits_that_change_with_every_part() -> None:
    fingerprints = {
        Login(*parts).fingerprint for parts in [("u", "p", "d"), ("v", "p", "d"), ("u", "q", "d"), ("u", "p", "e")]
    }
    assert len(fingerprints) == 4
    assert all(re.fullmatch("[0-9a-f]{8}", fingerprint) for fingerprint in fingerprints)
    assert Login("u", "p", "d").fingerprint in fingerprints, "the same in every process"


def test_guessing_a_password_by_its_fingerprint_takes_a_slow_hash_for_each_guess(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    costs: list[int] = []
    scrypt = hashlib.scrypt

    def watched(password: bytes, *, salt: bytes, n: int, r: int, p: int, maxmem: int, dklen: int) -> bytes:
        costs.append(128 * n * r * p)
        return scrypt(password, salt=salt, n=n, r=r, p=p, maxmem=maxmem, dklen=dklen)

    monkeypatch.setattr(hashlib, "scrypt", watched)
    login = Login("eraser", PASSWORD, "studio")
    assert [login.fingerprint for _ in range(3)] == [login.fingerprint] * 3
    assert costs == [32 * 1024 * 1024], "bytes of memory for each guess, and once only for us"


@pytest.mark.parametrize("bad", ["", "  ", "two\nlines", "a\x00b"])
def test_a_broken_password_is_refused_without_showing_it(bad: str) -> None:
    with pytest.raises(SettingsError, match="ERASER_IAM_PASSWORD") as caught:
        Login("eraser", bad, "studio")
    assert not bad.strip() or bad not in str(caught.value)


# Where it comes from


def test_a_password_in_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    source = LoginSource("eraser", "studio", environ={"ERASER_IAM_PASSWORD_FILE": str(path)}, clock=lambda: now[0])
    first = source.current()
    assert first.password == PASSWORD
    assert source.current() is first, "the slow hash is made once"
    path.write_text("another one")
    os.utime(path, (1, 1))
    now[0] = 2.0
    assert source.current().password == "another one"
    assert source.current().fingerprint != first.fingerprint


def test_the_environment_gives_a_login() -> None:
    tokens = tokens_of(LOGIN | REGION)
    assert repr(tokens.current()) == "Login(user=eraser, password=***, domain=studio)"
    assert tokens.endpoint == "https://iam.cn-north-4.myhuaweicloud.com"


def test_iam_is_where_the_setting_says() -> None:
    place = {"HUAWEICLOUD_SDK_IAM_ENDPOINT": "http://127.0.0.1:5000/"}
    assert tokens_of(LOGIN | REGION | place).endpoint == "http://127.0.0.1:5000"


REFUSED = [
    ({"ERASER_IAM_USER": ""}, "ERASER_IAM_USER", "not set"),
    ({"ERASER_IAM_PASSWORD": ""}, "ERASER_IAM_PASSWORD", r"not set \(or ERASER_IAM_PASSWORD_FILE\)"),
    ({"ERASER_IAM_DOMAIN": ""}, "ERASER_IAM_DOMAIN", "ERASER_IAM_USER and ERASER_IAM_PASSWORD is not a complete login"),
    ({"HUAWEICLOUD_SDK_AK": "AK"}, "ERASER_IAM_USER", "choose"),
    ({"HUAWEICLOUD_SDK_SK_FILE": "/sk"}, "ERASER_IAM_USER", "choose"),
    ({"HUAWEICLOUD_SDK_CREDENTIALS_FILE": "/c"}, "ERASER_IAM_USER", "choose"),
    ({"HUAWEICLOUD_SDK_IAM_ENDPOINT": "http://iam.example"}, "HUAWEICLOUD_SDK_IAM_ENDPOINT", "plain http"),
]


@pytest.mark.parametrize(("change", "name", "says"), REFUSED)
def test_half_a_login_or_a_login_beside_a_key_is_refused(change: dict[str, str], name: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        Settings.load(LOGIN | REGION | change)
    assert caught.value.name == name
    assert PASSWORD not in str(caught.value)


def test_without_a_region_the_address_of_iam_has_to_be_said() -> None:
    environ = LOGIN | {"ERASER_ENDPOINT": "https://metastudio.example"}
    with pytest.raises(SettingsError, match="HUAWEICLOUD_SDK_IAM_ENDPOINT"):
        tokens_of(environ)


def test_a_producer_with_a_login_needs_no_address() -> None:
    assert Settings.load(LOGIN).accounts["default"].endpoint is None


def test_the_description_says_token_mode_and_not_the_password() -> None:
    described = {name: value for name, value, _ in Settings.load(LOGIN | REGION).describe()}
    assert described["account default"].endswith(
        "tokens of https://iam.cn-north-4.myhuaweicloud.com for user eraser of studio, "
        "password from environment ERASER_IAM_PASSWORD"
    )
    assert PASSWORD not in repr(described)


# Accounts

TABLE = """
[accounts.a]
region = "cn-north-4"
projects = ["pa"]
{}
[accounts.b]
region = "cn-east-3"
projects = ["pb"]
ak_env = "B_AK"
sk_env = "B_SK"
"""


def config(tmp_path: Path, *lines: str, table: str = TABLE) -> dict[str, str]:
    path = tmp_path / "eraser.toml"
    path.write_text(table.format("\n".join(lines)))
    return {"ERASER_CONFIG": str(path)}


def test_an_account_names_its_user_and_where_the_password_is(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(PASSWORD)
    by_file = config(tmp_path, 'iam_user = "eraser"', 'iam_domain = "studio"', 'iam_password_file = "secret"')
    assert tokens_of(by_file, "a").current() == Login("eraser", PASSWORD, "studio")
    assert Settings.load(by_file).accounts["b"].credentials.login is None
    by_variable = config(
        tmp_path,
        'iam_user = "eraser"',
        'iam_domain = "studio"',
        'iam_password_env = "A_PASSWORD"',
        'iam_endpoint = "https://iam.example"',
    )
    tokens = tokens_of(by_variable | {"A_PASSWORD": PASSWORD}, "a")
    assert (tokens.current().password, tokens.endpoint) == (PASSWORD, "https://iam.example")
    with pytest.raises(SettingsError, match="A_PASSWORD: not set"):
        tokens_of(by_variable, "a").current()


def test_accounts_without_credentials_of_their_own_use_the_login_of_the_environment(tmp_path: Path) -> None:
    environ = LOGIN | REGION | config(tmp_path, table=TABLE.replace('ak_env = "B_AK"\nsk_env = "B_SK"\n', ""))
    endpoints = [tokens_of(environ, name).endpoint for name in ("a", "b")]
    assert endpoints == [f"https://iam.{region}.myhuaweicloud.com" for region in ("cn-north-4", "cn-east-3")]


WRONG_TABLES = [
    (['iam_user = "u"', 'iam_password_env = "P"'], "needs iam_domain"),
    (['iam_domain = "d"', 'iam_password_env = "P"'], "needs iam_user"),
    (['iam_user = "u"', 'iam_domain = "d"'], "one of iam_password_env and iam_password_file"),
    (['iam_user = "u"', 'iam_domain = "d"', f'iam_password_env = "{PASSWORD}"'], "expected the NAME"),
    (['iam_user = "u"', 'ak_env = "A"', 'sk_env = "B"'], "exclude each other"),
    (['iam_user = "u"', 'credentials_file = "c"'], "exclude each other"),
    (['iam_user = "u"', 'iam_domain = "d"', 'iam_password_env = "P"', 'iam_endpoint = "http://x"'], "plain http"),
    (['iam_password = "P"'], "unknown key 'iam_password'"),
]


@pytest.mark.parametrize(("lines", "says"), WRONG_TABLES)
def test_a_wrong_login_in_the_file_says_what_is_wrong(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        Settings.load(config(tmp_path, *lines))
    assert PASSWORD not in str(caught.value)
