"""The JSON that commands print with `--json`, as JSON schemas: `python -m worker.interfaces.cli.schemas docs/schemas`.

One vocabulary: a field means the same and has the same type wherever it stands. Any value may be null: not known yet,
or there is none. A command prints objects of one of its forms, one a line, with all of the form's fields and no others.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.ledger.types import Effect
from worker.model.erasure import Verdict
from worker.model.states import Evidence, Lane, State, WaitingFor

BASE = "https://json-schema.org/draft/2020-12/schema"
VOCABULARY = "vocabulary.json"
TYPES: Mapping[str, Any] = {
    "text": {"type": ["string", "null"]},
    "when": {"type": ["string", "null"], "format": "date-time"},
    "flag": {"type": ["boolean", "null"]},
    "whole": {"type": ["integer", "null"]},
    "number": {"type": ["number", "null"]},
    "list": {"type": ["array", "null"]},
    "object": {"type": ["object", "null"]},
    "any": {},
}
WORDS: Mapping[str, Any] = {
    "deletion_state": {"enum": [*State, None]},
    "waiting_for": {"enum": [*WaitingFor, None]},
    "evidence": {"enum": [*Evidence, None]},
    "lane": {"enum": [*Lane, None]},
    "effect": {"enum": [*Effect, None]},
    "erasure": {"enum": [*Verdict, None]},
    "cause": {"type": ["string", "null"], "description": "docs/states.md lists them."},
}
FIELDS: Mapping[str, str] = {  # type -> the fields that have it
    "text": """
        account act app_user_hash asset_id by check code command credentials detail endpoint error file
        finished_by finished_reason found gate group head http_request_id id inventory job_id key kind
        ledger_endpoint name now of origin plan policy policy_hash project_id reason replay request_id
        requested_by result run schedule signed_by skip_reason stage state stopped_by task todo token verdict
        voice_train_job_id was what why
    """,
    "when": """
        at began_at closed_at create_time deadline_at due_at ended_at finished_at first_finished_at first_seen
        last last_at last_finished_at last_replay last_seen last_update_time made_at next next_look_at
        oldest_deadline previous_until requested_at since slot started until
    """,
    "flag": """
        accepted by_key complete deduplicated done elsewhere in_settings kept may_be_deleted ok revoked
    """,
    "whole": """
        acts ahead back cancelled cap count damaged dead deleted deletions discarded ever fed first_n gone
        held holds jobs last_n left line listed not_erased on_hold open pending receipts records redacted
        requested round size status superseded texts times total waiting will_be_discarded will_be_replayed
        will_be_requested will_be_restored with_avatar
    """,
    "number": """
        days_left expected_s grace_s oldest_due_s
    """,
    "list": """
        accounts accounts_gone attempts claims events includes_finished letters parked projects
        projects_elsewhere proposals replays retention schedule_s scopes skipped unread waits webhooks workers
    """,
    "object": """
        archived certificate erasures facts first_word gone_by_evidence groups marks not_fed outcomes parts
        related_left results selection states witnesses
    """,
}
# command -> the forms of what it prints; `field=type` where a field of this name has another one than in the vocabulary
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "accounts list": (
        """account endpoint ledger_endpoint since waiting in_settings deletions holds credentials elsewhere
        projects""",
    ),
    "audit": (
        """id account at by reason of run cap results http_request_id act last_at app_user_hash project_id job_id
        count""",
    ),
    "cancel": ("""project_id kind id job_id result done detail""",),
    "console tokens create": ("""name token scopes file""",),
    "console tokens list": ("""name scopes projects made_at previous_until""",),
    "console tokens revoke": ("""name revoked file""",),
    "console tokens rotate": ("""name token scopes file""",),
    "dead discard": (
        """project_id kind id job_id state=deletion_state done error""",
        """will_be_discarded what skipped groups cap over_cap=flag""",
    ),
    "dead groups": ("""group cause status code count first_seen last_seen oldest_deadline last_replay""",),
    "dead list": (
        """project_id kind id job_id cause status code finished_at deadline_at requested_at round requested_by
        reason run lane replay group days_left""",
    ),
    "dead replay": (
        """what skipped groups cap over_cap=flag will_be_replayed on_hold expected_s marks accounts""",
        """project_id kind id job_id state=deletion_state done error""",
        """stage what by started reason replay state waits finished_at finished_reason finished_by total left fed
        deleted gone dead cancelled back open held ahead not_fed first_word expected_s groups accounts""",
    ),
    "dead restore": (
        """project_id kind id job_id state=deletion_state done error""",
        """will_be_restored what skipped groups cap over_cap=flag""",
    ),
    "dead show": ("""group cause status code count first_seen last_seen oldest_deadline last_replay letters""",),
    "doctor": ("""check verdict found todo""",),
    "hold add": ("""project_id kind id job_id result done detail""",),
    "hold list": ("""account project_id kind id job_id reason by since until app_user_hash""",),
    "learn": (
        """account project_id job_id by reason began_at state schedule_s next_look_at closed_at facts proposals""",
        """project_id job_id state schedule_s asset_id voice_train_job_id""",
        """project_id job_id result""",
    ),
    "list": (
        """project_id kind id job_id state=deletion_state waiting_for cause evidence lane reason requested_by
        requested_at due_at deadline_at finished_at round account run replay may_be_deleted status code asset_id
        voice_train_job_id erasure""",
    ),
    "parked discard": ("""group discarded""",),
    "parked list": ("""kind what count ever since last why group""", """id task why at times project_id job_id kept"""),
    "pause": ("""account gate was""",),
    "receipts back list": ("""project_id kind id job_id account at command""",),
    "receipts back request": ("""project_id kind id job_id result done detail""", """will_be_requested"""),
    "receipts recheck": ("""project_id kind id job_id now text request_id command""",),
    "receipts rechecks": ("""id account by key results at last_at ended_at since""",),
    "receipts verify": (
        """file ok account selection receipts jobs deleted gone discarded cancelled dead pending came_back=whole
        not_erased related_left gone_by_evidence superseded first_finished_at last_finished_at first_n last_n
        head signed_by redacted""",
        """file ok certificate by_key origin size witnesses=any""",
        """file ok line why""",
    ),
    "redact": ("""records receipts acts kept=whole""", """what deletions texts receipts acts"""),
    "replay list": (
        """stage what by started reason replay state waits finished_at finished_reason finished_by total left fed
        deleted gone dead cancelled back open held ahead not_fed first_word expected_s groups accounts""",
    ),
    "replay status": (
        """stage what by started reason replay state waits finished_at finished_reason finished_by total left fed
        deleted gone dead cancelled back open held ahead not_fed first_word expected_s groups accounts""",
    ),
    "request": ("""kind id job_id state=deletion_state accepted deduplicated effect error""",),
    "resume": ("""account gate was""",),
    "retention plan": (
        """policy project_id kind id job_id selected=flag skip_reason detail state create_time last_update_time""",
        """plan policy_hash listed selected=whole skipped projects related=text with_avatar came_back=list
        over_cap=list complete includes_finished grace_s""",
    ),
    "retention run": (
        """policy policy_hash account started slot by listed selected=whole requested skipped stopped_by outcomes
        run finished_at over_cap=list unread""",
        """plan policy_hash listed selected=whole skipped projects related=text with_avatar came_back=list
        over_cap=list complete includes_finished grace_s""",
    ),
    "retention runs": (
        """policy policy_hash account schedule next""",
        """policy policy_hash account started slot by listed selected=whole requested skipped stopped_by outcomes
        run finished_at""",
    ),
    "show": (
        """project_id kind id job_id state=deletion_state waiting_for cause evidence lane reason requested_by
        requested_at due_at deadline_at finished_at round attempts account run replay may_be_deleted claims
        events asset_id voice_train_job_id erasure inventory related=list archived""",
    ),
    "status": (
        """states parts erasures oldest_due_s workers accounts damaged came_back=whole parked webhooks
        projects_elsewhere accounts_gone retention replays""",
    ),
}


def vocabulary() -> dict[str, Any]:
    """Every field by its name, and every type."""
    named = {field: TYPES[kind] for kind, fields in FIELDS.items() for field in fields.split()}
    return {"$schema": BASE, "title": "The vocabulary of avatar-eraser", "$defs": {**TYPES, **named, **WORDS}}


def schema(command: str) -> dict[str, Any]:
    """The schema of one line that a command prints."""
    forms = [_form(form) for form in COMMANDS[command]]
    about = {"$schema": BASE, "title": f"A line of: eraser {command} --json"}
    return {**about, **(forms[0] if len(forms) == 1 else {"oneOf": forms})}


def _form(text: str) -> dict[str, Any]:
    fields = {name: kind or name for name, _, kind in (field.partition("=") for field in text.split())}
    properties = {name: {"$ref": f"{VOCABULARY}#/$defs/{kind}"} for name, kind in fields.items()}
    required = [name for name in properties if name != "job_id"]  # which only a job has
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def files() -> dict[str, str]:
    """Each file's name and content."""
    made = {VOCABULARY: vocabulary()} | {f"{name.replace(' ', '-')}.json": schema(name) for name in COMMANDS}
    return {name: json.dumps(document, indent=1) + "\n" for name, document in made.items()}


if __name__ == "__main__":
    for file, content in files().items():
        (Path(sys.argv[1]) / file).write_text(content, encoding="utf-8")
