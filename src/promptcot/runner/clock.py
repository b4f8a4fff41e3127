"""Wall time per stage over all sessions of a run, and the largest memory of driver and workers together."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from promptcot.errors import UserError
from promptcot.shards import write_atomic

SAVE_S = 30.0  # between two savings while a stage works: what a kill may cost


class Clock:
    """Measures one session and adds up the earlier ones, kept as `<run>/sessions/<start>.json`.

    Args:
        workers: Says how many worker processes there are now: what could be busy all the time.
        leads: False for a helper (`--shard`): its time is capacity, not another hour on the wall.
    """

    def __init__(
        self, run: Path, workers: Callable[[], int] = lambda: 1, leads: bool = True, interval_s: float = 1.0
    ) -> None:
        self.folder, self.interval_s = run / "sessions", interval_s
        self.leads = leads
        self.file = self.folder / f"{time.time_ns()}.json"
        self.stages: dict[str, float] = {}
        self.staffed: dict[str, int] = {}  # workers of each stage, as seen last
        self.worked = False  # whether the current stage did anything that was not finished before
        self.peak_bytes = 0
        self._workers = workers
        self._stage, self._since = "", time.monotonic()
        self._stop, self._lock = threading.Event(), threading.RLock()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Clock:
        # What sessions left that were killed while they saved.
        for tmp in self.folder.glob(".*.tmp-*") if self.leads else ():
            if not psutil.pid_exists(int(tmp.name.rpartition("-")[2])):
                tmp.unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._keep()

    def enter(self, stage: str) -> None:
        """Attribute the time from now on to `stage`."""
        with self._lock:
            self._settle()
            self._stage, self.worked = stage, False

    def save(self) -> None:
        """Write this session's figures (called after every stage that did work)."""
        with self._lock:
            self._settle()
            facts = {
                "wall_s": self.stages, "capacity_s": self._capacity(), "peak_rss_mb": self.peak_bytes / 2**20,
                "leads": self.leads,
            }  # fmt: skip
            write_atomic(self.file, json.dumps(facts).encode())

    def _keep(self) -> None:
        """Save what a stage that is not finished has taken so far. A full disk is told by what the run itself writes."""
        with self._lock, suppress(UserError, OSError):
            if self.worked:
                self.save()

    def wall_s(self) -> dict[str, float]:
        """Seconds per stage, earlier sessions included."""
        with self._lock:
            self._settle()
            mine = {"wall_s": dict(self.stages), "leads": self.leads}
        return _added(s["wall_s"] for s in [mine, *self._others()] if s.get("leads", True))

    def capacity_s(self) -> dict[str, float]:
        """Seconds per stage times workers, over all sessions and helpers: what engines could have been busy."""
        with self._lock:
            self._settle()
            mine = self._capacity()
        return _added([mine, *(s.get("capacity_s") or _by_workers(s) for s in self._others())])

    def peak_rss_mb(self) -> float:
        """Largest sum of resident memory of driver and workers, in MiB; shared pages count for each."""
        others = [float(s["peak_rss_mb"]) for s in self._others()]
        return round(max([self.peak_bytes / 2**20, *others]), 1)

    def _others(self) -> list[dict[str, Any]]:
        if not self.folder.exists():
            return []
        return [json.loads(f.read_text()) for f in sorted(self.folder.glob("*.json")) if f != self.file]

    def _capacity(self) -> dict[str, float]:
        return {stage: seconds * self.staffed[stage] for stage, seconds in self.stages.items()}

    def _settle(self) -> None:
        now = time.monotonic()
        if self._stage:
            self.staffed[self._stage] = self._workers()
            self.stages[self._stage] = self.stages.get(self._stage, 0.0) + now - self._since
        self._since = now

    def _watch(self) -> None:
        me = psutil.Process(os.getpid())
        kept = -SAVE_S
        while not self._stop.wait(self.interval_s):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)
            if self.worked and time.monotonic() - kept >= SAVE_S:
                self._keep()
                kept = time.monotonic()


def _by_workers(session: dict[str, Any]) -> dict[str, float]:
    """The capacity of a session as written before workers were counted by stage."""
    return {stage: seconds * session.get("workers", 1) for stage, seconds in session["wall_s"].items()}


def _added(sessions: Iterable[dict[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for session in sessions:
        for stage, seconds in session.items():
            total[stage] = total.get(stage, 0.0) + seconds
    return total
