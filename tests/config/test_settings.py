"""Settings: what is read, what is refused, and what is never shown."""

from __future__ import annotations

import contextlib
import dataclasses
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection

from worker.config.accounts import Account, CredentialsReference
from worker.config.celery_environment import check_celery_environment
from worker.config.durations import LONGEST, format_duration, format_schedule, parse_duration, parse_schedule
from worker.config.environment import RENAMED
from worker.config.redis_urls import Topology, broker_form, parse_redis_url
from worker.config.settings import KNOWN, Settings
from worker.config.urls import masked
from worker.execution.broker_url import celery_broker
from worker.ledger.deletions import connect
from worker.metastudio.wiring import source_of
from worker.model.errors import SettingsError, SettingsErrors, UsageError

SECRET = "c4n4ry-pw"


def load(**environ: str) -> Settings:
    return Settings.load(environ)


def why_refused(environ: Mapping[str, str]) -> str | None:
    """The whole error as a log would show it, or None."""
    try:
        Settings.load(environ)
    except SettingsError:
        return traceback.format_exc()
    return None


def toml(tmp_path: Path, text: str) -> str:
    path = tmp_path / "eraser.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10.0), ("0.5s", 0.5), ("2m", 120.0), ("1.5h", 5400.0), ("30d", 2_592_000.0), (" 4h ", 14_400.0)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "s", "0s", "-1s", "1w", "1h30m", "1e3s", "inf s", "nan", "9999d", ".5s", "١s"]
)
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        parse_duration(text)


@given(st.floats(min_value=1e-6, max_value=LONGEST))
def test_every_duration_reads_back_as_it_was_written(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.lists(st.integers(1, LONGEST).map(float), min_size=1, max_size=12).map(tuple))
def test_every_schedule_reads_back_as_it_was_written(steps: tuple[float, ...]) -> None:
    assert parse_schedule(format_schedule(steps)) == steps


