"""Tests in several processes end as they would in one, also where a process dies, and each process begins once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.support import forkserver

CONFTEST = """
import os
import pytest
from tests.support import several

with open("imported", "a") as file:
    print(os.getpid(), file=file)

@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    files = {}
    for item in session.items:
        files.setdefault(item.path, []).append(item)
    several.run(session, [*files.values()], 2)
    return True

@pytest.fixture(scope="session")
def of_the_session():
    yield
    with open(f"session-{os.getpid()}", "x"):
        pass

@pytest.fixture(scope="module")
def of_the_module(of_the_session):
    with open(f"module-{os.getpid()}", "x"):
        pass
"""
ENDS = """
import os, pathlib, warnings
import pytest

def test_passes(of_the_module, tmp_path):
    assert tmp_path.parent.name.startswith("process-")

def test_passes_too(of_the_module):
    pass

def test_fails(of_the_module):
    print("what it printed")
    assert [1] == [2]

def test_is_skipped():
    pytest.skip("for a reason")

def test_warns():
    warnings.warn("of something", UserWarning)

def test_dies():
    os._exit(3)

@pytest.mark.xfail
def test_is_expected_to_fail():
    assert False
"""
OTHER = """
def test_passes(of_the_session):
    pass
"""


def run(directory: Path, *words: str, **files: str) -> str:
    for name, text in files.items():
        (directory / f"{name}.py").write_text(dedent(text), encoding="utf-8")
    (directory / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:schemathesis", "-vrA", *words],
        cwd=directory,
        env=forkserver.clean(),
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{done.stdout}{done.stderr}ended with {done.returncode}\n"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tests")


@pytest.fixture(scope="module")
def output(directory: Path) -> str:
    return run(directory, conftest=CONFTEST, test_ends=ENDS, test_other=OTHER)


@pytest.mark.parametrize(
    "line",
    [
        "PASSED test_ends.py::test_passes",
        "PASSED test_ends.py::test_passes_too",
        "FAILED test_ends.py::test_fails - AssertionError: assert [1] == [2]",
        "SKIPPED [1] test_ends.py:16: for a reason",
        "PASSED test_ends.py::test_warns",
        "FAILED test_ends.py::test_dies - the process of this test ended with 3",
        "XFAIL test_ends.py::test_is_expected_to_fail",
        "PASSED test_other.py::test_passes",
        "what it printed",
        "  At index 0 diff: 1 != 2",
        "UserWarning: of something",
        "2 failed, 4 passed, 1 skipped, 1 xfailed, 1 warning in ",
        "ended with 1",
    ],
)
def test_what_became_of_a_test_is_reported(output: str, line: str) -> None:
    assert line in output


def test_modules_are_imported_once_and_what_is_shared_is_made_once_in_each_process(
    directory: Path, output: str
) -> None:
    assert len((directory / "imported").read_text(encoding="utf-8").split()) == 1
    made = [len([*directory.glob(f"{scope}-*")]) for scope in ("module", "session")]
    assert made == [1, 1], f"one of each died with its process\n{output}"


def test_the_first_failure_may_be_the_last_thing(tmp_path: Path) -> None:
    failing = "def test_fails():\n    assert False\n\ndef test_is_never_begun():\n    pass\n"
    output = run(tmp_path, "-x", conftest=CONFTEST, test_one=failing)
    assert "test_is_never_begun" not in output
    assert "1 failed in " in output


def test_what_a_process_cannot_take_down_is_an_error_of_the_run(tmp_path: Path) -> None:
    broken = """
        import pytest

        @pytest.fixture(scope="session")
        def broken():
            yield
            raise RuntimeError("it cannot be taken down")

        def test_passes(broken):
            pass
    """
    output = run(tmp_path, conftest=CONFTEST, test_one=broken)
    assert "it cannot be taken down" in output
    assert "ended with 3" in output
