"""What a request costs the client, next to other clients, and what a kill -9 costs.

    python benchmarks/client.py [--rows 1100 4100] [--peer datatrove=PYTHON] [--peer distilabel=PYTHON] [--peer async_openai=PYTHON]
    python benchmarks/client.py --kill [--rows 2000]
    python benchmarks/client.py --memory [--rows 10000 100000 1000000]

The server answers at once with 250 tokens; it runs in a process of its own and is not counted. Every side does the same
rows (client_sides.py) twice, at both sizes: the CPU time and the wall time of a row are the differences, so start-up and
imports do not count. CPU time is of the whole process tree. A peer needs an interpreter whose environment has it, e.g.
`python -m venv v && v/bin/pip install 'datatrove[processing]' aiohttp aiosqlite`.

--kill: 50 ms per answer, 64 in flight; the driver is killed when half of the rows are answered, and the same command goes
on. Prints how many rows came out, and how many were asked for more than once.

--memory: resident memory of driver and worker when so many rows are committed, in one run; then the worker's peak over one
shard with few and with many requests in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import psutil

OWN = 5  # aiohttp and promptcot are fast: more rows, so that start-up does not drown the difference
SHARD_ROWS = 512
FEW, MANY = 64, 4096
FLIGHTS = {FEW: 0.1, MANY: 5.0}  # requests in flight, and what each is made to take
HERE = Path(__file__).parent
TEXT = "so the number is 3 more than a multiple of 77 and the smallest is 3 itself " * 15 + "\\boxed{3}"
ROW = re.compile(rb"row (\d+) \|")


class Answer(asyncio.Protocol):
    """Enough of HTTP/1.1 for keep-alive POSTs, and nothing that costs time."""

    delay_s = 0.0
    asked: ClassVar[Counter[bytes]] = Counter()
    answered: ClassVar[set[bytes]] = set()

    def connection_made(self, transport: Any) -> None:
        self.transport, self.data = transport, b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while True:
            head, found, rest = self.data.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            size = int(length[1]) if length else 0
            if not found or len(rest) < size:
                return
            body, self.data = rest[:size], rest[size:]
            self.close = b"connection: close" in head.lower()
            row = ROW.search(body)
            if row:
                self.asked[row[1]] += 1
            if self.delay_s:
                asyncio.get_running_loop().call_later(self.delay_s, self._answer, row)
            else:
                self._answer(row)

    def _answer(self, row: re.Match[bytes] | None) -> None:
        if row:
            self.answered.add(row[1])
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": TEXT}}
        usage = {"prompt_tokens": 250, "completion_tokens": 250, "total_tokens": 500}
        reply = json.dumps({
            "id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage,
        }).encode()  # fmt: skip
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(reply), reply)
        )
        if self.close:
            self.transport.close()


def serve(delay_s: float, pipe: Connection) -> None:
    """Server process: tells its port, then answers "count" with (times asked by row, rows answered)."""

    async def run() -> None:
        Answer.delay_s = delay_s
        server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0, backlog=1000)
        pipe.send(server.sockets[0].getsockname()[1])
        while True:
            if await asyncio.to_thread(pipe.poll, 0.2):
                pipe.recv()
                pipe.send((sum(Answer.asked.values()), len(Answer.asked), len(Answer.answered)))

    asyncio.run(run())


def started(delay_s: float) -> tuple[str, Connection]:
    ours, theirs = multiprocessing.Pipe()
    multiprocessing.Process(target=serve, args=(delay_s, theirs), daemon=True).start()
    return f"http://127.0.0.1:{ours.recv()}/v1", ours


def once(python: str, side: str, url: str, rows: int) -> tuple[float, float]:
    """(CPU seconds of the process tree, wall seconds) of one run."""
    folder = tempfile.mkdtemp()
    env = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [python, str(HERE / "client_sides.py"), side, url, str(rows), folder],
        capture_output=True,
        text=True,
        env=env,
    )
    wall, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(folder)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-2000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def cost(peers: dict[str, str], sizes: list[int]) -> None:
    """Print CPU ms per request and rows per second of every side."""
    url, _ = started(0.0)
    sides = {
        "aiohttp": sys.executable,
        "promptcot": sys.executable,
        "promptcot_2_workers": sys.executable,
        **peers,
    }
    rate: dict[str, float] = {}
    print(
        f"{'client':<22}{'CPU ms/request':>15}{'rows/s':>9}   ({sizes[0]:,} and {sizes[1]:,} rows; aiohttp and promptcot {OWN} times as many)"
    )
    for side, python in sides.items():
        small, large = (n * (1 if side in peers else OWN) for n in sizes)
        (cpu_a, wall_a), (cpu_b, wall_b) = (once(python, side, url, n) for n in (small, large))
        rate[side] = (large - small) / (wall_b - wall_a)
        print(f"{side:<22}{1000 * (cpu_b - cpu_a) / (large - small):>15.2f}{rate[side]:>9.0f}", flush=True)
    best = max((rate[p] for p in ("datatrove", "distilabel") if p in rate), default=0.0)
    if best:
        print(
            f"rows/s of promptcot over the best of datatrove and distilabel: {rate['promptcot'] / best:.1f}x"
        )


def kill(rows: int) -> None:
    """Print what a kill of the driver half way costs."""
    url, pipe = started(0.05)
    folder = tempfile.mkdtemp()
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "client_sides.py"), "promptcot_2_workers", url, str(rows), folder]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    while process.poll() is None and count(pipe)[2] < rows // 2:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(2.0)  # the workers die with the driver
    asked, _, answered = count(pipe)
    subprocess.run(command, env=env, check=True, stderr=subprocess.DEVNULL)
    total, unique, _ = count(pipe)
    import pyarrow.parquet as pq

    ids = [i for f in Path(folder).rglob("part-*.parquet") for i in pq.read_table(f)["id"].to_pylist()]
    print(
        f"killed after {asked} requests, {answered} answered; then {total} requests for {unique} rows: {total - unique} re-sent"
    )
    print(f"results: {len(ids)}, unique: {len(set(ids))} of {rows}")
    shutil.rmtree(folder)


def memory(sizes: list[int]) -> None:
    """Print resident memory by committed rows, and what a request in flight adds."""
    folder, url = Path(tempfile.mkdtemp()), started(0.0)[0]
    log = folder / "07_label" / "attempts" / "commits.jsonl"
    process = psutil.Popen(_side(url, sizes[-1] + 8 * SHARD_ROWS, folder))
    print(f"{'rows':>10}{'driver MB':>11}{'worker MB':>11}{'CPU s':>8}")
    for size in sizes:
        while not log.exists() or log.read_bytes().count(b"\n") * SHARD_ROWS < size:
            if process.poll() is not None and not log.exists():
                raise SystemExit("the run failed")
            time.sleep(0.5)
        tree = sorted([*process.children(), process], key=lambda p: p.memory_info().rss)
        cpu = sum(sum(p.cpu_times()[:2]) for p in tree)
        mine, worker = process.memory_info().rss, tree[-1].memory_info().rss
        print(f"{size:>10,}{mine / 2**20:>11.0f}{worker / 2**20:>11.0f}{cpu:>8.0f}", flush=True)
    process.kill()
    shutil.rmtree(folder)
    peaks = {}
    for flight, delay_s in FLIGHTS.items():
        folder, url = Path(tempfile.mkdtemp()), started(delay_s)[0]
        command = _side(url, MANY, folder, f"shard_rows={MANY}", f"concurrency={flight}")
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        peaks[flight] = json.loads((folder / "07_label" / "attempts" / "done.json").read_text())[
            "peak_rss_mb"
        ]
        print(f"a shard of {MANY:,} rows, {flight:,} in flight: worker's peak {peaks[flight]:.0f} MB")
        shutil.rmtree(folder)
    print(f"a request in flight: {1024 * (peaks[MANY] - peaks[FEW]) / (MANY - FEW):.1f} kB")


def _side(url: str, rows: int, folder: Path, *more: str) -> list[str]:
    return [sys.executable, str(HERE / "client_sides.py"), "promptcot", url, str(rows), str(folder), *more]


def count(pipe: Connection) -> tuple[int, int, int]:
    pipe.send("count")
    found: tuple[int, int, int] = pipe.recv()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[])
    parser.add_argument("--peer", action="append", default=[], help="SIDE=PYTHON")
    parser.add_argument("--kill", action="store_true")
    parser.add_argument("--memory", action="store_true")
    args = parser.parse_args()
    if args.kill:
        kill(*(args.rows or [2000]))
    elif args.memory:
        memory(args.rows or [10_000, 100_000, 1_000_000])
    else:
        cost(dict(p.split("=", 1) for p in args.peer), args.rows or [1100, 4100])


if __name__ == "__main__":
    main()
