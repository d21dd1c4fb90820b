"""A catalogue of 100,000 jobs: how long a plan and a run take, and how much memory, each as a process of its own.

    python -m benchmarks.catalogue [JOBS]

The simulator, Redis and the command share this machine. Lists are not throttled (ERASER_RATE=2000), so the figures
are of our own work: in earnest the pace of lookups decides, 5 lists a second at 10 deletions a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis

from worker.local.embedded import EmbeddedRedis
from worker.simulator import DEMO_AK, DEMO_PROJECT, DEMO_SK, SimulatorControl

JOBS = 100_001  # one of them is created just now, and too young
POLICY = f"""[policies.old]
projects = ["{DEMO_PROJECT}"]
states = ["JOB_SUCCESS"]
include_finished = true
older_than = "1m"
"""
# Runs the command, then says on stderr what it needed at most (KB on Linux).
MEASURED = """
import resource, sys
from worker.interfaces.cli import main
try:
    main()
finally:
    sys.stderr.write(f"RSS {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\\n")
"""


def measured(environ: dict[str, str], *words: str) -> tuple[str, float, int]:
    """Stdout, seconds and the most memory (MB) of one `eraser retention` command."""
    began = time.monotonic()
    command = [sys.executable, "-c", MEASURED, "retention", *words]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(words)}: exit {done.returncode}\n{done.stderr}")
    megabytes = int(done.stderr.rsplit("RSS ", 1)[1]) // 1024
    return done.stdout, time.monotonic() - began, megabytes


def main(jobs: int) -> None:
    """Plan, run with the caps lifted, run again, and count what the ledger has."""
    with (
        tempfile.TemporaryDirectory(prefix="catalogue-") as directory,
        EmbeddedRedis(Path(directory) / "redis") as server,
    ):
        config = Path(directory) / "eraser.toml"
        config.write_text(POLICY)
        command = [sys.executable, "-m", "worker.simulator", "--port", "0", "--jobs", str(jobs)]
        simulator = subprocess.Popen([*command, "--keep-calls", "10"], stdout=subprocess.PIPE, text=True)
        try:
            url = (simulator.stdout.readline() if simulator.stdout else "").split()[-1]
            SimulatorControl(url).stats()
            environ = {
                "PATH": os.environ["PATH"],
                "ERASER_REDIS_URL": server.url,
                "ERASER_ENDPOINT": url,
                "ERASER_CONFIG": str(config),
                "ERASER_RATE": "1000",
                "HUAWEICLOUD_SDK_AK": DEMO_AK,
                "HUAWEICLOUD_SDK_SK": DEMO_SK,
                "ERASER_PROJECTS": DEMO_PROJECT,
            }
            _measure(environ, redis.Redis.from_url(server.url), jobs)
        finally:
            simulator.terminate()


def _measure(environ: dict[str, str], client: redis.Redis, jobs: int) -> None:
    _, seconds, megabytes = measured(environ, "plan", "old")
    print(f"plan of {jobs:,} jobs: {seconds:.1f} s, {megabytes} MB")
    for which in ("run, caps lifted", "second run"):
        allowed = ("--max", str(jobs), "--confirm", DEMO_PROJECT)
        text, seconds, megabytes = measured(environ, "run", "old", *allowed, "--yes", "--json")
        result = json.loads(text)
        print(
            f"{which}: {result['requested']:,} requested, skipped {result['skipped']}; {seconds:.1f} s, {megabytes} MB"
        )
    waiting = client.zcard("eraser:{default}:due:bulk")
    used = client.info("memory")["used_memory"] // 1_000_000  # type: ignore[index]
    print(f"in the ledger: {waiting:,} wait for their grace; Redis uses {used} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else JOBS)
