"""The equation of the other side, held after every run of a fleet, whatever was killed: MetaStudio's own inventory.

What was there is what is there, and what was asked for and deleted. Of what was asked for and is called deleted or gone
nothing is left. Bystanders are untouched, one by one, and so is each asset and voice job whose deletion nobody asked
for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.ledgers import INDEXES
from worker.model.states import State
from worker.model.target import JOB, Target

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet

BY_THEMSELVES = ("service", "operator")  # MetaStudio, and the commands of a test
ENDED = {State.DELETED, State.GONE}


def adds_up(fleet: Fleet) -> None:
    """Compare MetaStudio's inventory with the ledgers of all accounts."""
    wrong = disagreements(fleet)
    assert not wrong, f"{len(wrong)} jobs do not add up:\n  " + "\n  ".join(wrong[:20])


def disagreements(fleet: Fleet) -> list[str]:
    """Each job with which the two sides disagree, in words. `fleet.restored`: jobs that came back later."""
    inventory = fleet.metastudio.inventory()
    called = fleet.metastudio.deletes()
    requests = _requests(fleet)
    requested = {(target.project_id, target.id): found for target, found in requests.items() if target.kind == JOB}
    ids = {job for _, job in requested}
    wrong: list[str] = []
    for (project, job), (came, went, here) in inventory.items():
        name = f"{project}/{job}"
        account, index = requested.get((project, job), (None, None))
        if came != went + here:
            wrong.append(f"{name} came {came} times and went {went}, and is {'' if here else 'not '}there")
        if account is None:
            if went or (job not in ids and called.get(job)):
                wrong.append(f"{name}: nobody asked for it, {called.get(job, 0)} DELETEs were sent, {went} did it")
        elif index in ENDED and here and job not in fleet.restored:
            wrong.append(f"{name} is called {index}, and is there")
        elif index is State.DELETED and not went:
            wrong.append(f"{name} is called deleted, and never was")
        elif went and index not in (*ENDED, State.RUNNING) and job not in fleet.restored:
            found = fleet.app.queries(account).show(Target(project, job))
            if found is not None and not found.may_be_deleted:
                wrong.append(f"{name} is {index} as if nothing had happened, and was deleted")
    deleted = {job for job, (_, index) in requested.items() if index is State.DELETED}
    wrong += [f"{project}/{job} is called deleted, and never was there" for project, job in deleted - set(inventory)]
    wanted = {(target.project_id, target.id) for target in requests if target.kind != JOB}
    for event in fleet.metastudio.events():
        if event["by"] not in BY_THEMSELVES and (event["project"], event["id"]) not in wanted:
            wrong.append(f"{event['kind']} {event['id']} was {event['what']} by {event['by']}, and nobody asked for it")
    return sorted(wrong)


def _requests(fleet: Fleet) -> dict[Target, tuple[str, State]]:
    """All that was ever asked for: its account, and the state whose index it stands in."""
    found: dict[Target, tuple[str, State]] = {}
    for account in fleet.app.settings.accounts:
        prefix = fleet.app.ledger(account).prefix
        for index in INDEXES:
            state = State.PENDING if index.startswith("due:") else State(index)
            members: Any = fleet.client.zrange(prefix + index, 0, -1)
            for member in members:
                found[Target.parse(member.decode())] = account, state
    return found
