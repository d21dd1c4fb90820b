"""The asset library: assets, their states, the recycle bin, and who may see what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from worker.model.errors import UsageError
from worker.simulator.events import AS_OPERATOR, AS_SERVICE, Actor, Events, What
from worker.simulator.kinds import ASSET
from worker.simulator.later import Later
from worker.simulator.queries import Viewer

MODEL, VOICE = "HUMAN_MODEL_2D", "VOICE_MODEL"
UNACTIVED, ACTIVED, WAITING_DELETE = "UNACTIVED", "ACTIVED", "WAITING_DELETE"
IN_BIN, PURGED, BLOCKED = "DELETING", "DELETED", "BLOCK"
SETTABLE = frozenset({UNACTIVED, ACTIVED, WAITING_DELETE})
"""The states that an update may set, and may change."""
IN_USE = frozenset({ACTIVED, WAITING_DELETE})

_SETS = {ACTIVED: What.ACTIVATED, UNACTIVED: What.DEACTIVATED}


@dataclass(slots=True)
class Asset:
    """One asset. `fields` are what List and Show add to it."""

    asset_id: str
    project: str
    asset_type: str
    state: str
    created: float  # Unix time
    updated: float
    fields: dict[str, object] = field(default_factory=dict)
    shared_with: tuple[str, ...] = ()  # projects
    system: bool = False  # MetaStudio's own: every project sees it, no one may change it
    before: str = ""  # the state that a restore or an unfreeze goes back to
    binned: int = 0  # how often; tells one stay in the bin from the next


class AssetLibrary:
    """Assets by project and id."""

    def __init__(self, events: Events, later: Later) -> None:
        self._assets: dict[str, dict[str, Asset]] = {}
        self._abroad: dict[tuple[str, str], Asset] = {}  # those that other projects may see
        self._events, self._later = events, later

    def add(self, asset: Asset) -> None:
        """Add an asset, or replace one with the same id."""
        self._put(asset)
        self._note(asset, What.ADDED, AS_OPERATOR)

    def get(self, project: str, asset_id: str) -> Asset | None:
        return self._assets.get(project, {}).get(asset_id)

    def demand(self, project: str, asset_id: str) -> Asset:
        if asset := self.get(project, asset_id):
            return asset
        raise UsageError(f"there is no asset {asset_id!r} in project {project}")

    def find(self, asset_id: str, viewer: Viewer) -> Asset | None:
        """The project's own first; then one that is shared with it, or MetaStudio's."""
        asset = self.get(viewer.project, asset_id)
        if asset is None:
            asset = next((one for one in self.foreign(viewer.project) if one.asset_id == asset_id), None)
        return asset if asset is not None and viewer.may_see(asset) else None

    def own(self, project: str, ids: Iterable[str] | None = None) -> Iterable[Asset]:
        """The project's own; of `ids` only."""
        assets = self._assets.get(project, {})
        found = assets.values() if ids is None else (assets[asset_id] for asset_id in ids if asset_id in assets)
        return (asset for asset in found if not asset.system)

    def foreign(self, project: str) -> Iterable[Asset]:
        """Those of other projects that this one sees."""
        for (owner, _), asset in self._abroad.items():
            if asset.system or (owner != project and project in asset.shared_with):
                yield asset

    def every(self) -> Iterable[Asset]:
        return (asset for assets in self._assets.values() for asset in assets.values())

    def bin(self, asset: Asset, actor: Actor, days: float | None) -> None:
        """Into the recycle bin; `days` later it is purged (None: never)."""
        if asset.state in (IN_BIN, PURGED):
            return
        if asset.state != BLOCKED:
            asset.before = asset.state
        asset.binned += 1
        self._move(asset, IN_BIN, What.BINNED, actor)
        if days is not None:
            stay = asset.binned
            self._later.do(days * 86_400.0, lambda: self._empty(asset, stay))

    def purge(self, asset: Asset, actor: Actor) -> None:
        if asset.state != PURGED:
            self._move(asset, PURGED, What.PURGED, actor)

    def restore(self, asset: Asset, actor: Actor) -> None:
        """Out of the bin, to the state before it."""
        self._move(asset, asset.before or UNACTIVED, What.RESTORED, actor)

    def set_state(self, asset: Asset, state: str, actor: Actor) -> None:
        self._move(asset, state, _SETS.get(state, What.UPDATED), actor)

    def update(self, asset: Asset, given: Mapping[str, object], actor: Actor) -> None:
        """Change what List and Show say of it."""
        asset.fields.update(given)
        self._move(asset, asset.state, What.UPDATED, actor)

    def block(self, asset: Asset) -> None:
        """Freeze it; one that is in the bin leaves it, and what is purged cannot be frozen."""
        if asset.state == PURGED:
            raise UsageError(f"asset {asset.asset_id}: it is purged")
        if asset.state not in (IN_BIN, BLOCKED):
            asset.before = asset.state
        self._move(asset, BLOCKED, What.BLOCKED, AS_OPERATOR)

    def unblock(self, asset: Asset) -> None:
        """Unfreeze it: back to the state before it was frozen, or before the bin if it was in it."""
        if asset.state != BLOCKED:
            raise UsageError(f"asset {asset.asset_id}: it is not blocked but {asset.state}")
        self._move(asset, asset.before or UNACTIVED, What.UNBLOCKED, AS_OPERATOR)

    def transfer(self, asset: Asset, project: str) -> None:
        """Make it another project's."""
        del self._assets[asset.project][asset.asset_id]
        self._abroad.pop((asset.project, asset.asset_id), None)
        self._note(asset, What.TRANSFERRED, AS_OPERATOR)
        asset.project = project
        self._put(asset)

    def _put(self, asset: Asset) -> None:
        self._assets.setdefault(asset.project, {})[asset.asset_id] = asset
        self._abroad.pop((asset.project, asset.asset_id), None)
        if asset.system or asset.shared_with:
            self._abroad[(asset.project, asset.asset_id)] = asset

    def _empty(self, asset: Asset, stay: int) -> None:
        if asset.state == IN_BIN and asset.binned == stay and self.get(asset.project, asset.asset_id) is asset:
            self.purge(asset, AS_SERVICE)

    def _move(self, asset: Asset, state: str, what: What, actor: Actor) -> None:
        asset.state, asset.updated = state, self._later.unix()
        self._note(asset, what, actor)

    def _note(self, asset: Asset, what: What, actor: Actor) -> None:
        self._events.add(ASSET, asset.project, asset.asset_id, what, actor)