@given(st.text(max_size=20))
def test_a_duration_is_read_or_refused_and_nothing_else_happens(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_duration(text) > 0


# Defaults


def test_nothing_set_is_a_complete_set_of_settings() -> None:
    settings = load()
    assert settings.redis_url is None
    assert settings.broker_url is None
    assert len(settings.retry_schedule) + 1 == 11
    assert sum(settings.retry_schedule) / 3600 == pytest.approx(15.88, abs=0.01)
    assert settings.not_deletable_schedule[-1] == 86400
    assert settings.deadline == 30 * 86400
    assert (settings.connect_timeout, settings.read_timeout, settings.call_timeout) == (5, 30, 45)
    assert settings.lease == 60
    assert settings.record_ttl == 400 * 86400
    assert list(settings.accounts) == ["default"]
    assert settings.default_project() is None


def test_a_producer_needs_no_credentials_and_no_endpoint() -> None:
    account = load(ERASER_REDIS_URL="redis://cache:6379/0").account_of("p1")
    assert account.endpoint is None
    with pytest.raises(SettingsError, match=r"ERASER_REGION.*ERASER_ENDPOINT"):
        account.require_endpoint()


def test_an_empty_variable_is_not_set() -> None:
    assert load(ERASER_RATE="", ERASER_REDIS_URL=" ", ERASER_LEASE="") == load()


def test_the_read_timeout_is_cut_to_the_deadline_of_the_call() -> None:
    assert load(ERASER_CALL_TIMEOUT="8s").read_timeout == 8
    assert load(ERASER_CALL_TIMEOUT="8s").lease == 23


def test_settings_cannot_be_changed() -> None:
    settings = load()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.deadline = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.accounts["x"] = settings.accounts["default"]  # type: ignore[index]


# Region, endpoint, rate


@pytest.mark.parametrize(
    ("environ", "endpoint", "region", "rate"),
    [
        ({"ERASER_REGION": "cn-north-4"}, "https://metastudio.cn-north-4.myhuaweicloud.com", "cn-north-4", 10),
        ({"ERASER_REGION": "cn-east-3"}, "https://metastudio.cn-east-3.myhuaweicloud.com", "cn-east-3", 3),
        (
            {"ERASER_REGION": "ap-southeast-3"},
            "https://metastudio.ap-southeast-3.myhuaweicloud.com",
            "ap-southeast-3",
            3,
        ),
        ({"ERASER_REGION": "cn-north-4", "ERASER_RATE": "2.5"}, None, "cn-north-4", 2.5),
        ({"ERASER_ENDPOINT": "https://Studio.example:8443/"}, "https://studio.example:8443", None, 3),
        ({"ERASER_ENDPOINT": "http://127.0.0.1:9000"}, "http://127.0.0.1:9000", None, 3),
        ({"ERASER_ENDPOINT": "http://[::1]:9000"}, "http://[::1]:9000", None, 3),
        ({"ERASER_ENDPOINT": "http://localhost:9000"}, "http://localhost:9000", None, 3),
        (
            {"ERASER_ENDPOINT": "https://metastudio.cn-north-4.myhuaweicloud.com"},
            "https://metastudio.cn-north-4.myhuaweicloud.com",
            "cn-north-4",
            10,
        ),
        (
            {"ERASER_REGION": "cn-east-3", "ERASER_ENDPOINT": "https://metastudio.cn-east-3.myhuaweicloud.com/"},
            "https://metastudio.cn-east-3.myhuaweicloud.com",
            "cn-east-3",
            3,
        ),
    ],
)
def test_a_region_or_an_endpoint_gives_the_address_and_the_rate(
    environ: Mapping[str, str], endpoint: str | None, region: str | None, rate: float
) -> None:
    account = Settings.load(environ).accounts["default"]
    assert account.region == region
    assert account.rate == rate
    assert endpoint in (None, account.endpoint)


REFUSED = [
    ({"ERASER_REGION": "cn-south-1"}, "ERASER_REGION", "cn-north-4, cn-east-3, ap-southeast-3.*ERASER_ENDPOINT"),
    ({"ERASER_REGION": "evil.example/#"}, "ERASER_REGION", "known"),
    ({"ERASER_ENDPOINT": "http://studio.example"}, "ERASER_ENDPOINT", "loopback.*https://studio.example"),
    ({"ERASER_ENDPOINT": "http://127.0.0.1.evil.example"}, "ERASER_ENDPOINT", "loopback"),
    ({"ERASER_ENDPOINT": "studio.example"}, "ERASER_ENDPOINT", "https://HOST"),
    ({"ERASER_ENDPOINT": "https://studio.example/v1"}, "ERASER_ENDPOINT", "nothing more"),
    ({"ERASER_ENDPOINT": "https://u:p@studio.example"}, "ERASER_ENDPOINT", "nothing more"),
    ({"ERASER_ENDPOINT": "https://studio.example:port"}, "ERASER_ENDPOINT", "not a URL"),
    ({"ERASER_ENDPOINT": "https://stu\ndio.example"}, "ERASER_ENDPOINT", "control character"),
    ({"ERASER_REGION": "cn-north-4", "ERASER_ENDPOINT": "https://x.example"}, "ERASER_ENDPOINT", "only one of the two"),
    ({"ERASER_RATE": "0"}, "ERASER_RATE", "above 0"),
    ({"ERASER_RATE": "nan"}, "ERASER_RATE", "above 0"),
    ({"ERASER_RATE": "fast"}, "ERASER_RATE", "found 'fast'"),
    ({"ERASER_DEADLINE": "30"}, "ERASER_DEADLINE", "such as 30s"),
    ({"ERASER_RETRY_SCHEDULE": "10s,,30s"}, "ERASER_RETRY_SCHEDULE", "commas"),
    ({"ERASER_RETRY_SCHEDULE": "10s,soon"}, "ERASER_RETRY_SCHEDULE", "found 'soon'"),
    ({"ERASER_CALL_TIMEOUT": "3s"}, "ERASER_CALL_TIMEOUT", "ERASER_CONNECT_TIMEOUT=5s"),
    ({"ERASER_LEASE": "45s"}, "ERASER_LEASE", "at least 46s"),
    ({"ERASER_REDIS_URL": "http://cache"}, "ERASER_REDIS_URL", "redis://HOST"),
    ({"ERASER_REDIS_URL": "redis://"}, "ERASER_REDIS_URL", "no host"),
    ({"ERASER_REDIS_URL": "redis://cache/zero"}, "ERASER_REDIS_URL", "number"),
    ({"ERASER_REDIS_URL": "unix://run/redis.sock"}, "ERASER_REDIS_URL", "three slashes"),
    ({"ERASER_BROKER_URL": "cache:6379"}, "ERASER_BROKER_URL", "expected a broker URL"),
    ({"ERASER_CONFIG": "/nowhere/eraser.toml"}, "ERASER_CONFIG", "cannot read /nowhere/eraser.toml"),
    ({"ERASER_REDIS_URL_FILE": "/nowhere/url"}, "ERASER_REDIS_URL_FILE", "cannot read /nowhere/url"),
    ({"ERASER_REDIS_URL": "redis://a", "ERASER_REDIS_URL_FILE": "/x"}, "ERASER_REDIS_URL", "both set"),
    ({"HUAWEICLOUD_SDK_PROJECT_ID": "../x"}, "HUAWEICLOUD_SDK_PROJECT_ID", "a project id is"),
    ({"ERASER_REDISURL": "redis://a"}, "ERASER_REDISURL", "did you mean ERASER_REDIS_URL"),
    ({"ERASER_TIMEOUT_READ": "1s"}, "ERASER_TIMEOUT_READ", "no such setting"),
]


@pytest.mark.parametrize(("environ", "name", "says"), REFUSED, ids=[f"{name}-{says[:12]}" for _, name, says in REFUSED])
def test_a_wrong_setting_is_named_and_the_error_says_what_to_set(
    environ: Mapping[str, str], name: str, says: str
) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        Settings.load(environ)
    assert caught.value.name == name
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_refused_with_the_name_of_now(old: str, new: str) -> None:
    """Also beside the new one, and without a value: a setting that is not read must not look as if it counted."""
    assert new in KNOWN
    for environ in ({old: "60s"}, {old: ""}, {old: "60s", new: "60s"}):
        with pytest.raises(SettingsError, match=rf"\b{old} is called {new} now\b") as caught:
            Settings.load(environ)
        assert (caught.value.name, caught.value.exit_code) == (old, 2)


WRONG_ENVIRONMENT = {
    "ERASER_RATE": "fast",
    "ERASER_REGION": "mars",
    "ERASER_ENDPOINT": "studio.example",
    "ERASER_CALL_TIMEOUT": "3s",
    "ERASER_LEASE": "2s",
    "ERASER_REDISURL": "redis://a",
    "ERASER_PROJECTS": "../x",
    "ERASER_IAM_USER": "u",
}


def test_everything_that_is_wrong_is_reported_at_once_each_with_its_origin(tmp_path: Path) -> None:
    url = tmp_path / "url"
    url.write_text(f"http://:{SECRET}@cache", encoding="utf-8")
    config = toml(tmp_path, '[accounts.a]\nrate = 0\n\n[acounts.b]\n[accounts.c]\nprojects = ["p"]\nsection = "s"\n')
    environ = WRONG_ENVIRONMENT | {"ERASER_REDIS_URL_FILE": str(url), "ERASER_CONFIG": config}
    with pytest.raises(SettingsErrors) as caught:
        Settings.load(environ)
    assert {(each.name, each.origin) for each in caught.value.errors} == {
        *((name, "environment") for name in WRONG_ENVIRONMENT if name != "ERASER_IAM_USER"),
        ("ERASER_IAM_PASSWORD", "environment"),
        ("ERASER_REDIS_URL", f"file {url}"),
        ("ERASER_CONFIG", f"{config}:2: [accounts.a] rate"),
        ("ERASER_CONFIG", f"{config}:4"),
        ("ERASER_CONFIG", f"{config}:7: [accounts.c]"),
    }
    text = str(caught.value)
    assert f"\n  ERASER_REDIS_URL: file {url}: expected redis://HOST" in text
    assert text.count("\n") == len(caught.value.errors)
    assert SECRET not in text
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("environ", "wrong"),
    [
        ({"ERASER_CALL_TIMEOUT": "soon", "ERASER_LEASE": "20s"}, "ERASER_CALL_TIMEOUT"),
        ({"ERASER_BROKER_URL": "x", "ERASER_REDIS_URL": "redis+cluster://one"}, "ERASER_BROKER_URL"),
        ({"ERASER_REGION": "mars", "ERASER_CONFIG": '[accounts.a]\nprojects = ["p"]\n'}, "ERASER_REGION"),
        ({"ERASER_IAM_USER": "u", "ERASER_IAM_DOMAIN": "d"}, "ERASER_IAM_PASSWORD"),
    ],
)
def test_one_mistake_is_one_error(tmp_path: Path, environ: dict[str, str], wrong: str) -> None:
    """What depends on a wrong setting is not compared with a default that nobody chose."""
    if "ERASER_CONFIG" in environ:
        environ |= {"ERASER_CONFIG": toml(tmp_path, environ["ERASER_CONFIG"])}
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ)
    assert not isinstance(caught.value, SettingsErrors), str(caught.value)
    assert caught.value.name == wrong


