"""Where the keys come from, and that nothing ever shows them."""

from __future__ import annotations

import copy
import dataclasses
import logging
import os
import pickle
import traceback
from pathlib import Path

import pytest

from worker.metastudio.credentials import (
    AK,
    FILE,
    PROJECT,
    SK,
    TOKEN,
    Credentials,
    EnvironmentCredentials,
    FileCredentials,
    find_credentials,
)
from worker.model.errors import SettingsError

KEY = "AKEXAMPLE0000000000A"
SECRET = "S3cretS3cretS3cretS3cretS3cretS3cretS3cr"
SESSION = "gQpjbi1ub3J0aC00jD4EjEXAMPLE+/=="
PROJECT_ID = "0605768a2c8026af2f8bc00f4b0d3b7c"
BOTH = {AK: KEY, SK: SECRET}


class Clock:
    """A clock that moves when the test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def rewrite(path: Path, text: str) -> None:
    """Replace a file as a rotation does, with an mtime that differs however coarse the file system is."""
    path.write_text(text, "utf-8")
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))


def ini(ak: str = KEY, sk: str = SECRET, **more: str) -> str:
    return "[basic]\n" + "".join(f"{k} = {v}\n" for k, v in {"ak": ak, "sk": sk, **more}.items())


# --- nothing shows a secret -------------------------------------------------------------------------------------


def test_no_way_of_printing_credentials_shows_the_secret_or_the_token(caplog: pytest.LogCaptureFixture) -> None:
    credentials = Credentials(KEY, SECRET, SESSION, PROJECT_ID)
    caplog.set_level(logging.DEBUG)
    logging.getLogger("test").info("%s %r", credentials, credentials)
    shown = [repr(credentials), str(credentials), f"{credentials}", f"{[credentials]}", f"{credentials!r:>80}"]
    for text in [*shown, caplog.text]:
        assert SECRET not in text
        assert SESSION not in text
        assert KEY not in text
    assert repr(credentials) == "Credentials(ak=AKEX…, sk=***)"


def test_a_short_access_key_is_not_shown_at_all() -> None:
    assert repr(Credentials("abcd", SECRET)) == "Credentials(ak=…, sk=***)"


def test_credentials_cannot_be_pickled_and_so_never_travel() -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Credentials(KEY, SECRET))
    with pytest.raises(TypeError, match="never pickled"):
        copy.copy(Credentials(KEY, SECRET))


def test_credentials_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Credentials(KEY, SECRET).sk = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    "broken",
    [
        {AK: KEY, SK: f"{SECRET} "},
        {AK: KEY, SK: f"{SECRET}\n"},
        {AK: KEY, SK: f"{SECRET}\x07"},
        {AK: f"{KEY}\r\nX-Evil: 1", SK: SECRET},
        {AK: f"é{KEY}", SK: SECRET},
        {**BOTH, TOKEN: f"{SESSION}\u200b"},
        {**BOTH, TOKEN: f"{SESSION} x"},
        {AK: "   ", SK: SECRET},
        {AK: KEY, SK: " "},
    ],
)
def test_a_broken_key_is_refused_without_being_shown(broken: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        EnvironmentCredentials(broken).current()
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    for value in (SECRET, KEY, SESSION):
        assert value not in text
    assert caught.value.name in broken
    assert "copy the key again" in str(caught.value)


@pytest.mark.parametrize(
    "text", [f"ak={KEY}\nsk={SECRET}\n", f"[basic]\nak={KEY}\n{SECRET}\n", f"[basic]\nsk={SECRET}\nsk=2"]
)
def test_a_file_that_is_no_ini_is_refused_without_being_quoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials"
    path.write_text(text)
    with pytest.raises(SettingsError, match="not an INI file") as caught:
        FileCredentials(path).current()
    assert caught.value.__context__ is None, "the parser's own error quotes lines of the file"
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_is_not_text_is_refused_without_being_quoted(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_bytes(b"[basic]\nsk=" + SECRET.encode() + b"\xff")
    with pytest.raises(SettingsError, match="not UTF-8") as caught:
        FileCredentials(path).current()
    assert caught.value.__context__ is None


# --- the fingerprint --------------------------------------------------------------------------------------------


def test_the_fingerprint_changes_with_every_part_of_the_key_and_with_nothing_else() -> None:
    prints = {
        Credentials(KEY, SECRET).fingerprint,
        Credentials(KEY[1:], SECRET).fingerprint,
        Credentials(KEY, SECRET[1:]).fingerprint,
        Credentials(KEY, SECRET, SESSION).fingerprint,
    }
    assert len(prints) == 4
    assert all(len(p) == 8 and int(p, 16) >= 0 for p in prints)
    assert Credentials(KEY, SECRET, None, PROJECT_ID).fingerprint == Credentials(KEY, SECRET).fingerprint


# --- the environment --------------------------------------------------------------------------------------------


def test_the_environment_gives_all_four_values() -> None:
    found = EnvironmentCredentials({**BOTH, TOKEN: SESSION, PROJECT: PROJECT_ID}).current()
    assert found == Credentials(KEY, SECRET, SESSION, PROJECT_ID)


def test_an_empty_token_or_project_counts_as_not_set() -> None:
    assert EnvironmentCredentials({**BOTH, TOKEN: "", PROJECT: ""}).current() == Credentials(KEY, SECRET)


def test_a_secret_key_may_be_any_printable_text() -> None:
    assert EnvironmentCredentials({AK: KEY, SK: "密钥é%(x)s"}).current().sk == "密钥é%(x)s"


@pytest.mark.parametrize(("given", "missing"), [({SK: SECRET}, AK), ({AK: KEY}, SK), ({AK: KEY, SK: ""}, SK)])
def test_half_a_key_names_the_other_half(given: dict[str, str], missing: str) -> None:
    with pytest.raises(SettingsError, match=f"{missing}_FILE") as caught:
        EnvironmentCredentials(given).current()
    assert caught.value.name == missing


def test_a_project_id_that_must_not_reach_a_url_is_refused() -> None:
    with pytest.raises(SettingsError, match=PROJECT):
        EnvironmentCredentials({**BOTH, PROJECT: ".."}).current()


def test_a_value_and_a_file_for_the_same_secret_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="two ways"):
        EnvironmentCredentials({**BOTH, f"{SK}_FILE": str(tmp_path / "sk")})


def test_the_same_credentials_are_the_same_object_until_they_change(tmp_path: Path, clock: Clock) -> None:
    source = EnvironmentCredentials(BOTH, clock=clock)
    assert source.current() is source.current()


def test_a_rotated_secret_file_is_picked_up_within_a_second(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "sk"
    path.write_text(f"{SECRET}\n")
    source = EnvironmentCredentials({AK: KEY, f"{SK}_FILE": str(path)}, clock=clock)
    assert source.current().sk == SECRET
    rewrite(path, "rotated-secret")
    clock.now += 0.5
    assert source.current().sk == SECRET
    clock.now += 0.6
    assert source.current().sk == "rotated-secret"


def test_a_file_that_vanishes_or_is_empty_for_a_moment_keeps_the_last_secret(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "sk"
    path.write_text(SECRET)
    source = EnvironmentCredentials({AK: KEY, f"{SK}_FILE": str(path)}, clock=clock)
    assert source.current().sk == SECRET
    path.unlink()
    clock.now += 2
    assert source.current().sk == SECRET
    rewrite(path, "\n")
    clock.now += 2
    assert source.current().sk == SECRET
    rewrite(path, "rotated-secret")
    clock.now += 2
    assert source.current().sk == "rotated-secret"


def test_a_secret_file_that_is_not_there_names_its_setting_and_its_path(tmp_path: Path) -> None:
    path = tmp_path / "missing"
    with pytest.raises(SettingsError, match="cannot read") as caught:
        EnvironmentCredentials({AK: KEY, f"{SK}_FILE": str(path)}).current()
    assert caught.value.name == f"{SK}_FILE"
    assert str(path) in str(caught.value)


def test_a_file_of_a_gigabyte_is_not_read_as_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "sk"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(SettingsError, match="not a credentials file"):
        EnvironmentCredentials({AK: KEY, f"{SK}_FILE": str(path)}).current()


# --- the SDK's file ---------------------------------------------------------------------------------------------


def test_the_sdks_file_is_read_as_the_sdk_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini(security_token=SESSION, project_id=PROJECT_ID, iam_endpoint="https://iam"), "utf-8-sig")
    assert FileCredentials(path).current() == Credentials(KEY, SECRET, SESSION, PROJECT_ID)


def test_a_percent_sign_in_the_file_is_a_plain_character(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini(sk="100%(x)s%"))
    assert FileCredentials(path).current().sk == "100%(x)s%"


def test_another_section_can_be_chosen_and_a_missing_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini() + f"[second]\nak={KEY}2\nsk={SECRET}2\n")
    assert FileCredentials(path, section="second").current().sk == f"{SECRET}2"
    with pytest.raises(SettingsError, match=r"no section \[third\]"):
        FileCredentials(path, section="third").current()


@pytest.mark.parametrize(
    "body", [f"ak={KEY}", f"sk={SECRET}", f"ak={KEY} x\nsk={SECRET}", f"ak={KEY}\nsk={SECRET}\nsecurity_token=a b"]
)
def test_a_section_with_half_or_broken_keys_says_which_and_where(tmp_path: Path, body: str) -> None:
    path = tmp_path / "credentials"
    path.write_text(f"[basic]\n{body}\n")
    with pytest.raises(SettingsError, match=r"(ak|sk|security_token) in .*credentials, section \[basic\]") as caught:
        FileCredentials(path).current()
    assert SECRET not in str(caught.value)


def test_the_file_is_read_again_when_it_changes(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini())
    source = FileCredentials(path, clock=clock)
    first = source.current()
    assert source.current() is first
    rewrite(path, ini(sk="rotated"))
    clock.now += 1.1
    assert source.current().sk == "rotated"


def test_the_file_is_looked_at_once_a_second_at_most(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini())
    looks: list[Path] = []
    real = Path.stat

    def counted(self: Path, **kwargs: bool) -> os.stat_result:
        if self == path:
            looks.append(self)
        return real(self, **kwargs)

    monkeypatch.setattr(Path, "stat", counted)
    source = FileCredentials(path, clock=clock)
    for _ in range(300):
        source.current()
        clock.now += 0.01
    assert len(looks) <= 4


# --- finding them -----------------------------------------------------------------------------------------------


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text(ini(ak="FROMFILE"))
    assert find_credentials({**BOTH, FILE: str(path)}).current().ak == KEY
    assert find_credentials({FILE: str(path), AK: "", SK: ""}).current().ak == "FROMFILE"


def test_the_default_file_is_in_the_home_directory(tmp_path: Path) -> None:
    (tmp_path / ".huaweicloud").mkdir()
    (tmp_path / ".huaweicloud" / "credentials").write_text(ini())
    assert find_credentials({"HOME": str(tmp_path)}).current().ak == KEY


def test_without_any_credentials_the_error_names_every_possibility(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        find_credentials({"HOME": str(tmp_path)})
    for name in (AK, SK, f"{AK}_FILE", f"{SK}_FILE", FILE, TOKEN, str(tmp_path / ".huaweicloud" / "credentials")):
        assert name in str(caught.value)
