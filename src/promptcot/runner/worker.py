"""What runs inside a worker process: one thread of arithmetic, a few loaded engines, one job at a time.

Default OpenMP threads on busy cores cost up to 15x, so a worker uses one thread and the runner scales by
processes; results then do not depend on how many workers there are.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptcot.lm.base import Engine, EngineSpec, Remote
from promptcot.records import Record, Reject
from promptcot.store import Commit, replies_file, rows_digest, write_shard

MAX_ENGINES = 2

MapFunction = Callable[["Worker", list[Any]], list[Any]]
ArtifactFunction = Callable[["Worker", Path], dict[str, Any]]


class Worker:
    """The state a map function can use: the run's seed and engines by spec (loaded once, least used dropped)."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._engines: OrderedDict[EngineSpec, Engine] = OrderedDict()
        self._before: dict[EngineSpec, dict[str, int]] = {}
        self.replies: Path | None = None  # where remote engines keep the replies of the shard at hand
        self.parallel = 1  # processes that share a server's limits

    def engine(self, spec: EngineSpec) -> Engine:
        """The engine for `spec`, loading it on first use."""
        if spec not in self._engines:
            from promptcot.lm.load import load_engine

            while len(self._engines) >= MAX_ENGINES:
                gone, _ = self._engines.popitem(last=False)
                self._before.pop(gone, None)
            self._engines[spec] = load_engine(spec)
        self._engines.move_to_end(spec)
        engine = self._engines[spec]
        if isinstance(engine, Remote):
            engine.attend(self.replies, self.parallel)
        return engine

    def release(self) -> None:
        """Forget all engines: a training needs the memory."""
        self._engines.clear()
        self._before.clear()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()

    def usage(self) -> dict[str, int]:
        """What all engines counted since the last call."""
        total: dict[str, int] = {}
        for spec, engine in self._engines.items():
            now = engine.usage()
            before = self._before.get(spec, {})
            for key, value in now.items():
                total[key] = total.get(key, 0) + value - before.get(key, 0)
            self._before[spec] = dict(now)
        return {k: v for k, v in sorted(total.items()) if v}


@dataclass(frozen=True)
class ShardJob:
    """Map `rows` with `fn` and write shard number `shard` of the step in `path`, as one of `parallel` at a time."""

    path: Path
    shard: int
    record: type[Record]
    rows: Sequence[Record]
    fn: MapFunction
    parallel: int = 1


def do_shard(worker: Worker, job: ShardJob) -> Commit:
    """Run one shard: every input row becomes exactly one output row or one reject."""
    started = time.monotonic()
    worker.replies, worker.parallel = replies_file(job.path, job.shard), job.parallel
    results = job.fn(worker, list(job.rows))
    if len(results) != len(job.rows):
        raise AssertionError(f"{job.path}: {len(job.rows)} rows in, {len(results)} results")
    rejects = [r for r in results if isinstance(r, Reject)]
    rows = [r for r in results if not isinstance(r, Reject)]
    size, reasons = write_shard(job.path, job.shard, job.record, rows, rejects)
    return Commit(
        shard=job.shard, rows_in=len(job.rows), rows_out=len(rows), rejected=len(rejects),
        digest=f"{rows_digest(rows):032x}", rejects_digest=f"{rows_digest(rejects):032x}", bytes=size,
        seconds=round(time.monotonic() - started, 3), usage=worker.usage(), reasons=reasons,
        peak_rss_mb=peak_rss_mb(),
    )  # fmt: skip


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


_worker: Worker | None = None


def start(seed: int, parent: int) -> None:
    """Initialise a worker process (called by the pool)."""
    global _worker
    limit_threads()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    die_with_parent(parent)
    _worker = Worker(seed)


def limit_threads() -> None:
    """One arithmetic thread in this process; to be called before torch or numpy start their pools."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["TQDM_DISABLE"] = "1"  # bars belong to the driver


def die_with_parent(parent: int) -> None:
    """End this process when `parent` does, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def call_shard(job: ShardJob) -> Commit:
    """Pool entry for a shard."""
    assert _worker is not None, "the pool was not initialised"
    return do_shard(_worker, job)


def call_artifact(fn: ArtifactFunction, out: Path) -> dict[str, Any]:
    """Pool entry for an artifact: `fn(worker, directory)` fills the directory and returns facts about it."""
    assert _worker is not None, "the pool was not initialised"
    started = time.monotonic()
    _worker.release()
    facts = fn(_worker, out)
    return {
        **facts,
        "usage": {**_worker.usage(), **facts.get("usage", {})},
        "seconds": round(time.monotonic() - started, 3),
        "peak_rss_mb": peak_rss_mb(),
    }
