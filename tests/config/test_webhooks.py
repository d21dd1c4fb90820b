"""Endpoints in the file of ERASER_CONFIG: what is read, and what is refused with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.config.webhooks import EventType, kept_endpoint, read_webhooks
from worker.model.errors import SettingsError, UsageError

URL = 'url = "https://crm.example.com/hooks?source=eraser"\n'
SIGNED = 'secret_files = ["crm.secret"]\n'
NUMBERS = ("2852039166", "0xa9fea9fe", "169.254.43518", "0251.0376.0251.0376", "127.1", "a.0x1", "169.254.169.254.")
NO_HOSTS = ("%31%30.0.0.1", "crm.example.com\\\\.x", "a..b", "")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "eraser.toml"


def test_an_endpoint_wants_every_event_of_every_project_unless_it_says_which(file: Path) -> None:
    file.write_text(
        f'[webhooks.all]\n{URL}secret_envs = ["CRM_SECRET"]\n'
        f'[webhooks.some]\n{URL}{SIGNED}events = ["deletion.dead", "account.closed"]\nprojects = ["p-1"]\n'
    )
    found = read_webhooks(file)
    assert (found["all"].events, found["all"].projects) == (tuple(EventType), ())
    assert found["some"].events == (EventType.DEAD, EventType.ACCOUNT_CLOSED)
    assert found["some"].projects == ("p-1",)
    assert found["some"].secret_files == (file.parent / "crm.secret",)
    assert found["some"].shown == "https://crm.example.com/hooks", "what follows may be a secret"


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "crm_1.internal", "1.example.com", "example.com."])
@pytest.mark.parametrize("rest", ["", "?source=eraser", "/hooks?source=eraser"])
def test_a_url_has_a_path(file: Path, host: str, rest: str) -> None:
    file.write_text(f'[webhooks.crm]\nurl = "https://{host}{rest}"\n{SIGNED}')
    path = rest if rest.startswith("/") else f"/{rest}"
    assert read_webhooks(file)["crm"].url == f"https://{host}{path}"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (SIGNED, "url: expected a text"),
        (URL, "nothing signs its messages: add secret_files"),
        (f'{URL}secret = "whsec_abc"\n', "unknown key 'secret' (did you mean secret_files?)"),
        (f'{URL}secret_envs = ["whsec_abc"]\n', "expected the NAME of an environment variable, in capitals"),
        (f'{URL}{SIGNED}events = ["deletion.delete"]\n', "unknown event 'deletion.delete' (did you mean deletion."),
        (f'{URL}{SIGNED}events = "deletion.dead"\n', "expected a list of events"),
        (f"{URL}{SIGNED}projects = []\n", "projects: expected a list"),
        (f'url = "http://crm.example.com/"\n{SIGNED}', "plain http is for loopback"),
        (f'url = "https://me:geheim@crm.example.com/"\n{SIGNED}', "expected no user, password or fragment"),
        (f'url = "ftp://crm.example.com/"\n{SIGNED}', "expected https://HOST/PATH"),
        (f'url = "http://127.0.0.1:8080/"\n{SIGNED}', "127.0.0.1 is this machine: add private = true"),
        (f'url = "https://localhost/"\n{SIGNED}', "localhost is this machine: add private = true"),
        (f'url = "https://crm.example.com:99999/"\n{SIGNED}', "not a URL"),
        (f'url = "https://crm.exämple.com/"\n{SIGNED}', "expected https://HOST/PATH"),
        (f'url = "https://crm.example.com/ä"\n{SIGNED}', "a URL is ASCII"),
        *((f'url = "https://{host}/x?key=geheim"\n{SIGNED}', "is no name and no address") for host in NUMBERS),
        *((f'url = "https://{host}/x?key=geheim"\n{SIGNED}', "expected https://HOST/PATH") for host in NO_HOSTS),
        # errors do not repeat secrets
        (f'{URL}secret_files = "whsec_abc"\n', "secret_files: expected a list of files"),
        (f'{URL}secret_files = ["whsec_abc"]\n', "secret_files: expected the path of a file, not the secret itself"),
        (f"{URL}secret_files = [\"'whsec_abc'\"]\n", "secret_files: expected the path of a file"),
        (f'{URL}secret_envs = "whsec_abc"\n', "secret_envs: expected a list of NAMES"),
        (f'{URL}{SIGNED}ca_bundle = "whsec_abc"\n', "ca_bundle: expected the path of a file"),
        (f'url = ["https://crm.example.com/?key=geheim"]\n{SIGNED}', "url: expected a text"),
        (f'url = "ftp://crm.example.com/?key=geheim"\n{SIGNED}', "found 'ftp://crm.example.com/'"),
        (f'url = "http://crm.example.com/#geheim"\n{SIGNED}', "expected no user, password or fragment"),
        (f'url = "ftp://crm.example.com/#geheim"\n{SIGNED}', "found 'ftp://crm.example.com/'"),
        (f'url = "http://crm.example.com/?key=geheim"\n{SIGNED}', "plain http is for loopback"),
        (f'url = "https://crm.example.com/?key= geheim"\n{SIGNED}', "there is a blank"),
        (f'url = "https://crm.example.com:99999/?key=geheim"\n{SIGNED}', "not a URL"),
        (f'url = "https://me:gehe?im@crm.example.com/"\n{SIGNED}', "not a URL: 'https://***@crm.example.com/'"),
        # what its certificate is verified by
        (f'{URL}{SIGNED}ca_bundle = "none.pem"\n', "ca_bundle: cannot read"),
        (f'{URL}{SIGNED}ca_bundle = "eraser.toml"\n', "eraser.toml has no certificate"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(file: Path, lines: str, says: str) -> None:
    file.write_text(f"[webhooks.crm]\n{lines}", encoding="utf-8")
    with pytest.raises(SettingsError) as refused:
        read_webhooks(file)
    assert "[webhooks.crm]" in str(refused.value)
    assert says in str(refused.value)
    assert "gehe" not in str(refused.value)
    assert "whsec_abc" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://crm.example.com/", "plain http is for loopback"),
        ("http://127.0.0.1:8080/", "is not public"),
        ("https://localhost/", "is not public"),
        ("https://localhost./", "is not public"),
        ("https://crm.localhost/", "is not public"),
        ("https://intranet/", "is not public"),
        ("https://crm.internal./", "is not public"),
        ("https://10.0.0.1/", "is not public"),
        ("https://169.254.169.254/latest", "is not public"),
        ("https://[::ffff:10.0.0.1]/", "is not public"),
        ("https://2852039166/", "is no name and no address"),
        ("https://crm.example.com/hooks?token=geheim", "needs no secret"),
        ("https://me:geheim@crm.example.com/", "expected no user, password or fragment"),
    ],
)
def test_an_endpoint_of_the_ledger_is_public_and_has_no_secret_in_its_address(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        kept_endpoint("crm", url, [], [])
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("name", ["CRM", "c r m", "", "x" * 33, "a/b"])
def test_an_endpoint_of_the_ledger_is_named_like_one_of_the_file(name: str) -> None:
    with pytest.raises(UsageError, match="expected 1 to 32 lower-case letters"):
        kept_endpoint(name, "https://crm.example.com/", [], [])
