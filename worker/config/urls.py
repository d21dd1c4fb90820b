"""The URLs of Redis, of the broker and of MetaStudio: checks, conversion and masking."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from worker.model.errors import SettingsError

# Calls per second that Huawei documents for this DELETE, per tenant and region; ap-southeast-3 is only in the
# international documents, not in the SDK.
REGIONS = {"cn-north-4": 10.0, "cn-east-3": 3.0, "ap-southeast-3": 3.0}
CAREFUL_RATE = 3.0  # for an endpoint of no known region: the lowest documented limit

_HOST = re.compile(r"(?=.{1,253}\Z)[0-9a-z]([0-9a-z-]{0,62})(\.[0-9a-z][0-9a-z-]{0,62})*\.?|[0-9a-f:.]+")
# The redis-py options that say where Redis is and how it is trusted. All others would change the client's
# behaviour: bytes become text (decode_responses), a script runs twice (retry_on_timeout), a call never times out.
_REDIS_OPTIONS = frozenset(
    {
        *("db", "ssl_ca_certs", "ssl_ca_data", "ssl_ca_path", "ssl_cert_reqs", "ssl_certfile"),
        *("ssl_check_hostname", "ssl_ciphers", "ssl_keyfile", "ssl_min_version", "ssl_password"),
    }
)
_REDIS_EXPECTED = "redis://HOST:6379/0, rediss://HOST:6379/0 (TLS) or unix:///run/redis.sock"


def masked(url: str) -> str:
    """The URL without user and password. It removes too much rather than too little: a password may contain an
    unescaped `@`.
    """
    if "://" not in url:
        return "***"
    return re.sub(r"://.*@", "://***@", url, flags=re.DOTALL)


def endpoint_of(region: str) -> str:
    """The address of MetaStudio in a region."""
    return f"https://metastudio.{region}.myhuaweicloud.com"


def iam_endpoint_of(region: str) -> str:
    """The address of IAM, which issues tokens, in a region."""
    return f"https://iam.{region}.myhuaweicloud.com"


def region_of(endpoint: str) -> str | None:
    """The region whose public address this is, if it is one."""
    return next((region for region in REGIONS if endpoint_of(region) == endpoint), None)


def check_region(region: str, name: str) -> str:
    """Return `region` if MetaStudio's address there is documented; raise `SettingsError` otherwise."""
    if region in REGIONS:
        return region
    raise SettingsError(
        name,
        f"MetaStudio's address in {region[:40]!r} is not known; known are {', '.join(REGIONS)}; "
        "for any other set ERASER_ENDPOINT (in TOML: endpoint) to https://HOST instead",
    )


def check_endpoint(url: str, name: str) -> str:
    """Return `https://host[:port]`, or the same with http for loopback; raise `SettingsError` otherwise."""
    parts = _split(url, name, "https://HOST")
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(parts.hostname or "") or parts.port == 0:
        raise SettingsError(name, f"expected https://HOST; found {masked(url)!r}")
    if "@" in parts.netloc or parts.path.strip("/") or parts.query or parts.fragment:
        raise SettingsError(name, f"expected https://HOST[:PORT] and nothing more; found {masked(url)!r}")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise SettingsError(
            name, f"plain http is for loopback (127.0.0.1, ::1, localhost) only: set https://{parts.netloc}"
        )
    return f"{parts.scheme}://{parts.netloc.lower()}"


def check_redis_url(url: str, name: str) -> str:
    """Return `url` if redis-py can connect by it; raise `SettingsError`, without the password, otherwise."""
    parts = _split(url, name, _REDIS_EXPECTED)
    if parts.scheme not in ("redis", "rediss", "unix"):
        raise SettingsError(name, f"expected {_REDIS_EXPECTED}; found {masked(url)!r}")
    if parts.scheme == "unix":
        if not parts.path.strip("/") or parts.hostname:
            raise SettingsError(
                name, f"a unix socket needs three slashes and a path: unix:///run/redis.sock; found {masked(url)!r}"
            )
    elif not parts.hostname:
        raise SettingsError(
            name, f"no host in {masked(url)!r}; expected {_REDIS_EXPECTED} (in a password, write # as %23 and / as %2F)"
        )
    _check_options(parts, name)
    if not _database(parts).isdecimal():
        raise SettingsError(name, f"the database after the host is a number, such as /0; found {masked(url)!r}")
    return url


