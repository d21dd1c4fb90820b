"""One line per event: for people on a terminal, as JSON otherwise, or as ERASER_LOG_FORMAT says; redacted at the very
end, whoever wrote it. What is logged while an HTTP request is answered has its `http_request_id`, what is logged in a
span of OpenTelemetry its `trace_id` and `span_id`.

    12:03:04.125 info  deletion.deleted  job_id=job-0001 status=200 ms=12
    {"time": "2026-11-22T12:03:04.125Z", "level": "info", "event": "deletion.deleted", "job_id": "job-0001", …}

`extra` of a record becomes fields. Ids of jobs, requests, runs and the like are fine; secrets and personal data are not
logged in the first place, and `Redacted` is the last safety net: it knows the secrets of this process's
environment, those that the process has read elsewhere, and the usual forms of unknown ones.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, TextIO

from worker.config import known_secrets
from worker.config.environment import SECRET
from worker.config.files import NotText, read_text
from worker.config.log_format import LOG_FORMAT, LogFormat
from worker.config.request_id import HTTP_REQUEST_ID
from worker.config.webhooks import KEY_PREFIX
from worker.execution import tracing
from worker.metastudio.redaction import redact, without

_OURS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_IDS = frozenset(
    {
        *("id", "job_id", "project_id", "request_id", "http_request_id", "run", "replay", "head", "group"),
        *("trace_id", "span_id"),
        *("account", "worker", "child", "pid"),
    }
)
_CHATTY = (
    "celery.worker.strategy",  # "Task … received": one per wake-up
    "celery.app.trace",  # "Task … succeeded"
    "celery.beat",  # "Sending due task …": one a minute; `sweep.started` says what is done
    "celery.apps.worker",  # "… ready.": `worker.ready` says it
)
_SECRET_WORDS = ("TOKEN", "PASSWORD", "SECRET", "REDIS_URL", "BROKER_URL")
_SECRET_ENDS = ("_AK", "_SK", "_AK_FILE", "_SK_FILE")  # also variables that the accounts' file names
_EVENT = re.compile(r"[a-z_]+(\.[a-z_]+)+")  # ours; a word of one may be a password, too
_LONGEST_TRACE = 40  # lines


class Redacted(logging.Formatter):
    """Masks what must not be logged, in messages, fields and exceptions of a copy: others read the record, too."""

    def __init__(self, form: logging.Formatter, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._form = form
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        return self._form.format(self._masked(record))

    def _masked(self, record: logging.LogRecord) -> logging.LogRecord:
        copied = copy(record)
        if (request := HTTP_REQUEST_ID.get()) is not None:
            copied.http_request_id = request
        vars(copied).update(tracing.ids() | vars(copied))  # the end of an attempt names its own span
        try:
            message = record.getMessage()
        except Exception:  # a broken format string must not cost the event
            message = str(record.msg)
        if not (record.name.startswith("worker.") and _EVENT.fullmatch(message)):
            message = redact(message, secrets=self._secrets)
        copied.msg, copied.args = message, None
        for name in _extras(copied):
            setattr(copied, name, clean(name, getattr(copied, name), self._secrets))
        if record.exc_info and not record.exc_text:
            copied.exc_text = "".join(traceback.format_exception(*record.exc_info))
        if copied.exc_text:
            copied.exc_text = self._clean_trace(copied.exc_text)
            copied.exc_info = None  # the form would print it again, unmasked
        return copied

    def _clean_trace(self, text: str) -> str:
        lines = text.rstrip().splitlines()
        if len(lines) > _LONGEST_TRACE:
            half = _LONGEST_TRACE // 2
            lines = [*lines[:half], f"  … {len(lines) - 2 * half} lines left out …", *lines[-half:]]
        return "\n".join(line[: len(line) - len(line.lstrip())] + redact(line, secrets=self._secrets) for line in lines)


def clean(name: str, value: object, secrets: Sequence[str]) -> object:
    """The value of a field without what must not leave."""
    if value is None or isinstance(value, bool | int | float):
        return value
    text = str(value)
    if name in _IDS:  # an id may look like a phone number
        return without(text, secrets, long_only=True)  # half of an id would be another id
    return redact(text, secrets=secrets)


class ForPeople(logging.Formatter):
    """`time level event key=value…`, an exception on the lines below."""

    def __init__(self, *, colour: bool = False) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        level = f"{record.levelname.lower():<7}"
        if self._colour and record.levelno >= logging.WARNING:
            level = f"\x1b[{31 if record.levelno >= logging.ERROR else 33}m{level}\x1b[0m"
        fields = " ".join(f"{name}={_quoted(value)}" for name, value in _fields(record).items())
        line = "  ".join(filter(None, (f"{at} {level} {record.getMessage()}", fields)))
        trace = _trace(record)
        return f"{line}\n{trace}" if trace else line


class ForMachines(logging.Formatter):
    """One JSON object per line, whatever the encoding of the stream: with `plain` everything else is escaped."""

    def __init__(self, *, plain: bool = False) -> None:
        super().__init__()
        self._plain = plain

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry: dict[str, Any] = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        entry |= {"logger": record.name, **_fields(record)}
        if trace := _trace(record):
            entry["exception"] = trace
        return json.dumps(entry, ensure_ascii=self._plain, default=str)


def set_up(level: int, environ: Mapping[str, str], *, file: str | None = None) -> None:
    """Send every log line of this process to stderr, or to a file, in this format. Called once, at the start.

    A format that does not exist counts as `auto`: the settings refuse it in words.
    """
    handler = WatchedFileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    stream: Any = handler.stream  # of a file: after a rotation that of the new one
    terminal, wanted = stream.isatty(), environ.get(LOG_FORMAT, "").strip()
    if wanted == LogFormat.TEXT or (terminal and wanted != LogFormat.JSON):
        colour = terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        form: logging.Formatter = ForPeople(colour=colour)
    else:
        form = ForMachines(plain=not takes_any_text(stream))
    handler.setFormatter(Redacted(form, secrets_of(environ)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(True)  # Python's own warnings become log lines too
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING if level > logging.DEBUG else logging.DEBUG)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # it logs connections beyond the pool


def takes_any_text(stream: TextIO) -> bool:
    """Whether the stream's encoding has every character."""
    return (stream.encoding or "").lower().startswith("utf")


def secrets_of(environ: Mapping[str, str]) -> Iterator[str]:
    """Everything in the environment, and in the files it names, that must never be logged."""
    for name, value in environ.items():
        setting, upper = name.removesuffix("_FILE"), name.upper()
        if (
            setting in SECRET
            or upper.endswith(_SECRET_ENDS)
            or any(word in upper for word in _SECRET_WORDS)
            or value.strip().startswith(KEY_PREFIX)  # an endpoint's, whose variable has any name
        ):
            yield from known_secrets.parts(_content(value) if name.endswith("_FILE") else value)


def _content(path: str) -> str:
    try:
        return read_text(Path(path).expanduser())
    except (OSError, NotText, RuntimeError):  # no such home: the code that needs the file reports it
        return ""


def _extras(record: logging.LogRecord) -> list[str]:
    return [name for name in vars(record) if name not in _OURS and not name.startswith("_")]


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """The fields given as `extra`; None means not given."""
    if record.name.startswith(("celery", "kombu")):
        return {}  # Celery's own extras repeat its message, including task arguments
    return {name: value for name in _extras(record) if (value := getattr(record, name)) is not None}


def _trace(record: logging.LogRecord) -> str:
    if record.exc_text:
        return record.exc_text
    return "".join(traceback.format_exception(*record.exc_info)).rstrip() if record.exc_info else ""


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text or "=" in text or not text else text
