"""Signatures: the specification's own package verifies them, and secrets are never repeated."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from worker.config.webhooks import Endpoint
from worker.model.errors import SettingsError
from worker.webhooks.signing import Secrets, headers, key_of, new_secret

BODY = '{"type":"deletion.deleted","data":{"id":"jöb"}}'.encode()


def signed(*secrets: str, at: int | None = None, body: bytes = BODY) -> dict[str, str]:
    return headers([key_of(secret, "here") for secret in secrets], "msg_1", at or int(time.time()), body)


def test_the_specifications_package_verifies_what_is_signed() -> None:
    secret = new_secret()
    Webhook(secret).verify(BODY, signed(secret))
    for wrong in (signed(new_secret()), signed(secret, body=BODY + b" "), signed(secret, at=int(time.time()) - 3600)):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY, wrong)


def test_while_two_secrets_are_named_whoever_has_either_verifies() -> None:
    old, new = new_secret(), new_secret()
    made = signed(new, old)
    assert len(made["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(BODY, made)


def test_a_changed_file_signs_without_a_restart(tmp_path: Path) -> None:
    old, new, clock = new_secret(), new_secret(), [0.0]
    file = tmp_path / "crm.secret"
    file.write_text(old + "\n")
    endpoint = Endpoint("crm", "https://crm.example.com/", secret_files=(file,), secret_envs=("CRM_OLD",))
    secrets = Secrets(endpoint, {"CRM_OLD": old}, lambda: clock[0])
    assert secrets.keys() == [key_of(old, ""), key_of(old, "")]
    file.write_text(new + "\n\n")
    clock[0] = 10.0
    assert secrets.keys() == [key_of(new, ""), key_of(old, "")]


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "geheim-geheim-geheim-geheim",
        base64.b64encode(b"geheim" * 5).decode(),  # without its beginning
        "whsec_" + base64.b64encode(b"geheim").decode(),
        "whsec_" + base64.b64encode(b"geheim" * 11).decode(),
        "whsec_ " + base64.b64encode(b"geheim" * 5).decode(),
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(SettingsError) as refused:
        key_of(secret, "[webhooks.crm] CRM_SECRET")
    assert "[webhooks.crm] CRM_SECRET: expected whsec_" in str(refused.value)
    assert not secret or secret not in str(refused.value)


def test_a_secret_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for endpoint in (
        Endpoint("crm", "https://crm.example.com/", secret_files=(tmp_path / "none",)),
        Endpoint("crm", "https://crm.example.com/", secret_envs=("CRM_SECRET",)),
    ):
        with pytest.raises(SettingsError):
            Secrets(endpoint, {}).keys()