def _check_options(parts: SplitResult, name: str) -> None:
    """Refuse unknown options after `?`. The error repeats only names, because a value may be a password."""
    options = parse_qsl(parts.query, keep_blank_values=True)
    names = [option for option, _ in options]
    for option, value in options:
        if option not in _REDIS_OPTIONS:
            known = "db" if parts.scheme != "rediss" else "db and ssl_…, such as ssl_ca_certs"
            why = f"is not for a URL here: the client sets it itself; known are {known}"
        elif option.startswith("ssl_") and parts.scheme != "rediss":
            why = "is for rediss:// (TLS) only"
        elif names.count(option) > 1:
            why = "is given twice"
        elif not value:
            why = "has no value"
        elif option == "ssl_cert_reqs" and value not in ("required", "optional", "none"):
            why = "is one of required, optional and none"
        else:
            continue
        raise SettingsError(name, f"the option {option[:40]!r} after the ? {why}: correct it or leave it out")


def broker_form(redis_url: str) -> str:
    """The URL of the same Redis in Celery's form.

    Celery knows `redis+socket:` and not `unix:`, takes the database as `virtual_host`, refuses redis-py's own query
    options (kombu 5.7: `protocol` is a TypeError), and for `rediss:` without `ssl_cert_reqs` does not check the
    server's certificate at all.
    """
    parts = urlsplit(redis_url)
    database = _database(parts)
    options = {key: value for key, value in parse_qsl(parts.query) if key.startswith("ssl_")}
    userinfo, at, where = parts.netloc.rpartition("@")
    if parts.scheme == "unix":
        path = quote(unquote(parts.path), safe="/")
        return f"redis+socket://{userinfo}{at}{path}" + (f"?virtual_host={database}" if database != "0" else "")
    if parts.scheme == "rediss":
        options.setdefault("ssl_cert_reqs", "required")
    query = f"?{urlencode(options)}" if options else ""
    return f"{parts.scheme}://{userinfo}{at}{where}/{database}{query}"


def check_broker_url(url: str, name: str) -> str:
    """Return `url` in Celery's form. Raise `SettingsError`, without the password, if it is not a broker URL."""
    scheme = url.partition("://")[0]
    if scheme in ("redis", "rediss", "unix"):
        check_redis_url(url, name)
        return broker_form(url)
    if "://" not in url or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise SettingsError(
            name, f"expected a broker URL that Celery knows, such as {_REDIS_EXPECTED}; found {masked(url)!r}"
        )
    return url


def check_hosts(text: str, name: str) -> tuple[str, ...]:
    """Names of hosts, with commas between them; raises `SettingsError` for a URL or a port."""
    hosts = tuple(filter(None, (host.strip().lower() for host in text.split(","))))
    for host in hosts:
        if not re.fullmatch(r"[0-9a-z_][0-9a-z._-]{0,252}|\[[0-9a-f:.]+\]", host):
            raise SettingsError(
                name, f"expected names of hosts without scheme and port: eraser.example.com; found {host[:60]!r}"
            )
    return hosts


def _split(url: str, name: str, expected: str) -> SplitResult:
    if not url.isprintable() or " " in url:  # urlsplit would drop some of these silently
        raise SettingsError(name, f"there is a blank or a control character in {masked(url)!r}; expected {expected}")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # the text of this error may quote the password
        raise SettingsError(name, f"not a URL: {masked(url)!r}; expected {expected}") from None
    return parts


def _database(parts: SplitResult) -> str:
    option = dict(parse_qsl(parts.query)).get("db")
    path = "" if parts.scheme == "unix" else parts.path.strip("/")
    return option or path or "0"


def is_loopback(host: str) -> bool:
    """Whether the name or address means this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