def test_every_known_setting_is_accepted_by_name() -> None:
    for name in KNOWN:
        assert "no such setting" not in (why_refused({name: "?"}) or "")


# Redis and the broker


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://cache:6379/2", "redis://cache:6379/2"),
        ("redis://cache", "redis://cache/0"),
        ("redis://cache?db=3", "redis://cache/3"),
        ("rediss://:pw@cache:6380/1", "rediss://:pw@cache:6380/1?ssl_cert_reqs=required"),
        ("rediss://cache/0?ssl_cert_reqs=none", "rediss://cache/0?ssl_cert_reqs=none"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock"),
        ("unix://:p%40w@/run/redis.sock?db=2", "redis+socket://:p%40w@/run/redis.sock?virtual_host=2"),
    ],
)
def test_the_broker_is_the_same_redis_as_celery_writes_it(url: str, broker: str) -> None:
    settings = load(ERASER_REDIS_URL=url)
    assert settings.broker_url == broker == broker_form(url)
    assert load(ERASER_BROKER_URL=url).broker_url == broker
    assert Connection(broker).transport_cls in ("redis", "rediss")


SENTINELS = "redis+sentinel://user:p%40w@one,two:26380/a%20service/2"


def test_the_broker_follows_the_sentinels_of_the_ledger() -> None:
    """kombu cannot say the service in a URL: it is a transport option."""
    for settings in (load(ERASER_REDIS_URL=SENTINELS), load(ERASER_BROKER_URL=SENTINELS)):
        assert settings.broker_url == SENTINELS
    broker = celery_broker(SENTINELS)
    assert broker.url == "sentinel://user:p%40w@one:26379/2;sentinel://user:p%40w@two:26380/2"
    assert broker.options["master_name"] == "a service"
    assert "password" not in broker.options["sentinel_kwargs"], "the servers' password is not the Sentinels'"
    secure = celery_broker(f"{SENTINELS}?ssl=true&ssl_ca_certs=/ca.pem")
    for url in secure.url.split(";"):
        assert Connection(url).ssl["ssl_cert_reqs"].name == "CERT_REQUIRED"
    check_celery_environment({"CELERY_BROKER_URL": broker.url}, broker.url)
    with pytest.raises(SettingsError, match="unset CELERY_BROKER_URL"):
        check_celery_environment({"CELERY_BROKER_URL": SENTINELS}, broker.url)


