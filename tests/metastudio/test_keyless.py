"""Temporary keys: issued as the official SDK gets them, renewed in time, one request for all threads, shown nowhere."""

from __future__ import annotations

import contextlib
import json
import logging
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis
from huaweicloudsdkcore.auth import internal
from huaweicloudsdkcore.auth.provider import (
    MetadataCredentialProvider,
    OidcStsCredentialProvider,
    PodIdentityCredentialProvider,
)
from huaweicloudsdkcore.exceptions.exception_handler import DefaultExceptionHandler
from huaweicloudsdkcore.http.http_client import HttpClient
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.http.http_handler import HttpHandler

from tests.execution.test_key_budget import House, house  # noqa: F401 - a fixture
from tests.metastudio.test_client import Server, responses
from tests.metastudio.test_iam import Clock
from tests.support.command import Command
from worker.config.clock import elapsed
from worker.config.keyless import KeylessReference, Source
from worker.execution.key_budget import KeyBlocked, KeyBudget
from worker.ledger.keys import OURS
from worker.metastudio.client import Client
from worker.metastudio.credentials import Credentials, Watch
from worker.metastudio.exchange import Call
from worker.metastudio.keyless import TemporaryKeys
from worker.metastudio.renewing import Issued
from worker.metastudio.response import Response
from worker.model.errors import SettingsError
from worker.model.target import Target
from worker.rules.classify import ResponseKind, classify
from worker.simulator import Simulator
from worker.simulator.agencies import DEMO_IDENTITY, KEY_CANARY

URNS = {"provider_urn": "iam::1:provider:p", "agency_urn": "iam::1:agency:a"}
NEEDED_S = 60.0
HOUR = 3600.0


def reference(source: Source, url: str, file: Path) -> KeylessReference:
    match source:
        case Source.ECS:
            return KeylessReference(source, url)
        case Source.CCE:
            return KeylessReference(source, f"{url}/v1/credentials", file, "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        case _:
            return KeylessReference(source, url, file, "HUAWEICLOUD_OIDC_TOKEN_FILE", **URNS)


@dataclass
class Desk:
    """One process: a client with temporary keys, against the simulator."""

    simulator: Simulator
    reference: KeylessReference
    clock: Clock = field(default_factory=Clock)
    watch: Watch | None = None

    def __post_init__(self) -> None:
        self.keys = TemporaryKeys(self.reference, {}, clock=self.clock, random=lambda: 0.0)
        self.client = Client(
            endpoint=self.simulator.url,
            credentials=self.keys,
            connect_timeout_s=NEEDED_S,
            read_timeout_s=NEEDED_S,
            call_deadline_s=NEEDED_S,
            watch=self.watch,
        )

    def take(self) -> Issued | Response:
        return self.keys.token("any", Call(NEEDED_S, NEEDED_S, elapsed() + NEEDED_S))

    def key(self) -> Credentials:
        issued = self.take()
        assert isinstance(issued, Issued), issued
        assert isinstance(issued.value, Credentials)
        return issued.value

    def list(self) -> Response:
        return self.client.list(self.simulator.project, limit=1).response

    def count(self, operation: str) -> int:
        return int(self.simulator.stats()["by_operation"].get(operation, 0))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(jobs=60) as app:
        yield app


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (path := tmp_path / "token").write_text(f"{DEMO_IDENTITY}\n")
    return path


@pytest.fixture(params=[Source.ECS, Source.CCE, Source.OIDC], ids=str)
def desk(request: pytest.FixtureRequest, simulator: Simulator, file: Path) -> Iterator[Desk]:
    made = Desk(simulator, reference(request.param, simulator.url, file))
    yield made
    made.client.close()


@pytest.fixture
def ecs(simulator: Simulator, file: Path) -> Iterator[Desk]:
    made = Desk(simulator, reference(Source.ECS, simulator.url, file))
    yield made
    made.client.close()


OPERATION = {Source.ECS: "metadata_key", Source.CCE: "pod_key", Source.OIDC: "sts_key"}


def test_calls_are_signed_with_a_temporary_key_that_is_fetched_once_for_all_threads(desk: Desk) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: desk.list(), range(16)))
    assert [answer.status for answer in answers] == [200] * 16
    assert desk.client.delete(Target(desk.simulator.project, "job-00001")).status == 200
    assert desk.count(OPERATION[desk.reference.source]) == 1
    assert desk.simulator.calls()[-1]["ak"] == f"{KEY_CANARY}0001"


