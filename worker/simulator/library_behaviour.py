"""How the service treats assets and voice jobs: every switch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from worker.model.errors import UsageError
from worker.simulator.responses import ABSENT_ASSET, CHOICES, Lists

CASCADES = ("none", "bin", "purge")
OF = ("asset", "all")
_MAY_BE_NEVER = ("bin_days", "purge_after_s")


@dataclass(frozen=True, slots=True)
class LibraryBehaviour:
    """How the service treats assets and voice jobs; what no document says is a switch."""

    cascade: str = "none"  # what a job's DELETE does to what it leaves
    cascade_of: str = "all"  # to its model asset only, or to its voice job and its voice asset, too
    cascade_after_s: float = 0.0
    voice_cascade: str = "none"  # what a voice job's DELETE does to its asset
    enforce_deactivation: bool = True  # DELETE of an asset in use is answered 400, as the console has it
    force_from_bin: bool = True  # mode=force is taken for what is in the bin
    purge_after_s: float | None = 0.0  # mode=force is answered at once and takes effect later; None: never
    delete_blocked: bool = True  # the tenant may delete a frozen asset
    bin_days: float | None = 7.0  # None: the bin is never emptied
    tombstones: bool = True  # a purged asset is still shown and listed, as DELETED
    absent_asset: str = "400"
    absent_voice_job: str = "400"
    ignore_asset_ids: bool = False  # a list that ignores asset_id, and with it whose assets were meant
    asset_lists: str = Lists.ORDINARY
    voice_lists: str = Lists.ORDINARY

    def __post_init__(self) -> None:
        choices: dict[str, tuple[str, ...]] = {
            **dict.fromkeys(("cascade", "voice_cascade"), CASCADES),
            "cascade_of": OF,
            "absent_asset": tuple(ABSENT_ASSET),
            "absent_voice_job": tuple(CHOICES),
            **dict.fromkeys(("asset_lists", "voice_lists"), tuple(Lists)),
        }
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in choices and value not in choices[each.name]:
                raise UsageError(f"{each.name}: use one of {', '.join(choices[each.name])}")
            if isinstance(each.default, bool) and not isinstance(value, bool):
                raise UsageError(f"{each.name}: use true or false")
            if isinstance(each.default, float) and not _is_time(value, never=each.name in _MAY_BE_NEVER):
                raise UsageError(f"{each.name}: use a number of 0 or more")

    def changed(self, given: Mapping[str, object]) -> LibraryBehaviour:
        """Raises `UsageError`."""
        if unknown := set(given) - {each.name for each in fields(self)}:
            known = ", ".join(each.name for each in fields(self))
            raise UsageError(f"the library has no switch {', '.join(sorted(unknown))}; use {known}")
        return replace(self, **given)  # type: ignore[arg-type]


def _is_time(value: object, *, never: bool) -> bool:
    if value is None:
        return never
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
