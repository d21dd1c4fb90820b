"""What all commands that act share: who, why and the confirmation as options; the plan, and the outcome of each job."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from worker.interfaces.cli.printing import json_option, note, result, say, sum_up, table
from worker.model.errors import DryRun, RefusedBySafetyRule, UsageError
from worker.services.act import CAP_RULE, Approval, Outcome, Plan
from worker.services.current_user import operator
from worker.services.labels import count

Decorator = Callable[[Callable[..., None]], Callable[..., None]]

REASON = "A ticket number or a few plain words."
LISTED = 100  # up to this many jobs are listed one by one; of more only those that were not done
_CONFIRMATION = ("yes", "most", "as_json", "only_plan")

by_option = click.option(
    "--by", metavar="WHO", default=operator, help="Your opaque id; never a name. [this system's user]"
)
yes_option = click.option("--yes", is_flag=True, help="Execute the plan.")
plan_option = click.option("--plan", "only_plan", is_flag=True, help="Show the plan only: exit 0, not 3.")
max_option = click.option("--max", "most", type=click.IntRange(min=0), metavar="N", help="At most N; needed above 100.")


def acting(*more: Decorator, reason: bool = True, why: str = REASON, by: Decorator = by_option) -> Decorator:
    """`--reason`, `--by` and `--json`, and more such as `--yes`: the command gets an `approval`.

    reason: whether it is required; why: its help.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(*args: Any, **fields: Any) -> None:
            again = typed(click.get_current_context()) if "yes" in fields else ""
            yes, most = fields.pop("yes", True), fields.pop("most", None)
            only_plan = fields.pop("only_plan", False)
            if only_plan and yes:
                raise UsageError("give --plan or --yes, not both")
            approval = Approval(fields.pop("by"), fields.pop("reason"), yes, most, again, only_plan)
            try:
                command(*args, approval=approval, **fields)
            except RefusedBySafetyRule as refusal:
                if not only_plan or refusal.rule not in (DryRun.name, CAP_RULE):
                    raise
                note(f"Nothing was done. {DryRun.before_hint}")
                note(f"  {refusal.hint}")

        made: Callable[..., None] = run
        reason_option = click.option("--reason", required=reason, metavar="R", help=why)
        plans = [plan_option] if yes_option in more else []
        options: list[Decorator] = [json_option, *plans, *reversed(more), by, reason_option]
        for option in options:
            made = option(made)
        return made

    return decorate


def typed(context: click.Context, *without: str) -> str:
    """The command as typed, without its confirmation and those parameters."""
    words = ["eraser", *context.command_path.split()[1:]]
    for param in context.command.params:
        name, value = param.name or "", context.params.get(param.name or "")
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE and name not in (*_CONFIRMATION, *without):
            option = [] if isinstance(param, click.Argument) else [param.opts[0]]
            for one in value if isinstance(value, tuple) else [value]:
                words += option if one is True else [*option, str(one)]
    return shlex.join(words)


def show(plan: Plan, approval: Approval) -> None:
    """Print what would be done. Programs that confirm it only want to know what was done."""
    if plan.fields is not None and not approval.yes:
        result(plan.fields)
    say(f"PLAN  {plan.title}", style="bold")
    for text, number in plan.numbers.items():
        say(f"{number:11,}  {text}")
    for remark in plan.remarks:
        say(f"      {remark}")


def end(found: Sequence[Outcome], noun: str, done: str) -> NoReturn:
    """Show the outcomes and end the command. Exit 1 if one is not what was wanted."""
    number = sum(one.done for one in found)
    for one in found:
        result(one.as_json())
    if shown := found if len(found) <= LISTED else [one for one in found if not one.done][:LISTED]:
        table(["JOB", "WHAT HAPPENED"], [(one.target.name[:128], one.text) for one in shown])
        say()
    rest = f", {len(found) - number:,} not." if number < len(found) else "."
    sum_up(f"{count(number, noun)} {done}{rest}")
    sys.exit(0 if number == len(found) else 1)