@pytest.mark.parametrize("name", ["ERASER_REDIS_URL", "ERASER_BROKER_URL"])
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+sentinel://one,two", "after the hosts stands the service"),
        ("redis+sentinel://one,two/service/x", "after the hosts stands the service"),
        ("redis+sentinel://one,two/service/1/2", "after the hosts stands the service"),
        ("redis+sentinel:///service", "expected hosts with commas between them"),
        ("redis+sentinel://one,,two/service", "expected hosts with commas between them"),
        ("redis+sentinel://one:99999/service", "expected hosts with commas between them"),
        ("redis+sentinel://one/service?ssl=yes", "'ssl' after the . is true or false"),
        ("redis+sentinel://one/service?ssl_ca_certs=/ca.pem", "is for .ssl=true only"),
        ("redis+sentinel://one/service?db=1", "'db' after the . is not for a URL here"),
        ("redis+sentinel://one/service?password=c4n4ry-pw", "'password' after the . is not for a URL here"),
        ("redis+sentinel://one/service?sentinel_password=c4n4ry-pw&sentinel_password=x", "is given twice"),
        ("redis+sentinel://:c4n4ry-pw#@one/service", "expected redis://HOST"),
        ("redis+cluster://one,,two", "expected hosts with commas between them"),
        ("redis+cluster://one/1", "a cluster has no databases but 0"),
        ("redis+cluster://one?sentinel_password=c4n4ry-pw", "'sentinel_password' after the . is not for a URL here"),
        ("redis+cluster://one?ssl_ca_certs=/ca.pem", "is for .ssl=true only"),
        ("redis+nothing://one/service", "expected redis://HOST"),
        ("redis+socket:///run/redis.sock", "expected redis://HOST"),
    ],
)
def test_a_url_of_sentinels_says_everything_or_is_refused(name: str, url: str, why: str) -> None:
    if name == "ERASER_BROKER_URL" and not url.startswith("redis+sentinel"):
        return  # kombu has forms of its own
    with pytest.raises(SettingsError, match=why) as refused:
        load(**{name: url})
    assert "c4n4ry" not in str(refused.value)


