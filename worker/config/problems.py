"""Collects what is wrong, so that a configuration reports all its errors at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from worker.model.errors import SettingsError, SettingsErrors, UsageError

ENVIRONMENT = "environment"


@dataclass(slots=True)
class Problems:
    """What was wrong so far, each once. `with problems:` ends at an error of its block and keeps it; `settle` raises.

    with problems:
        values["rate"] = check_rate(text)
    problems.settle()
    """

    found: dict[str, UsageError] = field(default_factory=dict)

    def __enter__(self) -> None: ...

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> bool:
        if not isinstance(error, UsageError):
            return False
        for each in error.errors if isinstance(error, SettingsErrors) else (error,):
            self.found.setdefault(str(each), each)
        return True

    def none_of(self, *names: str) -> bool:
        """Whether these settings are right so far, and may be compared with each other."""
        wrong = {each.name.removesuffix("_FILE") for each in self.found.values() if isinstance(each, SettingsError)}
        return wrong.isdisjoint(names)

    def settle(self, origins: Mapping[str, str] | None = None) -> None:
        """Raise what was found, as one error. origins: where the value of each setting comes from."""
        errors = list(self.found.values())
        if not errors:
            return
        settings = [each for each in errors if isinstance(each, SettingsError)]
        if len(settings) < len(errors):
            raise errors[0] if len(errors) == 1 else UsageError("\n".join(map(str, errors)))
        if origins is not None:
            settings = [each if each.origin else each.at(origins.get(each.name, ENVIRONMENT)) for each in settings]
        raise settings[0] if len(settings) == 1 else SettingsErrors(settings)
