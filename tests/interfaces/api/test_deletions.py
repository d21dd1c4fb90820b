"""The API's deletions: accepted is recorded, each id has its answer, and who asked is the token's name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from tests.support.dead_letters import PROJECT, Undertaker
from tests.support.http_site import DELETIONS, Site
from tests.support.waiting import wait_until
from worker.config.api_tokens import Scope
from worker.interfaces.api.request_schema import MOST
from worker.ledger.holds import HoldList
from worker.ledger.keys import OURS
from worker.model.target import Target
from worker.services import audit, listing
from worker.services.request import RENAMED

FIELDS = {"kind", "id", "job_id", "state", "accepted", "deduplicated", "effect", "error"}


def problem(response: Any, status: int, name: str) -> dict[str, Any]:
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json"), (
        response.text
    )
    found: dict[str, Any] = response.json()
    assert (found["type"], found["status"]) == (f"urn:avatar-eraser:{name}", status), found
    return found


# -- asking ------------------------------------------------------------------------------------------------------------


def test_one_is_recorded_with_the_token_as_requester_in_the_user_lane(site: Site) -> None:
    response = site.ask("job-1", reason="TICKET-1")
    assert response.status_code == 202
    assert response.headers["Location"] == f"{DELETIONS}/job-1"
    (result,) = response.json()["results"]
    assert result == {
        "kind": "job",
        "id": "job-1",
        "job_id": "job-1",
        "state": "pending",
        "accepted": True,
        "deduplicated": False,
        "effect": "new",
        "error": None,
    }
    found = site.show("job-1")
    assert (found["lane"], found["reason"], found["requested_by"]) == ("user", "TICKET-1", "shop")


def test_a_person_behind_the_service_is_recorded_with_it(site: Site) -> None:
    site.ask("job-1", on_behalf_of="support-17")
    assert site.show("job-1")["requested_by"] == "shop/support-17"


def test_a_person_who_waits_is_rung_for_and_a_sweep_is_not(site: Site) -> None:
    site.ask("job-1", "job-2")
    wait_until(lambda: site.app.redis.zcard(OURS.wakeups) == 1, what="a dispatcher looks with its next tick")
    assert site.app.redis.zcard(OURS.wake_now) == 0
    site.ask("job-3", lane="user")
    wait_until(lambda: site.app.redis.zrange(OURS.wake_now, 0, -1) == [b"default"], what="it looks at once")
    assert site.show("job-1")["lane"] == "bulk"


def test_a_thousand_go_at_once_and_one_more_does_not(site: Site, undertaker: Undertaker) -> None:
    jobs = [f"job-{n}" for n in range(MOST)]
    response = site.ask(*jobs).json()
    assert (response["accepted"], response["rejected"], len(response["results"])) == (MOST, 0, MOST)
    assert undertaker.recorded() == MOST
    assert "found 1,001" in problem(site.ask(*jobs, "more"), 422, "invalid")["detail"]
    assert undertaker.recorded() == MOST


def test_of_many_the_good_are_accepted_and_each_bad_one_is_told(site: Site, undertaker: Undertaker) -> None:
    response = site.ask("good-1", "a/b", "good-1", "..", "\ud800", "x" * 200)
    assert response.status_code == 202
    body = response.json()
    assert (body["accepted"], body["rejected"]) == (2, 4)
    assert [set(result) for result in body["results"]] == [FIELDS] * 6
    assert [result["deduplicated"] for result in body["results"][:3]] == [False, False, True]
    assert all("1 to 64 letters" in result["error"] for result in body["results"] if not result["accepted"])
    assert undertaker.recorded() == 1


def test_where_none_is_good_nothing_is_accepted(site: Site, undertaker: Undertaker) -> None:
    assert "1 to 64 letters" in problem(site.ask("a/b"), 422, "invalid")["detail"]
    assert "canary" not in problem(site.ask("canary:13800138000"), 422, "invalid")["detail"]
    assert len(problem(site.ask("a/b", ".."), 422, "invalid")["results"]) == 2
    assert undertaker.recorded() == 0


def test_asking_twice_merges_and_says_so(site: Site) -> None:
    site.ask("job-1", "job-2")
    (result,) = site.ask("job-1").json()["results"]
    assert (result["deduplicated"], result["effect"]) == (True, "merged")
    assert site.show("job-1")["lane"] == "user"


def test_each_answer_says_what_the_request_did(site: Site, undertaker: Undertaker) -> None:
    def answer(job_id: str, **terms: Any) -> tuple[str, str, bool]:
        (result,) = site.ask(job_id, **terms).json()["results"]
        return result["state"], result["effect"], result["deduplicated"]

    HoldList(undertaker.ledger).add([Target(PROJECT, "kept")], why="CASE-1", by="legal")
    undertaker.end("failed", "again")
    undertaker.end("done", to="deleted")
    assert answer("fresh") == ("pending", "new", False)
    assert answer("fresh") == ("pending", "merged", True)
    assert answer("kept") == ("held", "new", False)
    assert answer("kept") == ("held", "merged", True)
    assert answer("failed") == ("pending", "new_round", True)
    assert answer("done") == ("deleted", "already_done", True)
    assert answer("done", force=True) == ("pending", "new_round", True)
    site.call("DELETE", f"{DELETIONS}/fresh", params={"reason": "T-1"})
    assert answer("fresh") == ("pending", "new_round", False)
    HoldList(undertaker.ledger).add([Target(PROJECT, "again")], why="CASE-1", by="legal")
    assert answer("again") == ("held", "new_round", True)


def test_what_is_done_is_left_unless_it_is_forced(site: Site, undertaker: Undertaker) -> None:
    undertaker.end("done", to="deleted")
    assert site.ask("done").json()["results"][0]["state"] == "deleted"
    assert site.ask("done", force=True).json()["results"][0]["state"] == "pending"


@pytest.mark.parametrize("body", [b'{"job_id": "a", "job_id": "b"}', b'{"job_id": "a", "after": "24h", "after": "1s"}'])
def test_a_field_that_is_there_twice_is_refused(site: Site, undertaker: Undertaker, body: bytes) -> None:
    refused = site.call("POST", DELETIONS, content=body, headers={"Content-Type": "application/json"})
    assert "twice" in problem(refused, 422, "invalid")["detail"]
    assert undertaker.recorded() == 0


def test_a_start_may_be_a_delay_or_a_moment(site: Site) -> None:
    site.ask("job-1", after="24h")
    site.ask("job-2", at=(datetime.now(UTC) + timedelta(hours=24)).isoformat())
    due = [datetime.fromisoformat(site.show(job)["due_at"]) for job in ("job-1", "job-2")]
    assert abs(due[0] - due[1]) < timedelta(seconds=30)
    assert abs(due[0] - datetime.now(UTC) - timedelta(hours=24)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "not both"),
        ({"job_id": "a", "job_ids": ["b"]}, "not both"),
        ({"job_ids": []}, "1 to 1,000"),
        ({"job_ids": ["a", 1]}, "list of texts"),
        ({"job_id": 1}, "job_id: expected a text"),
        ({"job_id": None}, "job_id: expected a text"),
        ({"job_id": "a", "force": 1}, "true or false"),
        *(({"job_id": "a", old: True}, f"{old} is called {new} now") for old, new in RENAMED.items()),
        ({"job_id": "a", "lane": "fast"}, "user (a person waits) or bulk"),
        ({"job_id": "a", "afer": "24h"}, "did you mean after?"),
        ({"job_id": "a", "after": "1h", "at": "2030-01-01T00:00:00Z"}, "not both"),
        ({"job_id": "a", "after": "tomorrow"}, "after:"),
        ({"job_id": "a", "at": "2020-01-01T00:00:00Z"}, "has passed"),
        ({"job_id": "a", "at": "2030-01-01T00:00:00"}, "with its time zone"),
        ({"job_id": "a", "deadline": "1h", "after": "2h"}, "set a deadline of more than 2h"),
        ({"job_id": "a", "deadline": "1h", "after": "50.5h"}, "set a deadline of more than 3d"),
        ({"job_id": "a", "reason": "a@b.example"}, "never personal data"),
        ({"job_id": "a", "reason": "asked by 0171 2345678"}, "the form of a phone number"),
        ({"job_id": "a", "run": "11010519491231002X"}, "the form of an identity number"),
        ({"job_id": "a", "on_behalf_of": "447911123456"}, "the form of a phone number"),
        ({"job_id": "a", "app_user": "Jane Doe"}, "opaque id"),
        ({"job_id": "a", "on_behalf_of": "x" * 32}, "at most 31"),
        ({"job_id": "a", "run": ""}, "run:"),
    ],
)
def test_a_body_that_is_wrong_is_told_and_nothing_is_recorded(
    site: Site, undertaker: Undertaker, body: dict[str, Any], word: str
) -> None:
    refused = site.call("POST", DELETIONS, json=body)
    assert word in problem(refused, 422, "invalid")["detail"]
    assert undertaker.recorded() == 0


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"job"', b"\xff\xfe", b"[" * 500_000, b'{"job_id": ' + b"9" * 5000 + b"}", b"{}x", b"NaN"],
)
def test_what_is_no_json_object_is_400(site: Site, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    problem(site.call("POST", DELETIONS, content=body, headers=headers), 400, "not-json")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
def test_a_body_has_to_say_that_it_is_json(site: Site, kind: str) -> None:
    refused = site.call("POST", DELETIONS, content=json.dumps({"job_id": "a"}), headers={"Content-Type": kind})
    problem(refused, 415, "not-json")


def test_a_project_that_nobody_calls_for_is_unknown(redis_url: str, tmp_path: Path) -> None:
    config = tmp_path / "accounts.toml"
    config.write_text(
        f'[accounts.studio-a]\nregion = "cn-north-4"\nprojects = ["{PROJECT}"]\nak_env = "A"\nsk_env = "B"\n'
    )
    site = Site(redis_url, tmp_path / "tokens.toml", {"ERASER_CONFIG": str(config)})
    assert site.ask("job-1").status_code == 202
    problem(site.call("POST", "/api/projects/other/deletions", json={"job_id": "a"}), 404, "unknown-project")
    problem(site.call("POST", "/api/projects/-x/deletions", json={"job_id": "a"}), 422, "invalid")


# -- looking and cancelling --------------------------------------------------------------------------------------------


def test_a_deletion_looks_as_the_command_line_shows_it_and_names_no_app_user(site: Site) -> None:
    site.ask("job-1", app_user="user-canary-7")
    found = site.call("GET", f"{DELETIONS}/job-1")
    assert {"state", "waiting_for", "attempts", "requested_by"} <= set(found.json())
    assert "canary" not in found.text


def test_what_nobody_asked_for_is_unknown(site: Site) -> None:
    problem(site.call("GET", f"{DELETIONS}/never"), 404, "unknown-deletion")
    problem(site.call("DELETE", f"{DELETIONS}/never?reason=T-1"), 404, "unknown-deletion")


def test_cancelling_withdraws_it_and_names_the_token(site: Site) -> None:
    site.ask("job-1", "job-2")
    response = site.call("DELETE", f"{DELETIONS}/job-1?reason=TICKET-2")
    assert (response.status_code, response.json()["result"]) == (200, "cancelled")
    found = site.show("job-1")
    assert found["state"] == "cancelled"
    assert any(event.get("by") == "shop" and event.get("why") == "TICKET-2" for event in found["events"])
    (entry,) = [audit.as_json(entry) for entry in audit.entries(site.app, audit.AuditFilter())]
    assert (entry["act"], entry["by"], entry["reason"]) == ("deletions.cancelled", "shop", "TICKET-2")
    assert site.show("job-2")["state"] == "pending"


def test_a_call_under_way_is_noted_and_what_is_deleted_is_too_late(site: Site, undertaker: Undertaker) -> None:
    undertaker.end("done", to="deleted")
    undertaker.end("dead")
    undertaker.request("flying")
    undertaker.take()
    noted = site.call("DELETE", f"{DELETIONS}/flying?reason=T-1")
    assert (noted.status_code, noted.json()["result"], noted.json()["done"]) == (202, "in_flight", False)
    for job, result in (("done", "deleted"), ("dead", "dead")):
        assert problem(site.call("DELETE", f"{DELETIONS}/{job}?reason=T-1"), 409, "too-late")["result"] == result


def test_cancelling_needs_a_reason(site: Site) -> None:
    site.ask("job-1")
    assert "?reason=" in problem(site.call("DELETE", f"{DELETIONS}/job-1"), 422, "invalid")["detail"]
    problem(site.call("DELETE", f"{DELETIONS}/job-1?reason=a@b.example"), 422, "invalid")
    problem(site.call("DELETE", f"{DELETIONS}/job-1?reason=13812345678"), 422, "invalid")
    assert site.show("job-1")["state"] == "pending"


# -- who may -----------------------------------------------------------------------------------------------------------


def test_each_scope_opens_its_own_door_only(site: Site) -> None:
    tokens = {scope: site.new_token(f"only-{scope}", scope) for scope in Scope}
    site.ask("job-1")
    doors = {
        Scope.REQUEST: ("POST", DELETIONS, {"json": {"job_id": "job-2"}}),
        Scope.READ: ("GET", f"{DELETIONS}/job-1", {}),
        Scope.OPERATE: ("DELETE", f"{DELETIONS}/job-1?reason=T-1", {}),
    }
    for scope, (method, path, more) in doors.items():
        for held, token in tokens.items():
            response = site.call(method, path, token, **more)
            if held in (scope, Scope.OPERATE):
                assert response.status_code in (200, 202), (held, method)
            else:
                problem(response, 403, "wrong-scope")
                assert f'scope="{scope}"' in response.headers["WWW-Authenticate"]


def test_a_token_for_one_project_opens_no_other(site: Site) -> None:
    token = site.new_token("till", Scope.OPERATE, projects=(PROJECT,))
    assert site.ask("job-1", token=token).status_code == 202
    for method, path in (("POST", ""), ("GET", "/job-1"), ("DELETE", "/job-1?reason=T")):
        problem(site.call(method, f"/api/projects/other/deletions{path}", token), 403, "wrong-project")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic eraser_x",
        "eraser_x",
        "Bearer eraser_" + "A" * 43,
        "Bearer short",
        "Bearer é",
    ],
)
def test_without_the_right_token_there_is_nothing(site: Site, undertaker: Undertaker, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.encode()}
    refused = site.client.post(DELETIONS, json={"job_id": "a"}, headers=headers)
    assert (refused.status_code, refused.headers["WWW-Authenticate"].split()[0]) == (401, "Bearer")
    assert undertaker.recorded() == 0


def test_where_no_token_exists_it_says_how_to_make_one(site: Site) -> None:
    site.tokens.unlink()
    assert "eraser console tokens create NAME" in problem(site.ask("job-1"), 401, "no-token-exists")["detail"]


def test_a_wrong_file_of_tokens_opens_nothing_and_the_log_says_once_what_is_wrong(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.tokens.write_text("[shop]")
    refused = [site.ask("job-1"), site.ask("job-1")]
    assert [response.headers["Retry-After"] for response in refused] == ["60", "60"]
    assert str(site.tokens) not in json.dumps(problem(refused[0], 503, "tokens-wrong"))
    (errors,) = [vars(record)["error"] for record in caplog.records if record.msg == "http.tokens_wrong"]
    assert str(site.tokens) in errors


# -- the same key ------------------------------------------------------------------------------------------------------


def test_the_same_key_with_the_same_body_has_the_first_answer(site: Site, undertaker: Undertaker) -> None:
    undertaker.end("done", to="deleted")
    first = site.ask("done", force=True, headers={"Idempotency-Key": "k1"})
    undertaker.settle(undertaker.take(), to="deleted")
    again = site.ask("done", force=True, headers={"Idempotency-Key": "k1"})
    assert (again.status_code, again.content) == (202, first.content)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert site.show("done")["round"] == 2, "no third round"
    site.ask("done", force=True, headers={"Idempotency-Key": "k2"})
    assert site.show("done")["round"] == 3


def test_the_same_key_with_another_body_is_refused(site: Site, undertaker: Undertaker) -> None:
    site.ask("job-1", headers={"Idempotency-Key": "k1"})
    problem(site.ask("job-2", headers={"Idempotency-Key": "k1"}), 422, "key-reused")
    other = site.new_token("till", Scope.REQUEST)
    assert site.ask("job-2", token=other, headers={"Idempotency-Key": "k1"}).status_code == 202, "a key is the token's"
    problem(site.ask("job-3", headers={"Idempotency-Key": "a b"}), 422, "invalid")
    assert undertaker.recorded() == 2


def test_a_key_whose_request_is_under_way_waits_and_one_that_failed_is_free(site: Site, undertaker: Undertaker) -> None:
    refused = site.ask("a/b", "..", headers={"Idempotency-Key": "k1"})
    assert refused.status_code == 422
    assert site.ask("job-1", headers={"Idempotency-Key": "k1"}).status_code == 202
    (name,) = undertaker.redis.scan_iter("*}:idem")
    assert undertaker.redis.ttl(name) == -1, "no promise hangs on an expiry of Redis's"
    ((key, kept),) = cast(dict[bytes, bytes], undertaker.redis.hgetall(name)).items()
    body, at, _ = kept.split(b" ", 2)
    undertaker.redis.hset(name, key, b"%b %b " % (body, at))
    problem(site.ask("job-1", headers={"Idempotency-Key": "k1"}), 409, "under-way")


# -- what has ended ----------------------------------------------------------------------------------------------------


def test_what_has_ended_is_told_once_and_in_order(site: Site, undertaker: Undertaker) -> None:
    undertaker.end("a", "b", to="deleted", claim={"app_user": "user-canary"})
    undertaker.end("letter", to="dead")
    ended = site.app.redis_ms()
    wait_until(lambda: site.app.redis_ms() >= ended + 1, what="the next millisecond: within one there is no order")
    undertaker.end("c", to="gone", evidence="seen_before", cause=None)
    first = site.call("GET", f"{DELETIONS}?limit=2").json()
    assert ([item["job_id"] for item in first["items"]], first["more"]) == (["a", "b"], True)
    rest = site.call("GET", DELETIONS, params={"settled_since": first["cursor"]})
    assert "canary" not in rest.text
    assert [(item["job_id"], item["state"], item["evidence"]) for item in rest.json()["items"]] == [
        ("letter", "dead", None),
        ("c", "gone", "seen_before"),
    ]
    nothing = site.call("GET", DELETIONS, params={"settled_since": rest.json()["cursor"]}).json()
    assert (nothing["items"], nothing["more"]) == ([], False)
    undertaker.end("d", to="deleted")
    later = site.call("GET", DELETIONS, params={"settled_since": nothing["cursor"]}).json()
    assert [item["job_id"] for item in later["items"]] == ["d"]


@pytest.mark.parametrize(
    "query",
    [
        "settled_since=yesterday",
        "settled_since=18446744073709551616-0",
        "settled_since=١-١",
        "settled_since=1-1.x.default",
        "settled_since=1-1.-1.default",
        "settled_since=1-1.²",
        "limit=0",
        "limit=1001",
        "limit=x",
        "limit=1e2",
        "limit=",
    ],
)
def test_a_cursor_or_limit_that_is_none_is_told(site: Site, query: str) -> None:
    problem(site.call("GET", f"{DELETIONS}?{query}"), 422, "invalid")


def test_a_cursor_older_than_what_is_kept_is_gone(site: Site, undertaker: Undertaker) -> None:
    undertaker.end("a", to="deleted")
    old = site.call("GET", f"{DELETIONS}?settled_since=0-1")
    assert old.status_code == 200
    undertaker.redis.hset(undertaker.ledger.prefix + "receipts:chain", "archived_id", "99999999999999-0")
    problem(site.call("GET", f"{DELETIONS}?settled_since=0-1"), 410, "cursor-too-old")


# -- lists -------------------------------------------------------------------------------------------------------------


def test_a_list_of_the_project_goes_on_by_its_cursor(site: Site, undertaker: Undertaker) -> None:
    undertaker.end("bad", claim={"by": "svc-1", "app_user": "user-canary"})
    undertaker.request(*(f"w-{n}" for n in range(5)), by="shop/p-1", app_user="user-canary")
    Undertaker(undertaker.url, project="other").request("not-ours")
    found, query = list[str](), {"state": "all", "limit": "4"}
    for more in (True, False):
        response = site.call("GET", DELETIONS, params=query)
        answer = response.json()
        assert (answer["more"], answer["cursor"] is not None, "canary" in response.text) == (more, more, False)
        assert answer["looked_at"] >= len(answer["items"]) > 0
        found += [item["id"] for item in answer["items"]]
        query = {"cursor": answer["cursor"], "limit": "4"}
    assert sorted(found) == ["bad", *(f"w-{n}" for n in range(5))]
    chosen = site.call("GET", DELETIONS, params={"by": "shop/*", "job": "w-3"}).json()
    assert [(item["id"], item["requested_by"], item["waiting_for"]) for item in chosen["items"]] == [
        ("w-3", "shop/p-1", "turn")
    ]


def test_a_page_that_looked_at_much_and_found_little_says_so(
    site: Site, undertaker: Undertaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "LOOKED_AT", 3)
    undertaker.request(*(f"a-{n}" for n in range(4)), by="svc-1")
    answer = site.call("GET", DELETIONS, params={"by": "nobody"}).json()
    assert (answer["items"], answer["more"], answer["looked_at"]) == ([], True, 3)
    last = site.call("GET", DELETIONS, params={"by": "nobody", "cursor": answer["cursor"]}).json()
    assert (last["items"], last["more"], last["cursor"], last["looked_at"]) == ([], False, None, 1)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sate=dead", "did you mean state?"),
        ("project=other&state=all", "unknown parameter"),
        ("state=canary", "state: expected all, or some of"),
        ("state=dead&state=gone", "state: given more than once"),
        ("by=", "by: it is empty"),
        ("cursor=canary", "cursor: this is none of a list of ours"),
        ("since=canary", "since: expected a time"),
        ("job=canary:13800138000", "job: a target is a job id, or KIND:ID"),
        ("state=dead&settled_since=", "settled_since takes no filters"),
        ("state=dead&limit=0", "limit: expected 1 to 1,000"),
    ],
)
def test_a_query_that_is_wrong_is_named_and_not_repeated(site: Site, query: str, says: str) -> None:
    found = problem(site.call("GET", f"{DELETIONS}?{query}"), 422, "invalid")
    assert says in found["detail"]
    assert "canary" not in found["detail"]


def test_related_is_recorded(site: Site, undertaker: Undertaker) -> None:
    assert site.ask("job-1", related="delete").status_code == 202
    assert undertaker.take().related == "delete"
    refused = site.ask("job-2", related="all")
    assert (refused.status_code, "leave, verify, delete" in refused.json()["detail"]) == (422, True)