def test_a_cluster_is_no_broker_so_another_one_is_named_at_once() -> None:
    cluster = "redis+cluster://user:p%40w@one,two:6380?ssl=true"
    address = parse_redis_url(cluster)
    assert address.topology is Topology.CLUSTER
    query = "?ssl_cert_reqs=required"
    assert address.servers == (f"rediss://user:p%40w@one:6379{query}", f"rediss://user:p%40w@two:6380{query}")
    settings = load(ERASER_REDIS_URL=cluster, ERASER_BROKER_URL="amqp://rabbit")
    assert (settings.redis_url, settings.broker_url) == (cluster, "amqp://rabbit")
    for environ in ({"ERASER_REDIS_URL": cluster}, {"ERASER_BROKER_URL": cluster}):
        with pytest.raises(SettingsError, match="set ERASER_BROKER_URL to one that it can use") as refused:
            load(**environ)
        assert refused.value.name == "ERASER_BROKER_URL"
        assert "p%40w" not in str(refused.value)


def test_the_form_of_kombu_for_sentinels_is_refused_because_it_cannot_say_the_service() -> None:
    with pytest.raises(SettingsError, match=r"write redis\+sentinel://"):
        load(ERASER_BROKER_URL="sentinel://one:26379;sentinel://two:26379")


