"""What the HTTP API takes: single POSTs at a steady rate and as fast as it goes, over connections that stay open.

    .venv/bin/python -m benchmarks.api steady most

A real `eraser console` on a real Redis that syncs every write; the load comes from a process of its own. `steady` sends
1,000 a second by the clock and measures each from the moment it was due, so that a server that stalls cannot hide it.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import cpu_s
from tests.support.http_site import new_token
from tests.support.waiting import wait_until
from worker.config.api_tokens import Scope
from worker.ledger.deletions import connect
from worker.local.embedded import EmbeddedRedis

PROJECT = "0605768a2c8026af2f8bc00f4b0d3b7c"
CONNECTIONS = 32
SECONDS = float(os.environ.get("API_SECONDS", "20"))
WARM_S = 2.0  # a server that has just started; its requests are answered and recorded, but not in the percentiles
RATE = 1000.0

Measured = tuple[list[float], dict[int, int], float]  # ms of each, answers by status, seconds


@contextmanager
def server() -> Iterator[tuple[int, int, str, EmbeddedRedis]]:
    """Process, port, token and the Redis behind it."""
    with tempfile.TemporaryDirectory(prefix="api-") as place, EmbeddedRedis(Path(place), appendfsync="always") as redis:
        tokens = Path(place) / "tokens.toml"
        token = new_token(tokens, "load", Scope.REQUEST)
        env = {"PATH": os.environ["PATH"], "ERASER_REDIS_URL": redis.url, "ERASER_API_TOKENS_FILE": str(tokens)}
        env["ERASER_PROJECTS"] = PROJECT
        log = Path(place) / "console.log"
        eraser = Path(sys.executable).with_name("eraser")
        with log.open("wb") as output:
            process = subprocess.Popen([eraser, "console", "--port", "0"], env=env, stdout=output, stderr=output)
        try:
            wait_until(lambda: "http.listening" in log.read_text(), 20, "the server listens")
            found = re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())
            assert found is not None
            yield process.pid, int(found[1]), token, redis
        finally:
            process.terminate()
            process.wait(30)


def load(port: int, token: str, rate: float | None, tell: multiprocessing.Queue[Measured]) -> None:
    """Runs in a process of its own."""
    tell.put(asyncio.run(_load(port, token, rate)))


async def _load(port: int, token: str, rate: float | None) -> Measured:
    taken: list[float] = []
    statuses: Counter[int] = Counter()
    begin = time.perf_counter() + 0.5

    async def caller(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while True:
            due = begin + (count * CONNECTIONS + number) / rate if rate else max(begin, time.perf_counter())
            if due - begin > SECONDS:
                break
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            body = json.dumps(
                {"job_id": f"job-{number}-{count}", "reason": f"TICKET-{count}", "app_user": f"u-{count}"}
            )
            writer.write(
                f"POST /api/projects/{PROJECT}/deletions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            assert length is not None
            await reader.readexactly(int(length[1]))
            statuses[int(head[9:12])] += 1
            if due - begin >= WARM_S:
                taken.append((time.perf_counter() - due) * 1000)
            count += 1
        writer.close()

    await asyncio.gather(*(caller(number) for number in range(CONNECTIONS)))
    return taken, dict(statuses), time.perf_counter() - begin


def measure(name: str, rate: float | None) -> None:
    with server() as (pid, port, token, redis):
        tell: multiprocessing.Queue[Measured] = multiprocessing.Queue()
        process = multiprocessing.Process(target=load, args=(port, token, rate, tell))
        before = cpu_s(pid), cpu_s(redis.pid or 0)
        process.start()
        taken, statuses, seconds = tell.get(timeout=110)
        process.join()
        ours, theirs = cpu_s(pid) - before[0], cpu_s(redis.pid or 0) - before[1]
        with connect(redis.url) as client:
            recorded = client.zcard("eraser:{default}:due:user")
    taken.sort()
    at = {share: taken[int(len(taken) * share / 100)] for share in (50, 95, 99)}
    sys.stdout.write(
        f"{name}: {recorded:,} POSTs in {seconds:.1f} s, {recorded / seconds:,.0f}/s "
        f"over {CONNECTIONS} connections; answers {statuses}, all recorded: {recorded == statuses[202]}\n"
        f"  p50 {at[50]:.1f} ms, p95 {at[95]:.1f} ms, p99 {at[99]:.1f} ms, longest {taken[-1]:.1f} ms\n"
        f"  CPU a POST: {ours / recorded * 1e6:.0f} us in the server, {theirs / recorded * 1e6:.0f} us in Redis\n"
    )


def main() -> None:
    for name in sys.argv[1:] or ["steady", "most"]:
        measure(name, RATE if name == "steady" else None)


if __name__ == "__main__":
    main()
