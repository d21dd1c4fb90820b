"""What people install: the wheel of this tree, in an environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
PIP = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]


def build(folder: Path) -> Path:
    """The wheel, without the network: what builds it is in `[test]`."""
    _run([*PIP, "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(ROOT)])
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path) -> Path:
    """The command `eraser` of a new environment, which has the dependencies of the tests but not their tree."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    _run([*PIP, "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)])
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "of-the-tests.pth").write_text(sysconfig.get_path("purelib"))
    code = "import os, tasks, worker; print(os.path.commonpath([tasks.__file__, worker.__file__]))"
    found = _run([str(python), "-c", code], cwd=folder).strip()
    assert found == str(packages), f"the tree of the tests is imported: {found}"
    return folder / "bin" / "eraser"


def _run(argv: list[str], cwd: Path | None = None) -> str:
    environ = {"PATH": os.environ["PATH"], "HOME": str(Path.home())}
    done = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout
