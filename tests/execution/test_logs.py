"""Log lines are one event each, for people or machines, and carry no secret whoever wrote them."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from worker.config import known_secrets
from worker.config.accounts import CredentialsReference
from worker.config.environment import SECRET
from worker.config.keyless import KeylessReference, Source
from worker.config.request_id import HTTP_REQUEST_ID
from worker.config.settings import Settings
from worker.config.webhooks import Endpoint
from worker.execution import logs
from worker.metastudio.credentials import EnvironmentCredentials, FileCredentials
from worker.metastudio.keyless import TemporaryKeys
from worker.metastudio.login import LoginSource
from worker.metastudio.wiring import source_of
from worker.receipts.signature import Signer
from worker.webhooks.signing import Secrets, new_secret

SK = "S3cr3t/Key+of=the-tests"
ENVIRON = {"HUAWEICLOUD_SDK_SK": SK, "ERASER_REDIS_URL": "redis://:p%40ss-word@redis:6379/0", "HOME": "/root"}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def loggers_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    quiet = {name: logging.getLogger(name).level for name in logs._CHATTY}
    yield
    logging.captureWarnings(False)
    root.handlers[:] = before
    root.setLevel(level)
    for name, was in quiet.items():
        logging.getLogger(name).setLevel(was)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up(logging.INFO, ENVIRON)
    return stream


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.set_up(logging.INFO, {**ENVIRON, "NO_COLOR": "1"})
    return stream


def test_on_a_terminal_a_line_is_time_level_event_and_fields(shown: io.StringIO) -> None:
    logging.getLogger("worker.execution.executor").info(
        "deletion.deleted", extra={"job_id": "job-1", "status": 200, "why": "a b"}
    )
    time, level, event, *fields = shown.getvalue().split()
    assert len(time) == len("12:03:04.125")
    assert (level, event) == ("info", "deletion.deleted")
    assert " ".join(fields) == 'job_id=job-1 status=200 why="a b"'


def test_elsewhere_a_line_is_one_json_object(lines: io.StringIO) -> None:
    logging.getLogger("worker.execution.executor").info(
        "deletion.deleted", extra={"job_id": "job-1", "ms": 12, "code": None}
    )
    entry = json.loads(lines.getvalue())
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "info",
        "event": "deletion.deleted",
        "logger": "worker.execution.executor",
        "job_id": "job-1",
        "ms": 12,
    }


@pytest.mark.parametrize(
    ("wanted", "on_a_terminal", "elsewhere"),
    [("auto", False, True), ("json", True, True), ("text", False, False), ("", False, True), ("yaml", False, True)],
)
def test_the_format_is_what_the_setting_says(
    monkeypatch: pytest.MonkeyPatch, wanted: str, on_a_terminal: bool, elsewhere: bool
) -> None:
    """One that does not exist is refused by the settings, which need a log that works."""
    for stream, is_json in ((Terminal(), on_a_terminal), (io.StringIO(), elsewhere)):
        monkeypatch.setattr(sys, "stderr", stream)
        logs.set_up(logging.INFO, {**ENVIRON, "ERASER_LOG_FORMAT": wanted})
        logging.getLogger("x").warning("some.event", extra={"error": f"key {SK} of jane@example.com"})
        line = stream.getvalue()
        assert line.startswith("{") is is_json
        assert "some.event" in line
        assert SK not in line
        assert "jane" not in line
        coloured = "\x1b[" in line
        assert coloured is (not is_json and isinstance(stream, Terminal)), "colours are for terminals"


def test_text_in_a_file_is_text_and_a_terminal_has_no_part_in_it(tmp_path: Path) -> None:
    logs.set_up(logging.INFO, {"ERASER_LOG_FORMAT": "text"}, file=str(tmp_path / "log"))
    logging.getLogger("x").info("some.event", extra={"job_id": "job-1"})
    assert (tmp_path / "log").read_text(encoding="utf-8").endswith("info    some.event  job_id=job-1\n")
    logging.getLogger().handlers[0].close()


@pytest.mark.parametrize("output", ["lines", "shown"])
def test_a_line_has_the_id_of_the_http_request_that_it_belongs_to(output: str, request: pytest.FixtureRequest) -> None:
    stream: io.StringIO = request.getfixturevalue(output)
    before = HTTP_REQUEST_ID.set(f"13800138000123-{SK}")
    logging.getLogger("x").info("some.event", extra={"request_id": "theirs"})
    HTTP_REQUEST_ID.reset(before)
    logging.getLogger("x").info("other.event")
    first, second = stream.getvalue().splitlines()
    shown = '"http_request_id": "13800138000123-***"' if output == "lines" else "http_request_id=13800138000123-***"
    assert shown in first
    assert "theirs" in first, "MetaStudio's own id of its answer is another one"
    assert "http_request_id" not in second


def test_what_was_not_said_is_no_field(shown: io.StringIO) -> None:
    logging.getLogger("x").info("deletion.postponed", extra={"job_id": "job-1", "cause": None})
    assert "cause" not in shown.getvalue()


@pytest.mark.parametrize("output", ["lines", "shown"])
def test_an_exception_is_part_of_its_line_without_secrets(output: str, request: pytest.FixtureRequest) -> None:
    stream: io.StringIO = request.getfixturevalue(output)
    try:
        raise ValueError(f"refused {SK} for jane@example.com with X-Auth-Token: abcdef")
    except ValueError:
        logging.getLogger("x").exception("deletion.postponed")
    text = stream.getvalue()
    assert "ValueError: refused ***" in text
    assert "test_logs.py" in text  # the trace itself stays readable
    for planted in (SK, "jane@example.com", "abcdef"):
        assert planted not in text


def test_secrets_of_the_environment_are_masked_in_messages_and_fields(lines: io.StringIO) -> None:
    logging.getLogger("kombu").warning("cannot connect with %s and %s", SK, "p@ss-word")
    logging.getLogger("x").info("some.event", extra={"job_id": SK, "error": f"key {SK}", "list": ["p%40ss-word"]})
    text = lines.getvalue()
    assert SK not in text
    assert "ss-word" not in text
    assert json.loads(text.splitlines()[1])["job_id"] == "***"


def test_a_short_secret_changes_no_event_of_ours_and_no_id(lines: io.StringIO) -> None:
    known_secrets.add("REDIS_URL", "redis")
    ids = {"project_id": "redis-project", "http_request_id": "of-redis-1", "worker": "redis"}
    logging.getLogger("worker.execution.app_context").info("redis.away", extra={"error": "not redis", **ids})
    logging.getLogger("kombu").info("redis.away")
    ours, theirs = map(json.loads, lines.getvalue().splitlines())
    assert (ours["event"], ours["error"], theirs["event"]) == ("redis.away", "not ***", "***.away")
    assert {name: ours[name] for name in ids} == ids


def test_secrets_in_files_are_masked(tmp_path: Path) -> None:
    (tmp_path / "sk").write_text("from-a-file\n")
    environ = {"HUAWEICLOUD_SDK_SK_FILE": str(tmp_path / "sk"), "ERASER_IAM_PASSWORD_FILE": "/nowhere"}
    assert list(logs.secrets_of(environ)) == ["from-a-file"]


def test_the_keys_of_accounts_under_names_of_their_own_are_secrets() -> None:
    environ = {"STUDIO_A_AK": "AKEXAMPLE", "STUDIO_A_SK": "sk-example", "STUDIO_A_NAME": "studio"}
    assert set(logs.secrets_of(environ)) == {"AKEXAMPLE", "sk-example"}
    assert set(logs.secrets_of({"ERASER_WEBHOOKS_KEY": "whsec_example"})) == {"whsec_example"}


def test_a_url_is_no_secret_but_its_password_is() -> None:
    assert set(logs.secrets_of(ENVIRON)) == {SK, "p%40ss-word", "p@ss-word"}
    assert list(logs.secrets_of({"ERASER_REDIS_URL": "unix:///run/redis.sock"})) == []


@pytest.mark.parametrize("name", SECRET)
def test_each_secret_setting_is_masked_and_so_is_what_its_file_holds(name: str, tmp_path: Path) -> None:
    (tmp_path / "it").write_text("from-a-file\n")
    assert list(logs.secrets_of({name: "it-is-secret"})) == ["it-is-secret"]
    assert list(logs.secrets_of({f"{name}_FILE": str(tmp_path / "it")})) == ["from-a-file"]


def test_of_a_proxy_and_of_sentinels_the_passwords_are_masked() -> None:
    environ = {
        "ERASER_PROXY": "http://us:pr%3Axy-word@proxy.example.com:3128",
        "ERASER_REDIS_URL": "redis+sentinel://:main-word@a:26379,b:26379/eraser?ssl=true&sentinel_password=their-word",
    }
    assert set(logs.secrets_of(environ)) == {"pr%3Axy-word", "pr:xy-word", "main-word", "their-word"}


def test_secrets_of_webhooks_are_masked_whatever_their_variable_is_called() -> None:
    secret = new_secret()
    assert list(logs.secrets_of({"CRM_HOOK": secret, "CRM": "crm"})) == [secret]


def test_what_is_secret_of_a_file_is_masked_once_it_was_read_and_after_each_change(
    lines: io.StringIO, tmp_path: Path
) -> None:
    """Whoever names the file: a variable under any name, the TOML file, or a reader of credentials."""
    clock, environ = [0.0], {f"{name}_FILE": str(tmp_path / name) for name in ("HOOK", "ACCESS", "SIGN", "PW")}
    endpoint = Endpoint("crm", "https://crm.example.com/", secret_files=(tmp_path / "crm",), secret_envs=("HOOK",))
    named = {"HUAWEICLOUD_SDK_AK_FILE": environ["ACCESS_FILE"], "HUAWEICLOUD_SDK_SK_FILE": environ["SIGN_FILE"]}
    oidc = KeylessReference(Source.OIDC, token_file=tmp_path / "oidc", token_name="HUAWEICLOUD_OIDC_TOKEN_FILE")
    readers: list[Callable[[], object]] = [
        Secrets(endpoint, environ, lambda: clock[0]).keys,
        EnvironmentCredentials(named, clock=lambda: clock[0]).current,
        FileCredentials(tmp_path / "ini", clock=lambda: clock[0]).current,
        LoginSource("u", "d", environ=environ, password_env="PW", clock=lambda: clock[0]).current,
        LoginSource("u", "d", environ={}, password_file=tmp_path / "pw", clock=lambda: clock[0]).current,
        TemporaryKeys(oidc, {}, file_clock=lambda: clock[0]).current,
        lambda: Settings.load({"ERASER_REDIS_URL_FILE": str(tmp_path / "redis")}),
        lambda: Signer.load(tmp_path / "receipts"),
    ]
    secrets: set[str] = set()
    for turn in range(2):
        key = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        (tmp_path / "receipts").write_text(key)
        words = {
            name: f"{name}-is-secret-{turn}" for name in ("ACCESS", "SIGN", "PW", "pw", "oidc", "a", "s", "t", "r")
        }
        for name in ("HOOK", "crm"):
            words[name] = new_secret()
        for name in ("ACCESS", "SIGN", "PW", "pw", "oidc", "HOOK", "crm"):
            (tmp_path / name).write_text(words[name] + "\n" * (turn + 1))
        (tmp_path / "ini").write_text(f"[basic]\nak={words['a']}\nsk={words['s']}\nsecurity_token={words['t']}\n")
        (tmp_path / "redis").write_text(f"redis://:{words['r']}@redis/0")
        for read in readers:
            read()
        clock[0] += 10
        secrets |= {*words.values(), key.splitlines()[1]}
        for secret in secrets:
            logging.getLogger("x").info("some.event", extra={"error": f"found {secret}", "job_id": secret})
    assert len(lines.getvalue().splitlines()) == 3 * len(secrets) // 2
    assert [secret for secret in secrets if secret in lines.getvalue()] == []


def test_a_variable_with_a_secret_is_masked_whatever_the_accounts_file_calls_it(lines: io.StringIO) -> None:
    reference = CredentialsReference(ak_env="STUDIO", sk_env="STUDIO_SIGNS")
    source = source_of(reference, {"STUDIO": "AKEXAMPLE0000000000A", "STUDIO_SIGNS": "S3cretS3cret"})
    LoginSource("u", "d", environ={"STUDIO_PW": "pass-of-studio"}, password_env="STUDIO_PW")
    assert isinstance(source, EnvironmentCredentials)
    logging.getLogger("x").info("AKEXAMPLE0000000000A S3cretS3cret pass-of-studio")
    assert json.loads(lines.getvalue())["event"] == "*** *** ***"


def test_a_project_is_no_secret_though_it_may_be_in_a_file_beside_the_key(lines: io.StringIO, tmp_path: Path) -> None:
    (tmp_path / "project").write_text("0605768a2c8026af")
    environ = {"HUAWEICLOUD_SDK_AK": "AKEXAMPLE", "HUAWEICLOUD_SDK_SK": "sk-example"}
    EnvironmentCredentials(environ | {"HUAWEICLOUD_SDK_PROJECT_ID_FILE": str(tmp_path / "project")}).current()
    EnvironmentCredentials(environ | {"HUAWEICLOUD_SDK_PROJECT_ID": "0605768a2c80"}).current()
    logging.getLogger("x").info("some.event", extra={"project_id": "0605768a2c8026af"})
    assert json.loads(lines.getvalue())["project_id"] == "0605768a2c8026af"


def test_an_id_that_looks_like_a_phone_number_stays(lines: io.StringIO) -> None:
    logging.getLogger("x").info("deletion.deleted", extra={"job_id": "13800138000123", "note": "13800138000123"})
    entry = json.loads(lines.getvalue())
    assert (entry["job_id"], entry["note"]) == ("13800138000123", "***")


def test_a_replay_can_be_found_by_what_the_log_calls_it(lines: io.StringIO) -> None:
    head = "12345678901234567890" + 44 * "f"
    logging.getLogger("x").info("replay.stopped", extra={"replay": "replay-20261122-134446-ec97", "head": head})
    entry = json.loads(lines.getvalue())
    assert (entry["replay"], entry["head"]) == ("replay-20261122-134446-ec97", head)


def test_a_broken_format_string_costs_no_event() -> None:
    record = logging.makeLogRecord({"name": "x", "msg": "%d things", "args": ("many",)})
    assert json.loads(logs.Redacted(logs.ForMachines()).format(record))["event"] == "%d things"


def test_who_reads_a_record_later_gets_its_exception_and_its_words_as_they_were() -> None:
    """Sentry's SDK makes a stack trace of it."""
    try:
        raise ValueError(SK)
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "x.py", 1, "%s failed", ("it",), sys.exc_info())
    record.note = "jane@example.com"
    as_it_was = dict(vars(record))
    assert SK not in logs.Redacted(logs.ForMachines(), [SK]).format(record)
    assert vars(record) == as_it_was


