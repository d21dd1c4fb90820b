"""`eraser doctor`: each line ok, warning or wrong, and what to do."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from tests.support.command import Command, Ended
from tests.support.dead_letters import Undertaker
from tests.support.http_site import new_token
from tests.support.proxy import Proxy
from worker.config.api_tokens import Scope
from worker.execution.app_context import AppContext
from worker.execution.live_workers import LiveWorkers
from worker.ledger.keys import OURS
from worker.receipts.sealing import seal_all
from worker.services.doctor import metastudio_checks, redis_checks
from worker.simulator import Simulator

SECRET = "a-secret-key-that-nobody-may-see"


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(jobs=3) as app:
        yield app


def remote(simulator: Simulator, **changed: str) -> dict[str, str | None]:
    known: dict[str, str | None] = {"ERASER_ENDPOINT": simulator.url, "ERASER_REGION": None}
    known |= {"HUAWEICLOUD_SDK_AK": simulator.ak, "HUAWEICLOUD_SDK_SK": simulator.sk}
    return known | {"HUAWEICLOUD_SDK_PROJECT_ID": simulator.project} | changed


def verdicts(ended: Ended) -> dict[str, tuple[str, str, str | None]]:
    assert all(set(line) == {"check", "verdict", "found", "todo"} for line in ended.json)
    return {line["check"]: (line["verdict"], line["found"], line["todo"]) for line in ended.json}


@pytest.fixture
def worker(undertaker: Undertaker) -> None:
    undertaker.redis.zadd(OURS.workers, {"box:7:abc": time.time() * 1000})
    undertaker.redis.hset(OURS.worker_info, "box:7:abc", json.dumps({"host": "box", "pid": 7, "threads": 16}))


@pytest.mark.usefixtures("worker")
def test_all_well_exits_0(command: Command, simulator: Simulator) -> None:
    ended = command("doctor", "--json", **remote(simulator))
    assert ended.code == 0
    found = verdicts(ended)
    assert {verdict for verdict, _, _ in found.values()} == {"ok"}
    assert "sees 3 jobs" in found["credentials of default"][1]
    assert "agrees" in found["clock of default"][1]
    assert found["redis AOF"][1] == "on"
    assert found["workers"][1] == "1 worker, 16 threads"
    assert command("doctor", **remote(simulator)).out.endswith("Nothing is wrong.\n")


def test_no_worker_is_a_warning_and_wrong_when_work_is_due(command: Command, undertaker: Undertaker) -> None:
    assert verdicts(command("doctor", "--offline", "--json"))["workers"][0] == "warning"
    undertaker.request("job-1")
    ended = command("doctor", "--offline", "--json")
    assert ended.code == 1
    assert verdicts(ended)["workers"][2] == "start one: celery -A worker worker"


@pytest.mark.usefixtures("worker")
def test_refused_credentials_are_wrong_and_not_shown(command: Command, simulator: Simulator) -> None:
    ended = command("doctor", "--json", **remote(simulator, HUAWEICLOUD_SDK_SK=SECRET))
    assert ended.code == 1
    verdict, found, todo = verdicts(ended)["credentials of default"]
    assert verdict == "wrong"
    assert "401" in found
    assert todo is not None
    assert "check the key" in todo
    assert SECRET not in ended.all


@pytest.mark.usefixtures("worker")
def test_a_key_that_many_accounts_share_is_refused_once(command: Command, simulator: Simulator, tmp_path: Path) -> None:
    """More than five refusals in a row lock a key, and the doctor asked for each account."""
    config = tmp_path / "accounts.toml"
    config.write_text("".join(f'[accounts.a{n}]\nprojects = ["p{n}"]\n' for n in range(7)))
    ended = command("doctor", "--json", **remote(simulator, HUAWEICLOUD_SDK_SK=SECRET, ERASER_CONFIG=str(config)))
    found = verdicts(ended)
    assert {found[f"credentials of a{n}"][0] for n in range(7)} == {"wrong"}
    assert found["credentials of a6"][1].startswith("not tried: the key was refused (401 APIGW.0301")
    again = verdicts(
        command("doctor", "--json", **remote(simulator, HUAWEICLOUD_SDK_SK=SECRET, ERASER_CONFIG=str(config)))
    )
    assert again["credentials of a0"][2] == "correct it, then: eraser resume --account a0 --reason R"
    assert simulator.stats()["refused_signatures"] == 1


READS, DELETES = "limit of job_read of default", "limit of job_delete of default"


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("rate", "verdict", "todo"),
    [("4", "ok", None), ("20", "ok", None), ("21", "warning", "to at most 20:"), ("100", "warning", "to at most 20:")],
)
def test_a_pace_above_the_gateway_s_limit_is_a_warning(
    command: Command, simulator: Simulator, rate: str, verdict: str, todo: str | None
) -> None:
    simulator.set_limits(get_per_s=10)  # lookups go at half the pace of DELETEs
    ended = command("doctor", "--json", **remote(simulator, ERASER_RATE=rate))
    assert ended.code == 0
    found = verdicts(ended)[READS]
    assert found[0] == verdict
    assert found[1] == f"the gateway allows 10 in 1 s (api), our pace is {float(rate) / 2:g}/s"
    assert found[2] is None if todo is None else todo in str(found[2])


@pytest.mark.usefixtures("worker")
def test_a_pace_far_below_the_limit_of_deletes_is_a_hint(
    command: Command, simulator: Simulator, undertaker: Undertaker
) -> None:
    undertaker.ledger.note_quota(
        {"family": "job_delete", "scope": "user", "limit": 600, "period_s": 60, "remaining": 9}
    )
    found = verdicts(command("doctor", "--json", **remote(simulator, ERASER_RATE="3")))[DELETES]
    assert found == (
        "ok",
        "the gateway allows 600 in 1 min (user), our pace is 3/s",
        "nothing has to be done; if MetaStudio confirms the limit, ERASER_RATE may be up to 10",
    )


@pytest.mark.usefixtures("worker")
def test_a_gateway_that_says_nothing_or_nonsense_of_its_limits_is_no_trouble(
    command: Command, simulator: Simulator, undertaker: Undertaker
) -> None:
    for text in (None, "limit: much"):
        simulator.set_limits(quota=text)
        verdict, found, _ = verdicts(command("doctor", "--json", **remote(simulator)))["limits of default"]
        assert (verdict, found.split(";")[0]) == ("ok", "the gateway says nothing of its limits")
    undertaker.redis.hset(undertaker.ledger.prefix + "gate", "quota:job_read", '{"limit": "all", "period_s": null}')
    assert "limits of default" in verdicts(command("doctor", "--json", **remote(simulator)))


@pytest.mark.usefixtures("worker")
def test_a_limit_is_kept_for_an_account_of_this_address_and_binds_none(
    command: Command, simulator: Simulator, undertaker: Undertaker
) -> None:
    simulator.set_limits(get_per_s=10)

    def kept() -> list[Any]:
        (found,) = command("status", "--json", **remote(simulator)).json
        (account,) = found["accounts"]
        return [account["endpoint"], account["quotas"]]

    assert READS in verdicts(command("doctor", "--json", **remote(simulator)))
    assert kept() == [None, []], "to look binds no account to an address"
    assert command("request", "job-1", **remote(simulator)).code == 0
    command("doctor", "--json", **remote(simulator))
    endpoint, (quota,) = kept()
    assert endpoint == simulator.url
    assert quota.pop("at") is not None
    assert quota.pop("remaining") in range(10)
    assert quota == {"family": "job_read", "scope": "api", "limit": 10, "period_s": 1, "rate": 10.0}


@pytest.mark.usefixtures("worker")
def test_no_credentials_say_what_to_set(command: Command) -> None:
    ended = command("doctor", "--json")
    assert ended.code == 1
    assert "set HUAWEICLOUD_SDK_AK" in verdicts(ended)["credentials of default"][1]


@pytest.mark.usefixtures("worker")
def test_a_metastudio_that_is_away_is_wrong(command: Command, simulator: Simulator) -> None:
    ended = command("doctor", "--json", **remote(simulator, ERASER_ENDPOINT="http://127.0.0.1:1"))
    assert ended.code == 1
    assert "no connection was made" in verdicts(ended)["credentials of default"][1]


@pytest.mark.usefixtures("worker")
def test_a_certificate_that_is_not_trusted_says_what_to_set(command: Command, tmp_path: Path) -> None:
    """Of MetaStudio and of IAM: the CA's name is not known, then it is, then another one stands in its file."""
    ca_file, other = tmp_path / "ca.pem", tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(other)
    name, expected = "credentials of default", "certificate not trusted: "
    with Simulator(jobs=3, tls=ca_file) as tls:
        login: dict[str, str | None] = {"ERASER_IAM_USER": tls.user.name, "ERASER_IAM_DOMAIN": tls.user.domain}
        login |= {"ERASER_IAM_PASSWORD": tls.user.password, "HUAWEICLOUD_SDK_IAM_ENDPOINT": tls.url}
        login |= {"HUAWEICLOUD_SDK_AK": None, "HUAWEICLOUD_SDK_SK": None}
        for settings, where in ((remote(tls), tls.url), (remote(tls) | login, f"no token from IAM at {tls.url}")):
            verdict, found, todo = verdicts(command("doctor", "--json", **settings))[name]
            assert (verdict, found.startswith(f"{where}: {expected}")) == ("wrong", True), found
            assert todo == "set ERASER_CA_BUNDLE to a PEM file with the CA that issued it"
            verdict, found, todo = verdicts(
                command("doctor", "--json", **{**settings, "ERASER_CA_BUNDLE": str(other)})
            )[name]
            assert (verdict, found.startswith(f"{where}: {expected}")) == ("wrong", True), found
            assert todo == f"add the CA that issued it to {other} (ERASER_CA_BUNDLE)"
            lines = verdicts(command("doctor", "--json", **{**settings, "ERASER_CA_BUNDLE": str(ca_file)}))
            assert lines[name][0] == "ok"
            assert lines["trusted CAs"] == ("ok", f"1 certificate in {ca_file}, and no other CA", None)
        elsewhere = remote(tls, ERASER_ENDPOINT=tls.url.replace("127.0.0.1", "127.1"), ERASER_CA_BUNDLE=str(ca_file))
        assert verdicts(command("doctor", "--json", **elsewhere))[name][2] == (
            "correct the address: its certificate is for another host"
        )


