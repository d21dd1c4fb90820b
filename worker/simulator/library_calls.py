"""The calls of the asset library and of voice training jobs."""

from __future__ import annotations

import json
from collections.abc import Callable

from worker.simulator import library_views, responses
from worker.simulator.assets import BLOCKED, IN_BIN, IN_USE, PURGED, SETTABLE, Asset
from worker.simulator.calls import Call
from worker.simulator.events import Actor
from worker.simulator.http1 import Request
from worker.simulator.library import Library
from worker.simulator.library_lists import list_assets, list_voice_jobs
from worker.simulator.queries import BadQuery, Viewer, read_query
from worker.simulator.responses import INVALID_PARAMETER, Reply

SUMMARIES = 100  # assets in one call; the documents name no number
_TEXTS = ("asset_name", "asset_description", "tags")
Changed = Callable[[], None]  # has the log know that the call changed something


def answer_asset(request: Request, call: Call, viewer: Viewer, library: Library, changed: Changed) -> Reply:
    """Every operation on assets."""
    if call.operation == "list":
        return _list_assets(request, viewer, library)
    if call.operation == "summary":
        return _summarize(request, viewer, library)
    asset = library.assets.find(call.id or "", viewer)
    if asset is None or (asset.state == PURGED and not library.behaviour.tombstones):
        return responses.ABSENT_ASSET[library.behaviour.absent_asset]
    if call.operation == "show":
        return Reply(200, responses.as_json(library_views.asset(asset)))
    if asset.project != viewer.project or asset.system:
        return INVALID_PARAMETER
    actor = Actor(call.ak or "", call.n)
    change = {"delete": _delete, "update": _update, "restore": _restore}[call.operation]
    reply = change(request, asset, library, actor)
    if reply.status == 200:
        changed()
    return reply


def answer_voice_job(request: Request, call: Call, viewer: Viewer, library: Library, changed: Changed) -> Reply:
    """Every operation on voice jobs."""
    behaviour = library.behaviour
    if call.operation == "list":
        try:
            count, jobs = list_voice_jobs(library, request.query, viewer)
        except BadQuery:
            return INVALID_PARAMETER
        rows = [library_views.voice_job(job) for job in jobs]
        return responses.odd_listing(behaviour.voice_lists, count, rows, by_id=call.id is not None)
    job = library.voice_jobs.find(call.id or "", viewer)
    if job is None:
        return responses.CHOICES[behaviour.absent_voice_job]
    if call.operation == "show":
        return Reply(200, responses.as_json(library_views.voice_job(job)))
    library.voice_jobs.delete(job, Actor(call.ak or "", call.n))
    library.after_voice_job(job)
    changed()
    return Reply(200)


def _list_assets(request: Request, viewer: Viewer, library: Library) -> Reply:
    try:
        count, assets = list_assets(library, request.query, viewer)
    except BadQuery:
        return INVALID_PARAMETER
    rows = [library_views.asset(asset) for asset in assets]
    by_id = "asset_id" in read_query(request.query)
    return responses.odd_listing(library.behaviour.asset_lists, count, rows, by_id=by_id, named="assets")


def _summarize(request: Request, viewer: Viewer, library: Library) -> Reply:
    ids = _body(request).get("asset_ids")
    if not isinstance(ids, list) or not 0 < len(ids) <= SUMMARIES:
        return INVALID_PARAMETER
    found = [library.assets.find(str(asset_id), viewer) for asset_id in ids]
    hidden = None if library.behaviour.tombstones else PURGED
    rows = [library_views.asset_summary(asset) for asset in found if asset is not None and asset.state != hidden]
    return Reply(200, responses.as_json({"asset_list": rows}))


def _delete(request: Request, asset: Asset, library: Library, actor: Actor) -> Reply:
    mode, behaviour = read_query(request.query).get("mode"), library.behaviour
    if asset.state == PURGED:
        return responses.ABSENT_ASSET[behaviour.absent_asset]
    refused = (
        mode not in {None, "force"}
        or (asset.state in IN_USE and behaviour.enforce_deactivation)
        or (asset.state == BLOCKED and not behaviour.delete_blocked)
        or (asset.state == IN_BIN and not (mode and behaviour.force_from_bin))
    )
    if refused:
        return INVALID_PARAMETER
    if mode == "force" and behaviour.purge_after_s is not None:
        library.later.do(behaviour.purge_after_s, lambda: library.assets.purge(asset, actor))
    elif not mode:
        library.assets.bin(asset, actor, behaviour.bin_days)
    return Reply(200)


def _update(request: Request, asset: Asset, library: Library, actor: Actor) -> Reply:
    body = _body(request)
    state = body.get("asset_state")
    texts = {name: body[name] for name in _TEXTS if name in body}
    if not (state or texts) or (state is not None and state not in SETTABLE) or asset.state not in SETTABLE:
        return INVALID_PARAMETER
    if texts:
        library.assets.update(asset, texts, actor)
    if state is not None:
        library.assets.set_state(asset, str(state), actor)
    return Reply(200, responses.as_json(library_views.asset(asset)))


def _restore(_request: Request, asset: Asset, library: Library, actor: Actor) -> Reply:
    if asset.state != IN_BIN:
        return INVALID_PARAMETER
    library.assets.restore(asset, actor)
    return Reply(200)


def _body(request: Request) -> dict[str, object]:
    """The JSON object of the request; empty if it is none."""
    try:
        body = json.loads(request.body)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
