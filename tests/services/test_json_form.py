"""Records as JSON: names, times and targets are the same for every record."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from worker.model.states import State
from worker.model.target import Target
from worker.services.json_form import as_json


@dataclass(frozen=True)
class Inner:
    since: float | None
    name: str = "n"


@dataclass(frozen=True)
class Outer:
    ref: Target | None
    state: State
    finished_at: float | None
    parts: tuple[Inner, ...]
    secret: str = "s"

    @property
    def double(self) -> str:
        return self.secret * 2


OUTER = Outer(Target("p", "j"), State.DEAD, 0.0, (Inner(None), Inner(1_000.0)))


def test_every_field_has_its_name_times_are_rfc_3339_and_a_target_is_kind_and_id() -> None:
    made = as_json(OUTER, but=("secret",))
    assert json.loads(json.dumps(made)) == {
        "project_id": "p",
        "kind": "job",
        "id": "j",
        "job_id": "j",
        "state": "dead",
        "finished_at": "1970-01-01T00:00:00.000Z",
        "parts": [{"since": None, "name": "n"}, {"since": "1970-01-01T00:00:01.000Z", "name": "n"}],
    }


def test_named_fields_and_properties_are_all_there_is() -> None:
    assert as_json(OUTER, "double", "state") == {"double": "ss", "state": "dead"}


def test_a_field_may_have_another_name_and_what_it_is_not_about_has_no_target() -> None:
    nothing = {"project_id": None, "kind": None, "id": None, "job_id": None}
    assert as_json(replace(OUTER, ref=None), "ref", secret_at="finished_at") == nothing | {
        "secret_at": "1970-01-01T00:00:00.000Z"
    }
    assert as_json(Inner(1.0), called="name") == {"since": "1970-01-01T00:00:00.001Z", "called": "n"}
