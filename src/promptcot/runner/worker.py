"""What runs inside a worker process: one thread of arithmetic, a few loaded engines, one job at a time.

Default OpenMP threads on busy cores cost up to 15x, so a worker uses one thread and the runner scales by
processes; results then do not depend on how many workers there are.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import resource
import shutil
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from promptcot.lm import managed
from promptcot.lm.base import Engine, EngineSpec, Remote
from promptcot.records import Record, Reject
from promptcot.settings import DomainFile, domains
from promptcot.shards import Commit, replies_file, unwritable, write_shard

MAX_ENGINES = 2
ROOM_BYTES = 1 << 20  # with less on a disk, that is why a training failed

MapFunction = Callable[["Worker", list[Any]], list[Any]]
ArtifactFunction = Callable[["Worker", Path], dict[str, Any]]


class Worker:
    """The state a map function can use: the run's seed and engines by spec (loaded once, least used dropped)."""

    def __init__(self, seed: int) -> None:
        self.seed, self.busy_s = seed, 0.0
        self._engines: OrderedDict[EngineSpec, Engine] = OrderedDict()
        self._before: dict[EngineSpec, dict[str, int]] = {}
        self._counted: dict[str, int] = {}  # since the last `usage()`
        self.replies: Path | None = None  # where remote engines keep the replies of the shard at hand
        self.parallel = 1  # processes that share a server's limits

    def engine(self, spec: EngineSpec) -> Engine:
        """The engine for `spec`, loading it on first use."""
        if spec not in self._engines:
            from promptcot.lm.load import load_engine

            while len(self._engines) >= MAX_ENGINES:
                self._drop(next(iter(self._engines)))
            self._engines[spec] = load_engine(spec)
        self._engines.move_to_end(spec)
        engine = self._engines[spec]
        if isinstance(engine, Remote):
            engine.attend(self.replies, self.parallel)
        return cast(Engine, Timed(engine, self))

    def release(self) -> None:
        """Forget all engines, and the servers of this run that hold a GPU: a training needs the memory."""
        for spec in list(self._engines):
            self._drop(spec)
        managed.make_way()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()

    def _drop(self, spec: EngineSpec) -> None:
        self._count(spec)
        engine = self._engines.pop(spec)
        del self._before[spec]
        if isinstance(engine, Remote):
            engine.close()

    def _count(self, spec: EngineSpec) -> None:
        now, before = self._engines[spec].usage(), self._before.get(spec, {})
        for key, value in now.items():
            self._counted[key] = self._counted.get(key, 0) + value - before.get(key, 0)
        self._before[spec] = dict(now)

    def usage(self) -> dict[str, int]:
        """What all engines counted since the last call, those dropped meanwhile among them."""
        for spec in self._engines:
            self._count(spec)
        total, self._counted = self._counted, {}
        return {k: v for k, v in sorted(total.items()) if v}

    def engine_s(self) -> float:
        """Seconds spent in sampling and scoring since the last call; the rest of a worker's time is idle for its engine."""
        spent, self.busy_s = self.busy_s, 0.0
        return spent


class Timed:
    """An engine whose `sample` and `score` count as the worker's busy time, less what it waited for a server to start;
    everything else is the engine's own."""

    def __init__(self, engine: Engine, worker: Worker) -> None:
        self._engine, self._worker = engine, worker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def sample(self, *args: Any, **kwargs: Any) -> Any:
        return self._timed(self._engine.sample, *args, **kwargs)

    def score(self, *args: Any, **kwargs: Any) -> Any:
        return self._timed(self._engine.score, *args, **kwargs)

    def _timed(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        started, waited = time.monotonic(), getattr(self._engine, "waited_s", 0.0)
        try:
            return call(*args, **kwargs)
        finally:
            waited = getattr(self._engine, "waited_s", 0.0) - waited
            self._worker.busy_s += time.monotonic() - started - waited


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
    return write_shard(
        job.path, job.shard, job.record, rows, rejects, started=started, usage=worker.usage(),
        engine_s=worker.engine_s(), peak_rss_mb=peak_rss_mb(),
    )  # fmt: skip


def peak_rss_mb() -> float:
    """Largest resident memory of this process so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)


_worker: Worker | None = None


def start(seed: int, parent: int, gpus: Any = None, own: Sequence[DomainFile] = ()) -> None:
    """Initialise a worker process of the local pool; `gpus` is a queue with a place for each worker."""
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus.get()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to handle
    die_with_parent(parent)
    begin(seed, own)


def begin(seed: int, own: Sequence[DomainFile] = ()) -> None:
    """Make this process a worker; `own` are the recipe's own domains."""
    global _worker
    limit_threads()
    domains.register(own)
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
    facts: dict[str, Any] = {}
    try:
        facts = fn(_worker, out)
    finally:
        if not facts and shutil.disk_usage(out).free < ROOM_BYTES:
            # Each library has an error of its own for a full disk.
            raise unwritable(out, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))) from None
    _worker.engine_s()
    seconds = round(time.monotonic() - started, 3)
    return {
        **facts,
        "usage": {**_worker.usage(), **facts.get("usage", {})},
        "seconds": seconds,
        "engine_s": seconds,  # training is the engine's work; loading counts with it
        "peak_rss_mb": peak_rss_mb(),
    }
