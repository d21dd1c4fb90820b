"""`eraser config`: is the configuration right, and what is in force? Neither Redis nor MetaStudio is used."""

from __future__ import annotations

import os

import click

from worker.config.settings import Settings
from worker.interfaces.cli.group import CommandGroup
from worker.interfaces.cli.output import Reading
from worker.interfaces.cli.printing import json_option, result, say, table
from worker.services import configuration
from worker.services.labels import count


@click.group(cls=CommandGroup)
def config() -> None:
    """The configuration of this shell: its environment and the TOML file of ERASER_CONFIG."""


@config.command()
@click.argument("file", required=False)
@json_option
def check(file: str | None) -> None:
    """Check the environment and a TOML file: every mistake at once, each with its line. Exit 0, or 2.

    FILE is read instead of the one that ERASER_CONFIG names. Neither Redis nor MetaStudio is used, and no credentials.

    \b
    eraser config check eraser.toml
    """
    found = configuration.check(os.environ, file)
    result(found.as_json())
    accounts, policies = count(found.accounts, "account"), count(found.policies, "policy", "policies")
    also = f", {count(found.webhooks, 'webhook')}" if found.webhooks else ""
    say(f"{found.file or 'The environment'}: {accounts}, {policies}{also}. Nothing is wrong.")


@config.command(cls=Reading)
@json_option
def show() -> None:
    """The settings and accounts in force, secrets masked, and where each comes from.

    \b
    eraser config show --json
    """
    settings = Settings.load(os.environ)
    for one in configuration.in_force(settings):
        result(one)
    table(["SETTING", "VALUE", "ORIGIN"], settings.describe())