def test_a_server_that_syncs_later_cannot_confirm_by_its_own_disk(command: Command, undertaker: Undertaker) -> None:
    def look(how: str) -> tuple[str, str, str | None] | None:
        undertaker.redis.config_set("appendfsync", how)
        lines = command("doctor", "--offline", "--json", ERASER_REDIS_REPLICAS="0")
        return verdicts(lines).get("redis own disk")

    settings: Any = undertaker.redis.config_get("appendfsync")
    try:
        assert look("always") is None
        assert look("everysec") == (
            "wrong",
            "ERASER_REDIS_REPLICAS=0, with appendfsync everysec: nothing is confirmed",
            "set appendfsync always, or ERASER_REDIS_REPLICAS to a number of replicas",
        )
    finally:
        undertaker.redis.config_set("appendfsync", settings["appendfsync"])


@pytest.mark.usefixtures("worker")
def test_a_proxy_on_the_way_is_named_and_so_is_one_that_stands_in_it(command: Command, tmp_path: Path) -> None:
    name, ca_file, where = "credentials of default", tmp_path / "ca.pem", socket.gethostname()
    with Simulator(jobs=3, tls=ca_file) as tls:
        settings = remote(tls, ERASER_ENDPOINT=f"https://{where}:443", ERASER_CA_BUNDLE=str(ca_file))

        def look(**changed: str) -> tuple[str, str, str | None]:
            ended = command("doctor", "--json", **settings | changed)
            assert "s3cret" not in ended.out + ended.err
            return verdicts(ended)[name]

        with Proxy(int(tls.url.rpartition(":")[2])) as proxy:
            url = proxy.url.replace("://", "://eraser:s3cret@")
            verdict, found, _ = look(ERASER_PROXY=url)
            assert (verdict, found.endswith(f" ms through proxy {proxy.url}; sees 3 jobs")) == ("ok", True), found
            assert len(proxy.heads) == 1
        for code, what, todo in (
            (b"407", "refused its user and password (407)", "set ERASER_PROXY (or ERASER_PROXY_FILE) to http://USER:"),
            (
                b"403",
                f"does not connect to {where.lower()}:443 (403)",
                "allow the host at the proxy, or name it in ERASER_NO",
            ),
            (
                b"504",
                f"cannot reach {where.lower()}:443 (504)",
                "check the address, and the DNS and firewalls of the proxy",
            ),
        ):
            with Proxy(1, lambda sock, _, code=code: sock.sendall(b"HTTP/1.1 %s x\r\n\r\n" % code)) as proxy:
                verdict, found, hint = look(ERASER_PROXY=proxy.url.replace("://", "://eraser:s3cret@"))
            assert verdict == "wrong"
            assert f"proxy {proxy.url} {what}" in found
            assert str(hint).startswith(todo)
        verdict, found, hint = look(ERASER_PROXY=url)
        assert (verdict, f"proxy {proxy.url.rpartition(':')[0]}:" in found) == ("wrong", True)
        assert str(hint).startswith("correct ERASER_PROXY, or start the proxy")