def test_celerys_line_a_wakeup_is_for_debugging_only(lines: io.StringIO) -> None:
    logging.getLogger("celery.worker.strategy").info("Task eraser.work[1] received")
    logging.getLogger("celery.app.trace").info("Task eraser.work[1] succeeded in 1.0s: None")
    assert lines.getvalue() == ""
    logging.getLogger("celery.app.trace").error("Task eraser.work[1] raised")
    assert json.loads(lines.getvalue())["event"] == "Task eraser.work[1] raised"


def test_celerys_own_extras_with_the_arguments_of_tasks_are_no_fields(lines: io.StringIO) -> None:
    logging.getLogger("celery.app.trace").error("Task raised", extra={"data": {"args": "['p', 'somebody']"}})
    assert "somebody" not in lines.getvalue()


def test_a_warning_of_python_is_a_line_like_all_others(lines: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)  # pytest has its own way with warnings
        warnings.warn(f"{SK} is old", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    (entry,) = [json.loads(line) for line in lines.getvalue().splitlines()]
    assert (entry["level"], entry["logger"]) == ("warning", "py.warnings")
    assert "UserWarning: *** is old" in entry["event"]


def test_a_long_trace_keeps_its_two_ends() -> None:
    masked = logs.Redacted(logs.ForMachines())._clean_trace("\n".join(f"line {n}" for n in range(1000)))
    assert masked.splitlines()[0] == "line 0"
    assert masked.splitlines()[-1] == "line 999"
    assert "960 lines left out" in masked


def test_a_file_that_is_rotated_is_left_for_the_new_one(tmp_path: Path) -> None:
    """As logrotate does it: the file gets another name, and an empty one takes its place, or none."""
    root, file = logging.getLogger(), tmp_path / "worker.log"
    before, level = root.handlers[:], root.level
    try:
        logs.set_up(logging.INFO, {}, file=str(file))
        logging.getLogger("worker.test").info("first")
        file.rename(tmp_path / "worker.log.1")
        logging.getLogger("worker.test").info("second")
        assert "second" in file.read_text(encoding="utf-8")
        assert "second" not in (tmp_path / "worker.log.1").read_text(encoding="utf-8")
        assert json.loads(file.read_text(encoding="utf-8"))["event"] == "second"
        root.handlers[0].close()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(False)
