"""Commands of the control API: a method whose body runs in the simulator's thread, wherever it is called.

    POST /_control/<command> {"argument": value, …}      on the same port, unsigned; answers {"result": …}
    curl URL/_control/fault -d '{"kind": "error", "job_id": "job-00002", "times": null}'

An invalid command is answered 400 `{"error": …}` and changes nothing. The commands are the methods of `Controls`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache, wraps
from inspect import signature
from types import UnionType
from typing import Any, Concatenate, ParamSpec, TypeVar, get_args, get_type_hints

from worker.model.errors import UsageError
from worker.simulator.state import SimulatorState

P = ParamSpec("P")
R = TypeVar("R")

Json = dict[str, Any]
BATCH = 5_000  # jobs or calls in one command: keeps the simulator's thread free for other calls
DAY_S = 86_400.0

COMMANDS: dict[str, Callable[..., Any]] = {}
_EXPECTED = {str: "text", float: "a number", int: "a whole number", bool: "true or false", dict: "an object"}


class Commands(ABC):
    """Who has commands."""

    state: SimulatorState  # only where commands are executed

    @abstractmethod
    def _run(self, name: str, arguments: Mapping[str, Any]) -> Any:
        """Have the command executed; raise `UsageError` if it is invalid."""


def command(effect: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Make a method a command: its caller may be anywhere, its body runs where `self.state` is. `self._run(name,
    arguments)` has it executed.
    """
    COMMANDS[effect.__name__] = effect

    @wraps(effect)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        arguments = dict(signature(effect).bind(self, *args, **kwargs).arguments)
        del arguments["self"]
        result: R = self._run(effect.__name__, arguments | arguments.pop("more", {}))
        return result

    return call


def execute(target: object, name: str, arguments: Mapping[str, Any]) -> Any:
    """Execute a command by its name on what has the state; raise `UsageError` if it is invalid."""
    effect = COMMANDS.get(name)
    if effect is None:
        raise UsageError(f"/_control/{name}: no such command; there are: {', '.join(COMMANDS)}")
    for argument, hint in _hints(effect).items():
        if argument in arguments and not _is(arguments[argument], hint):
            kind = get_args(hint)[0] if isinstance(hint, UnionType) else hint
            raise UsageError(f"{name} {argument}: use {_EXPECTED.get(getattr(kind, '__origin__', kind), 'a list')}")
    try:
        return effect(target, **arguments)
    except (TypeError, ValueError) as error:  # an argument too many or too few, or a value of another form
        raise UsageError(f"{name}: {error}") from None


@cache
def _hints(effect: Callable[..., Any]) -> dict[str, Any]:
    return {name: hint for name, hint in get_type_hints(effect).items() if name not in ("return", "more")}


def _is(value: object, hint: Any) -> bool:
    if isinstance(hint, UnionType):
        return any(_is(value, each) for each in get_args(hint))
    for kind in (bool, str):  # neither is a number or a list here
        if isinstance(value, kind):
            return hint is kind
    return isinstance(value, int | float if hint is float else getattr(hint, "__origin__", hint))