@pytest.mark.usefixtures("worker")
def test_a_proxy_that_only_other_programs_know_is_pointed_out(command: Command, simulator: Simulator) -> None:
    away = remote(simulator, ERASER_ENDPOINT="http://127.0.0.1:1", HTTPS_PROXY="http://proxy.example.com:3128")
    hint = verdicts(command("doctor", "--json", **away))["credentials of default"][2]
    assert str(hint).endswith("HTTPS_PROXY has no effect: set ERASER_PROXY where calls must go through a proxy")


@pytest.mark.parametrize(("soon_s", "verdict"), [(metastudio_checks.SOON_S, "ok"), (1e12, "warning")])
def test_a_ca_that_ends_soon_is_a_warning(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, soon_s: float, verdict: str
) -> None:
    monkeypatch.setattr(metastudio_checks, "SOON_S", soon_s)
    trustme.CA().cert_pem.write_to_path(bundle := tmp_path / "ca.pem")
    line = verdicts(command("doctor", "--offline", "--json", ERASER_CA_BUNDLE=str(bundle)))["trusted CAs"]
    assert line[0] == verdict
    assert ("; one ends on " in line[1]) is (verdict == "warning")


@pytest.mark.usefixtures("worker")
def test_a_clock_that_is_wrong_by_more_than_a_minute_is_told(command: Command) -> None:
    with Simulator(jobs=1, clock_offset_s=120) as simulator:
        verdict, found, todo = verdicts(command("doctor", "--json", **remote(simulator)))["clock of default"]
    assert verdict == "wrong"
    assert "ahead of this machine's" in found
    assert todo is not None
    assert "NTP" in todo


