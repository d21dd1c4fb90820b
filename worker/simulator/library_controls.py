"""The commands about what a training job leaves behind: assets, voice jobs, and how the service treats them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from worker.model.errors import UsageError
from worker.model.shares import batches
from worker.simulator.assets import Asset
from worker.simulator.avatars import Ids, read_asset, read_avatar, read_voice_job
from worker.simulator.commands import BATCH, DAY_S, Commands, Json, command
from worker.simulator.events import AS_OPERATOR


class LibraryControls(Commands):
    """`project` None is the default project. Ids are left as they are given: odd ones can be tried, too."""

    def add_avatar(
        self,
        job_id: str,
        state: str = "JOB_SUCCESS",
        *,
        voice: bool = True,
        asset_id: str | None = None,
        voice_job_id: str | None = None,
        voice_asset_id: str | None = None,
        asset_state: str = "ACTIVED",
        voice_asset_state: str = "ACTIVED",
        asset_project: str | None = None,
        project: str | None = None,
        **fields: object,
    ) -> Ids:
        """Add a training job with its model asset, its voice job and the voice asset, all linked; the ids are returned.

        They are asset-`job_id`, voice-`job_id` and voice-asset-`job_id` unless given. `asset_project`: the model asset
        is another project's. `fields` as in `add_job`, and `cascade`, `cascade_of` and `cascade_after_s` for this job.
        """
        given = {"asset_id": asset_id, "voice_job_id": voice_job_id, "voice_asset_id": voice_asset_id, "voice": voice}
        states = {"state": state, "asset_state": asset_state, "voice_asset_state": voice_asset_state}
        row = {"job_id": job_id, **given, **states, "asset_project": asset_project, "project": project, **fields}
        return self.add_avatars([row])[0]

    def add_avatars(self, rows: Iterable[Mapping[str, object]]) -> list[Ids]:
        """Add many; each row needs a `job_id`, the rest as in `add_avatar`."""
        return [ids for batch in batches(map(dict, rows), BATCH) for ids in self.put_avatars(batch)]

    @command
    def put_avatars(self, avatars: list[Any]) -> list[Ids]:
        """Add or replace training jobs with all that they leave."""
        every = [read_avatar(row, self.state.project) for row in avatars]
        for avatar in every:
            avatar.add_to(self.state.library)
            self.state.job_store.add(avatar.job)
        return [avatar.ids for avatar in every]

    def add_asset(
        self,
        asset_id: str,
        asset_type: str = "HUMAN_MODEL_2D",
        asset_state: str = "ACTIVED",
        *,
        voice_asset_id: str | None = None,
        shared_with: Sequence[str] = (),
        system: bool = False,
        project: str | None = None,
        **fields: object,
    ) -> None:
        """Add an asset alone. `voice_asset_id` is what its model names; `shared_with` are projects that see it, too;
        `system`: it is MetaStudio's own. `fields` as Show names them, `created_at` and `updated_at` in Unix time.
        """
        known = {"asset_id": asset_id, "asset_type": asset_type, "asset_state": asset_state, "project": project}
        more = {"voice_asset_id": voice_asset_id, "shared_with": list(shared_with), "system": system}
        self.put_assets([{**known, **more, **fields}])

    @command
    def put_assets(self, assets: list[Any]) -> None:
        """Add or replace assets; each row as the arguments of `add_asset`."""
        for asset in [read_asset(row, self.state.project) for row in assets]:
            self.state.library.assets.add(asset)

    def add_voice_job(
        self,
        job_id: str,
        state: str = "SUCCEED",
        *,
        asset_id: str | None = None,
        dhtms_job_id: str | None = None,
        project: str | None = None,
        **fields: object,
    ) -> None:
        """Add a voice training job alone; `asset_id` is shown once it has succeeded."""
        links = {"asset_id": asset_id, "dhtms_job_id": dhtms_job_id}
        self.put_voice_jobs([{"job_id": job_id, "state": state, "project": project, **links, **fields}])

    @command
    def put_voice_jobs(self, jobs: list[Any]) -> None:
        """Add or replace voice jobs; each row as the arguments of `add_voice_job`."""
        for job in [read_voice_job(row, self.state.project) for row in jobs]:
            self.state.library.voice_jobs.add(job)

    # -- what happens to them by other hands ---------------------------------------------------------------------------

    @command
    def move_asset(self, asset_id: str, asset_state: str, *, project: str | None = None) -> None:
        """Put an asset in another state now; DELETING is the bin, with its clock, and DELETED is for good."""
        asset, library = self._asset(asset_id, project), self.state.library
        if asset_state == "DELETING":
            library.assets.bin(asset, AS_OPERATOR, library.behaviour.bin_days)
        elif asset_state == "DELETED":
            library.assets.purge(asset, AS_OPERATOR)
        else:
            library.assets.set_state(asset, asset_state, AS_OPERATOR)

    @command
    def restore_asset(self, asset_id: str, *, project: str | None = None) -> None:
        """Somebody takes it out of the bin."""
        asset = self._asset(asset_id, project)
        if asset.state != "DELETING":
            raise UsageError(f"restore_asset: {asset_id} is not in the bin but {asset.state}")
        self.state.library.assets.restore(asset, AS_OPERATOR)

    @command
    def block_asset(self, asset_id: str, *, project: str | None = None) -> None:
        """Freeze an asset, also one in the bin."""
        self.state.library.assets.block(self._asset(asset_id, project))

    @command
    def unblock_asset(self, asset_id: str, *, project: str | None = None) -> None:
        """Unfreeze it: it is again as before it was frozen, and if it was in the bin then as before that."""
        self.state.library.assets.unblock(self._asset(asset_id, project))

    @command
    def transfer_asset(self, asset_id: str, to: str, *, project: str | None = None) -> None:
        """Make an asset another project's."""
        self.state.library.assets.transfer(self._asset(asset_id, project), to)

    @command
    def move_library_clock(self, days: float) -> None:
        """Let so many days pass for the bin, and for what the service takes along late."""
        self.state.library.later.advance(days * DAY_S)

    # -- how the service behaves ---------------------------------------------------------------------------------------

    @command
    def set_library(self, /, **more: object) -> None:
        """Set switches of `library_behaviour.LibraryBehaviour`; those that are not named stay."""
        library = self.state.library
        library.behaviour = library.behaviour.changed(more)

    # -- what happened -------------------------------------------------------------------------------------------------

    @command
    def assets(self) -> dict[str, dict[str, str]]:
        """{project: {asset: state}} of every asset that there is or was."""
        return _states((one.project, one.asset_id, one.state) for one in self.state.library.assets.every())

    @command
    def voice_jobs(self) -> dict[str, dict[str, str]]:
        """{project: {voice job: state}} of those that still exist."""
        return _states((one.project, one.job_id, one.state) for one in self.state.library.voice_jobs.every())

    @command
    def tally(self) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
        """{project: {kind:id: {what: {by: times}}}}: what happened to each asset and voice job, and by whom: a key
        (iam:<user> for a token), `service` or `operator`. `what` is one of `events.What`.
        """
        return self.state.library.events.tally()

    def events(self, since: int = 0, *, id: str | None = None) -> list[Json]:
        """The same one by one, oldest first, with the fields of `events.Event`; `call` is the number in the log."""
        found: list[Json] = []
        while page := self.page_of_events(since, BATCH, id):
            found += page
            since = page[-1]["n"]
        return found

    @command
    def page_of_events(self, since: int = 0, limit: int = BATCH, id: str | None = None) -> list[Json]:
        """The first `limit` of them."""
        return self.state.library.events.page(since, limit, id)

    def _asset(self, asset_id: str, project: str | None) -> Asset:
        return self.state.library.assets.demand(project or self.state.project, asset_id)


def _states(every: Iterable[tuple[str, str, str]]) -> dict[str, dict[str, str]]:
    """{project: {id: state}}."""
    found: dict[str, dict[str, str]] = {}
    for project, id, state in every:
        found.setdefault(project, {})[id] = state
    return found
