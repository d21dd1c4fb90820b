"""The HTTP API's tokens: made, given a new secret and revoked, each with an entry in the audit.

The file is changed first: a token must end while Redis is away, too. Each function returns a remark for the operator,
which says why the audit has no entry, or is empty.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from worker.config.api_tokens import ApiToken, section
from worker.config.token_file import TokenFile
from worker.execution.app_context import AppContext
from worker.ledger.audit_actions import ActionName
from worker.services.act import Approval
from worker.services.noted import noted


def create(app: AppContext, file: TokenFile, token: ApiToken, now: datetime, approval: Approval) -> str:
    """Add a new token. Raises `UsageError`."""
    file.add(token, section(token, now))
    return _note(app, approval, ActionName.TOKEN_MADE, token.name, "made")


def rotate(
    app: AppContext, file: TokenFile, name: str, now: datetime, overlap: timedelta, approval: Approval
) -> tuple[ApiToken, str, str]:
    """Give a token a new secret: the token as it is now, the secret and the remark. Raises `UsageError`."""
    token, secret = file.rotate(name, now, overlap=overlap)
    return token, secret, _note(app, approval, ActionName.TOKEN_ROTATED, name, "rotated")


def revoke(app: AppContext, file: TokenFile, name: str, approval: Approval) -> str:
    """Remove a token. Raises `UsageError`."""
    file.revoke(name)
    return _note(app, approval, ActionName.TOKEN_REVOKED, name, "revoked")


def _note(app: AppContext, approval: Approval, action: ActionName, name: str, result: str) -> str:
    return noted(app, approval.entry(action, f"token {name}"), result)