@pytest.mark.usefixtures("worker")
def test_a_credential_that_sees_no_job_is_a_warning(command: Command) -> None:
    with Simulator() as simulator:
        ended = command("doctor", "--json", **remote(simulator))
    assert ended.code == 0
    verdict, _, todo = verdicts(ended)["credentials of default"]
    assert verdict == "warning"
    assert "not_visible" in str(todo)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("lists", ["no_rows", "foreign"])
def test_a_list_that_contradicts_itself_is_wrong(command: Command, simulator: Simulator, lists: str) -> None:
    simulator.set_answers(lists=lists)
    verdict, found, _ = verdicts(command("doctor", "--json", **remote(simulator)))["credentials of default"]
    assert (verdict, "contradicts itself" in found) == ("wrong", True)


def test_offline_makes_no_call(command: Command, simulator: Simulator) -> None:
    command("doctor", "--offline", **remote(simulator))
    assert not simulator.calls()


@pytest.mark.usefixtures("worker")
def test_dead_letters_and_a_pause_are_warnings(command: Command, undertaker: Undertaker) -> None:
    undertaker.end("job-1")
    undertaker.ledger.pause(why="TICKET-1")
    ended = command("doctor", "--offline", "--json")
    found = verdicts(ended)
    assert ended.code == 0
    assert found["dead letters"][2] == "eraser dead groups"
    assert found["gate of default"][2] == "eraser resume --account default --reason R"


@pytest.mark.parametrize(("lease", "verdict"), [("30s", "warning"), ("31s", "ok")])
def test_a_lease_that_hides_lost_workers_is_a_warning(command: Command, lease: str, verdict: str) -> None:
    ended = command("doctor", "--offline", "--json", ERASER_LEASE=lease, ERASER_CALL_TIMEOUT="20s")
    found = verdicts(ended)["ERASER_LEASE"]
    assert found[0] == verdict
    assert ("worker_lost" in found[1]) == (verdict == "warning")


def test_a_wrong_setting_exits_2(command: Command) -> None:
    ended = command("doctor", "--json", ERASER_RATE="fast")
    assert ended.code == 2
    assert verdicts(ended)["settings"][0] == "wrong"


def test_a_redis_that_is_away_exits_4_after_the_settings(command: Command) -> None:
    ended = command("doctor", "--json", ERASER_REDIS_URL="redis://127.0.0.1:1/0")
    assert ended.code == 4
    assert verdicts(ended)["redis"][0] == "wrong"
    assert "ERASER_RETRY_SCHEDULE" in verdicts(ended)