def test_a_key_is_renewed_before_its_end(desk: Desk) -> None:
    before = desk.key()
    desk.simulator.expire_keys()
    desk.clock.now += HOUR - 100  # half of a twentieth of its life before the end: 90 s
    assert desk.key() == before
    desk.clock.now += 20
    assert desk.key().ak == f"{KEY_CANARY}0002"
    assert desk.list().status == 200


def test_a_renewal_that_is_refused_leaves_the_old_key_in_use_and_is_tried_again_in_a_minute(desk: Desk) -> None:
    before = desk.key()
    desk.simulator.set_agency(agency=False, identity="another")
    desk.simulator.expire_keys()
    desk.clock.now += HOUR - 85
    operation = OPERATION[desk.reference.source]
    assert [desk.key(), desk.key(), desk.count(operation)] == [before, before, 2]
    desk.simulator.set_agency(agency=True, identity=DEMO_IDENTITY)
    desk.clock.now += 50
    assert desk.key() == before, "not asked within the minute"
    desk.clock.now += 12
    assert desk.key().ak == f"{KEY_CANARY}0002", "asked again although the old one lives"


def test_a_refusal_says_who_refused_and_nothing_is_sent_to_metastudio(desk: Desk, file: Path) -> None:
    desk.simulator.set_agency(agency=False, identity="another")
    response = desk.list()
    assert (response.of_iam, response.status, classify(response)) == (True, 401, ResponseKind.CREDENTIALS)
    expected = {Source.ECS: "metadata service: 401 this ECS has no agency: choose one for it"}
    assert response.in_words() == expected.get(desk.reference.source, response.in_words())
    assert response.in_words().startswith(f"{desk.keys.issuer}: 401 ")
    assert desk.count("list") == 0


def test_a_token_that_the_platform_renewed_is_read_anew(simulator: Simulator, file: Path) -> None:
    now = [1000.0]
    keys = TemporaryKeys(reference(Source.CCE, simulator.url, file), {}, file_clock=lambda: now[0])
    simulator.set_agency(identity="the-next-one")
    file.write_text("the-next-one")
    now[0] += 60
    assert isinstance(keys.token("any", Call(NEEDED_S, NEEDED_S, elapsed() + NEEDED_S)), Issued)
    assert (
        keys.current().fingerprint
        == Desk(simulator, reference(Source.CCE, simulator.url, file)).keys.current().fingerprint
    )


def test_a_metadata_service_without_tokens_is_asked_without(ecs: Desk) -> None:
    ecs.simulator.set_agency(metadata_tokens=False)
    assert ecs.list().status == 200
    assert (ecs.count("metadata_token"), ecs.count("metadata_key")) == (1, 1)


def test_a_silent_issuer_is_no_refusal(desk: Desk) -> None:
    desk.simulator.outage("503", method="TOKEN")
    response = desk.list()
    assert (response.of_iam, response.status, classify(response)) == (True, 503, ResponseKind.FAILED)
    desk.simulator.outage(None)
    assert isinstance(desk.take(), Response), "not asked again at once"
    desk.clock.now += 2
    assert desk.list().status == 200


