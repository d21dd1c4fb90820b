"""`eraser`, the command line. Each command has its own module, which is imported when it is called."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

import click

from worker import __version__
from worker.config.environment import REASON_PATTERN, check_pattern
from worker.config.personal import allow
from worker.interfaces.cli.errors import tell, wants_json
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import lasting
from worker.interfaces.cli.terminal import colour, prepare
from worker.ledger.schema.states import VERSION
from worker.model.errors import EraserError, SettingsError

COMMANDS = [
    *("demo", "up", "request", "list", "show", "status", "cancel", "pause", "resume", "hold", "retention", "dead"),
    *("replay", "related", "parked", "damaged", "webhooks", "receipts", "audit", "redact", "accounts", "console"),
    *("metrics", "learn", "config", "doctor", "health", "simulator"),
]
MODULES = {"pause": "gate", "resume": "gate", "list": "listing"}  # every other command is in the module of its name

DOORS = ("request", "related", "dead", "retention")  # deletions are requested by them: see `worker.execution.tracing`


class _Lazy(CommandGroup):
    """Imports a command's module only when it is called: `eraser status` must not wait for Celery."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return COMMANDS

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{MODULES.get(name, name)}")
        command: click.Command = getattr(module, name)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        from worker.config.tables import nearest

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(error.message.rstrip(".") + nearest(args[0], COMMANDS), ctx) from None

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> NoReturn:
        """Run a command and end the process. All errors are reported here; an internal error is raised."""
        words = sys.argv[1:] if args is None else list(args)
        try:
            ended = super().main(words, *more, **extra | {"standalone_mode": False})
        except Exception as error:
            code = tell(error, as_json=wants_json(words))
            if code is None:
                raise
            sys.exit(code)
        sys.exit(ended if isinstance(ended, int) else 0)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="eraser", message=f"%(prog)s %(version)s, schema version {VERSION}")
def eraser() -> None:
    """Reliable deletion of MetaStudio avatar training jobs, with proof.

    New here? `eraser demo` shows it all on this machine, without an account.
    """
    context = click.get_current_context()
    context.color = colour(os.environ)
    with suppress(SettingsError):  # a wrong one is reported by what reads all settings
        pattern = os.environ.get(REASON_PATTERN)
        allow(check_pattern(pattern, REASON_PATTERN) if pattern else None)
    if context.invoked_subcommand in DOORS:
        from worker.execution import tracing

        context.with_resource(tracing.command(context.invoked_subcommand, os.environ))


def main() -> None:
    """The console script. Exit codes: 0 done, 1 something failed, 2 usage or settings, 3 refused by a safety rule,
    4 Redis or MetaStudio unreachable, 5 accepted but not finished."""
    prepare()
    logging.getLogger().addHandler(logging.NullHandler())  # commands say in words what the log says to machines
    with lasting(lambda lost: tell(EraserError(lost), as_json=wants_json(sys.argv[1:]))):
        eraser.main()
