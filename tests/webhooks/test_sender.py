"""One attempt: only to an address that was checked, however the name changes meanwhile; and only within its time."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.proxy import Proxy
from tests.support.tls_front import TlsFront
from tests.support.webhook_receiver import Receiver
from worker.config.network import STRAIGHT, Network, check_proxy
from worker.config.webhooks import Endpoint
from worker.webhooks import sender
from worker.webhooks.sender import Result, Sender, why_not_address

PUBLIC = ("8.8.8.8", "2606:4700::1111", "64:ff9b::808:808")
OWN = (
    *("127.0.0.1", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "fd00::1", "fec0::1"),
    # the same in other forms: mapped, 6to4, NAT64
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:a00:1::", "64:ff9b::a00:1"),
)
NEVER = (
    *("169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::", "224.0.1.1", "ff02::1", "255.255.255.255"),
    *("::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
)


def to(receiver: Receiver, folder: Path, url: str = "", **more: Any) -> Sender:
    file = folder / "a.secret"
    file.write_text(receiver.secrets[0])
    endpoint = Endpoint("crm", url or receiver.url, secret_files=(file,), **{"private": True} | more)
    return Sender(endpoint, {}, STRAIGHT)


@pytest.mark.parametrize("address", [*PUBLIC, *OWN, *NEVER])
def test_which_addresses_a_message_may_go_to(address: str) -> None:
    assert (why_not_address(address, private=False) is None) is (address in PUBLIC)
    assert (why_not_address(address, private=True) is None) is (address not in NEVER)


def test_a_message_arrives(receiver: Receiver, tmp_path: Path) -> None:
    result = to(receiver, tmp_path).send("msg_1", b'{"type":"webhook.test"}')
    assert (result.ok, result.status, result.why) == (True, 204, "delivered")
    assert receiver.messages == [{"id": "msg_1", "type": "webhook.test"}]
    assert receiver.wrong == []


def test_a_name_that_leads_into_our_network_is_not_connected_to(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It led to a public address when somebody looked, and leads here when it is connected to."""
    hosts: list[Any] = []

    def resolve(host: Any, port: Any, **_: Any) -> list[Any]:
        hosts.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    url = f"https://hooks.example.com:{receiver.port}/"
    result = to(receiver, tmp_path, url, private=False).send("msg_1", b"{}")
    assert (result.ok, result.status) == (False, None)
    assert result.why == "127.0.0.1 is not public: private = true allows it"
    assert hosts == ["hooks.example.com"], "asked once: what is checked is what is connected to"
    assert receiver.attempts == {}


def test_tls_is_verified_for_the_name_by_the_endpoints_own_ca(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    with Receiver(tls=ca.issue_cert("127.0.0.1")) as receiver:
        url = receiver.url.replace("http:", "https:")
        assert to(receiver, tmp_path, url, ca_bundle=tmp_path / "ca.pem").send("msg_1", b"{}").ok
        assert to(receiver, tmp_path, url).send("msg_2", b"{}").why.startswith("certificate not trusted")
        other = url.replace("127.0.0.1", "localhost")
        assert not to(receiver, tmp_path, other, ca_bundle=tmp_path / "ca.pem").send("msg_3", b"{}").ok
    assert list(receiver.attempts) == ["msg_1"]


@pytest.mark.parametrize("header", [{"Retry-After": "7"}, {"Retry-After": "soon"}, {}])
def test_whoever_says_when_to_come_back_is_heard(header: dict[str, str], tmp_path: Path) -> None:
    with Receiver(status=503, answer_headers=header) as receiver:
        result = to(receiver, tmp_path).send("msg_1", b"{}")
    assert (result.status, result.retry_after_s) == (503, 7.0 if header.get("Retry-After") == "7" else None)


def test_an_answer_that_is_late_is_not_waited_for(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "WHOLE_S", 0.3)
    receiver.delay_s = 30
    result = to(receiver, tmp_path).send("msg_1", b"{}")
    assert result.why == "no answer in time"
    assert result.ms < 20_000


def test_nobody_listens(receiver: Receiver, tmp_path: Path) -> None:
    receiver.kill()
    result = to(receiver, tmp_path).send("msg_1", b"{}")
    assert (result, result.ok) == (Result(None, result.ms, "no connection"), False)


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("hooks.internal.example", "delivered"),
        ("10.0.0.1", "10.0.0.1 is not public: private = true allows it"),
        ("169.254.169.254", "169.254.169.254 is no address of a receiver"),
    ],
)
def test_through_a_proxy_an_address_in_the_url_is_checked_and_a_name_is_the_proxy_s(
    tmp_path: Path, host: str, why: str
) -> None:
    ca, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("hooks.internal.example").configure_cert(context)
    ca.cert_pem.write_to_path(bundle := tmp_path / "ca.pem")
    with Receiver() as receiver, TlsFront(receiver.port, context) as front, Proxy(front.port) as proxy:
        (file := tmp_path / "a.secret").write_text(receiver.secrets[0])
        network = Network(bundle, check_proxy(proxy.url, "ERASER_PROXY"))
        one = Sender(Endpoint("crm", f"https://{host}/", secret_files=(file,)), {}, network)
        assert one.send("msg_1", b"{}").why == why
    assert len(proxy.heads) == (why == "delivered")
