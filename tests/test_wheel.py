"""The wheel has everything that runs, and nothing else. `tests/demo/test_demo.py` runs the demo from it."""

from __future__ import annotations

import subprocess
import zipfile
from email.parser import Parser
from pathlib import Path

from tests.support.wheel import ROOT, build


def test_the_wheel_has_every_file_of_the_packages_and_says_what_it_is(tmp_path: Path) -> None:
    with zipfile.ZipFile(build(tmp_path)) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = [wheel.read(name).decode() for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    listed = subprocess.run(
        ["git", "ls-files", "worker", "tasks"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert names == set(listed.stdout.split())
    assert {"worker/py.typed", "tasks/py.typed"} <= names, "who imports tasks has its types"
    assert "Typing :: Typed" in (Parser().parsestr(metadata).get_all("Classifier") or [])
