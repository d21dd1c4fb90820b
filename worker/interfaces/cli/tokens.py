"""`eraser console tokens`: the HTTP API's tokens, of which only hashes are kept (see `worker.config.token_file`)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click

from worker.config.api_tokens import ApiToken, Scope, make, section
from worker.config.token_file import TokenFile, path_of
from worker.execution.app_context import AppContext
from worker.interfaces.cli import startup
from worker.interfaces.cli.acting import acting
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.printing import for_programs, json_option, listed, note, result, say
from worker.model.errors import UsageError
from worker.model.ids import why_bad_id
from worker.services import token_acts
from worker.services.act import Approval
from worker.services.times import parse_span, relative, rfc3339, span


@click.group(cls=CommandGroup)
def tokens() -> None:
    """The HTTP API's bearer tokens: their names, scopes and projects. A change takes effect at once.

    \b
    eraser console tokens create shop --scope request --scope read
    eraser console tokens list
    eraser console tokens rotate shop --overlap 24h --reason TICKET-4711
    eraser console tokens revoke shop --reason TICKET-4711
    """


@tokens.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice([one.value for one in Scope]),
    multiple=True,
    required=True,
    help="request: request deletions. read: see them and the metrics. operate: both, and everything operators do.",
)
@click.option("--project", "projects", multiple=True, metavar="P", help="Only this project; may be repeated.")
@click.option("--print", "only_print", is_flag=True, help="Print the file's lines on stdout, the token on stderr.")
@acting(reason=False)
def create(name: str, scopes: tuple[str, ...], projects: tuple[str, ...], only_print: bool, approval: Approval) -> None:
    """Make a token and show it once. NAME, the service that uses it, is recorded as the requester.

    Only its hash is kept, in ERASER_API_TOKENS_FILE.

    \b
    eraser console tokens create shop --scope request --scope read
    """
    for project in projects:
        if why := why_bad_id(project, "project id"):
            raise UsageError(f"--project: {why}")
    made, secret = make(name, map(Scope, scopes), projects=projects)
    app, now, remark = startup.load(), datetime.now(UTC), ""
    file = _file(app)
    if not only_print:
        remark = token_acts.create(app, file, made, now, approval)
    if for_programs():
        _tell_programs(made, secret, file, remark)
        return
    # stdout has only the one that is written to a file
    click.echo(section(made, now) if only_print else secret)
    note(f"The token {secret if only_print else name} may {', '.join(sorted(made.scopes))}. It is shown only once.")
    if not only_print:
        note(f"Its hash is in {file.path}")
    _remark(remark)


@tokens.command(name="list")
@json_option
def list_() -> None:
    """Every token: its name, scopes and projects. Secrets are shown nowhere.

    \b
    eraser console tokens list
    """
    file, now = _file(startup.load()), datetime.now(UTC)

    def row(token: ApiToken) -> tuple[object, ...]:
        made = relative(_ms(token.made), _ms(now)) if token.made else "-"
        until = f"{span((_until(token, now) - now).total_seconds())} more" if _until(token, now) > now else "-"
        return token.name, ", ".join(sorted(token.scopes)), ", ".join(sorted(token.projects)) or "all", made, until

    columns, none = ["NAME", "SCOPES", "PROJECTS", "MADE", "EARLIER SECRET"], f"No token in {file.path}."
    listed(file.current(), lambda token: _json(token, now), columns, row, none=none)


@tokens.command()
@click.argument("name")
@click.option("--overlap", metavar="24h", help="For how long the old secret still works. [not at all]")
@acting()
def rotate(name: str, overlap: str | None, approval: Approval) -> None:
    """Give a token a new secret and show it once. Name, scopes and projects stay.

    \b
    eraser console tokens rotate shop --overlap 24h --reason TICKET-4711
    """
    app, longer = startup.load(), parse_span(overlap, "--overlap") if overlap else 0.0
    file, now = _file(app), datetime.now(UTC)
    token, secret, remark = token_acts.rotate(app, file, name, now, timedelta(seconds=longer), approval)
    if for_programs():
        _tell_programs(token, secret, file, remark)
        return
    click.echo(secret)
    note(f"This is the new secret of {name}. It is shown only once.")
    note(f"The old one works for {span(longer)} more." if longer else "The old one no longer works.")
    _remark(remark)


@tokens.command()
@click.argument("name")
@acting()
def revoke(name: str, approval: Approval) -> None:
    """Remove a token: whatever presents it is refused from now on. This cannot be undone.

    \b
    eraser console tokens revoke shop --reason TICKET-4711
    """
    app = startup.load()
    file = _file(app)
    _remark(token_acts.revoke(app, file, name, approval))
    result({"name": name, "revoked": True, "file": str(file.path)})
    say(f"The token {name} is revoked: it no longer works.")


def _file(app: AppContext) -> TokenFile:
    return TokenFile(path_of(app.settings, app.environ))


def _remark(text: str) -> None:
    if text:
        note(text)


def _tell_programs(token: ApiToken, secret: str, file: TokenFile, remark: str) -> None:
    _remark(remark)
    result({"name": token.name, "token": secret, "scopes": sorted(token.scopes), "file": str(file.path)})


def _json(token: ApiToken, now: datetime) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "projects": sorted(token.projects),
        "made_at": rfc3339(_ms(token.made)) if token.made else None,
        "previous_until": rfc3339(_ms(_until(token, now))) if _until(token, now) > now else None,
    }


def _until(token: ApiToken, now: datetime) -> datetime:
    return token.previous_until or now


def _ms(at: datetime) -> float:
    return at.timestamp() * 1000
