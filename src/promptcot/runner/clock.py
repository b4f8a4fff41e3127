"""Wall time per stage over all sessions of a run, and the largest memory of driver and workers together."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from promptcot.shards import write_atomic


class Clock:
    """Measures one session and adds up the earlier ones, kept as `<run>/sessions/<start>.json`.

    Args:
        workers: Worker processes of this session: what could have been busy all the time.
        leads: False for a helper (`--shard`): its time is capacity, not another hour on the wall.
    """

    def __init__(self, run: Path, workers: int = 1, leads: bool = True, interval_s: float = 1.0) -> None:
        self.folder, self.interval_s = run / "sessions", interval_s
        self.workers, self.leads = workers, leads
        self.file = self.folder / f"{time.time_ns()}.json"
        self.stages: dict[str, float] = {}
        self.peak_bytes = 0
        self._stage, self._since = "", time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Clock:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def enter(self, stage: str) -> None:
        """Attribute the time from now on to `stage`."""
        self._settle()
        self._stage = stage

    def save(self) -> None:
        """Write this session's figures (called after every stage that did work)."""
        self._settle()
        text = json.dumps(
            {
                "wall_s": self.stages, "peak_rss_mb": self.peak_bytes / 2**20, "workers": self.workers,
                "leads": self.leads,
            }
        )  # fmt: skip
        write_atomic(self.file, text.encode())

    def wall_s(self) -> dict[str, float]:
        """Seconds per stage, earlier sessions included."""
        self._settle()
        mine = {"wall_s": self.stages, "leads": self.leads}
        return _added((s, 1.0) for s in [mine, *self._others()] if s.get("leads", True))

    def capacity_s(self) -> dict[str, float]:
        """Seconds per stage times workers, over all sessions and helpers: what engines could have been busy."""
        self._settle()
        mine = {"wall_s": self.stages, "workers": self.workers}
        return _added((s, float(s.get("workers", 1))) for s in [mine, *self._others()])

    def peak_rss_mb(self) -> float:
        """Largest sum of resident memory of driver and workers, in MiB; shared pages count for each."""
        others = [float(s["peak_rss_mb"]) for s in self._others()]
        return round(max([self.peak_bytes / 2**20, *others]), 1)

    def _others(self) -> list[dict[str, Any]]:
        if not self.folder.exists():
            return []
        return [json.loads(f.read_text()) for f in sorted(self.folder.glob("*.json")) if f != self.file]

    def _settle(self) -> None:
        now = time.monotonic()
        if self._stage:
            self.stages[self._stage] = self.stages.get(self._stage, 0.0) + now - self._since
        self._since = now

    def _watch(self) -> None:
        me = psutil.Process(os.getpid())
        while not self._stop.wait(self.interval_s):
            total = 0
            for process in (me, *me.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)


def _added(sessions: Iterable[tuple[dict[str, Any], float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for session, factor in sessions:
        for stage, seconds in session["wall_s"].items():
            total[stage] = total.get(stage, 0.0) + seconds * factor
    return total
