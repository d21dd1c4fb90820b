"""The simulator plays IAM: it gives tokens, checks them, lets them end, and locks whoever guesses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.caller import Caller, Response
from tests.support.library import LibraryCaller
from worker.model.errors import UsageError
from worker.simulator import DEMO_DOMAIN, DEMO_PASSWORD, DEMO_USER, TOKEN_CANARY, Simulator, SimulatorControl

OTHER_PROJECT = "ffff768a2c8026af2f8bc00f4b0d3b7c"
PATH = "/v3/auth/tokens?nocatalog=true"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(jobs=3) as app:
        yield app


class Visitor:
    """Asks for tokens and calls with them, without a line of the client under test."""

    def __init__(self, simulator: Simulator) -> None:
        self.caller = Caller.of(simulator)

    def ask(self, **changed: Any) -> Response:
        fields = {"user": DEMO_USER, "password": DEMO_PASSWORD, "domain": DEMO_DOMAIN, "project": self.caller.project}
        fields |= changed
        user = {"domain": {"name": fields["domain"]}, "name": fields["user"], "password": fields["password"]}
        identity = {"methods": ["password"], "password": {"user": user}}
        return self.post({"auth": {"identity": identity, "scope": {"project": {"id": fields["project"]}}}})

    def post(self, document: object) -> Response:
        body = json.dumps(document).encode()
        head = f"POST {PATH} HTTP/1.1\r\nHost: {self.caller.host}\r\nContent-Length: {len(body)}\r\n\r\n"
        return self.caller.send_raw(head.encode() + body)

    def token(self, **changed: Any) -> str:
        response = self.ask(**changed)
        assert response.status == 201, response.body
        return response.headers["x-subject-token"]

    def delete(self, job_id: str, token: str, **more: str) -> Response:
        lines = [f"DELETE {self.caller.jobs}/{job_id} HTTP/1.1", f"Host: {self.caller.host}", f"X-Auth-Token: {token}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
        return self.caller.send_raw(("\r\n".join(lines) + "\r\n\r\n").encode())


@pytest.fixture
def visitor(simulator: Simulator) -> Visitor:
    return Visitor(simulator)


def test_a_user_gets_a_token_as_documented(simulator: Simulator, visitor: Visitor) -> None:
    response = visitor.ask()
    assert response.status == 201
    assert response.headers["x-subject-token"].startswith(TOKEN_CANARY)
    token = response.json["token"]
    ends, begins = (datetime.fromisoformat(token[name]) for name in ("expires_at", "issued_at"))
    assert (ends - begins).total_seconds() == 24 * 3600
    assert abs((begins - datetime.now(UTC)).total_seconds()) < 60
    assert token["expires_at"].endswith("Z")
    assert token["project"]["id"] == simulator.project
    assert TOKEN_CANARY not in response.body.decode()


def test_a_token_opens_what_a_signature_opens(simulator: Simulator, visitor: Visitor) -> None:
    token = visitor.token()
    assert visitor.delete("job-00001", token).status == 200
    assert visitor.delete("job-00002", token, X_Project_Id=simulator.project).status == 200
    assert simulator.job_ids() == ["job-00003"]


def test_a_token_is_for_one_project_only(simulator: Simulator, visitor: Visitor) -> None:
    simulator.set_user(DEMO_USER, DEMO_PASSWORD, projects=[simulator.project, OTHER_PROJECT])
    response = visitor.delete("job-00001", visitor.token(project=OTHER_PROJECT))
    assert (response.status, response.code) == (400, "MSS.00010009")
    response = visitor.delete("job-00001", visitor.token(), X_Project_Id=OTHER_PROJECT)
    assert (response.status, response.code) == (400, "MSS.00010009")


def test_a_token_that_ended_must_be_updated(simulator: Simulator, visitor: Visitor) -> None:
    simulator.set_token_life(0.0)
    short = visitor.token()
    simulator.set_token_life(3600.0)
    long = visitor.token()
    assert (visitor.delete("job-00001", short).status, visitor.delete("job-00001", short).code) == (401, "APIGW.0307")
    assert simulator.expire_tokens() == 1
    assert "must be updated" in visitor.delete("job-00001", long).message
    assert visitor.delete("job-00001", visitor.token()).status == 200
    assert simulator.stats()["refused_by_reason"] == {"token_expired": 3}


def test_a_garbled_token_cannot_be_decrypted(simulator: Simulator, visitor: Visitor) -> None:
    response = visitor.delete("job-00001", visitor.token()[:-1])
    assert (response.status, response.code) == (401, "APIGW.0301")
    assert response.message.endswith("decrypt token fail")
    assert simulator.stats()["refused_by_reason"] == {"token": 1}


@pytest.mark.parametrize(("code", "status"), [("APIGW.0307", 401), ("MSS.00010008", 400)])
def test_every_token_is_refused_on_request(simulator: Simulator, visitor: Visitor, code: str, status: int) -> None:
    simulator.refuse_tokens(code)
    response = visitor.delete("job-00001", visitor.token())
    assert (response.status, response.code) == (status, code)
    simulator.refuse_tokens(None)
    assert visitor.delete("job-00001", visitor.token()).status == 200


WRONG = [{"user": "nobody"}, {"password": "wrong"}, {"domain": "elsewhere"}]


@pytest.mark.parametrize("wrong", WRONG, ids=[next(iter(wrong)) for wrong in WRONG])
def test_whoever_is_not_known_is_told_the_same(visitor: Visitor, wrong: dict[str, str]) -> None:
    response = visitor.ask(**wrong)
    assert response.status == 401
    assert response.json == {
        "error": {"code": 401, "message": "The username or password is wrong.", "title": "Unauthorized"}
    }


def test_a_disabled_user_and_a_foreign_project_get_no_token(simulator: Simulator, visitor: Visitor) -> None:
    assert visitor.ask(project=OTHER_PROJECT).status == 403
    simulator.set_user(DEMO_USER, DEMO_PASSWORD, enabled=False)
    assert visitor.ask().status == 401


@pytest.mark.parametrize("document", [None, [], {}, {"auth": {"identity": {"methods": ["totp"]}}}])
def test_a_body_of_another_form_is_a_400(visitor: Visitor, document: object) -> None:
    response = visitor.post(document)
    assert (response.status, response.json["error"]["message"]) == (400, "The request body is invalid")


def test_five_wrong_passwords_in_a_row_lock_the_user(simulator: Simulator, visitor: Visitor) -> None:
    for _ in range(4):
        assert visitor.ask(password="wrong").status == 401
    visitor.token()  # a right one in between: the count begins again
    for _ in range(5):
        assert visitor.ask(password="wrong").json["error"]["code"] == 401
    assert visitor.ask().code == "IAM.0061", "the right password is refused too"
    simulator.unlock_user(DEMO_USER)
    assert visitor.ask().status == 201


def test_faults_and_outages_of_iam_are_its_own(simulator: Simulator, visitor: Visitor) -> None:
    token = visitor.token()
    simulator.fault("throttled", method="TOKEN", retry_after_s=7)
    throttled = visitor.ask()
    assert (throttled.status, throttled.code, throttled.headers["retry-after"]) == (429, "IAM.0012", "7")
    simulator.fault("error", method="TOKEN", status=500)
    assert visitor.ask().json["error"] == {
        "code": 500,
        "message": "Internal Server Error",
        "title": "Internal Server Error",
    }
    simulator.outage("503", method="TOKEN")
    assert visitor.ask().status == 503
    assert visitor.delete("job-00001", token).status == 200
    simulator.outage("503")
    assert visitor.ask().status == 201, "an outage of MetaStudio is none of IAM"
    simulator.fault("error", method="*", times=None)
    assert visitor.ask().status == 201


def test_the_log_counts_requests_for_tokens_and_numbers_the_tokens(simulator: Simulator, visitor: Visitor) -> None:
    visitor.token()
    visitor.ask(password="wrong")
    second = visitor.token()
    visitor.delete("job-00001", second)
    assert simulator.stats()["by_operation"] == {"token": 3, "delete": 1}
    calls = simulator.calls()
    assert [(call["operation"], call["token"], call["status"]) for call in calls] == [
        ("token", 1, 201),
        ("token", None, 401),
        ("token", 2, 201),
        ("delete", 2, 200),
    ]
    assert calls[0]["project"] == simulator.project
    assert calls[3]["ak"] == f"iam:{DEMO_USER}"
    for secret in (DEMO_PASSWORD, TOKEN_CANARY):
        assert secret not in json.dumps(calls)


def test_the_control_plane_steers_iam_over_http(simulator: Simulator, visitor: Visitor) -> None:
    control = SimulatorControl(simulator.url)
    control.set_user("other", "pass-word", domain="else", sees_jobs=False)
    token = visitor.token(user="other", password="pass-word", domain="else")
    assert visitor.delete("job-00001", token).status == 400, "this user sees no jobs"
    assert control.expire_tokens() == 1
    control.set_token_life(5.0)
    control.unlock_user("nobody")
    control.refuse_tokens("MSS.00010008")
    with pytest.raises(UsageError, match=r"APIGW\.0307"):
        control.refuse_tokens("418")
    with pytest.raises(UsageError, match="live"):
        control._run("set_token_life", {"live": 5})
    control.reset()
    assert visitor.ask().status == 201


def test_the_command_says_how_to_call_it_with_tokens() -> None:
    command = [sys.executable, "-m", "worker.simulator", "--port", "0", "--token-life", "60"]
    with subprocess.Popen([*command, "--iam-user", "someone"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            output = "".join(process.stdout.readline() for _ in range(6))
        finally:
            process.terminate()
    fields = dict(re.findall(r"(\w+)=(\S+?)(?:;|\s)", output))
    assert (fields["ERASER_IAM_USER"], fields["ERASER_IAM_DOMAIN"]) == ("someone", DEMO_DOMAIN)
    assert fields["ERASER_IAM_PASSWORD"] == DEMO_PASSWORD
    assert fields["HUAWEICLOUD_SDK_IAM_ENDPOINT"] == fields["ERASER_ENDPOINT"]


def test_rights_and_sight_are_of_users_with_tokens_too(simulator: Simulator, visitor: Visitor) -> None:
    simulator.add_avatar("job-1")
    token = visitor.token()
    library = LibraryCaller(Caller.of(simulator, ak="nobody", extra={"X-Auth-Token": token}))
    assert library.state("asset-job-1") == "ACTIVED"
    simulator.deny(["asset_read"], ak=f"iam:{DEMO_USER}")
    assert library.show("asset-job-1").code == "APIGW.0302"
    assert LibraryCaller(Caller.of(simulator)).state("asset-job-1") == "ACTIVED"
    assert library.update("asset-job-1", asset_state="UNACTIVED").status == 200
    assert simulator.events(id="asset-job-1")[-1]["by"] == f"iam:{DEMO_USER}"
    simulator.deny([], ak=f"iam:{DEMO_USER}")
    simulator.set_user(DEMO_USER, DEMO_PASSWORD, sees_library=False)
    library.caller.extra["X-Auth-Token"] = visitor.token()
    assert library.show("asset-job-1").code == "MSS.10001001"
    assert library.caller.show("job-1").status == 200
