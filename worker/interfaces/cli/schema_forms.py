"""What the JSON schemas are made of, as tables: the vocabulary, and the forms of all JSON that we print or send.

A form is the names of its fields. `name=type` where a field has another type here than in the vocabulary; `name?` where
it may be missing. `[type]` is a list, `{type}` an object from names to values. `job_id` is missing of what is no job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.config.webhooks import TEST, EventType
from worker.ledger.types import Effect
from worker.model.erasure import Inventory, PartEvidence, Verdict
from worker.model.states import Evidence, Lane, State, WaitingFor
from worker.receipts.receipt import EVENTS
from worker.receipts.receipt import FIELDS as OF_A_RECEIPT

TYPES: Mapping[str, Any] = {
    "text": {"type": ["string", "null"]},
    "when": {"type": ["string", "null"], "format": "date-time"},
    "flag": {"type": ["boolean", "null"]},
    "whole": {"type": ["integer", "null"]},
    "number": {"type": ["number", "null"]},
}
WORDS: Mapping[str, Any] = {
    "deletion_state": {"enum": [*State, None]},
    "waiting_for": {"enum": [*WaitingFor, None]},
    "evidence": {"enum": [*Evidence, None]},
    "part_evidence": {"enum": [*PartEvidence, None]},
    "lane": {"enum": [*Lane, None]},
    "effect": {"enum": [*Effect, None]},
    "erasure": {"enum": [*Verdict, None]},
    "inventory": {"enum": [*Inventory, None]},
    "receipt_event": {"enum": [*EVENTS, None], "description": "Null: it has ended so."},
    "sent_ever": {"enum": ["yes", "no", "perhaps", None]},
    "cause": {"type": ["string", "null"], "description": "docs/states.md lists them."},
}
FIELDS: Mapping[str, str] = {  # type -> the fields that have it
    "text": """
        account act after after_replay algorithm answer app_user_hash asset_id before by cascade check checkpoint code
        command credentials cursor day detail endpoint error event expected family fate fault file finished_by
        finished_reason found from gate group hash head hint host http_request_id id job_id key keyid kind
        ledger_endpoint link look_request_id message name now of origin outcome part part_id payload payloadType plan
        policy policy_hash prev problem project_id proof reason redis refused region removed_by replay request_id
        requested_by result root rule run sample schedule scope secret selection setting settings sig signed_by
        skip_reason stage state stopped_by target task task_id title to todo token trouble type url value verdict
        voice_train_job_id was webhook what why witness worker
    """,
    "when": """
        at began_at closed_at create_time deadline_at due due_at ended_at finished_at first_finished_at first_seen last
        last_at last_finished_at last_replay last_seen last_update_time made_at next next_at next_look_at next_try_at
        oldest_deadline previous_until recorded_at requested_at since slot started timestamp until
    """,
    "flag": """
        accepted begun bin_listed by_key changed complete configured deduplicated deleted_job_listed done elsewhere
        healthy in_ledger in_settings kept may_be_deleted more moving ok on over_cap relocated removed revoked silent
        tombstone_listed
    """,
    "whole": """
        acts ahead app_user_holds archived_n back calls came_back cancelled cap carried count damaged dead deleted
        deletions discarded due_before ever exit_code fed fewest first_n gone held holds jobs last_n left limit line
        listed looked_at looks most ms n not_erased on_hold open pending period_s pid policies really_deleted receipt
        receipts records redacted rejected remaining requested round selected sent size status superseded texts threads
        times total v waiting will_be_discarded will_be_replayed will_be_requested will_be_restored with_avatar
    """,
    "number": """
        after_s by_s clock_s days_left expected_s grace_s heartbeat_age_s last_s oldest_due_s oldest_waiting_s percent
        rate silent_s
    """,
    "[text]": "accounts includes_finished projects scopes unread waits wrong",
    "[when]": "verified_at",
    "[number]": "schedule_s",
    "{text}": "commitments labels not_archived salts",
    "{whole}": """
        first_word gone_by_evidence groups marks not_fed outcomes related_left results totals witnesses
    """,
    "count_of_states": "states parts",
    "count_of_verdicts": "erasures",
    "[attempt]": "attempts",
    "[change]": "changes",
    "[claim]": "claims",
    "[closure]": "closures",
    "[error_object]": "errors",
    "[happened]": "events",
    "[group_of_parked]": "parked",
    "[letter]": "letters",
    "[part_seen]": "related",
    "[proposal]": "proposals",
    "[quota]": "quotas",
    "[running_replay]": "replays",
    "[signature_of_key]": "signatures",
    "[skipped_kind]": "skipped",
    "[stray]": "projects_elsewhere",
    "[alarm]": "retention",
    "[account_overview]": "accounts_gone",
    "[target_named]": "will_be_erased",
    "[live_process]": "beats",
    "[receipt_line]": "items",
    "[live_worker]": "workers",
    "[waiting_at_endpoint]": "webhooks",
    "archived_mark": "archived",
    "facts_found": "facts",
    "receipt_line": "certificate",
    "signed": "signature",
    "webhook_data": "data",
}

_TARGET = "project_id kind id job_id"
_OUTCOME = f"{_TARGET} result done detail"
_LETTER = f"""{_TARGET} cause status code finished_at deadline_at requested_at round requested_by reason run lane replay
    group days_left"""
_GROUP = "group cause status code count first_seen last_seen oldest_deadline last_replay"
_PARKED = "kind what count ever since last why group"
_REPLAY = """stage what by started reason replay state waits finished_at finished_reason finished_by total left fed
    deleted gone dead cancelled back open held ahead not_fed first_word expected_s groups accounts"""
_PLAN_OF_LETTERS = "what skipped=[skipped_word] groups cap over_cap"
_PLAN_OF_PARTS = "jobs skipped=[skipped_part] cap over_cap"
_MOVED_LETTER = f"{_TARGET} state=deletion_state done error"
_HELD_USER = "accounts result released=whole"
_PLAN = """plan policy_hash listed selected skipped projects=[list_of_project] related=text with_avatar
    came_back=[text] over_cap=[text] complete includes_finished grace_s"""
_RUN = """policy policy_hash account started slot by listed selected requested skipped stopped_by outcomes run
    finished_at"""
_DELETION = f"""{_TARGET} state=deletion_state waiting_for cause evidence lane reason requested_by requested_at due_at
    deadline_at finished_at round account run replay may_be_deleted asset_id voice_train_job_id erasure"""
_NUMBERS = """account selection receipts jobs deleted gone discarded cancelled dead pending came_back not_erased
    related_left gone_by_evidence superseded first_finished_at last_finished_at first_n last_n head signed_by"""
_OVERVIEW = "account endpoint ledger_endpoint since waiting in_settings deletions holds credentials elsewhere"
_TARGET_IN_MESSAGE = f"account {_TARGET}"
_DELETION_IN_MESSAGE = f"{_TARGET_IN_MESSAGE} state=deletion_state round run requested_at"
_OTHERS = {  # types that a field of a receipt has otherwise
    **{"attempts": "whole", "state": "deletion_state", "claims": "[claim_in_receipt]", "event": "receipt_event"},
    **{"sent": "sent_ever", "related": "parts_or_text"},
}
RECEIPT = " ".join(f"{name}={_OTHERS[name]}" if name in _OTHERS else name for name in OF_A_RECEIPT)
RECEIPT += " salts commitments prev hash"
TRAILER = "kind v account count first_n last_n prev head selection day root checkpoint signature hash"
CERTIFICATE = "kind v receipt=receipt_line signature proof"
ENVELOPE = "payload payloadType signatures"

PARTS: Mapping[str, str] = {  # objects within others
    "account_overview": _OVERVIEW,
    "alarm": "why command",
    "answered": "status code",
    "archived_mark": """receipt file problem attempts=whole status code request_id look_request_id finished_by
        finished_reason""",
    "attempt": "n round at status code message request_id ms outcome",
    "change": "fate after_s by_s",
    "claim": "requested_by reason run lane requested_at",
    "claim_in_receipt": "requested_by reason run policy",
    "closure": "scope name cause since until target project_id requested_by",
    "count_of_open": "pending running=whole held dead",
    "count_of_states": " ".join(f"{state}=whole" for state in State),
    "count_of_verdicts": " ".join(f"{verdict}=whole" for verdict in Verdict),
    "delivery_attempt": "at status ms why",
    "error_object": "type message hint exit_code setting? origin? rule? errors?",
    "facts_found": """delete=answered looks parts=[part_learnt] absent_job=answered deleted_job_listed
        absent_part={answered} tombstone_listed bin_listed""",
    "fewest_and_most": "fewest most",
    "gate_of_account": "account gate since until rate reason closures quotas endpoint elsewhere",
    "group_of_parked": _PARKED,
    "letter": _LETTER,
    "list_of_project": "listed total problem project_id selected percent",
    "live_process": "pid silent_s",
    "live_worker": "worker host pid threads heartbeat_age_s clock_s not_archived silent",
    "part_learnt": "kind id before changes last=text last_s cascade",
    "part_seen": "part id project_id before after removed_by evidence=part_evidence calls verified_at due",
    "proposal": "setting value why",
    "quota": "family scope limit period_s remaining at rate",
    "receipt_line": RECEIPT,
    "running_replay": "replay why command",
    "share_of_replay": "account rate gate due_before count",
    "signature_of_key": "keyid sig",
    "signed": "algorithm key value",
    "skipped_kind": "skip_reason count",
    "skipped_part": f"{_TARGET} part part_id skip_reason",
    "skipped_word": "what skip_reason",
    "stray": "moving command project_id account settings",
    "target_named": _TARGET,
    "waiting_at_endpoint": "endpoint waiting dead",
}
COMMANDS: Mapping[str, tuple[str, ...]] = {  # command -> the forms of what it prints
    "accounts list": (f"{_OVERVIEW} projects",),
    "accounts move": ("project_id to carried left", "project_id from to states={whole} holds begun app_user_holds"),
    "accounts rebind": ("account endpoint was changed", "account endpoint was"),
    "audit": (
        """id account at by reason of run cap results http_request_id act last_at app_user_hash project_id job_id
        count""",
    ),
    "cancel": (_OUTCOME,),
    "config check": ("file accounts=whole policies webhooks=whole",),
    "config show": (
        "setting value origin",
        "account endpoint region rate projects related=text credentials origin",
        "webhook url events=[text] projects secrets=[text]",
    ),
    "console link": ("link",),
    "console tokens create": ("name token scopes file",),
    "console tokens list": ("name scopes projects made_at previous_until",),
    "console tokens revoke": ("name revoked file",),
    "console tokens rotate": ("name token scopes file",),
    "damaged discard": ("account name result",),
    "damaged list": (f"account name {_TARGET} why answer",),
    "dead discard": (_MOVED_LETTER, f"will_be_discarded {_PLAN_OF_LETTERS}"),
    "dead groups": (_GROUP,),
    "dead list": (_LETTER,),
    "dead replay": (
        f"{_PLAN_OF_LETTERS} will_be_replayed on_hold expected_s marks accounts=[share_of_replay]",
        _MOVED_LETTER,
        _REPLAY,
    ),
    "dead restore": (_MOVED_LETTER, f"will_be_restored {_PLAN_OF_LETTERS}"),
    "dead show": (f"{_GROUP} letters",),
    "demo": (
        """title trouble expected jobs after_replay really_deleted sample request_id wrong outcomes=[text]
        attempts=fewest_and_most ok""",
    ),
    "doctor": ("check verdict found todo",),
    "health": ("healthy redis refused workers=[live_process]", "healthy redis refused beats"),
    "hold add": (_OUTCOME, _HELD_USER),
    "hold import": (_OUTCOME,),
    "hold list": (f"account {_TARGET} reason by since until app_user_hash",),
    "hold remove": (_OUTCOME, _HELD_USER),
    "learn": (
        """account project_id job_id by reason began_at state schedule_s next_look_at closed_at facts proposals""",
        """project_id job_id state schedule_s asset_id voice_train_job_id""",
        """project_id job_id result""",
    ),
    "list": (f"{_DELETION} status code",),
    "metrics": ("name labels value=number",),
    "parked discard": ("group discarded", "group will_be_discarded"),
    "parked list": (_PARKED, "id task why at times project_id job_id kept"),
    "parked send": ("group sent",),
    "pause": ("account gate was",),
    "receipts back list": (f"{_TARGET} account at command",),
    "receipts back request": (_OUTCOME, "will_be_requested"),
    "receipts cosign": ("file origin size witness key",),
    "receipts export": (f"{_NUMBERS} open=count_of_open fault", RECEIPT, TRAILER, ENVELOPE),
    "receipts recheck": (f"{_TARGET} now text=text request_id command",),
    "receipts rechecks": ("id account by key results at last_at ended_at since",),
    "receipts relocate": ("account archived_n relocated", "account archived_n"),
    "receipts show": (CERTIFICATE, "file"),
    "receipts verify": (
        f"file ok {_NUMBERS} redacted",
        "file ok certificate by_key origin size witnesses",
        "file ok line why",
    ),
    "redact": ("records receipts acts kept=whole", "what deletions texts receipts acts"),
    "related erase": (_OUTCOME, f"will_be_erased {_PLAN_OF_PARTS}"),
    "related list": ("account project_id job_id policy erasure inventory related next_look_at",),
    "related restore": (_OUTCOME, f"will_be_restored=[target_named] {_PLAN_OF_PARTS}"),
    "replay cancel": (_REPLAY,),
    "replay list": (_REPLAY,),
    "replay status": (_REPLAY,),
    "request": ("kind id job_id state=deletion_state accepted deduplicated effect error",),
    "resume": ("account gate was",),
    "retention plan": (f"policy {_TARGET} selected=flag skip_reason detail state create_time last_update_time", _PLAN),
    "retention run": (f"{_RUN} over_cap=[text] unread", _PLAN),
    "retention runs": ("policy policy_hash account schedule next", _RUN),
    "show": (f"{_DELETION} attempts claims events inventory related archived",),
    "status": (
        """states parts erasures oldest_due_s workers accounts=[gate_of_account] damaged came_back parked webhooks
        projects_elsewhere accounts_gone retention replays""",
    ),
    "webhooks add": ("endpoint url secret",),
    "webhooks deliveries": ("id account endpoint at state next_at ended_at attempts=[delivery_attempt] type data",),
    "webhooks edit": ("endpoint url events=[text] projects on",),
    "webhooks list": (
        """endpoint configured url events=[text] projects secrets=whole in_ledger on problem waiting dead
        oldest_waiting_s totals""",
    ),
    "webhooks remove": ("endpoint removed", "endpoint plan=flag waiting"),
    "webhooks replay": ("id endpoint result", "endpoint plan=flag count"),
    "webhooks rotate": ("endpoint url secret",),
    "webhooks test": ("endpoint url status ms answer accepted",),
}
_ACCOUNT = "account scope name cause next_try_at?"
WEBHOOKS: Mapping[str, str] = {  # type of a message -> the form of its data
    EventType.DELETED: _DELETION_IN_MESSAGE,
    EventType.GONE: f"{_DELETION_IN_MESSAGE} evidence",
    EventType.DEAD: f"{_DELETION_IN_MESSAGE} cause",
    EventType.CANCELLED: _DELETION_IN_MESSAGE,
    EventType.ERASURE_CLOSED: f"{_TARGET_IN_MESSAGE} verdict=erasure",
    EventType.REPLAY_FINISHED: "account replay state total deleted gone dead cancelled",
    EventType.ACCOUNT_CLOSED: _ACCOUNT,
    EventType.ACCOUNT_OPENED: _ACCOUNT,
    EventType.PARKED: "account kind group task task_id project_id job_id",
    TEST: "account endpoint",
}
