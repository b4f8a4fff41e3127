"""The default runner: a pool of worker processes on this machine, no extra dependency.

The contract any runner keeps: input rows are cut into shards of `shard_rows` in table order; a shard is a pure
function of its rows; committed shards are skipped, and their input is not even read; rows come out the same whatever
the worker count. Another runner is another pool (`start`).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn, Self, TypeVar

import psutil

from promptcot.errors import UserError
from promptcot.lm import managed
from promptcot.records import Record
from promptcot.runner.progress import Bar, Reporter
from promptcot.runner.worker import ArtifactFunction, MapFunction, ShardJob, call_artifact, call_shard, start
from promptcot.settings import DomainFile
from promptcot.shards import Commit, unwritable
from promptcot.store import Step, tree_digest
from promptcot.team import Team

T = TypeVar("T")


class LocalRunner:
    """Runs map functions and artifact functions in worker processes of this machine.

    Args:
        gpus: GPUs that one worker of a stage holds (`run.gpus`); stages not named hold none and see all.
        team: The other processes on this run directory (`--shard`), if any.
        domains: The recipe's own domains, for the workers.
    """

    def __init__(
        self, seed: int, workers: int, shard_rows: int, reporter: Reporter, team: Team,
        gpus: Mapping[str, float] | None = None, domains: Sequence[DomainFile] = (),
    ) -> None:  # fmt: skip
        self.seed, self.shard_rows, self.reporter, self.team = seed, shard_rows, reporter, team
        self.asked = workers
        self.workers = workers or psutil.cpu_count(logical=False) or os.cpu_count() or 1
        self.running = self.workers  # of the running pool, which has fewer where GPUs are
        self.gpus, self.domains = dict(gpus or {}), tuple(domains)
        self._pool: Executor | None = None
        self._held = 0.0  # GPUs per worker of the running pool
        self._submitted: list[Future[Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._close()
        if kind is None:
            managed.leave()

    def _close(self) -> None:
        if self._pool:
            if any(not f.done() for f in self._submitted):
                self.kill()  # stopped in the middle: do not wait for long calls
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def kill(self) -> None:
        """End the workers at once."""
        for child in multiprocessing.active_children():
            child.kill()

    def pool(self, stage: str) -> Executor:
        """The workers for a stage; started anew when it needs another number of GPUs than the stage before."""
        wanted = self.gpus.get(stage, 0.0)
        if self._pool is None or wanted != self._held:
            self._close()
            self._pool, self._held = self.start(stage, wanted), wanted
        return self._pool

    def start(self, stage: str, gpus: float) -> Executor:
        """A pool of workers, each with `gpus` GPUs of its own (a share of one when below 1)."""
        context = multiprocessing.get_context("spawn")
        places = gpu_places(stage, gpus, visible_gpus()) if gpus else []
        self.running = min(self.workers, len(places)) if gpus else self.workers
        slots = context.Queue() if gpus else None
        for place in places[: self.running]:
            assert slots is not None
            slots.put(place)
        return ProcessPoolExecutor(
            self.running,
            mp_context=context,
            initializer=start,
            initargs=(self.seed, os.getpid(), slots, self.domains),
        )

    def _pool_of(self, step: Step[Any]) -> Executor:
        return self.pool(step.path.parent.name[3:])

    def _submit(self, step: Step[Any], call: Callable[..., T], *args: Any) -> Future[T]:
        self._submitted = [f for f in self._submitted if not f.done()]
        # A pool that is interrupted while it starts its workers loses track of one, and waits for it for ever.
        with uninterrupted():
            try:
                future = self._pool_of(step).submit(call, *args)
            except BrokenProcessPool:  # it died between two calls
                raise _dead_worker() from None
            self._submitted.append(future)
        return future

    def map(self, step: Step[Any], rows: Sequence[Record], fn: MapFunction) -> None:
        """Map every row of `rows`, shard by shard; returns when all shards of `step` are committed."""
        shards = -(-len(rows) // self.shard_rows)
        todo = self.team.todo(step, shards)
        # A helper's part nobody can know before.
        total, done = (len(rows), _rows_in(step)) if self.team.leads else (None, 0)
        with self.reporter.bar(step.name, total, done) as bar:
            waiting = False
            while todo or not self.team.complete(step, shards):
                if todo:
                    self._run(step, rows, todo, fn, bar)
                else:
                    if not waiting:
                        self.reporter.line(f"  {step.name}: waiting for the other shards")
                    waiting = True
                    self.team.pause(step.path / "done.json")
                todo = self.team.todo(step, shards)
                if self.team.leads:
                    bar.set(_rows_in(step), total, bar.tokens)  # with those of the others
            if self.team.leads:
                step.finish(len(rows))
            self.team.leave(step)
            totals = step.totals()
            rejected = f"{totals['rejected']:,} rejected" if totals["rejected"] else ""
            bar.finish(f"{totals['rows_out']:>6,} rows", rejected)

    def _run(
        self, step: Step[Any], rows: Sequence[Record], shards: Sequence[int], fn: MapFunction, bar: Bar
    ) -> None:
        home, size = self.team.home(step), self.shard_rows
        with uninterrupted():
            self._pool_of(step)  # only its start says how many workers there are
        parallel = min(self.running, len(shards)) * self.team.count
        pending: set[Future[Commit]] = set()
        try:
            for shard in shards:
                chunk = list(rows[shard * size : (shard + 1) * size])
                pending.add(
                    self._submit(step, call_shard, ShardJob(home, shard, step.record, chunk, fn, parallel))
                )
                if len(pending) >= 2 * self.running:
                    pending = self._collect(step, pending, bar)
            while pending:
                pending = self._collect(step, pending, bar)
        except UserError:
            # Where the step is done, the leader did without this helper's part and tidied its folder up.
            if self.team.leads or not step.done:
                raise

    def _collect(self, step: Step[Any], pending: set[Future[Commit]], bar: Bar) -> set[Future[Commit]]:
        ready, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in ready:
            commit = _result(future)
            self.team.commit(step, commit)
            tokens = commit.usage.get("sampled_tokens", 0) + commit.usage.get("scored_tokens", 0)
            bar.advance(commit.rows_in, tokens)
        return pending

    def artifacts(self, jobs: Sequence[tuple[Step[Any], ArtifactFunction]]) -> None:
        """Make the directories of several steps, in parallel where there are workers."""
        running: list[tuple[Step[Any], Path, Future[dict[str, Any]]]] = []
        for step, fn in jobs:
            out = step.path / ".making"
            try:
                _clear(out)
            except OSError as e:
                raise unwritable(out, e) from None
            running.append((step, out, self._submit(step, call_artifact, fn, out)))
        with ExitStack() as bars:
            shown = {
                step.path: bars.enter_context(self.reporter.bar(step.name, unit="step"))
                for step, _, _ in running
            }
            while shown:
                for step, out, future in running:
                    if not future.done():
                        _show(out / "progress.json", shown[step.path])
                    elif (bar := shown.pop(step.path, None)) and future.exception() is None:
                        self._finish(step, out, future.result(), bar)
                time.sleep(0.2)
        for _, _, future in running:
            _result(future)  # raises what one of them ended with

    def _finish(self, step: Step[Any], out: Path, facts: dict[str, Any], bar: Bar) -> None:
        (out / "progress.json").unlink(missing_ok=True)
        step.put_artifact(out)
        step.finish(0, {"artifact": tree_digest(step.artifact), **facts})
        if steps := facts.get("steps"):
            bar.set(steps, steps, facts["usage"].get("trained_tokens", 0))
        bar.finish(f"{facts.get('rows', 0):>6,} rows {facts.get('did', 'trained')}")


def _rows_in(step: Step[Any]) -> int:
    """The rows of the shards that are committed."""
    return sum(commit.rows_in for commit in step.commits.values())


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
        raise _dead_worker() from None


def _dead_worker() -> UserError:
    return UserError(
        "a worker process died",
        expected="enough memory for the workers (a killed worker usually means there was not)",
        do="the same command goes on where it stopped; --set run.workers=1 needs less memory",
    )


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C takes effect at the end of the block (in the main thread, where alone it arrives)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came and callable(before):
            before(*came[0])


def visible_gpus() -> list[str]:
    """The GPUs this process may use, by what CUDA_VISIBLE_DEVICES calls them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [g for g in given.split(",") if g.strip()]
    found = sorted(int(p.name[6:]) for p in Path("/dev").glob("nvidia[0-9]*"))
    return [str(n) for n in found]


def gpu_places(stage: str, gpus: float, visible: Sequence[str]) -> list[str]:
    """CUDA_VISIBLE_DEVICES of each worker that fits: whole GPUs of its own, or one of several on the same GPU.

    Raises:
        UserError: there are fewer GPUs than one worker needs.
    """
    if gpus < 1:
        return [g for g in visible for _ in range(int(1 / gpus))] or _too_few(stage, gpus, visible)
    each = round(gpus)
    places = [",".join(visible[i : i + each]) for i in range(0, len(visible) - each + 1, each)]
    return places or _too_few(stage, gpus, visible)


def _too_few(stage: str, gpus: float, visible: Sequence[str]) -> NoReturn:
    raise UserError(
        f"stage '{stage}' needs {gpus:g} GPUs per worker (run.gpus); this process sees {len(visible)}",
        do=f"--set run.gpus.{stage}=0 to run without, or a machine that has them",
    )
