"""One reader for all tables: what is wrong, where, and what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.config.tables import (
    REFUSE,
    Reader,
    Section,
    checked,
    flag,
    number,
    parse_toml,
    project_ids,
    read_table,
    reader,
    text,
    texts,
    variable_name,
)
from worker.model.errors import SettingsError, UsageError

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
    return read_table("f.toml: [x.y]", parse_toml(source, "f.toml"), KEYS, **options)  # type: ignore[arg-type]


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
    with pytest.raises(SettingsError, match=rf"^ERASER_CONFIG: f\.toml: \[x\.y\].*{says}"):
        read(source)


def test_a_key_that_is_needed_is_missed_with_what_to_write() -> None:
    with pytest.raises(SettingsError, match=r"names: expected a list of texts.*; it is missing"):
        read("", required=("names",))


def test_what_is_often_meant_comes_before_what_is_spelt_alike() -> None:
    with pytest.raises(SettingsError, match=r"'sizes' \(did you mean names\?\)"):
        read("sizes = 3", meant={"sizes": "names"})


def test_the_caller_chooses_the_error() -> None:
    with pytest.raises(UsageError) as caught:
        read("live = 1", refuse=UsageError)
    assert type(caught.value) is UsageError
    with pytest.raises(UsageError, match=r"^f\.toml is not TOML"):
        parse_toml("[", "f.toml", UsageError)


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
        list(SECTION.read(Path("f.toml"), parse_toml(source, "f.toml")))
    assert "f.toml" in str(caught.value)
    assert str(REFUSE("x")) == "ERASER_CONFIG: x"


def test_a_section_that_is_not_there_is_empty() -> None:
    assert list(SECTION.read(Path("f.toml"), {})) == []
