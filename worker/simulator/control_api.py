"""The control API of the simulator, unsigned and on the same port (`/_control/<topic>`).

    POST reset                                      back to the start: no jobs, faults, calls; first keys and limits
    POST jobs {"add": [{"job_id", "state", "project", "moves": [[seconds, state], ...], "created_at", ...fields}]}
                                                    adds or replaces jobs; fields as List and Show name them
    POST jobs {"fill": N, "spread_days", "project"} adds job-00001 to job-N, created evenly over the past
    POST jobs {"move": {"job_id", "state", "project"}}   another state now; later moves are dropped
    GET  jobs?project=                              {"job_ids": [...]}: the jobs that still exist
    GET  inventory                                  {project: {job_id: [times added, times deleted, exists]}}
    POST faults {"add": {"kind", "job_id", "project", "method", "times", "seconds", "status", "retry_after_s",
                 "deletes"}}
                                                    injects a failure; the kinds are in the table of `faults`
    POST faults {"clear": true, "job_id"}           forgets the faults of one job, or all
    POST outage {"mode", "method", "project", "for_s"}   mode 503, 500, hang, refuse, brownout or closed; null ends it;
                                                    IAM's with method TOKEN, as for faults
    POST credentials {"set": {"ak", "sk", "security_token", "projects", "enabled", "sees_jobs"}}
                                                    adds or replaces a key
    POST credentials {"disable"|"enable"|"remove"|"unlock": ak}
    POST iam {"user": {"name", "password", "domain", "projects", "enabled", "sees_jobs"}}
                                                    adds or replaces a user that may fetch tokens
    POST iam {"life_s"}                             the life of tokens issued from now on
    POST iam {"expire": true}                       {"expired": N}: every token issued so far ends now
    POST iam {"refuse": code}                       refuses every token, APIGW.0307 or MSS.00010008; null ends it
    POST iam {"unlock": name}                       ends a user's lock and forgets its wrong passwords
    POST clock {"offset_s"}                         moves the server's clock
    POST latency {"seconds", "jitter_s"}            every call takes this long, plus 0 to jitter_s
    POST limits {"delete_per_s", "get_per_s", "retry_after_s"}   sliding second per project; null is no limit
    POST answers {"absent", "not_deletable", "isolate_app_users", "ignore_filters", "lists"}   "400", "404" or "500";
                                                    true or false: a list that ignores its filters, except job_id;
                                                    ordinary, empty, empty_by_id, no_rows or foreign
    GET  calls?since=N&limit=1000&job_id=           {"calls": [...], "next": N}: calls after number N
    GET  effects                                    {"effects": {job_id: times deleted}, "deletes": {job_id: DELETEs}}
    GET  stats                                      totals, see `control.Controls.stats`

An invalid command is answered 400 `{"error": …}` and changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import fields, replace

from worker.model.errors import UsageError
from worker.simulator.faults import Fault, Outage, OutageMode
from worker.simulator.iam import IamUser
from worker.simulator.jobs import Job
from worker.simulator.limits import Throttle
from worker.simulator.responses import CHOICES, Lists
from worker.simulator.state import SimulatorState
from worker.simulator.verification import Credential

Payload = Mapping[str, object]
DAY_S = 86_400.0
_NUMBER = (int, float)


def handle(sim_state: SimulatorState, verb: str, topic: str, payload: Payload) -> dict[str, object]:
    """Execute one command; raise `UsageError` if it is invalid."""
    match verb, topic:
        case "POST", "reset":
            sim_state.reset()
        case "POST", "jobs":
            return _jobs(sim_state, payload)
        case "GET", "jobs":
            return {"job_ids": sim_state.job_store.ids(_text_or_none(payload, "project"))}
        case "GET", "inventory":
            return dict(sim_state.job_store.inventory())
        case "POST", "faults":
            _faults(sim_state, payload)
        case "POST", "outage":
            _outage(sim_state, payload)
        case "POST", "credentials":
            _credentials(sim_state, payload)
        case "POST", "iam":
            return _iam(sim_state, payload)
        case "POST", "clock":
            sim_state.clock_offset_s = _number(payload, "offset_s", 0.0)
        case "POST", "latency":
            sim_state.latency_s, sim_state.jitter_s = (
                _number(payload, "seconds", 0.0),
                _number(payload, "jitter_s", 0.0),
            )
        case "POST", "limits":
            _limits(sim_state, payload)
        case "POST", "answers":
            _answers(sim_state, payload)
        case "GET", "calls":
            return _calls(sim_state, payload)
        case "GET", "effects":
            return {"effects": sim_state.calls.effects(), "deletes": sim_state.calls.deletes()}
        case "GET", "stats":
            return sim_state.calls.stats()
        case _:
            raise UsageError(f"{verb} /_control/{topic}: no such command; the table is in simulator/commands.py")
    return {}


def _jobs(sim_state: SimulatorState, payload: Payload) -> dict[str, object]:
    match payload:
        case {"add": list(rows)}:
            jobs = [_job(sim_state, row) for row in rows]
        case {"fill": int(count)}:
            jobs = _filling(sim_state, count, payload)
        case {"move": dict(move)}:
            job = sim_state.job_store.get(_project(sim_state, move), str(move.get("job_id")))
            if job is None or not isinstance(move.get("state"), str):
                raise UsageError(f"move: it needs a state, and a job that exists; found {move.get('job_id')!r}")
            job.state, job.moves = move["state"], ()
            return {"moved": 1}
        case _:
            raise UsageError('jobs: use {"add": [{"job_id": …}]}, {"fill": N} or {"move": {"job_id": …, "state": …}}')
    for job in jobs:
        sim_state.job_store.add(job)
    return {"added": len(jobs)}


def _job(sim_state: SimulatorState, row: object) -> Job:
    if not isinstance(row, Mapping) or not isinstance(row.get("job_id"), str):
        raise UsageError("jobs: every job needs a job_id")
    known = {"job_id", "state", "project", "moves", "created_at", "updated_at"}
    moves = row.get("moves") or ()
    try:
        checked = tuple(sorted((float(after), str(state)) for after, state in moves))
    except (TypeError, ValueError):
        raise UsageError(f"job {row['job_id']}: moves are pairs of seconds and state") from None
    created = _number(row, "created_at", time.time())
    return Job(
        job_id=row["job_id"],
        project=_project(sim_state, row),
        state=str(row.get("state") or "JOB_SUCCESS"),
        added=time.monotonic(),
        created=created,
        updated=_number(row, "updated_at", created),
        moves=checked,
        fields={name: value for name, value in row.items() if name not in known},
    )


def _filling(sim_state: SimulatorState, count: int, payload: Payload) -> list[Job]:
    now, added, project = time.time(), time.monotonic(), _project(sim_state, payload)
    step = _number(payload, "spread_days", 365.0) * DAY_S / max(1, count)
    return [
        Job(f"job-{n:05d}", project, "JOB_SUCCESS", added, now - step * (count - n), now - step * (count - n))
        for n in range(1, count + 1)
    ]


def _faults(sim_state: SimulatorState, payload: Payload) -> None:
    match payload:
        case {"add": dict(wanted)}:
            known = {field.name for field in fields(Fault)}
            if unknown := set(wanted) - known:
                raise UsageError(f"fault: no such field {', '.join(sorted(unknown))}; use {', '.join(sorted(known))}")
            if "kind" not in wanted:
                raise UsageError("fault: it needs a kind")
            sim_state.faults.add(Fault(**wanted))
        case {"clear": True}:
            sim_state.faults.clear(_text_or_none(payload, "job_id"))
        case _:
            raise UsageError('faults: use {"add": {"kind": …}} or {"clear": true}')


def _outage(sim_state: SimulatorState, payload: Payload) -> None:
    mode = payload.get("mode")
    if mode is None:
        sim_state.outage = None
        return
    if mode not in set(OutageMode):
        raise UsageError(f"outage mode {mode!r}: use one of {', '.join(OutageMode)}, or null to end it")
    for_s = payload.get("for_s")
    until = None if for_s is None else time.monotonic() + _number(payload, "for_s", 0.0)
    method = _text_or_none(payload, "method") or "*"
    sim_state.outage = Outage(OutageMode(str(mode)), method, _text_or_none(payload, "project"), until)


def _credentials(sim_state: SimulatorState, payload: Payload) -> None:
    keys = sim_state.keys
    match payload:
        case {"set": {"ak": str(ak), "sk": str(sk), **rest}}:
            projects = rest.get("projects") or [sim_state.setup.project]
            if not isinstance(projects, list | tuple):
                raise UsageError("credential: projects is a list of project ids")
            token, enabled, sees = rest.get("security_token"), rest.get("enabled", True), rest.get("sees_jobs", True)
            keys.put(
                Credential(ak, sk, None if token is None else str(token), tuple(projects), bool(enabled), bool(sees))
            )
        case {"disable": str(ak)} | {"enable": str(ak)}:
            credential = keys.get(ak)
            if credential is None:
                raise UsageError(f"credential {ak}: there is no such key")
            keys.put(replace(credential, enabled="enable" in payload))
        case {"remove": str(ak)}:
            keys.remove(ak)
        case {"unlock": str(ak)}:
            keys.unlock(ak)
        case _:
            raise UsageError('credentials: use {"set": {"ak": …, "sk": …}}, or disable, enable, remove or unlock')


def _iam(sim_state: SimulatorState, payload: Payload) -> dict[str, object]:
    match payload:
        case {"user": {"name": str(name), "password": str(password), **rest}}:
            projects = rest.get("projects") or [sim_state.setup.project]
            if not isinstance(projects, list | tuple):
                raise UsageError("iam user: projects is a list of project ids")
            enabled, sees = bool(rest.get("enabled", True)), bool(rest.get("sees_jobs", True))
            domain = str(rest.get("domain") or sim_state.setup.users[0].domain)
            sim_state.iam.put(IamUser(name, password, domain, tuple(projects), enabled, sees))
        case {"life_s": _}:
            sim_state.iam.life_s = _number(payload, "life_s", 0.0)
        case {"expire": True}:
            return {"expired": sim_state.iam.expire(time.monotonic())}
        case {"refuse": str() | None as code}:
            sim_state.iam.refuse(code)
        case {"unlock": str(name)}:
            sim_state.iam.unlock(name)
        case _:
            raise UsageError('iam: use {"user": {"name": …, "password": …}}, or life_s, expire, refuse or unlock')
    return {}


def _limits(sim_state: SimulatorState, payload: Payload) -> None:
    per_s: list[int | None] = []
    for name in ("delete_per_s", "get_per_s"):
        value = payload.get(name)
        if value is not None and (not isinstance(value, int) or value < 1):
            raise UsageError(f"limits {name}: use a whole number of calls per second, or null for none")
        per_s.append(value)
    retry_after = None if payload.get("retry_after_s") is None else _number(payload, "retry_after_s", 0.0)
    sim_state.throttle = Throttle(per_s[0], per_s[1], retry_after)


def _answers(sim_state: SimulatorState, payload: Payload) -> None:
    for name in ("absent", "not_deletable"):
        if payload.get(name, "400") not in CHOICES:
            raise UsageError(f"answers {name}: use one of {', '.join(CHOICES)}")
    if payload.get("lists", "ordinary") not in set(Lists):
        raise UsageError(f"answers lists: use one of {', '.join(Lists)}")
    sim_state.lists = Lists(str(payload.get("lists", sim_state.lists)))
    sim_state.absent = str(payload.get("absent", sim_state.absent))
    sim_state.not_deletable = str(payload.get("not_deletable", sim_state.not_deletable))
    sim_state.isolate_app_users = bool(payload.get("isolate_app_users", sim_state.isolate_app_users))
    sim_state.ignore_filters = bool(payload.get("ignore_filters", sim_state.ignore_filters))


def _calls(sim_state: SimulatorState, payload: Payload) -> dict[str, object]:
    try:
        since, limit = int(str(payload.get("since", 0))), int(str(payload.get("limit", 1000)))
    except ValueError:
        raise UsageError("calls: since and limit are whole numbers") from None
    page = sim_state.calls.page(since, limit, _text_or_none(payload, "job_id"))
    return {"calls": page, "next": page[-1]["n"] if page else since}


def _project(sim_state: SimulatorState, payload: Payload) -> str:
    return _text_or_none(payload, "project") or sim_state.setup.project


def _text_or_none(payload: Payload, name: str) -> str | None:
    value = payload.get(name)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{name}: use text")
    return value


def _number(payload: Payload, name: str, default: float) -> float:
    value = payload.get(name, default)
    if isinstance(value, bool) or not isinstance(value, _NUMBER):
        raise UsageError(f"{name}: use a number")
    return float(value)