@pytest.mark.parametrize("name", ["ERASER_REDIS_URL", "ERASER_BROKER_URL"])
@pytest.mark.parametrize(
    "url",
    [
        *(f"redis://cache/1?{option}" for option in ("decode_responses=True", "decode_responses=", "encoding=gbk")),
        *(f"redis://cache/1?{option}" for option in ("protocol=3", "retry_on_timeout=yes", "socket_timeout=600")),
        *(f"redis://cache/1?{option}" for option in ("max_connections=1", "client_name=us", "password=c4n4ry-pw")),
        *(f"unix:///r.sock?{option}" for option in ("path=/other.sock", "db=1&db=2", "db=", "ssl_cert_reqs=none")),
        "rediss://cache/1?ssl_cert_reqs=never",
        "rediss://cache/1?ssl_no_such=1",
        "redis://cache/1?ssl_cert_reqs=none",
    ],
)
def test_an_option_of_the_url_that_would_change_the_client_is_refused(name: str, url: str) -> None:
    """Each beats what we say in code: `decode_responses` ended the dispatcher."""
    with pytest.raises(SettingsError, match=r"the option '\w+' after the \? .*: correct it or leave it out") as refused:
        load(**{name: url})
    assert "c4n4ry" not in str(refused.value)


def test_every_option_that_is_accepted_is_known_to_the_client() -> None:
    tls = "ssl_cert_reqs=required&ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem&ssl_check_hostname=no"
    url = f"rediss://cache/?db=3&{tls}&ssl_min_version=771&ssl_ca_path=/ca&ssl_password=x&ssl_ciphers=y&ssl_ca_data=z"
    assert load(ERASER_REDIS_URL=url).redis_url == url
    assert connect(url).connection_pool.make_connection().db == 3


def test_a_tls_broker_checks_the_servers_certificate() -> None:
    """kombu 5.7 does not, unless the URL says so."""
    broker = load(ERASER_REDIS_URL="rediss://cache").broker_url
    assert broker is not None
    assert "CERT_REQUIRED" in repr(Connection(broker).ssl)


def test_the_broker_may_be_another_one() -> None:
    settings = load(ERASER_REDIS_URL="redis://cache/0", ERASER_BROKER_URL="amqp://guest@rabbit//")
    assert settings.broker_url == "amqp://guest@rabbit//"


def test_a_url_with_a_password_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "redis-url"
    file.write_text(f"redis://:{SECRET}@cache:6379/0\n", encoding="utf-8")
    settings = load(ERASER_REDIS_URL_FILE=str(file))
    assert settings.redis_url == f"redis://:{SECRET}@cache:6379/0"
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="is empty"):
        load(ERASER_REDIS_URL_FILE=str(file))


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_RESULT_BACKEND"])
def test_celerys_own_variables_are_refused_where_they_disagree(name: str) -> None:
    with pytest.raises(SettingsError, match="unset") as caught:
        check_celery_environment({name: f"redis://:{SECRET}@elsewhere/0"}, "redis://cache/0")
    assert caught.value.name == name
    assert SECRET not in str(caught.value)
    with pytest.raises(SettingsError, match="embedded"):
        check_celery_environment({name: "redis://cache/0"}, None)


def test_celerys_own_variables_are_accepted_where_they_agree() -> None:
    check_celery_environment({}, "redis://cache/0")
    check_celery_environment({"CELERY_BROKER_URL": "redis://cache"}, "redis://cache/0")
    check_celery_environment({"CELERY_BROKER_URL": "", "CELERY_RESULT_BACKEND": "disabled"}, None)


# What is never shown


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@cache:6379/0",
        f"redis://user:{SECRET}@cache",
        f"redis://:{SECRET}@host@cache",
        f"redis://:{SECRET}/x@cache",
        f"redis://:{SECRET}#x@cache",
        f"redis://:{SECRET}@cache:port",
        f"redis//:{SECRET}@cache",
        f"red is://:{SECRET}@cache",
        f"redis://:{SECRET}@[cache",
        f"redis+sentinel://:{SECRET}@one,two/service",
        f"redis+sentinel://one,two/service?sentinel_password={SECRET}",
        f"redis+sentinel://one,two/service?sentinel_password=x&{SECRET}",
        f"redis+sentinel://one,two?sentinel_password={SECRET}",
        f"rediss://cache/0?ssl_password={SECRET}",
    ],
)
def test_no_password_is_ever_shown(url: str) -> None:
    for name in ("ERASER_REDIS_URL", "ERASER_BROKER_URL"):
        why = why_refused({name: url})
        shown = why or f"{Settings.load({name: url})!r} {Settings.load({name: url}).describe()}"
        assert SECRET not in shown
    assert SECRET not in masked(url)


