"""Tokens: a wrong one opens nothing, the file keeps only hashes, and a change of it counts at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread, current_thread
from typing import IO

import pytest

from tests.support.http_site import NOW, new_token
from tests.support.waiting import PATIENCE_S
from worker.config import api_tokens, token_file
from worker.config.api_tokens import ApiToken, Scope
from worker.config.token_file import TokenFile
from worker.model.errors import EraserError, UsageError

SECRET = api_tokens.mint(bytes(range(32)))
HASH = api_tokens.hashed(SECRET)
SHOP = ApiToken("shop", HASH, frozenset({Scope.REQUEST}))


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "deep" / "tokens.toml")


def test_a_token_is_as_long_as_its_entropy() -> None:
    assert api_tokens.LOOKS.fullmatch(SECRET)
    assert len({api_tokens.mint(os.urandom(32)) for _ in range(100)}) == 100
    with pytest.raises(ValueError, match="32 random bytes"):
        api_tokens.mint(b"short")


def test_only_the_whole_token_is_recognised() -> None:
    other = ApiToken("other", api_tokens.hashed(api_tokens.mint(bytes(32))), frozenset({Scope.READ}))
    assert api_tokens.find([other, SHOP], SECRET) is SHOP
    wrong = [
        SECRET[:-1],
        SECRET[:8],
        f"{SECRET}x",
        SECRET.swapcase(),
        "",
        HASH,
        "sha256:",
        SECRET.removeprefix("eraser_"),
    ]
    assert [api_tokens.find([other, SHOP], each) for each in wrong] == [None] * len(wrong)


def test_operate_includes_the_rest_and_nothing_else_includes_anything() -> None:
    def may(*scopes: Scope) -> set[Scope]:
        return {scope for scope in Scope if ApiToken("x", HASH, frozenset(scopes)).may(scope)}

    assert may(Scope.OPERATE) == set(Scope)
    assert may(Scope.REQUEST) == {Scope.REQUEST}
    assert may(Scope.READ) == {Scope.READ}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[shop", "is not TOML"),
        ("shop = 1", "expected a table"),
        (f'[Shop]\nhash = "{HASH}"\nscopes = ["read"]', "lower-case"),
        (f'[shop]\nhash = "{SECRET}"\nscopes = ["read"]', "never the token itself"),
        ('[shop]\nscopes = ["read"]', "64 hexadecimal"),
        (f'[shop]\nhash = "{HASH}"', "scopes"),
        (f'[shop]\nhash = "{HASH}"\nscopes = []', "one or more of request, read, operate"),
        (f'[shop]\nhash = "{HASH}"\nscopes = ["write"]', "one or more of"),
        (f'[shop]\nhash = "{HASH}"\nscopes = [1]', "list of texts"),
        (f'[shop]\nhash = "{HASH}"\nscopes = ["read"]\nprojects = []', "allow none"),
        (f'[shop]\nhash = "{HASH}"\nscopes = ["read"]\nprojects = ["a/b"]', "project id"),
        (f'[shop]\nhash = "{HASH}"\nscope = ["read"]', "did you mean scopes"),
        (f'[shop]\nhash = "{HASH}"\nscopes = ["read"]\nprevious = "{SECRET}"', "never the token itself"),
        (f'[shop]\nhash = "{HASH}"\nscopes = ["read"]\nprevious_until = 2026-11-28T12:00:00', "with its zone"),
        (f'[a]\nhash = "{HASH}"\nscopes = ["read"]\n[b]\nhash = "{HASH}"\nscopes = ["read"]', "same hash"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong_and_without_its_secret(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=word) as refused:
        api_tokens.read(text, "tokens.toml")
    assert SECRET not in str(refused.value)


def test_what_is_made_is_found_again_and_its_secret_is_nowhere(file: TokenFile) -> None:
    made, secret = api_tokens.make("shop", [Scope.REQUEST, Scope.READ], projects=["p1"])
    file.add(made, api_tokens.section(made, NOW))
    assert api_tokens.find(file.current(), secret) == made
    assert secret not in file.path.read_text()
    assert file.path.stat().st_mode & 0o777 == 0o600
    file.rotate("shop", NOW, overlap=timedelta())
    assert sorted(file.path.parent.iterdir()) == [file.path.with_name(".tokens.toml.lock"), file.path]


def test_the_file_is_read_anew_when_it_changes(file: TokenFile) -> None:
    assert file.current() == ()
    new_token(file.path, "shop", Scope.READ)
    new_token(file.path, "till", Scope.READ)
    assert [token.name for token in file.current()] == ["shop", "till"]
    file.path.unlink()
    assert file.current() == ()


def test_while_the_file_is_wrong_no_token_counts_and_then_all_do_again(file: TokenFile) -> None:
    secret = new_token(file.path, "shop", Scope.READ)
    right = file.path.read_text()
    file.path.write_text(f"{right}\n[till]\n")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"\[till\]"):
            file.current()
    file.path.write_text(right)
    assert api_tokens.find(file.current(), secret)


def test_a_name_is_given_once_and_what_people_wrote_stays(file: TokenFile) -> None:
    new_token(file.path, "shop", Scope.READ)
    file.path.write_text("# ours\n" + file.path.read_text())
    file.path.chmod(0o640)
    new_token(file.path, "till", Scope.READ)
    assert file.path.read_text().startswith("# ours\n")
    assert file.path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(UsageError, match="there is a token shop already"):
        new_token(file.path, "shop", Scope.READ)
    with pytest.raises(UsageError, match="lower-case"):
        new_token(file.path, "Shop", Scope.READ)


def test_a_rotated_token_has_a_new_secret_and_the_old_one_counts_until_the_overlap_is_over(file: TokenFile) -> None:
    old = new_token(file.path, "shop", Scope.READ, projects=("p1",))
    other = new_token(file.path, "till", Scope.READ)
    rotated, new = file.rotate("shop", NOW, overlap=timedelta(hours=1))
    for at, known in ((0, [new, old]), (3599, [new, old]), (3600, [new]), (99_999, [new])):
        now = NOW + timedelta(seconds=at)
        assert [each for each in (new, old) if api_tokens.find(file.current(), each, now) == rotated] == known
    assert (rotated.scopes, rotated.projects) == ({Scope.READ}, {"p1"})
    assert api_tokens.find(file.current(), other)
    file.rotate("shop", NOW, overlap=timedelta())
    assert [api_tokens.find(file.current(), each, NOW) for each in (new, old)] == [None, None]
    assert "previous" not in file.path.read_text()


def test_what_people_wrote_around_a_token_stays_when_it_changes_or_goes(file: TokenFile) -> None:
    for name in ("a", "shop", "z"):
        new_token(file.path, name, Scope.READ)
    text = file.path.read_text().replace("[shop]", '# of the shop\n[ "shop" ]  # theirs').replace("[z]", "# last\n[z]")
    file.path.write_text(text)
    file.rotate("shop", NOW, overlap=timedelta(days=1))
    assert [line for line in text.splitlines() if line.startswith(("#", "["))] == [
        line for line in file.path.read_text().splitlines() if line.startswith(("#", "["))
    ]
    file.revoke("shop")
    assert [token.name for token in file.current()] == ["a", "z"]
    assert "# last\n[z]" in file.path.read_text()
    file.revoke("a")
    file.revoke("z")
    assert file.current() == ()


@pytest.mark.parametrize(
    "text", [f'shop = {{hash = "{HASH}", scopes = ["read"]}}\n', f'shop.hash = "{HASH}"\nshop.scopes = ["read"]\n']
)
def test_a_token_in_a_form_of_its_own_is_left_to_people(file: TokenFile, text: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(text)
    for change in (lambda: file.revoke("shop"), lambda: file.rotate("shop", NOW, overlap=timedelta())):
        with pytest.raises(UsageError, match="change them by hand"):
            change()
    assert file.path.read_text() == text


# -- several at a time -------------------------------------------------------------------------------------------------


def test_a_token_revoked_while_another_one_is_rotated_stays_revoked(
    file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("aa", "bb"):
        token, _ = api_tokens.make(name, [Scope.READ])
        file.add(token, api_tokens.section(token, NOW))
    turn = Event()  # the other one waits for the lock, or is done

    def revoke() -> None:
        TokenFile(file.path).revoke("bb")
        turn.set()

    other, flock, read_file = Thread(target=revoke), fcntl.flock, token_file.read_file

    def lock(of: IO[bytes], how: int) -> None:
        if current_thread() is other:
            turn.set()
        flock(of, how)

    def read_and_let_the_other_begin(path: Path, refuse: Callable[[str], EraserError]) -> str:
        text = read_file(path, refuse)
        if other.ident is None:
            other.start()
            assert turn.wait(PATIENCE_S)
        return text

    monkeypatch.setattr(fcntl, "flock", lock)
    monkeypatch.setattr(token_file, "read_file", read_and_let_the_other_begin)
    file.rotate("aa", NOW, overlap=timedelta())
    other.join(PATIENCE_S)
    assert [token.name for token in file.current()] == ["aa"]


def test_a_token_that_an_editor_wrote_back_does_not_count_as_revoked(
    file: TokenFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, _ = api_tokens.make("shop", [Scope.READ])
    file.add(token, api_tokens.section(token, NOW))
    before, replace = file.path.read_text(), Path.replace

    def replace_and_write_back(draft: Path, to: Path) -> None:
        replace(draft, to)
        to.write_text(before)

    monkeypatch.setattr(Path, "replace", replace_and_write_back)
    with pytest.raises(UsageError, match="another program changed"):
        file.revoke("shop")
