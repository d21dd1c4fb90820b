"""How tests and tools control the simulator: the same methods in the same process and over HTTP."""

from __future__ import annotations

import http.client
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from worker.model.errors import Unreachable, UsageError

Json = dict[str, Any]
BATCH = 5_000  # jobs or calls in one command: keeps the simulator's thread free for other calls


class Controls(ABC):
    """Every command of the control API as a method. Times are in seconds; `project` None is the default project."""

    @abstractmethod
    def _command(self, verb: str, topic: str, payload: Mapping[str, object]) -> Json:
        """Execute one command of the table in `commands`; raise `UsageError` if it is invalid."""

    def reset(self) -> None:
        """Back to the start: no jobs, no faults, no outage, no calls, the first credentials, limits and clock."""
        self._command("POST", "reset", {})

    def add_job(
        self,
        job_id: str,
        state: str = "JOB_SUCCESS",
        *,
        moves: Sequence[tuple[float, str]] = (),
        project: str | None = None,
        created_at: float | None = None,
        **fields: object,
    ) -> None:
        """Add a job that changes to each state of `moves` so many seconds from now; `fields` as List and Show name
        them. `created_at` is Unix time."""
        row: Json = {"job_id": job_id, "state": state, "moves": list(moves), "project": project, **fields}
        self.add_jobs([row if created_at is None else {**row, "created_at": created_at}])

    def add_jobs(self, rows: Iterable[Mapping[str, object]]) -> None:
        """Add many jobs; each row needs a `job_id`, the rest as in `add_job`."""
        waiting = [dict(row) for row in rows]
        for start in range(0, len(waiting), BATCH):
            self._command("POST", "jobs", {"add": waiting[start : start + BATCH]})

    def fill(self, count: int, *, spread_days: float = 365.0, project: str | None = None) -> None:
        """Add job-00001 to job-`count`, all deletable, created evenly over the last `spread_days`, oldest first."""
        self._command("POST", "jobs", {"fill": count, "spread_days": spread_days, "project": project})

    def move_job(self, job_id: str, state: str, *, project: str | None = None) -> None:
        """Put a job in another state now."""
        self._command("POST", "jobs", {"move": {"job_id": job_id, "state": state, "project": project}})

    def job_ids(self, project: str | None = None) -> list[str]:
        """The jobs that still exist; of all projects when `project` is None."""
        found = self._command("GET", "jobs", {} if project is None else {"project": project})["job_ids"]
        return list(found)

    def inventory(self) -> dict[tuple[str, str], tuple[int, int, bool]]:
        """(project, job) of every job that was ever added: how often it was added, how often deleted, and whether
        it exists.
        """
        found = self._command("GET", "inventory", {})
        return {
            (project, job_id): (came, went, bool(here))
            for project, jobs in found.items()
            for job_id, (came, went, here) in jobs.items()
        }

    def fault(self, kind: str, job_id: str | None = None, **fields: object) -> None:
        """Inject a failure; kinds and fields are in the table of `faults`. Without a job: the next `times` calls of
        any.

        `method="TOKEN"` is about requests to IAM."""
        self._command("POST", "faults", {"add": {"kind": str(kind), "job_id": job_id, **fields}})

    def clear_faults(self, job_id: str | None = None) -> None:
        """Clear the faults of one job, or all."""
        self._command("POST", "faults", {"clear": True, "job_id": job_id})

    def outage(
        self, mode: str | None, *, method: str = "*", project: str | None = None, for_s: float | None = None
    ) -> None:
        """Start an outage as `faults.OutageMode` says, until it is lifted with None or for `for_s`; for all, one method
        or one project.

        `closed` stops listening for everyone, including the control API: over HTTP it needs `for_s`. IAM is down only
        with `method="TOKEN"` or `closed`.
        """
        self._command("POST", "outage", {"mode": mode, "method": method, "project": project, "for_s": for_s})

    def set_credential(
        self,
        ak: str,
        sk: str,
        *,
        security_token: str | None = None,
        projects: Sequence[str] = (),
        sees_jobs: bool = True,
    ) -> None:
        """Add a key or replace its secret; no `projects` means the default project. A lock stays."""
        wanted = {"ak": ak, "sk": sk, "security_token": security_token, "projects": list(projects)}
        self._command("POST", "credentials", {"set": {**wanted, "sees_jobs": sees_jobs}})

    def disable_credential(self, ak: str) -> None:
        self._command("POST", "credentials", {"disable": ak})

    def enable_credential(self, ak: str) -> None:
        self._command("POST", "credentials", {"enable": ak})

    def remove_credential(self, ak: str) -> None:
        self._command("POST", "credentials", {"remove": ak})

    def unlock(self, ak: str) -> None:
        """End a key's lock and forget its failures."""
        self._command("POST", "credentials", {"unlock": ak})

    def set_user(
        self,
        name: str,
        password: str,
        *,
        domain: str | None = None,
        projects: Sequence[str] = (),
        enabled: bool = True,
        sees_jobs: bool = True,
    ) -> None:
        """Add a user that may fetch tokens, or replace it; no `projects` means the default one, no `domain` the first
        user's. Its tokens and a lock stay."""
        wanted = {"name": name, "password": password, "domain": domain, "projects": list(projects)}
        self._command("POST", "iam", {"user": {**wanted, "enabled": enabled, "sees_jobs": sees_jobs}})

    def set_token_life(self, seconds: float) -> None:
        """Set the life of tokens that are issued from now on."""
        self._command("POST", "iam", {"life_s": seconds})

    def expire_tokens(self) -> int:
        """End every token issued so far; returns how many were valid."""
        return int(self._command("POST", "iam", {"expire": True})["expired"])

    def refuse_tokens(self, code: str | None = "APIGW.0307") -> None:
        """Refuse every token, new ones too, with APIGW.0307 (401) or MSS.00010008 (400); None ends it."""
        self._command("POST", "iam", {"refuse": code})

    def unlock_user(self, name: str) -> None:
        """End a user's lock and forget its wrong passwords."""
        self._command("POST", "iam", {"unlock": name})

    def set_clock(self, offset_s: float) -> None:
        """Move the server's clock: its window, its Date header, its `server time:`."""
        self._command("POST", "clock", {"offset_s": offset_s})

    def set_latency(self, seconds: float, jitter_s: float = 0.0) -> None:
        """Let every call take this long, plus 0 to `jitter_s`; half of it before the effect, half after."""
        self._command("POST", "latency", {"seconds": seconds, "jitter_s": jitter_s})

    def set_limits(
        self, delete_per_s: int | None = None, get_per_s: int | None = None, retry_after_s: float | None = None
    ) -> None:
        """Throttle per project in a sliding second; None is no limit. `retry_after_s` goes into the 429."""
        limits = {"delete_per_s": delete_per_s, "get_per_s": get_per_s, "retry_after_s": retry_after_s}
        self._command("POST", "limits", limits)

    def set_answers(self, **responses: object) -> None:
        """`absent` and `not_deletable`: "400", "404" or "500"; `isolate_app_users`, `ignore_filters`: true or
        false; `lists`: see `responses.Lists`. The rest stays."""
        self._command("POST", "answers", responses)

    def calls(self, since: int = 0, *, job_id: str | None = None) -> list[Json]:
        """Calls after number `since`, oldest first, with the fields of `calls.Call`; `ended` None means in progress."""
        found: list[Json] = []
        query: Json = {} if job_id is None else {"job_id": job_id}
        while page := self._command("GET", "calls", {**query, "since": since, "limit": BATCH}):
            found += page["calls"]
            if len(page["calls"]) < BATCH:
                break
            since = page["next"]
        return found

    def deletes(self) -> dict[str, int]:
        """How many DELETEs of each job arrived, whatever their result."""
        return dict(self._command("GET", "effects", {})["deletes"])

    def effects(self) -> dict[str, int]:
        """How often each job was really deleted: more than once only if it was added again."""
        return dict(self._command("GET", "effects", {})["effects"])

    def stats(self) -> Json:
        """Totals since the start or the last reset.

        `total`, `under_way`; `by_status` (ended calls; "none": no status line was sent), `by_operation` (`token`:
        requests to IAM), `by_fault`; `effects` (jobs deleted), `most_effects_of_a_job`, `most_deletes_of_a_job` (DELETE
        calls); `max_overlap` (DELETE calls of one job in progress at the same time) and `overlaps` (jobs with more than
        one);
        `peak_per_second` (project → method → most arrivals in any sliding second, refused ones included); `throttled`
        (429 answers); `refused_signatures`, `refused_by_reason`.
        """
        return self._command("GET", "stats", {})


class SimulatorControl(Controls):
    """Controls a simulator in another process. `url` is its base, e.g. http://127.0.0.1:18080."""

    def __init__(self, url: str, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise UsageError(f"simulator url {url!r}: use http://127.0.0.1:PORT")
        self.url = url.rstrip("/")
        self._address = (parts.hostname, parts.port or 80)
        self._timeout_s = timeout_s

    def _command(self, verb: str, topic: str, payload: Mapping[str, object]) -> Json:
        host, port = self._address
        connection = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        query = f"?{urlencode(payload)}" if verb == "GET" and payload else ""
        body = json.dumps(dict(payload)) if verb == "POST" else None
        try:
            connection.request(verb, f"/_control/{topic}{query}", body, {"Connection": "close"})
            response = connection.getresponse()
            content = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise Unreachable(f"no simulator answers at {self.url}: start one with `eraser simulator`") from problem
        finally:
            connection.close()
        if response.status != 200:
            raise UsageError(str(content.get("error")))
        return dict(content)