def test_the_description_gives_value_and_origin_of_every_setting() -> None:
    settings = load(
        ERASER_REDIS_URL="redis://:pw@cache/0",
        ERASER_REGION="cn-north-4",
        ERASER_DEADLINE="12h",
        HUAWEICLOUD_SDK_PROJECT_ID="p1",
    )
    described = {name: (value, origin) for name, value, origin in settings.describe()}
    assert described["ERASER_REDIS_URL"] == ("redis://***@cache/0", "environment")
    assert described["ERASER_BROKER_URL"] == ("redis://***@cache/0", "ERASER_REDIS_URL")
    assert described["ERASER_DEADLINE"] == ("12h", "environment")
    assert described["ERASER_LEASE"] == ("1m", "default")
    assert described["account default"][0].startswith(
        "https://metastudio.cn-north-4.myhuaweicloud.com, 10/s, 1 project"
    )
    assert described["ERASER_REDIS_REPLICAS"] == ("not set: the primary's answer counts", "default")
    assert described["ERASER_ALLOWED_HOSTS"] == ("this machine's own names", "default")
    zero = {name: (value, origin) for name, value, origin in load(ERASER_REDIS_REPLICAS="0").describe()}
    assert zero["ERASER_REDIS_REPLICAS"] == ("0", "environment"), "it is set: to the server's own disk"
    missing = {name for name in KNOWN if not name.endswith("_FILE") and "_IAM_" not in name} - set(described)
    # these are said by the account
    assert missing == {"ERASER_REGION", "ERASER_ENDPOINT", "ERASER_CREDENTIALS", "ERASER_METADATA_ENDPOINT"}


def test_what_follows_from_another_setting_has_that_as_its_origin(tmp_path: Path) -> None:
    def origins(**environ: str) -> dict[str, str]:
        return {name: origin for name, _, origin in load(**environ).describe()}

    found = origins(ERASER_CALL_TIMEOUT="8s", HUAWEICLOUD_SDK_PROJECT_ID="p")
    assert found["ERASER_READ_TIMEOUT"] == found["ERASER_LEASE"] == "ERASER_CALL_TIMEOUT"
    assert found["ERASER_PROJECTS"] == "HUAWEICLOUD_SDK_PROJECT_ID"
    both = origins(ERASER_PROJECTS="p1", ERASER_CONFIG=toml(tmp_path, TWO_ACCOUNTS))
    assert both["ERASER_PROJECTS"] == "environment, ERASER_CONFIG"
    none = origins(ERASER_READ_TIMEOUT="45s")
    assert (none["ERASER_READ_TIMEOUT"], none["ERASER_LEASE"], none["ERASER_PROJECTS"]) == (
        *("environment", "default", "default"),
    )


# Accounts

TWO_ACCOUNTS = """
[accounts.studio-a]
region = "cn-north-4"
rate = 4
projects = ["pa1", "pa2"]
credentials_file = "studio-a.ini"
section = "avatars"

[accounts.studio-b]
endpoint = "https://studio-b.example"
projects = ["pb"]
ak_env = "B_AK"
sk_env = "B_SK"
security_token_env = "B_TOKEN"
"""


