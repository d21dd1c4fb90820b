"""Assets of the asset library that a training job leaves behind: the avatar's model, and a cloned voice.

Without `mode=force` a DELETE only moves one into the recycle bin (`DELETING`, restorable for seven days); `DELETED`
says that its files are deleted for good. From the documents and the SDK 3.1.219; see docs/related.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from worker.metastudio.targets.adapter import Adapter, Family, Row, text
from worker.model.target import MODEL_ASSET, VOICE_ASSET

PURGED: Final = "DELETED"
IN_BIN: Final = "DELETING"
_DEACTIVATE: Final = {"asset_state": "UNACTIVED"}


@dataclass(frozen=True, slots=True)
class AssetRow(Row):
    """One asset."""

    asset_type: str | None = None


def _row(common: dict[str, Any], asset: dict[str, Any]) -> AssetRow:
    return AssetRow(**common, asset_type=text(asset, "asset_type"))


def _of_type(asset_type: str) -> Callable[[Row, str], str | None]:
    def why_not_ours(row: Row, _job_id: str) -> str | None:
        found = row.asset_type if isinstance(row, AssetRow) else None
        return None if found == asset_type else f"it is no {asset_type}"

    return why_not_ours


MODEL: Final = Adapter(
    kind=MODEL_ASSET,
    word="model asset",
    path="digital-assets",
    rows="assets",
    id_field="asset_id",
    state_field="asset_state",
    deletable=frozenset({"CREATING", "FAILED", "UNACTIVED", "ACTIVED", "BLOCK", "WAITING_DELETE", IN_BIN}),
    gone=frozenset({PURGED}),
    in_bin=frozenset({IN_BIN}),
    deleting=Family("asset_delete", {"cn-north-4": 10.0, "cn-east-3": 5.0, "ap-southeast-3": 5.0}),
    reading=Family("asset_read", {"cn-north-4": 20.0, "cn-east-3": 10.0, "ap-southeast-3": 10.0}),
    mode="mode=force",
    bin_mode="",
    update_first={"ACTIVED": _DEACTIVATE, "WAITING_DELETE": _DEACTIVATE},
    absent_codes=frozenset({"MSS.10001001"}),
    make_row=_row,
    says_project=True,
    why_not_ours=_of_type("HUMAN_MODEL_2D"),
)
VOICE: Final = replace(MODEL, kind=VOICE_ASSET, word="voice asset", why_not_ours=_of_type("VOICE_MODEL"))