@pytest.mark.usefixtures("worker")
def test_a_broker_that_is_away_is_wrong(command: Command) -> None:
    ended = command("doctor", "--offline", "--json", ERASER_BROKER_URL="redis://127.0.0.1:1/0")
    assert ended.code == 1
    assert "cannot be reached" in verdicts(ended)["broker"][1]


@pytest.mark.usefixtures("worker")
def test_a_celery_variable_that_disagrees_is_wrong(command: Command) -> None:
    ended = command("doctor", "--offline", "--json", CELERY_BROKER_URL="redis://elsewhere/1")
    assert ended.code == 1
    assert verdicts(ended)["broker"][2] == "unset CELERY_BROKER_URL"


@pytest.mark.usefixtures("worker")
def test_passwords_are_masked(command: Command) -> None:
    url = f"redis://:{SECRET}@127.0.0.1:1/0"
    for ended in (
        command("doctor", ERASER_REDIS_URL=url),
        command("doctor", "--offline", ERASER_BROKER_URL=url),
        command("doctor", "--offline", CELERY_BROKER_URL=url),
        command("status", ERASER_REDIS_URL=url),
        command("health", ERASER_REDIS_URL=url),
    ):
        assert SECRET not in ended.all


# -- what Redis may say -----------------------------------------------------------------------------------------------


class Says(redis.Redis):
    """A Redis that says what a test wants it to say of itself."""

    def __init__(self, client: redis.Redis, info: dict[str, Any], *, config: str | None) -> None:
        self._client, self._info, self._config = client, info, config

    def info(self, *args: Any, **options: Any) -> Any:
        return {**self._client.info(*args, **options), **self._info}  # type: ignore[dict-item]

    def config_get(self, *names: Any, **options: Any) -> Any:
        if self._config is None:
            raise redis.exceptions.ResponseError("unknown command 'CONFIG'")
        return {names[0]: self._config}

    def execute_command(self, *args: Any, **options: Any) -> Any:
        return self._client.execute_command(*args, **options)

    def evalsha(self, *args: Any, **options: Any) -> Any:
        return self._client.evalsha(*args, **options)

    def __del__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("check", "info", "config", "verdict", "says"),
    [
        ("redis version", {"redis_version": "6.0.16"}, "always", "wrong", "6.2 or newer"),
        ("redis version", {"redis_version": "?"}, "always", "warning", "make sure"),
        ("redis role", {"role": "slave"}, "always", "wrong", "the primary"),
        ("redis AOF", {"aof_enabled": 0}, "always", "wrong", "appendonly yes"),
        ("redis AOF", {"aof_last_write_status": "err"}, "always", "wrong", "disk full"),
        ("redis appendfsync", {}, "no", "wrong", "everysec"),
        ("redis appendfsync", {}, "always", "ok", ""),
        ("redis appendfsync", {}, None, "warning", "ask your provider"),
        ("redis maxmemory-policy", {"maxmemory_policy": "allkeys-lru"}, "always", "wrong", "noeviction"),
        ("redis maxmemory-policy", {"maxmemory_policy": None}, None, "warning", "ask your provider"),
        ("redis memory", {"used_memory": 86, "maxmemory": 100}, "always", "wrong", "85 %"),
        ("redis memory", {"used_memory": 75, "maxmemory": 100}, "always", "warning", "85 %"),
        ("redis memory", {"used_memory": 10, "maxmemory": 100}, "always", "ok", ""),
        ("redis hash encoding", {}, "64", "warning", "hash-max-listpack-value 512"),
    ],
)
def test_what_redis_says_of_itself_is_judged(
    undertaker: Undertaker, check: str, info: dict[str, Any], config: str | None, verdict: str, says: str
) -> None:
    found = {one.name: one for one in redis_checks.look(Says(undertaker.redis, info, config=config))}
    assert found[check].verdict == verdict
    assert says in found[check].todo