def test_a_file_gives_several_accounts(tmp_path: Path) -> None:
    settings = load(ERASER_CONFIG=toml(tmp_path, TWO_ACCOUNTS))
    assert settings.accounts["studio-a"] == Account(
        name="studio-a",
        endpoint="https://metastudio.cn-north-4.myhuaweicloud.com",
        region="cn-north-4",
        rate=4.0,
        projects=("pa1", "pa2"),
        credentials=CredentialsReference(credentials_file=tmp_path / "studio-a.ini", section="avatars"),
    )
    assert settings.account_of("pa2").name == "studio-a"
    assert settings.account_of("pb").rate == 3
    with pytest.raises(SettingsError, match=r"project px belongs to no account.*studio-a, studio-b"):
        settings.account_of("px")
    assert settings.default_project() is None


def test_an_account_named_default_takes_every_other_project(tmp_path: Path) -> None:
    text = TWO_ACCOUNTS + '[accounts.default]\nregion = "cn-east-3"\n'
    assert load(ERASER_CONFIG=toml(tmp_path, text)).account_of("px").name == "default"


def test_an_account_without_an_address_takes_the_environments(tmp_path: Path) -> None:
    config = toml(tmp_path, '[accounts.a]\nprojects = ["p"]\n')
    assert load(ERASER_CONFIG=config, ERASER_REGION="cn-north-4", ERASER_RATE="7").account_of("p").rate == 7
    assert load(ERASER_CONFIG=config, ERASER_REGION="cn-north-4").default_project() == "p"


REFUSED_TOML = [
    ("[polices.old]\nx = 1\n", "unknown table 'polices'"),
    ('[accounts.a]\nregoin = "x"\n', "unknown key 'regoin'.*did you mean region"),
    ('[accounts.A]\nregion = "cn-north-4"\n', "account name 'A'"),
    ("accounts = 3\n", r"write \[accounts.NAME\]"),
    ("[accounts]\na = 3\n", r"write \[accounts.a\]"),
    ('[accounts.a]\nprojects = ["p"]\n', "add region"),
    ('[accounts.a]\nregion = "cn-north-4"\n', "add projects"),
    ('[accounts.a]\nregion = "mars"\nprojects = ["p"]\n', r"\[accounts.a\] region.*known are"),
    ('[accounts.a]\nregion = "cn-north-4"\nprojects = "p"\n', "expected a list"),
    ('[accounts.a]\nregion = "cn-north-4"\nprojects = [".."]\n', "a project id is"),
    ('[accounts.a]\nregion = "cn-north-4"\nprojects = ["p"]\nrate = true\n', "rate: expected"),
    ('[accounts.a]\nregion = "cn-north-4"\nprojects = ["p"]\nsection = "x"\n', "section belongs"),
    ('[accounts.a]\nregion = "cn-north-4"\nprojects = ["p"]\nak_env = "A"\n', "both ak_env and sk_env"),
    ('[accounts.a]\nregion = 4\nprojects = ["p"]\n', "expected a text"),
    (f'[accounts.a]\nregion = "cn-north-4"\nprojects = ["p"]\nak_env = "A"\nsk_env = "{SECRET}"\n', "NAME of an"),
    (TWO_ACCOUNTS.replace('"pb"', '"pa1"'), "project pa1 is listed by accounts studio-a and studio-b"),
    ("[accounts", "is not TOML"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED_TOML, ids=[says[:24] for _, says in REFUSED_TOML])
def test_a_wrong_file_is_named_with_the_key(tmp_path: Path, text: str, says: str) -> None:
    config = toml(tmp_path, text)
    with pytest.raises(SettingsError, match=says) as caught:
        load(ERASER_CONFIG=config)
    assert config in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_named_variable_that_is_not_set_is_named(tmp_path: Path) -> None:
    account = load(ERASER_CONFIG=toml(tmp_path, TWO_ACCOUNTS)).accounts["studio-b"]
    with pytest.raises(SettingsError, match="set B_SK or B_SK_FILE"):
        source_of(account.credentials, {"B_AK": "x", "HUAWEICLOUD_SDK_SK": SECRET})
