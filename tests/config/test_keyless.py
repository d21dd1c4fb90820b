"""ERASER_CREDENTIALS and the variables of the platform: which source is used, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worker.config.keyless import KeylessReference, Source
from worker.config.settings import Settings
from worker.metastudio.wiring import source_of
from worker.model.errors import SettingsError

REGION = {"ERASER_REGION": "cn-north-4", "HOME": "/nonexistent"}
KEY = {"HUAWEICLOUD_SDK_AK": "AKEXAMPLE", "HUAWEICLOUD_SDK_SK": "SKEXAMPLE"}
POD = {"HC_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.7/v1/credentials"}
POD |= {"HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/pod/token"}
URNS = {"HUAWEICLOUD_OIDC_PROVIDER_URN": "iam::1:provider:p", "HUAWEICLOUD_OIDC_AGENCY_URN": "iam::1:agency:a"}
OIDC = URNS | {"HUAWEICLOUD_OIDC_TOKEN_FILE": "/var/run/oidc/token"}


def source(**environ: str) -> KeylessReference | None:
    return Settings.load(REGION | environ).accounts["default"].credentials.keyless


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        (KEY, None),
        (POD, Source.CCE),
        (POD | KEY, None),
        (OIDC, Source.OIDC),
        (OIDC | POD, Source.OIDC),
        (OIDC | KEY | {"ERASER_CREDENTIALS": "key"}, None),
        (OIDC | KEY | {"ERASER_CREDENTIALS": "oidc"}, Source.OIDC),
        (KEY | {"ERASER_CREDENTIALS": "ecs"}, Source.ECS),
        (POD | {"ERASER_CREDENTIALS": "ecs"}, Source.ECS),
        (POD | {"ERASER_CREDENTIALS": "cce"}, Source.CCE),
    ],
    ids=str,
)
def test_the_source_is_the_one_that_is_named_or_the_one_there_is(
    environ: dict[str, str], expected: Source | None
) -> None:
    found = source(**environ)
    assert (found and found.source) == expected


def test_a_file_of_keys_comes_before_a_pod_s_identity(tmp_path: Path) -> None:
    (tmp_path / ".huaweicloud").mkdir()
    (tmp_path / ".huaweicloud" / "credentials").write_text("[basic]\nak = a\nsk = b\n")
    assert source(**POD, HOME=str(tmp_path)) is None


def test_what_is_asked_is_where_the_platform_says() -> None:
    ecs, pod, oidc = source(ERASER_CREDENTIALS="ecs"), source(**POD), source(**OIDC)
    assert ecs is not None
    assert pod is not None
    assert oidc is not None
    assert (ecs.address, ecs.token_file) == ("http://169.254.169.254", None)
    assert (pod.address, str(pod.token_file)) == ("http://169.254.170.7/v1/credentials", "/var/run/pod/token")
    assert (oidc.address, str(oidc.token_file)) == ("https://sts.cn-north-4.myhuaweicloud.com", "/var/run/oidc/token")
    assert (oidc.provider_urn, oidc.agency_urn, oidc.duration_s) == ("iam::1:provider:p", "iam::1:agency:a", 3600)
    other = source(**OIDC, HUAWEICLOUD_SDK_STS_ENDPOINT="https://sts.example.com", HUAWEICLOUD_OIDC_POLICY_IDS="a, b")
    assert other is not None
    assert (other.address, other.policy_ids) == ("https://sts.example.com", ("a", "b"))


@pytest.mark.parametrize(
    ("environ", "name", "text"),
    [
        ({"ERASER_CREDENTIALS": "magic"}, "ERASER_CREDENTIALS", "expected key, ecs, cce, oidc; found 'magic'"),
        (OIDC | KEY, "ERASER_CREDENTIALS", "set it to oidc, or to key"),
        ({"ERASER_CREDENTIALS": "cce"}, "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", "not set, and temporary keys need it"),
        (URNS, "HUAWEICLOUD_OIDC_TOKEN_FILE", "not set, and temporary keys need it"),
        (OIDC | {"HUAWEICLOUD_OIDC_DURATION_SECONDS": "60"}, "HUAWEICLOUD_OIDC_DURATION_SECONDS", "from 900 to 43200"),
        (POD | {"HC_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/x"}, next(iter(POD)), "plain http is for"),
        (POD | {"HC_CONTAINER_CREDENTIALS_FULL_URI": "http://8.8.8.8/x"}, next(iter(POD)), "plain http is for"),
        (POD | {"HC_CONTAINER_CREDENTIALS_FULL_URI": "file:///x"}, next(iter(POD)), "expected http://ADDRESS/PATH"),
        (
            {"ERASER_CREDENTIALS": "ecs", "ERASER_METADATA_ENDPOINT": "http://metadata.example.com"},
            "ERASER_METADATA_ENDPOINT",
            "plain http is for addresses of this host or its network only",
        ),
        (
            {"ERASER_CREDENTIALS": "ecs", "ERASER_IAM_USER": "u", "ERASER_IAM_PASSWORD": "p", "ERASER_IAM_DOMAIN": "d"},
            "ERASER_CREDENTIALS",
            "ERASER_IAM_USER is set too: choose",
        ),
    ],
    ids=str,
)
def test_what_is_incomplete_or_contradicts_itself_says_what_to_set(
    environ: dict[str, str], name: str, text: str
) -> None:
    with pytest.raises(SettingsError, match=text) as refused:
        source(**environ)
    assert refused.value.name == name


def test_without_a_region_sts_has_to_be_named() -> None:
    environ = {"ERASER_ENDPOINT": "https://metastudio.example.com", **OIDC}
    reference = Settings.load(environ).accounts["default"].credentials
    with pytest.raises(SettingsError, match=r"such as https://sts\.cn-north-4") as refused:
        source_of(reference, environ)
    assert refused.value.name == "HUAWEICLOUD_SDK_STS_ENDPOINT"


TOML = """
[accounts.default]

