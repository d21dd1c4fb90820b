"""What a List of assets or of voice jobs is asked for, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from worker.simulator import library_views
from worker.simulator.assets import PURGED, Asset
from worker.simulator.library import Library
from worker.simulator.queries import BadQuery, Page, Viewer, parts_of, read_moment, read_page, read_pairs, read_query
from worker.simulator.voice_jobs import VoiceJob

T = TypeVar("T")

_SOURCES = frozenset({"SYSTEM", "CUSTOMIZATION", "ALL"})
_ROLES = frozenset({"SHARER", "SHAREE"})

AssetTest = Callable[[Asset, str], bool]
VoiceTest = Callable[[VoiceJob, str], bool]

_ASSET_FILTERS: dict[str, AssetTest] = {
    "asset_state": lambda one, wanted: one.state in parts_of(wanted),
    "asset_type": lambda one, wanted: one.asset_type in parts_of(wanted),
    "name": lambda one, wanted: wanted in str(library_views.asset(one)["asset_name"]),
    "start_time": lambda one, wanted: one.created >= read_moment(wanted),
    "end_time": lambda one, wanted: one.created <= read_moment(wanted),
    "app_user_id": lambda one, wanted: one.fields.get("app_user_id") == wanted,
}
_VOICE_FILTERS: dict[str, VoiceTest] = {
    "job_id": lambda one, wanted: one.job_id == wanted,
    "state": lambda one, wanted: one.state in parts_of(wanted),
    "voice_name": lambda one, wanted: library_views.voice_job(one)["voice_name"] == wanted,
    "batch_name": lambda one, wanted: one.fields.get("batch_name") == wanted,
    "job_type": lambda one, wanted: library_views.voice_job(one)["job_type"] == wanted,
}
_ASSET_KEYS: dict[str, Callable[[Asset], float]] = {
    "create_time": lambda one: one.created,
    "update_time": lambda one: one.updated,
    "asset_order": lambda one: one.created,
}
_VOICE_KEYS: dict[str, Callable[[VoiceJob], float]] = {
    **dict.fromkeys(("create_time", "ceate_time"), lambda one: one.created),  # the second is the documents' spelling
    "update_time": lambda one: one.updated,
}


def list_assets(library: Library, query: str, viewer: Viewer) -> tuple[int, list[Asset]]:
    """The number of all that match, and the requested page. Raises `BadQuery`."""
    given, behaviour = read_query(query), library.behaviour
    page = read_page(given, _ASSET_KEYS)
    ids = {value for name, value in read_pairs(query) if name == "asset_id" and value}
    wanted = None if behaviour.ignore_asset_ids or not ids else ids
    found = [one for one in _candidates(library, given, viewer, wanted) if viewer.may_see(one)]
    if not behaviour.tombstones:
        found = [one for one in found if one.state != PURGED]
    return _page(found, given, _ASSET_FILTERS, page, _ASSET_KEYS[page.sort_key])


def list_voice_jobs(library: Library, query: str, viewer: Viewer) -> tuple[int, list[VoiceJob]]:
    """The same of voice jobs."""
    given = read_query(query)
    page = read_page(given, _VOICE_KEYS, "desc")
    found = [one for one in library.voice_jobs.of(viewer.project) if viewer.sees(one)]
    return _page(found, given, _VOICE_FILTERS, page, _VOICE_KEYS[page.sort_key])


def _candidates(library: Library, given: dict[str, str], viewer: Viewer, ids: set[str] | None) -> Iterable[Asset]:
    """By default the project's own; `role` and `asset_source` say others. With `ids` only these."""
    role, source, assets = given.get("role"), given.get("asset_source", "CUSTOMIZATION"), library.assets
    if source not in _SOURCES or role not in {None, *_ROLES}:
        raise BadQuery("role or asset_source")
    own = assets.own(viewer.project, ids)
    foreign = [one for one in assets.foreign(viewer.project) if ids is None or one.asset_id in ids]
    if role == "SHAREE":
        return [one for one in foreign if not one.system]
    if role == "SHARER":
        return [one for one in own if one.shared_with]
    system = [] if source == "CUSTOMIZATION" else [one for one in foreign if one.system]
    return [*(() if source == "SYSTEM" else own), *system]


def _page(
    found: list[T],
    given: dict[str, str],
    filters: dict[str, Callable[[T, str], bool]],
    page: Page,
    key: Callable[[T], float],
) -> tuple[int, list[T]]:
    for name in filters.keys() & given.keys():
        found = [one for one in found if filters[name](one, given[name])]
    found.sort(key=key, reverse=page.descending)
    return len(found), found[page.offset : page.end]
