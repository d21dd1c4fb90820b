"""The URLs of the ledger's Redis and of Celery's broker: what each may say, and what the clients make of it.

redis://, rediss://, unix://                                one server, or a managed Redis behind one address
redis+sentinel://[USER:PASSWORD@]HOST:26379,HOST:26379/SERVICE[/DB][?ssl=true&sentinel_password=…]
                                                            Sentinels, which name the primary of a service
redis+cluster://[USER:PASSWORD@]HOST:6379,HOST:6379[?ssl=true]
                                                            some servers of a cluster; Celery knows no such broker
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from worker.config.urls import masked, split_url
from worker.model.errors import SettingsError

# The redis-py options that say where Redis is and how it is trusted. All others would change the client's
# behaviour: bytes become text (decode_responses), a script runs twice (retry_on_timeout), a call never times out.
_TLS_OPTIONS = frozenset(
    {
        *("ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile"),
        *("ssl_check_hostname", "ssl_ciphers", "ssl_keyfile", "ssl_min_version", "ssl_password"),
    }
)
_OF_SENTINELS = frozenset({"sentinel_username", "sentinel_password"})
_EXPECTED = (
    "redis://HOST:6379/0, rediss://HOST:6379/0 (TLS), unix:///run/redis.sock, redis+sentinel://HOST:26379/SERVICE or "
    "redis+cluster://HOST:6379"
)
_SENTINELS_EXPECTED = "redis+sentinel://[USER:PASSWORD@]HOST:26379,HOST:26379/SERVICE[/DB][?ssl=true]"
_CLUSTER_EXPECTED = "redis+cluster://[USER:PASSWORD@]HOST:6379,HOST:6379[?ssl=true]"
_SEVERAL = re.compile(r"redis\+(?P<kind>\w*)://(?P<netloc>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?\Z")
_NODE = re.compile(r"(?P<host>[\w.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d{1,5}))?", re.ASCII)
_PORTS = {"sentinel": 26379, "cluster": 6379}


class Topology(StrEnum):
    """How many servers there are, and who says which of them is the primary."""

    ONE = "one server"
    SENTINEL = "Sentinel"
    CLUSTER = "Cluster"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """A URL of the ledger's, as the clients need it: each server as a plain `redis://` or `rediss://` URL."""

    topology: Topology
    servers: tuple[str, ...] = field(repr=False)  # of Sentinel: the Sentinels; of Cluster: those to begin with
    service: str = ""
    primary: str = field(default="", repr=False)  # of Sentinel: how to log in at whichever server they name


def parse_redis_url(url: str, name: str = "ERASER_REDIS_URL") -> RedisAddress:
    """What the URL says. Raises `SettingsError`, without the password, unless a client can connect by it."""
    if url.startswith("redis+"):
        return _several(url, name)
    parts = split_url(url, name, _EXPECTED)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise SettingsError(name, f"expected {_EXPECTED}; found {masked(url)!r}")
    if parts.scheme == "unix":
        if not parts.path.strip("/") or parts.hostname:
            raise SettingsError(
                name, f"a unix socket needs three slashes and a path: unix:///run/redis.sock; found {masked(url)!r}"
            )
    elif not parts.hostname:
        raise SettingsError(
            name, f"no host in {masked(url)!r}; expected {_EXPECTED} (in a password, write # as %23 and / as %2F)"
        )
    tls = parts.scheme == "rediss"
    _check_options(parts.query, name, known={"db"}, tls=tls, tls_by="rediss:// (TLS)")
    if not _database(parts).isdecimal():
        raise SettingsError(name, f"the database after the host is a number, such as /0; found {masked(url)!r}")
    return RedisAddress(Topology.ONE, (url,))


def check_redis_url(url: str, name: str) -> str:
    """Return `url` if a client can connect by it; raise `SettingsError`, without the password, otherwise."""
    parse_redis_url(url, name)
    return url


def _several(url: str, name: str) -> RedisAddress:
    """Several servers: the Sentinels of a service, or some of a cluster."""
    found = _SEVERAL.fullmatch(url)
    if found is None or found["kind"] not in _PORTS or not url.isprintable() or " " in url:
        raise SettingsError(name, f"expected {_EXPECTED}; found {masked(url)!r}")
    cluster = found["kind"] == "cluster"
    expected = _CLUSTER_EXPECTED if cluster else _SENTINELS_EXPECTED
    userinfo, at, hosts = found["netloc"].rpartition("@")
    service, _, database = found["path"].strip("/").partition("/")
    nodes = [_NODE.fullmatch(node) for node in hosts.split(",")]
    ports = [int(node["port"] or _PORTS[found["kind"]]) for node in nodes if node]
    if not all(nodes) or not all(0 < port < 65536 for port in ports):
        why = f"expected hosts with commas between them: {expected}"
        raise SettingsError(name, f"{why} (in a password, write # as %23 and / as %2F); found {masked(url)!r}")
    if cluster and found["path"].strip("/") not in ("", "0"):
        why = "a cluster has no databases but 0: nothing stands after its hosts"
        raise SettingsError(name, f"{why}: {expected}; found {masked(url)!r}")
    if not cluster and (not service or not (database or "0").isdecimal()):
        why = "after the hosts stands the service, as the Sentinels call it, and perhaps the number of a database"
        raise SettingsError(name, f"{why}: {expected}; found {masked(url)!r}")
    options = dict(parse_qsl(found["query"] or ""))
    tls = options.get("ssl") == "true"
    known = {"ssl"} if cluster else {"ssl", *_OF_SENTINELS}
    _check_options(found["query"] or "", name, known=known, tls=tls, tls_by="?ssl=true")

    scheme, query = ("rediss", _tls_query(options)) if tls else ("redis", "")
    sentinels = (options.get("sentinel_username", ""), options.get("sentinel_password", ""))
    theirs = f"{quote(sentinels[0], safe='')}:{quote(sentinels[1], safe='')}@" if any(sentinels) else ""
    login = f"{userinfo}{at}" if cluster else theirs
    servers = tuple(
        f"{scheme}://{login}{node['host']}:{port}{query}"
        for node, port in zip(nodes, ports, strict=True)
        if node is not None
    )
    if cluster:
        return RedisAddress(Topology.CLUSTER, servers)
    return RedisAddress(
        Topology.SENTINEL, servers, unquote(service), f"{scheme}://{userinfo}{at}primary/{database or 0}{query}"
    )