[accounts.plain]
projects = ["p1"]
credentials_file = "plain.ini"

[accounts.agency]
projects = ["p2"]
credentials = "oidc"
oidc_provider_urn = "iam::2:provider:p"
oidc_agency_urn = "iam::2:agency:a"
oidc_token_file = "token"
sts_endpoint = "https://sts.example.com"

[accounts.key]
projects = ["p3"]
credentials = "key"
"""


def test_each_account_may_have_a_source_of_its_own(tmp_path: Path) -> None:
    (file := tmp_path / "accounts.toml").write_text(TOML)
    accounts = Settings.load(REGION | {"ERASER_CONFIG": str(file), "ERASER_CREDENTIALS": "ecs"}).accounts
    assert str(accounts["default"].credentials) == "temporary keys of this ECS's agency"
    assert accounts["plain"].credentials.issued_by is None
    assert accounts["key"].credentials.issued_by is None
    assert str(accounts["agency"].credentials) == (
        f"temporary keys of https://sts.example.com for iam::2:agency:a, token from file {tmp_path / 'token'}"
    )


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ('credentials = "ecs"\nak_env = "A"\nsk_env = "B"', "credentials and ak_env exclude each other"),
        ('credentials = "ecs"\niam_user = "u"', "credentials and iam_user exclude each other"),
        ('credentials = "cce"\nsts_endpoint = "https://x.example.com"', "sts_endpoint belongs to credentials"),
        ('oidc_agency_urn = "x"', "oidc_agency_urn belongs to credentials"),
        ('credentials = "magic"', "key or ecs or cce or oidc"),
    ],
)
def test_an_account_s_table_that_contradicts_itself_is_refused(tmp_path: Path, lines: str, text: str) -> None:
    (file := tmp_path / "accounts.toml").write_text(f'[accounts.a]\nprojects = ["p1"]\n{lines}\n')
    with pytest.raises(SettingsError, match=text):
        Settings.load(REGION | {"ERASER_CONFIG": str(file)})


def test_no_credentials_at_all_name_the_keyless_ones_too(tmp_path: Path) -> None:
    settings: dict[str, Any] = REGION | {"HOME": str(tmp_path)}
    with pytest.raises(SettingsError, match="ERASER_CREDENTIALS=ecs, cce or oidc"):
        source_of(Settings.load(settings).accounts["default"].credentials, settings)