def answered(source: Source, status: bytes, body: bytes, file: Path) -> Response:
    """What an issuer's answer that has no key comes to."""
    server = Server(responses(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)))
    try:
        keys = TemporaryKeys(reference(source, f"http://127.0.0.1:{server.port}", file), {})
        answer = keys.token("any", Call(NEEDED_S, NEEDED_S, elapsed() + NEEDED_S))
    finally:
        server.close()
    assert isinstance(answer, Response)
    return answer


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"credential":{"access":"A"}}', b'{"credential":7}', b"<html>"])
def test_an_answer_without_a_key_is_no_key(body: bytes, file: Path) -> None:
    answer = answered(Source.CCE, b"200 OK", body, file)
    assert (answer.status, answer.message) == (200, "no usable key came with it")


@pytest.mark.parametrize("text", ["", "  \n", "two\nlines", "schlüssel"])
def test_a_file_without_a_token_says_so_before_anything_is_sent(simulator: Simulator, file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(SettingsError) as refused:
        Desk(simulator, reference(Source.CCE, simulator.url, file)).list()
    assert refused.value.name == "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"
    assert simulator.calls() == []


# -- the official SDK --------------------------------------------------------------------------------------------------


def theirs(desk: Desk, file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the official SDK's provider makes of the same issuer's answer."""
    url = desk.simulator.url
    match desk.reference.source:
        case Source.ECS:
            monkeypatch.setattr(internal.MetadataAccessor, "_METADATA_ENDPOINT", url)
            return MetadataCredentialProvider.get_basic().get_credentials()
        case Source.CCE:
            monkeypatch.setenv("HC_CONTAINER_CREDENTIALS_FULL_URI", f"{url}/v1/credentials")
            monkeypatch.setenv("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(file))
            return PodIdentityCredentialProvider.get_basic().get_credentials()
        case _:
            provider = OidcStsCredentialProvider("basic", **URNS, id_token_file=str(file), sts_endpoint=url)
            found = provider.get_credentials()
            found.process_sts(
                HttpClient(HttpConfig(), HttpHandler(), DefaultExceptionHandler(), logging.getLogger("sdk"))
            )
            return found


def test_the_official_sdk_s_provider_agrees_on_the_same_answer(
    desk: Desk, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.simulator.agencies.secrets.token_urlsafe", lambda size: "x" * size)
    ours = desk.key()
    sdk = theirs(desk, file, monkeypatch)
    assert (sdk.sk, sdk.security_token) == (ours.sk, ours.security_token)
    numbers = [int(key.removeprefix(KEY_CANARY)) for key in (ours.ak, sdk.ak)]
    assert numbers == ([1, 1] if desk.reference.source is Source.ECS else [1, 2])
    requests = [call for call in desk.simulator.calls() if call["operation"] == OPERATION[desk.reference.source]]
    assert [call["status"] for call in requests] == [200, 200]


# -- secrets and the budget of refusals --------------------------------------------------------------------------------


def test_nothing_shows_a_key_or_a_token(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        key, issued = desk.key(), desk.take()
        desk.list()
    shown = repr([desk.keys, issued, desk.keys.current(), desk.reference]) + caplog.text
    shown += json.dumps([str(record.__dict__) for record in caplog.records])
    for secret in (key.sk, str(key.security_token), DEMO_IDENTITY):
        assert secret not in shown
    for secret_holder in (issued, key):
        with pytest.raises(TypeError):
            pickle.dumps(secret_holder)


def test_what_the_issuer_repeats_of_the_token_is_masked(file: Path) -> None:
    body = json.dumps({"error_code": "PAP5.0012", "error_msg": f"{DEMO_IDENTITY} is not ours"}).encode()
    answer = answered(Source.OIDC, b"403 No", body, file)
    assert answer.in_words() == "STS: 403 PAP5.0012 *** is not ours"


def test_the_first_refusal_of_a_key_stops_everybody_and_the_next_try_uses_a_new_one(
    ecs: Desk, client: redis.Redis
) -> None:
    budget = KeyBudget(lambda: client, OURS, holder="w1")
    desk = Desk(ecs.simulator, ecs.reference, watch=budget.of("default"))
    assert desk.list().status == 200
    desk.simulator.expire_keys()
    refused = desk.list()
    assert (refused.status, refused.of_iam) == (401, False)
    assert not desk.client.renew(refused)
    with pytest.raises(Exception, match="the key was refused"):
        desk.list()
    assert desk.simulator.stats()["refused_signatures"] == 1
    assert desk.key().ak == f"{KEY_CANARY}0002"
    desk.client.close()


@pytest.mark.parametrize("processes", [1, 3])
def test_a_key_that_its_issuer_hands_out_again_is_refused_no_more_often_than_any_other(
    ecs: Desk,
    house: House,  # noqa: F811
    processes: int,
) -> None:
    """The issuer judges no secret: that it gives the key once more proves nothing, and five refusals would lock it."""
    desks = [Desk(ecs.simulator, ecs.reference, watch=house.process(f"w{n}", f"account-{n}")) for n in range(processes)]
    for desk in desks:
        desk.client._transport.exchange = slowly(house, desk.client._transport.exchange)  # type: ignore[method-assign]
        assert desk.list().status == 200
    ecs.simulator.disable_credential(f"{KEY_CANARY}0001")
    refused_at, began = list[float](), house.now
    while house.now < began + 1_500_000:
        for desk in desks:
            with contextlib.suppress(KeyBlocked):
                if (answer := desk.list()).status == 401:
                    desk.client.renew(answer)
                    refused_at.append((house.now - began) / 1000)
        house.pass_time(10)
    under_way = refused_at[:processes]  # each had a key that worked: these cannot be taken back
    later = refused_at[processes:]
    assert len(later) == 3, refused_at
    assert later[1] - under_way[-1] > 330, "one more within the time of a lock, and then a growing rest"
    assert later[2] - later[1] > 600
    for desk in desks:
        desk.client.close()


def slowly(house: House, exchange: Any) -> Any:  # noqa: F811
    """Each exchange takes half a second of the tests' clock."""

    def exchanged(*call: Any, **how: Any) -> Any:
        house.pass_time(0.5)
        return exchange(*call, **how)

    return exchanged


def test_a_key_that_is_over_by_its_issuer_s_own_clock_is_no_key(file: Path) -> None:
    over = b"200 OK\r\nDate: Fri, 27 Nov 2026 12:00:00 GMT"
    key = {"access": "AK", "secret": "SK", "securitytoken": "T", "expires_at": "2026-11-27T11:59:59.000000Z"}
    answer = answered(Source.CCE, over, json.dumps({"credential": key}).encode(), file)
    assert (answer.status, answer.message) == (200, "no usable key came with it")


# -- for people --------------------------------------------------------------------------------------------------------


def test_the_doctor_and_accounts_name_the_source(simulator: Simulator, command: Command) -> None:
    settings: dict[str, str | None] = {"ERASER_REGION": None, "ERASER_ENDPOINT": simulator.url}
    settings |= {"HUAWEICLOUD_SDK_PROJECT_ID": simulator.project}
    settings |= {"ERASER_CREDENTIALS": "ecs", "ERASER_METADATA_ENDPOINT": simulator.url}

    def look() -> dict[str, Any]:
        lines = {line["check"]: line for line in command("doctor", "--json", **settings).json}
        return lines["credentials of default"]

    assert look()["found"].endswith(" ms with temporary keys of this ECS's agency; sees 60 jobs")
    (account,) = command("accounts", "list", "--json", **settings).json
    assert account["credentials"] == "temporary keys of this ECS's agency"
    assert "temporary keys of this ECS's agency" in command("accounts", "list", **settings).out
    simulator.set_agency(agency=False)
    simulator.expire_keys()
    line = look()
    assert line["verdict"] == "wrong"
    assert line["found"].startswith(f"no key from the metadata service at {simulator.url}: 401 this ECS has no agency")
    assert line["todo"].startswith("choose an agency for this ECS")