def test_it_tells_the_tokens_of_the_http_api_and_what_is_wrong_with_their_file(
    command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.toml"

    def found(**environ: str) -> dict[str, Any]:
        lines = command("doctor", "--offline", "--json", ERASER_API_TOKENS_FILE=str(file), **environ).json
        return {line["check"]: line for line in lines if "HTTP" in line["check"]}

    assert "eraser console tokens create NAME" in found()["tokens of the HTTP API"]["found"]
    secret = new_token(file, "shop", Scope.REQUEST)
    tokens = found()["tokens of the HTTP API"]
    assert (tokens["verdict"], tokens["found"]) == ("ok", "shop (request)")
    assert secret not in str(tokens)
    file.chmod(0o620)
    tokens = found()["tokens of the HTTP API"]
    assert (tokens["verdict"], "other users may write" in tokens["found"]) == ("warning", True)
    file.write_text("[shop]")
    assert found()["tokens of the HTTP API"]["verdict"] == "wrong"
    assert "TLS" in found(ERASER_ALLOWED_HOSTS="eraser.example.com")["names of the HTTP side"]["found"]


# -- receipts ----------------------------------------------------------------------------------------------------------


def test_receipts_that_stay_in_redis_are_told_with_their_size(
    command: Command, undertaker: Undertaker, tmp_path: Path
) -> None:
    stream = "eraser:{default}:receipts"
    assert "none yet" in command("doctor", "--offline").out
    undertaker.end("a", to="deleted")
    seal_all(undertaker.ledger)
    checked = {line["check"]: line for line in command("doctor", "--offline", "--json").json}
    assert checked["receipts of default"]["verdict"] == "ok"
    assert "1 receipt in Redis" in checked["receipts of default"]["found"]
    ((_, fields),) = undertaker.redis.xrange(stream)  # type: ignore[misc]
    undertaker.redis.delete(stream)
    undertaker.redis.xadd(stream, fields | {b"t": b"1700000000000"}, id="1700000000000-0")
    checked = {line["check"]: line for line in command("doctor", "--offline", "--json").json}
    assert checked["receipts of default"]["verdict"] == "warning"
    assert "they never leave Redis" in checked["receipts of default"]["found"]
    assert "ERASER_RECEIPTS_DIR" in checked["receipts of default"]["todo"]
    undertaker.redis.hdel(f"{stream}:chain", "sealed_id", "sealed_n", "sealed_head")
    assert "not sealed for" in command("doctor", "--offline").out


def test_receipts_that_somebody_took_out_of_redis_are_missed(command: Command, undertaker: Undertaker) -> None:
    stream = "eraser:{default}:receipts"
    undertaker.end("a", "b", "c", to="deleted")
    seal_all(undertaker.ledger)
    undertaker.redis.xdel(stream, undertaker.redis.xrange(stream)[1][0])  # type: ignore[index]
    checked = {line["check"]: line for line in command("doctor", "--offline", "--json").json}["receipts of default"]
    assert (checked["verdict"], "1 of them missing" in checked["found"]) == ("wrong", True)
    assert "eraser receipts export --account default" in checked["todo"]
    undertaker.redis.hset(f"{stream}:chain", mapping={"archived_n": 3, "archived_id": "9999999999999-0"})
    checked = {line["check"]: line for line in command("doctor", "--offline", "--json").json}["receipts of default"]
    assert checked["verdict"] == "ok", (
        "what has left for a file is not missed, though some of it is still to be trimmed"
    )


def test_a_directory_that_is_read_only_is_right_where_workers_write_it(
    command: Command, undertaker: Undertaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the container of the console: its volume is mounted read-only."""
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: access(path, mode) and not mode & os.W_OK)
    command.environ["ERASER_RECEIPTS_DIR"] = str(tmp_path)
    app = AppContext.load({"ERASER_REDIS_URL": undertaker.url})

    def row() -> tuple[str, str]:
        LiveWorkers(app).beat()
        found = {line["check"]: line for line in command("doctor", "--offline", "--json").json}["receipts"]
        return found["verdict"], found["found"]

    assert row() == ("wrong", f"{tmp_path} cannot be written"), "nobody else writes there either"
    app.archived_here["default"] = 0
    assert row() == ("ok", f"{tmp_path} is read-only here, enough to find what was archived; 1 running worker archives")
    command.environ["ERASER_RECEIPTS_DIR"] = str(tmp_path / "missing")
    assert row()[0] == "wrong", "it would be found by nobody here"


def test_a_directory_that_cannot_be_written_and_a_key_that_is_none_are_wrong(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    done = command("doctor", "--offline", "--json", ERASER_RECEIPTS_DIR=str(tmp_path / "file" / "below"))
    checked = {line["check"]: line for line in done.json}
    assert checked["receipts"]["verdict"] == "wrong"
    done = command("doctor", "--offline", "--json", ERASER_RECEIPT_KEY_FILE=str(tmp_path / "file"))
    checked = {line["check"]: line for line in done.json}
    assert "openssl genpkey" in checked["receipt key"]["found"]
    assert command("doctor", "--offline", ERASER_RECEIPTS_DIR=str(tmp_path / "new")).code != 4
