"""The default runner: a pool of worker processes on this machine, no extra dependency.

The contract any runner keeps: input rows are cut into shards of `shard_rows` in table order; a shard is a
pure function of its rows; committed shards are skipped; rows come out the same whatever the worker count.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import psutil

from promptcot.errors import UserError
from promptcot.records import Record
from promptcot.runner.progress import Bar, Reporter
from promptcot.runner.worker import ArtifactFunction, MapFunction, ShardJob, call_artifact, call_shard, start
from promptcot.store import Commit, Step, tree_digest, unwritable

T = TypeVar("T")


class LocalRunner:
    """Runs map functions and artifact functions in worker processes."""

    def __init__(self, seed: int, workers: int, shard_rows: int, reporter: Reporter) -> None:
        self.seed, self.shard_rows, self.reporter = seed, shard_rows, reporter
        self.workers = workers or psutil.cpu_count(logical=False) or os.cpu_count() or 1
        self._pool: ProcessPoolExecutor | None = None
        self._submitted: list[Future[Any]] = []

    def __enter__(self) -> LocalRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._pool:
            if any(
                not f.done() for f in self._submitted
            ):  # stopped in the middle: do not wait for long calls
                for child in multiprocessing.active_children():
                    child.kill()
            self._pool.shutdown(wait=True, cancel_futures=True)

    @property
    def pool(self) -> ProcessPoolExecutor:
        """The worker pool, started on first use."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=start,
                initargs=(self.seed, os.getpid()),
            )
        return self._pool

    def _submit(self, call: Callable[..., T], *args: Any) -> Future[T]:
        self._submitted = [f for f in self._submitted if not f.done()]
        future = self.pool.submit(call, *args)
        self._submitted.append(future)
        return future

    def map(self, step: Step[Any], rows: Iterable[Record], total: int, fn: MapFunction) -> None:
        """Map every row of `rows` and commit the shards of `step` that are not committed yet."""
        done = sum(c.rows_in for c in step.commits.values())
        bar = self.reporter.bar(step.name, total, done)
        pending: set[Future[Commit]] = set()
        left = -(-total // self.shard_rows) - len(step.commits)
        parallel = max(1, min(self.workers, left))
        seen = 0
        for shard, chunk in enumerate(chunks(rows, self.shard_rows)):
            seen += len(chunk)
            if shard in step.commits:
                continue
            job = ShardJob(step.path, shard, step.record, chunk, fn, parallel)
            pending.add(self._submit(call_shard, job))
            if len(pending) >= 2 * self.workers:
                pending = self._collect(step, pending, bar)
        while pending:
            pending = self._collect(step, pending, bar)
        step.finish(seen)
        totals = step.totals()
        bar.close(
            f"{totals['rows_out']:>6} rows"
            + (f", {totals['rejected']} rejected" if totals["rejected"] else "")
        )

    def _collect(self, step: Step[Any], pending: set[Future[Commit]], bar: Bar) -> set[Future[Commit]]:
        ready, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in ready:
            commit = _result(future)
            step.append(commit)
            tokens = commit.usage.get("sampled_tokens", 0) + commit.usage.get("scored_tokens", 0)
            bar.advance(commit.rows_in, tokens)
        return pending

    def artifacts(self, jobs: Sequence[tuple[Step[Any], ArtifactFunction]]) -> None:
        """Make the directories of several steps, in parallel where there are workers."""
        running: list[tuple[Step[Any], Path, Future[dict[str, Any]], Bar]] = []
        for step, fn in jobs:
            out = step.path / ".making"
            try:
                _clear(out)
            except OSError as e:
                raise unwritable(out, e) from None
            future = self._submit(call_artifact, fn, out)
            running.append((step, out, future, self.reporter.bar(step.name, None)))
        while any(not f.done() for _, _, f, _ in running):
            for _, out, future, bar in running:
                if not future.done():
                    _show(out / "progress.json", bar)
            time.sleep(0.2)
        for step, out, future, bar in running:
            self._finish(step, out, _result(future), bar)

    def _finish(self, step: Step[Any], out: Path, facts: dict[str, Any], bar: Bar) -> None:
        (out / "progress.json").unlink(missing_ok=True)
        step.put_artifact(out)
        step.finish(0, {"artifact": tree_digest(step.artifact), **facts})
        bar.set(facts.get("steps", 0), facts.get("steps", 0), facts["usage"].get("trained_tokens", 0))
        bar.close(f"{facts.get('rows', 0):>6} rows trained")


def _clear(out: Path) -> None:
    """An empty directory, but for the checkpoints of a training that was interrupted (it checks that they fit)."""
    out.mkdir(exist_ok=True)
    for entry in out.iterdir():
        if entry.is_dir() and entry.name != ".trainer":
            shutil.rmtree(entry)
        elif not entry.is_dir():
            entry.unlink()


def _show(path: Path, bar: Bar) -> None:
    if path.exists():
        state = json.loads(path.read_text())
        bar.set(state["step"], state["steps"], state["tokens"])


def _result(future: Future[T]) -> T:
    try:
        return future.result()
    except BrokenProcessPool:
        raise UserError(
            "a worker process died",
            expected="enough memory for the workers (a killed worker usually means there was not)",
            do="the same command goes on where it stopped; --set run.workers=1 needs less memory",
        ) from None


def chunks(rows: Iterable[Record], size: int) -> Iterator[list[Record]]:
    """Cut a stream into lists of `size`."""
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
