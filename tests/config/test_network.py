"""ERASER_PROXY and ERASER_NO_PROXY: what each may say, and which hosts go which way."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from worker.config.network import NO_PROXY, PROXY, Network
from worker.config.settings import Settings
from worker.model.errors import SettingsError

URL = "http://eraser:p%40ss%2Fw0rd@proxy.example.com:3128"


def test_a_proxy_is_read_and_its_password_is_never_shown() -> None:
    settings = Settings.load({PROXY: URL})
    proxy = settings.network.proxy
    assert proxy is not None
    assert (proxy.host, proxy.port, str(proxy)) == ("proxy.example.com", 3128, "http://proxy.example.com:3128")
    assert base64.b64decode(str(proxy.login).removeprefix("Basic ")) == b"eraser:p@ss/w0rd"
    shown = f"{settings!r} {proxy!r} {settings.describe()!r}"
    assert "p%40ss" not in shown
    assert str(proxy.login) not in shown
    assert (PROXY, "http://proxy.example.com:3128", "environment") in settings.describe()


def test_a_proxy_may_come_from_a_file_and_is_none_by_default(tmp_path: Path) -> None:
    (file := tmp_path / "proxy").write_text(f"{URL}\n")
    settings = Settings.load({f"{PROXY}_FILE": str(file)})
    assert settings.network.proxy == Settings.load({PROXY: URL}).proxy
    assert (PROXY, "http://proxy.example.com:3128", f"file {file}") in settings.describe()
    assert Settings.load({"HTTPS_PROXY": URL, "https_proxy": URL}).network == Network()


@pytest.mark.parametrize(
    "url",
    [
        *("proxy.example.com:3128", "https://eraser:s3cret@proxy:3128", "socks5://proxy:1080", "http://proxy"),
        *("http://:3128", "http://proxy:3128/path", "http://eraser:s3cret#@proxy:3128", "http://pro xy:3128"),
        *("http://proxy:99999", "http://proxy:0", "http://proxy:3128?x=1"),
    ],
)
def test_what_is_no_proxy_says_what_to_write(url: str) -> None:
    with pytest.raises(SettingsError, match=r"http://.*HOST:PORT") as refused:
        Settings.load({PROXY: url})
    assert refused.value.name == PROXY
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("rules", "host", "proxied"),
    [
        ("", "metastudio.cn-north-4.myhuaweicloud.com", True),
        *(("", host, False) for host in ("localhost", "127.0.0.1", "127.9.9.9", "::1")),
        *((rule, "iam.example.com", False) for rule in ("example.com", ".example.com", "iam.EXAMPLE.com", "a, *")),
        *((rule, "iam.example.com.", False) for rule in ("example.com", "*")),
        *((rule, "notexample.com", True) for rule in ("example.com", ".example.com", "10.0.0.0/8", "com.example")),
        *((rule, "10.1.2.3", False) for rule in ("10.1.2.3", "10.0.0.0/8", "fd00::/8,10.1.0.0/16")),
        *((rule, "10.1.2.3", True) for rule in ("10.1.2.4", "11.0.0.0/8", "2.3", "fd00::/8")),
        *((rule, "fd00::7", False) for rule in ("fd00::/8", "[fd00::7]")),
        ("", "fd00::7", True),
    ],
)
def test_hosts_that_need_no_proxy_are_named_as_elsewhere(rules: str, host: str, proxied: bool) -> None:
    network = Settings.load({PROXY: URL, NO_PROXY: rules}).network
    assert (network.proxy_for(host) is not None) is proxied


@pytest.mark.parametrize("rules", ["http://example.com", "example.com:443", "*.example.com", "10.0.0.0/99", "a b"])
def test_what_is_no_host_is_refused(rules: str) -> None:
    with pytest.raises(SettingsError, match=r"\.example\.com, 10\.0\.0\.0/8") as refused:
        Settings.load({PROXY: URL, NO_PROXY: f"ok.example.com,{rules}"})
    assert refused.value.name == NO_PROXY
