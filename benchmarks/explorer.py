"""How long the explorer takes over a large table: its first page, another page, filters.

    python benchmarks/explorer.py --rows 1000000

Writes a run directory with one table of problems of about 700 bytes through the store, serves it with the explorer's own
application, and asks for pages as a browser does. Prints seconds: the first request (DuckDB reads the files' footers) and the
median of the others.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path

from promptcot.ids import digest
from promptcot.recipe import parse
from promptcot.records import Problem
from promptcot.rundir import RunDir
from promptcot.shards import write_shard
from promptcot.view.queries import Run
from promptcot.view.server import application

SHARD = 10_000
PAGES = {
    "first page": "",
    "page in the middle": "start={middle}",
    "filter: level": "level=3",
    "filter: concept": "concept=concept+7",
    "filter: text": "q=number+777777",
    "filter: condition": "where=label_margin+%3E%3D+6+AND+level+%3D+%272%27",
}


def problem(n: int) -> Problem:
    """Problem n, with text that does not compress to nothing."""
    words = " ".join(digest([n, i], 4) for i in range(40))
    concepts = [f"concept {n % 50}", f"concept {n % 37}"]
    return Problem(
        digest(n),
        "math",
        str(n % 4 + 1),
        concepts,
        words[:200],
        f"Problem number {n}. {words}",
        label_margin=n % 8,
    )


def build(path: Path, rows: int) -> None:
    """A finished step `label/problems` of that many rows."""
    run = RunDir(path, parse({"name": "large", "seeds": {"source": "pocket"}}))
    step = run.step("label", "problems", Problem, {}, {}, 1)
    for at in range(0, rows, SHARD):
        part = [problem(n) for n in range(at, min(at + SHARD, rows))]
        step.append(write_shard(step.path, at // SHARD, Problem, part, []))
    step.finish(rows)
    run.close()


async def measure(path: Path, rows: int, repeat: int) -> None:
    """Ask for every page and print how long it took."""
    from aiohttp.test_utils import TestClient, TestServer

    app = application(Run(path), {"127.0.0.1"})
    async with TestClient(TestServer(app)) as client:
        for name, query in PAGES.items():
            times = []
            for _ in range(repeat):
                started = time.monotonic()
                async with client.get("/table/label/problems?" + query.format(middle=rows // 2)) as answer:
                    assert answer.status == 200, await answer.text()
                    await answer.read()
                times.append(time.monotonic() - started)
            print(f"{name:<22} {times[0]:6.2f} s at first, then {statistics.median(times[1:]):6.2f} s")


def main() -> None:
    """Build, serve, measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        build(Path(folder) / "run", args.rows)
        size = sum(f.stat().st_size for f in Path(folder).rglob("*.parquet"))
        print(f"{args.rows:,} rows, {size / 2**20:,.0f} MiB, written in {time.monotonic() - started:.0f} s")
        asyncio.run(measure(Path(folder) / "run", args.rows, args.repeat))


if __name__ == "__main__":
    main()
