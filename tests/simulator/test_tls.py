"""The simulator over HTTPS, with a CA of its own."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from worker.model.errors import UsageError
from worker.simulator import Simulator


def shake_hands(simulator: Simulator, ca_file: Path, name: str) -> str | None:
    """The version of TLS that was agreed on, by the strictest rules."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    port = int(simulator.url.rpartition(":")[2])
    with (
        socket.create_connection(("127.0.0.1", port), 60) as sock,
        context.wrap_socket(sock, server_hostname=name) as line,
    ):
        line.sendall(b"POST /_control/job_ids HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        assert line.recv(12) == b"HTTP/1.1 200"
        return line.version()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", socket.gethostname()])
def test_its_certificate_is_good_for_each_name_of_this_machine(tmp_path: Path, name: str) -> None:
    ca_file = tmp_path / "ca.pem"
    with Simulator(jobs=1, tls=ca_file) as simulator:
        assert simulator.url.startswith("https://127.0.0.1:")
        assert shake_hands(simulator, ca_file, name) == "TLSv1.3"


def test_each_start_has_another_ca_and_writes_no_key(tmp_path: Path) -> None:
    ca_file, earlier = tmp_path / "ca.pem", tmp_path / "earlier.pem"
    with Simulator(tls=ca_file):
        pass
    ca_file.rename(earlier)
    with Simulator(tls=ca_file) as simulator:
        with pytest.raises(ssl.SSLCertVerificationError):
            shake_hands(simulator, earlier, "localhost")
        assert shake_hands(simulator, ca_file, "localhost")  # and whoever was refused broke nothing
    assert sorted(tmp_path.iterdir()) == [ca_file, earlier]
    assert "PRIVATE" not in ca_file.read_text()


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (precious := tmp_path / "id_ed25519").write_text("a key")
    with pytest.raises(UsageError, match="of something else"):
        Simulator(tls=precious)
    assert precious.read_text() == "a key"


def test_another_host_than_loopback_needs_tls(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without TLS"):
        Simulator(host="0.0.0.0")
    with Simulator(host="0.0.0.0", tls=tmp_path / "ca.pem") as simulator:
        assert simulator.url.startswith(f"https://{socket.gethostname()}:")
