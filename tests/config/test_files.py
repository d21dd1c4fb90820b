"""What people write in files and env files is read as they meant it, or refused with what to do."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.http_site import NOW
from worker.config.api_tokens import Scope, make, section
from worker.config.data_directory import default_directory
from worker.config.files import NotText, home, is_quoted, path_named, read_text
from worker.config.settings import Settings
from worker.config.token_file import TokenFile
from worker.execution.logs import secrets_of
from worker.metastudio.credentials import AK, FILE, SK, EnvironmentCredentials, FileCredentials, find_credentials
from worker.metastudio.login import LoginSource
from worker.model.errors import EraserError, SettingsError
from worker.retention.policy_file import PolicyFile
from worker.services.id_lines import opened

KEY, SECRET = "AKEXAMPLE0000000000A", "S3cretS3cretS3cretS3cretS3cretS3cretS3cr"
MARK = b"\xef\xbb\xbf"
POLICY = '[policies.old]\nprojects = ["p"]\nstates = ["TRAIN_FAILED"]\nolder_than = "90d"\n'


def accounts(file: Path) -> object:
    return Settings.load({"ERASER_CONFIG": str(file)}).accounts["a"].projects


def ids(file: Path) -> object:
    with opened(str(file), stdin=io.BytesIO()) as lines:
        return list(lines)


def key(file: Path) -> object:
    return FileCredentials(file).current().ak


def access_key(file: Path) -> object:
    return EnvironmentCredentials({f"{AK}_FILE": str(file), SK: SECRET}).current().ak


def password(file: Path) -> object:
    return LoginSource("u", "d", environ={"ERASER_IAM_PASSWORD_FILE": str(file)}).current().password


def tokens(file: Path) -> object:
    return [token.name for token in TokenFile(file).current()]


DOORS: dict[str, tuple[Callable[[Path], object], str, object]] = {
    "accounts": (accounts, '[accounts.a]\nprojects = ["p"]\nregion = "cn-north-4"\n', ("p",)),
    "policies": (lambda file: list(PolicyFile(file, lambda _: "default").current()), POLICY, ["old"]),
    "ids": (ids, "job-1\njob-2\n", ["job-1", "job-2"]),
    "credentials": (key, f"[basic]\nak = {KEY}\nsk = {SECRET}\n", KEY),
    "access key": (access_key, f"{KEY}\n", KEY),
    "IAM password": (password, "a long password\n", "a long password"),
    "API tokens": (tokens, section(make("shop", [Scope.READ])[0], NOW), ["shop"]),
    "Redis": (
        lambda file: Settings.load({"ERASER_REDIS_URL_FILE": str(file)}).redis_url,
        "redis://:pw@cache/1\n",
        "redis://:pw@cache/1",
    ),
    "masking": (lambda file: list(secrets_of({f"{SK}_FILE": str(file)})), f"{SECRET}\n", [SECRET]),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("begins", [b"", MARK], ids=["", "BOM"])
def test_a_file_says_the_same_whatever_editor_wrote_it(tmp_path: Path, door: str, begins: bytes, ends: str) -> None:
    read, text, meant = DOORS[door]
    file = tmp_path / "file"
    file.write_bytes(begins + text.replace("\n", ends).encode())
    assert read(file) == meant


@pytest.mark.parametrize("door", [door for door in DOORS if door != "masking"])
def test_a_file_in_utf_16_is_refused_with_what_to_do(tmp_path: Path, door: str) -> None:
    """PowerShell's `>` writes it."""
    read, text, _ = DOORS[door]
    file = tmp_path / "file"
    file.write_bytes(text.encode("utf-16"))
    with pytest.raises(EraserError, match="UTF-16: save it as UTF-8") as refused:
        read(file)
    assert str(file) in str(refused.value)


@pytest.mark.parametrize("door", [door for door in DOORS if door not in ("masking", "ids")])
def test_a_file_in_gbk_is_refused(tmp_path: Path, door: str) -> None:
    read, text, _ = DOORS[door]
    file = tmp_path / "file"
    file.write_bytes(text.encode() + "# 训练".encode("gbk"))
    with pytest.raises(EraserError, match="not UTF-8 text"):
        read(file)


def test_what_is_no_text_is_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(MARK + "训练".encode())
    assert read_text(file) == "训练"
    file.write_bytes("训练".encode("utf-16-be"))
    with pytest.raises(NotText, match="not UTF-8"):
        read_text(file)


