"""One reader for all tables: what is wrong, where, and what to write instead."""

from __future__ import annotations

import pytest

from worker.config.problems import Problems
from worker.config.tables import (
    Reader,
    Section,
    checked,
    flag,
    number,
    project_ids,
    read_table,
    reader,
    text,
    texts,
    variable_name,
)
from worker.config.toml import Toml
from worker.model.errors import SettingsError, SettingsErrors, UsageError

KEYS: dict[str, Reader] = {
    "title": text,
    "secret_env": variable_name,
    "live": flag,
    "size": number("a whole number of things", 10, int),
    "share": number("a share", 1, float),
    "colour": reader("red or blue", ("red", "blue").__contains__),
    "names": texts('a list of texts: {key} = ["…"]'),
    "projects": project_ids(),
    "length": checked(len, 'a length: {key} = "…"'),
}


def read(source: str, **options: object) -> dict[str, object]:
    toml = Toml.parse(f"[x.y]\n{source}", "f.toml")
    return read_table(toml.at("x", "y"), toml.content["x"]["y"], KEYS, **options)  # type: ignore[arg-type]


def test_what_is_there_is_read_and_converted_and_nothing_else_is() -> None:
    assert read('title = "t"\nsize = 3\nshare = 1\nnames = ["a", "b", "a"]\nlength = "four"') == {
        "title": "t",
        "size": 3,
        "share": 1.0,
        "names": ("a", "b"),
        "length": 4,
    }
    assert read("") == {}


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ('titel = "t"', "unknown key 'titel' \\(did you mean title\\?\\); known: title, secret_env"),
        ("title = 3", 'title: expected a text: title = "…"$'),
        ('title = ""', "title: expected a text"),
        ('secret_env = "hunter2"', "secret_env: expected the NAME of an environment variable.*, not the secret$"),
        ('live = "yes"', "live: expected true or false, without quotes; found 'yes'"),
        ("size = 1.5", "size: expected a whole number of things, above 0 and at most 10"),
        ("size = true", "size: expected a whole number"),
        ("share = 2", "share: expected a share, above 0 and at most 1, without quotes; found 2"),
        ('colour = "green"', "colour: expected red or blue; found 'green'"),
        ('names = "a"', "names: expected a list of texts"),
        ("names = []", "names: expected a list of texts"),
        ("names = [1]", "names: expected a list of texts"),
        ('projects = ["../x"]', "projects: a project id is"),
        ("length = 4", 'length: expected a length: length = "…"; found 4'),
    ],
)
def test_a_mistake_names_the_place_the_key_and_what_to_write(source: str, says: str) -> None:
    with pytest.raises(SettingsError, match=rf"^ERASER_CONFIG: f\.toml:2: \[x\.y\].*{says}"):
        read(source)


def test_a_key_that_is_needed_is_missed_with_what_to_write() -> None:
    with pytest.raises(SettingsError, match=r"names: expected a list of texts.*; it is missing"):
        read("", required=("names",))


def test_what_is_often_meant_comes_before_what_is_spelt_alike() -> None:
    with pytest.raises(SettingsError, match=r"'sizes' \(did you mean names\?\)"):
        read("sizes = 3", meant={"sizes": "names"})


def test_the_caller_chooses_the_error() -> None:
    with pytest.raises(UsageError) as caught:
        read_table(Toml.parse("live = 1", "f.toml", of_tokens).at(), {"live": 1}, KEYS)
    assert type(caught.value) is UsageError
    assert str(caught.value).startswith("f.toml:1: live: expected true or false")
    with pytest.raises(UsageError, match=r"^f\.toml:1: this is not TOML"):
        Toml.parse("[x]]", "f.toml", of_tokens)


def of_tokens(where: str, why: str) -> UsageError:
    return UsageError(f"{where}: {why}")


def test_all_that_is_wrong_in_a_table_is_reported_at_once_each_with_its_line() -> None:
    with pytest.raises(SettingsErrors) as caught:
        read('live = "yes"\n\nsize = [\n  1,\n]\ntitel = "t"\nshare = 0.5', required=("names",))
    assert [each.origin for each in caught.value.errors] == [
        "f.toml:7: [x.y]",  # the unknown key
        "f.toml:2: [x.y] live",
        "f.toml:4: [x.y] size",
        "f.toml:1: [x.y] names",  # it is missing: the line of its table
    ]
    assert str(caught.value).startswith("4 things are wrong:\n  ERASER_CONFIG: f.toml:7: [x.y]: unknown key 'titel'")
    assert caught.value.as_json()["errors"][1]["origin"] == "f.toml:2: [x.y] live"


SECTION = Section("shelves", "shelf", {"size": KEYS["size"]}, required=("size",))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("shelves = 1", r"shelves must be tables: write \[shelves.NAME\]"),
        ("[shelves]\na = 1", r"shelves.a must be a table: write \[shelves.a\]"),
        ("[shelves.A]\nsize = 1", "shelf name 'A': expected 1 to 32 lower-case letters"),
        ("[shelves.a]", r"\[shelves.a\] size: expected a whole number of things.*; it is missing"),
    ],
)
def test_a_section_has_tables_with_names(source: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        shelves(source)
    assert str(caught.value).startswith(f"ERASER_CONFIG: f.toml:{2 if 'a = 1' in source else 1}: ")


def shelves(source: str) -> dict[str, dict[str, object]]:
    problems = Problems()
    found = {place.name: values for place, values in SECTION.read(Toml.parse(source, "f.toml"), problems)}
    problems.settle()
    return found


def test_one_wrong_table_hides_no_other() -> None:
    source = "[shelves.a]\nsize = 0\n[shelves.b]\nsize = 1\n[shelves.c]\nsize = 11\n"
    with pytest.raises(SettingsErrors) as caught:
        shelves(source)
    assert [each.origin for each in caught.value.errors] == ["f.toml:2: [shelves.a] size", "f.toml:6: [shelves.c] size"]


def test_a_line_is_found_however_the_file_is_written() -> None:
    toml = Toml.parse(
        '# [a.x]\r\n"a" . b.c = 1\r\n[ "a" .\td ]  # [a.e]\r\ntext = """\r\n[a.f]\r\nk = 1\r\n"""\r\n\r\n'
        "k = { l = [\r\n 2 ], m = 3 }\r\n[[n]]\r\no = 4\r\n",
        "f.toml",
    )
    assert {".".join(path): line for path, line in toml.lines.items()} == {
        **{"a": 2, "a.b": 2, "a.b.c": 2, "a.d": 3, "a.d.text": 4},
        **{"a.d.k": 9, "a.d.k.l": 9, "a.d.k.m": 9, "n": 11, "n.o": 12},
    }
    assert str(toml.at("a", "d") / "k") == "f.toml:9: [a.d] k"
    assert str(toml.at("a", "d") / "missing") == "f.toml:3: [a.d] missing"
    assert str(toml.at()) == "f.toml"


def test_a_section_that_is_not_there_is_empty() -> None:
    assert shelves("") == {}
