"""`eraser console tokens`: the HTTP API's tokens, of which only hashes are kept (see `worker.config.token_file`)."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from worker.config.settings import Settings
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.printing import for_programs, json_option, listed, note, result, say
from worker.model.errors import UsageError
from worker.model.ids import why_bad_id
from worker.services.times import parse_span, relative, rfc3339, span

if TYPE_CHECKING:
    from worker.config.api_tokens import ApiToken
    from worker.config.token_file import TokenFile

SCOPES = ("request", "read", "operate")


@click.group(cls=CommandGroup)
def tokens() -> None:
    """The HTTP API's bearer tokens: their names, scopes and projects. A change takes effect at once.

    \b
    eraser console tokens create shop --scope request --scope read
    eraser console tokens list
    eraser console tokens rotate shop --overlap 24h
    eraser console tokens revoke shop
    """


@tokens.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    required=True,
    help="request: request deletions. read: see them and the metrics. operate: both, and everything operators do.",
)
@click.option("--project", "projects", multiple=True, metavar="P", help="Only this project; may be repeated.")
@click.option("--print", "only_print", is_flag=True, help="Print the file's lines on stdout, the token on stderr.")
@json_option
def create(name: str, scopes: tuple[str, ...], projects: tuple[str, ...], only_print: bool) -> None:
    """Make a token and show it once. NAME, the service that uses it, is recorded as the requester.

    Only its hash is kept, in ERASER_API_TOKENS_FILE.

    \b
    eraser console tokens create shop --scope request --scope read
    """
    from worker.config.api_tokens import Scope, make, section

    for project in projects:
        if why := why_bad_id(project, "project id"):
            raise UsageError(f"--project: {why}")
    made, secret = make(name, map(Scope, scopes), projects=projects)
    lines, file = section(made, datetime.now(UTC)), _file()
    if not only_print:
        file.add(made, lines)
    if for_programs():
        _tell_programs(made, secret, file)
        return
    # stdout has only the one that is written to a file
    click.echo(lines if only_print else secret)
    note(f"The token {secret if only_print else name} may {', '.join(sorted(made.scopes))}. It is shown only once.")
    if not only_print:
        note(f"Its hash is in {file.path}")


@tokens.command(name="list")
@json_option
def list_() -> None:
    """Every token: its name, scopes and projects. Secrets are shown nowhere.

    \b
    eraser console tokens list
    """
    file, now = _file(), datetime.now(UTC)

    def row(token: ApiToken) -> tuple[object, ...]:
        made = relative(_ms(token.made), _ms(now)) if token.made else "-"
        until = f"{span((_until(token, now) - now).total_seconds())} more" if _until(token, now) > now else "-"
        return token.name, ", ".join(sorted(token.scopes)), ", ".join(sorted(token.projects)) or "all", made, until

    columns, none = ["NAME", "SCOPES", "PROJECTS", "MADE", "EARLIER SECRET"], f"No token in {file.path}."
    listed(file.current(), lambda token: _json(token, now), columns, row, none=none)


@tokens.command()
@click.argument("name")
@click.option("--overlap", metavar="24h", help="For how long the old secret still works. [not at all]")
@json_option
def rotate(name: str, overlap: str | None) -> None:
    """Give a token a new secret and show it once. Name, scopes and projects stay.

    \b
    eraser console tokens rotate shop --overlap 24h
    """
    file, longer = _file(), parse_span(overlap, "--overlap") if overlap else 0.0
    token, secret = file.rotate(name, datetime.now(UTC), overlap=timedelta(seconds=longer))
    if for_programs():
        _tell_programs(token, secret, file)
        return
    click.echo(secret)
    note(f"This is the new secret of {name}. It is shown only once.")
    note(f"The old one works for {span(longer)} more." if longer else "The old one no longer works.")


@tokens.command()
@click.argument("name")
@json_option
def revoke(name: str) -> None:
    """Remove a token: whatever presents it is refused from now on. This cannot be undone.

    \b
    eraser console tokens revoke shop
    """
    file = _file()
    file.revoke(name)
    result({"name": name, "revoked": True, "file": str(file.path)})
    say(f"The token {name} is revoked: it no longer works.")


def _file() -> TokenFile:
    from worker.config.token_file import TokenFile, path_of

    return TokenFile(path_of(Settings.load(os.environ), os.environ))


def _tell_programs(token: ApiToken, secret: str, file: TokenFile) -> None:
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