def _tls_query(options: Mapping[str, str]) -> str:
    """With `required` where the URL does not say: kombu would not check the server's certificate at all."""
    ours = {option: value for option, value in options.items() if option.startswith("ssl_")}
    return f"?{urlencode({'ssl_cert_reqs': 'required'} | ours)}"


def _check_options(query: str, name: str, *, known: set[str], tls: bool, tls_by: str) -> None:
    """Refuse unknown options after `?`. The error repeats only names, because a value may be a password."""
    if query and not all("=" in option for option in query.split("&")):  # perhaps the rest of a password
        raise SettingsError(name, "an option after the ? has no value; in a password, write & as %26")
    options = parse_qsl(query, keep_blank_values=True)
    names = [option for option, _ in options]
    for option, value in options:
        if option not in known | _TLS_OPTIONS:
            known_options = (
                f"{', '.join(sorted(known))} and ssl_…, such as ssl_ca_certs" if tls else ", ".join(sorted(known))
            )
            why = f"is not for a URL here: the client sets it itself; known are {known_options}"
        elif option.startswith("ssl_") and not tls:
            why = f"is for {tls_by} only"
        elif names.count(option) > 1:
            why = "is given twice"
        elif not value:
            why = "has no value"
        elif option == "ssl_cert_reqs" and value not in ("required", "optional", "none"):
            why = "is one of required, optional and none"
        elif option == "ssl" and value not in ("true", "false"):
            why = "is true or false"
        else:
            continue
        raise SettingsError(name, f"the option {option[:40]!r} after the ? {why}: correct it or leave it out")


# -- the broker --------------------------------------------------------------------------------------------------------

_NO_BROKER = (
    "Celery cannot use a Redis Cluster as its broker: set ERASER_BROKER_URL to one that it can use, such as "
    "redis://HOST:6379/0, redis+sentinel://HOST:26379/SERVICE or amqp://HOST"
)


def check_broker_url(url: str, name: str) -> str:
    """Return `url` in Celery's form, or one of Sentinels as it is, because Celery's own form cannot say the service.

    Raises `SettingsError`, without the password, if it is not a broker URL.
    """
    scheme = url.partition("://")[0]
    if scheme == "sentinel":
        why = f"a sentinel:// URL cannot say which service: write {_SENTINELS_EXPECTED}"
        raise SettingsError(name, f"{why}; found {masked(url)!r}")
    if scheme == "redis+cluster":
        raise SettingsError(name, f"{_NO_BROKER}; found {masked(url)!r}")
    if scheme in ("redis", "rediss", "unix", "redis+sentinel"):
        check_redis_url(url, name)
        return broker_form(url)
    if "://" not in url or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise SettingsError(
            name, f"expected a broker URL that Celery knows, such as {_EXPECTED}; found {masked(url)!r}"
        )
    return url


def broker_of(redis_url: str) -> str:
    """The ledger's Redis as the broker, where nobody names one. Raises `SettingsError` where it cannot be one."""
    if redis_url.startswith("redis+cluster://"):
        raise SettingsError("ERASER_BROKER_URL", f"the ledger is in a Redis Cluster, and {_NO_BROKER}")
    return broker_form(redis_url)


def broker_form(redis_url: str) -> str:
    """The URL of the same Redis in Celery's form; that of Sentinels as it is (see `worker.execution.broker_url`).

    Celery knows `redis+socket:` and not `unix:`, takes the database as `virtual_host`, refuses redis-py's own query
    options (kombu 5.7: `protocol` is a TypeError), and for `rediss:` without `ssl_cert_reqs` does not check the
    server's certificate at all.
    """
    if redis_url.startswith("redis+"):
        return redis_url
    parts = urlsplit(redis_url)
    database = _database(parts)
    userinfo, at, where = parts.netloc.rpartition("@")
    if parts.scheme == "unix":
        path = quote(unquote(parts.path), safe="/")
        return f"redis+socket://{userinfo}{at}{path}" + (f"?virtual_host={database}" if database != "0" else "")
    query = _tls_query(dict(parse_qsl(parts.query))) if parts.scheme == "rediss" else ""
    return f"{parts.scheme}://{userinfo}{at}{where}/{database}{query}"


def _database(parts: SplitResult) -> str:
    option = dict(parse_qsl(parts.query)).get("db")
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    return option or path or "0"
