"""How long the explorer takes over a large table: its first page, another page, filters.

    python benchmarks/explorer.py --rows 1000000

Writes ten shards of problems of about 700 bytes through the store, links copies of them up to the number of rows, serves the
table with the explorer's own application, and asks for pages as a browser does. Prints seconds: the first request (DuckDB
reads the files' footers) and the median of the others, and the same as CPU seconds of the process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from promptcot.ids import digest
from promptcot.recipe import parse
from promptcot.records import Problem
from promptcot.rundir import RunDir
from promptcot.shards import part, write_shard
from promptcot.view.queries import Run
from promptcot.view.server import application

SHARD, DISTINCT = 10_000, 10
PAGES = {
    "first page": "",
    "page in the middle": "start={middle}",
    "filter: level": "level=3",
    "filter: concept": "concept=concept+7",
    "filter: text": "q=number+77777",
    "filter: condition": "where=label_margin+%3E%3D+6+AND+level+%3D+%272%27",
}


def problem(n: int) -> Problem:
    """Problem n, with text that does not compress to nothing."""
    text = digest(n, 64) + digest(-n, 64) + digest([n], 64)
    words = " ".join(text[i : i + 6] for i in range(0, len(text), 6))
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
    """A finished step `label/problems` of that many rows, in shards of SHARD."""
    run = RunDir(path, parse({"name": "large", "seeds": {"source": "pocket"}}))
    step = run.step("label", "problems", Problem, {}, {}, 1)
    for shard in range(rows // SHARD):
        if shard < DISTINCT:
            made = [problem(n) for n in range(shard * SHARD, (shard + 1) * SHARD)]
            step.append(write_shard(step.path, shard, Problem, made, []))
        else:
            (step.path / part(shard)).hardlink_to(step.path / part(shard % DISTINCT))
            step.append(replace(step.commits[shard % DISTINCT], shard=shard))
    step.finish(rows // SHARD * SHARD)
    run.close()


async def measure(path: Path, rows: int, repeat: int) -> None:
    """Ask for every page and print how long it took."""
    from aiohttp.test_utils import TestClient, TestServer

    app = application(Run(path), {"127.0.0.1"})
    async with TestClient(TestServer(app)) as client:
        for name, query in PAGES.items():
            wall_s, cpu_s = [], []
            for _ in range(repeat):
                wall, cpu = time.monotonic(), time.process_time()
                async with client.get("/table/label/problems?" + query.format(middle=rows // 2)) as answer:
                    assert answer.status == 200, await answer.text()
                    await answer.read()
                wall_s.append(time.monotonic() - wall)
                cpu_s.append(time.process_time() - cpu)
            rest = f"{statistics.median(wall_s[1:]):6.2f} s (CPU {statistics.median(cpu_s[1:]):.2f})"
            print(f"{name:<22} {wall_s[0]:6.2f} s (CPU {cpu_s[0]:.2f}) at first, then {rest}", flush=True)


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