# Homes


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a line in /etc/passwd and without HOME, as in a container."""

    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    monkeypatch.setattr(Path, "expanduser", lambda _: unknown())


def test_without_a_home_everything_else_is_said_as_ever(homeless: None) -> None:
    assert home({}) == Path("/nonexistent")
    assert home({"HOME": "/home/eraser"}) == Path("/home/eraser")
    assert default_directory({}).is_relative_to("/nonexistent")
    with pytest.raises(SettingsError, match="no credentials found"):
        find_credentials({})
    with pytest.raises(SettingsError, match=r"ERASER_CONFIG: ~/x: there is no such home directory"):
        Settings.load({"ERASER_CONFIG": "~/x"})
    with pytest.raises(SettingsError, match=FILE):
        find_credentials({FILE: "~/x"})


def test_a_home_of_nobody_is_named() -> None:
    with pytest.raises(SettingsError, match="~nobody-here/x"):
        path_named("~nobody-here/x", "ERASER_CONFIG")


# Env files


@pytest.mark.parametrize("value", ['"x"', "'x'", '""', "“x”", "`x`", "«x»"])
def test_quotes_around_a_value_are_seen(value: str) -> None:
    assert is_quoted(value)


@pytest.mark.parametrize("value", ["", '"', "x", 'a"b', "it's", '"x', "x'"])
def test_a_quote_in_a_value_is_a_character(value: str) -> None:
    assert not is_quoted(value)


QUOTED = {
    "ERASER_REDIS_URL": "redis://cache/1",
    "ERASER_BROKER_URL": "redis://cache/1",
    "ERASER_REGION": "cn-north-4",
    "ERASER_ENDPOINT": "https://metastudio.example",
    "ERASER_RATE": "3",
    "ERASER_DEADLINE": "30d",
    "ERASER_CONFIG": "eraser.toml",
    "ERASER_CONSOLE_PASSWORD": "a long password",
    "HUAWEICLOUD_SDK_PROJECT_ID": "p",
}


@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("name", QUOTED)
def test_a_setting_in_quotes_is_refused_and_not_shown(name: str, quote: str) -> None:
    """`docker run --env-file` passes them on."""
    with pytest.raises(SettingsError, match="has quotes around it, which only a shell removes") as refused:
        Settings.load({name: f"{quote}{QUOTED[name]}{quote}"})
    assert refused.value.name == name
    assert QUOTED[name] not in str(refused.value).replace(name, "")


@pytest.mark.parametrize("name", [AK, SK, "HUAWEICLOUD_SDK_SECURITY_TOKEN"])
def test_a_key_in_quotes_is_refused_and_not_shown(name: str, tmp_path: Path) -> None:
    environ = {AK: KEY, SK: SECRET, "HUAWEICLOUD_SDK_SECURITY_TOKEN": "gQpjbi1ub3J0aC00"}
    quoted = f'"{environ[name]}"'
    with pytest.raises(SettingsError, match="has quotes around it") as refused:
        EnvironmentCredentials(environ | {name: quoted}).current()
    assert environ[name] not in str(refused.value)
    (tmp_path / "it").write_text(quoted)
    without = {other: value for other, value in environ.items() if other != name}
    with pytest.raises(SettingsError, match="has quotes around it"):
        EnvironmentCredentials(without | {f"{name}_FILE": str(tmp_path / "it")}).current()


def test_keys_in_quotes_in_the_sdks_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(f'[basic]\nak = "{KEY}"\nsk = {SECRET}\n')
    with pytest.raises(SettingsError, match=r"ak in .* has quotes around it"):
        FileCredentials(file).current()


def test_a_password_in_quotes_is_meant_so_only_in_a_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="write it into a file that ERASER_IAM_PASSWORD_FILE names"):
        LoginSource("u", "d", environ={"ERASER_IAM_PASSWORD": '"so it is"'})
    (tmp_path / "password").write_text('"so it is"\n')
    assert password(tmp_path / "password") == '"so it is"'


@pytest.mark.parametrize("name", ["\ufeffERASER_REGION", '"ERASER_REGION"', "ERASER_REGION ", "\xa0HUAWEICLOUD_SDK_AK"])
def test_a_name_that_an_env_file_spoilt_is_told(name: str) -> None:
    """The first line of a file with a mark, or one with a blank before the `=`: it would be nobody's setting."""
    with pytest.raises(SettingsError, match="its name is written as"):
        Settings.load({name: "cn-north-4"})
