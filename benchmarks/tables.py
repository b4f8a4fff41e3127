"""Big tables: are memory and resume flat in the number of rows?

    python benchmarks/tables.py                       10^4 to 3*10^5 rows, a few minutes on two cores
    python benchmarks/tables.py --rows 5000000        one size; needs 2 kB of disk per row and table

Synthetic problems of 2 kB go through the runner that recipes use: a first map writes them, a second reads them and is
interrupted half way, and the same command goes on (its anti-join leaves out what is committed). Printed per size: rows per
second of both maps, the time to find out what is done, the time to go on when all is done, bytes per row, and the peak
memory of the driver and of the largest worker, which must not grow with the rows.
"""

from __future__ import annotations

import argparse
import random
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from promptcot.corridor import opened
from promptcot.ids import row_id, row_seed
from promptcot.recipe import parse
from promptcot.records import Problem, Reject, Seed
from promptcot.runner.progress import Reporter
from promptcot.runner.worker import Worker
from promptcot.shards import read_log
from promptcot.stages.context import Context
from promptcot.store import Step, View

SIZES = (10_000, 100_000, 300_000)
LIMITS = {"peak_mb": 4096, "scan_s": 30.0}


class Interrupted(Exception):
    """The kill, as far as one process can play it; tests/chaos uses a real one."""


def seeds(rows: int) -> Sequence[Seed]:
    """The input, made when it is asked for."""
    return View(
        rows, lambda a, b: [Seed(row_id("tables", 1, [str(n)]), "math", "1", f"row {n}") for n in range(a, b)]
    )


def write(worker: Worker, rows: list[Seed]) -> list[Problem | Reject]:
    """2 kB of text that does not compress away, from the row's own random stream."""
    return [_problem(worker, r) for r in rows]


def _problem(worker: Worker, row: Seed) -> Problem:
    text = random.Random(row_seed(worker.seed, row.id)).randbytes(950).hex()
    return Problem(row.id, "math", "1", ["sums", "primes"], row.problem, text)


def read_on(worker: Worker, rows: list[Problem]) -> list[Problem | Reject]:
    """A cheap map over what was written; one row in a hundred is rejected."""
    return [
        Reject(r.id, "every_hundredth") if r.problem.startswith("00") else
        Problem(r.id, r.domain, r.level, r.concepts, r.rationale.upper(), r.problem[::-1])
        for r in rows
    ]  # fmt: skip


@dataclass
class Cost:
    """What one size took."""

    rows: int
    write_s: float
    map_s: float
    scan_s: float
    again_s: float
    bytes_per_row: float
    driver_mb: float
    worker_mb: float


def measure(rows: int, folder: Path, workers: int) -> Cost:
    """Write, interrupt, go on, and go on once more."""
    with _context(folder, workers) as ctx:
        started = time.monotonic()
        first = ctx.map("synthesize", "problems", Problem, seeds(rows), write, params={}, inputs={})
        write_s = time.monotonic() - started
    started = time.monotonic()
    with _context(folder, workers) as ctx:
        source = Interrupting(first.rows(), rows // 2)
        with suppress(Interrupted):
            ctx.map("curate", "problems", Problem, source, read_on, params={}, inputs={"made": first.digest})
    map_s = time.monotonic() - started
    started = time.monotonic()
    done = sum(c.rows_in for _, c in read_log(folder / "r" / "06_curate" / "problems"))
    with _context(folder, workers) as ctx:
        step = ctx.run.step("curate", "problems", Problem, {}, {"made": first.digest}, 1)
        missing = ctx.run.team.todo(step, -(-rows // ctx.recipe.run.shard_rows))
    scan_s = time.monotonic() - started
    assert missing
    assert done < rows
    started = time.monotonic()
    with _context(folder, workers) as ctx:
        second = ctx.map(
            "curate", "problems", Problem, first.rows(), read_on, params={}, inputs={"made": first.digest}
        )
    map_s += time.monotonic() - started
    again_s = _again(folder, workers, first)
    driver_mb = _peak_mb()
    _check(first, second, rows)
    size = sum(f.stat().st_size for f in first.path.glob("part-*"))
    return Cost(
        rows, write_s, map_s, scan_s, again_s, size / rows, driver_mb,
        max(first.totals()["peak_rss_mb"], second.totals()["peak_rss_mb"]),
    )  # fmt: skip


def _again(folder: Path, workers: int, first: Step[Problem]) -> float:
    """Seconds to find every row done: the totals are taken away, so that each shard's line and files are looked at."""
    (folder / "r" / "06_curate" / "problems" / "done.json").unlink()
    started = time.monotonic()
    with _context(folder, workers) as ctx:
        ctx.map(
            "curate", "problems", Problem, first.rows(), read_on, params={}, inputs={"made": first.digest}
        )
    return time.monotonic() - started


def _check(first: Step[Problem], second: Step[Problem], rows: int) -> None:
    """Nothing lost, nothing doubled: every id of the second table, held at once (about 80 bytes each; not the runner's)."""
    import pyarrow.parquet as pq

    seen: set[bytes] = set()
    for file in (*second.path.glob("part-*"), *second.path.glob("rejects-*")):
        seen.update(bytes.fromhex(i) for i in pq.read_table(file, columns=["id"])["id"].to_pylist())
    totals = second.totals()
    assert (
        len(first.rows()) == rows == totals["rows_in"] == totals["rows_out"] + totals["rejected"] == len(seen)
    )


class Interrupting(View[Problem]):
    """Rows that raise when those behind `limit` are asked for."""

    def __init__(self, rows: Sequence[Problem], limit: int) -> None:
        def make(a: int, b: int) -> list[Problem]:
            if b > limit:
                raise Interrupted
            return list(rows[a:b])

        super().__init__(len(rows), make)


@contextmanager
def _context(folder: Path, workers: int) -> Iterator[Context]:
    run = {"workers": workers, "shard_rows": 512}
    recipe = parse({"name": "tables", "seeds": {"source": "pocket"}, "run": run})
    with opened(recipe, Reporter(quiet=True), str(folder / "r")) as ctx:
        yield ctx


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print one line per size, and whether the limits hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="*", default=list(SIZES))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--dir", default=None, help="where to write (default: the system's temporary folder)")
    args = parser.parse_args()
    print(
        f"{'rows':>9} {'write/s':>8} {'map/s':>8} {'scan s':>7} {'again s':>8} {'B/row':>6} {'driver MB':>9} {'worker MB':>9}"
    )
    for rows in args.rows:
        folder = Path(tempfile.mkdtemp(dir=args.dir))
        try:
            c = measure(rows, folder, args.workers)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(
            f"{c.rows:>9,} {c.rows / c.write_s:>8,.0f} {c.rows / c.map_s:>8,.0f} {c.scan_s:>7.2f} {c.again_s:>8.2f} "
            f"{c.bytes_per_row:>6,.0f} {c.driver_mb:>9,.0f} {c.worker_mb:>9,.0f}",
            flush=True,
        )
        assert c.driver_mb + args.workers * c.worker_mb < LIMITS["peak_mb"], "more than 4 GB"
        assert c.scan_s < LIMITS["scan_s"], "the scan of what is done took more than 30 s"


if __name__ == "__main__":
    main()
