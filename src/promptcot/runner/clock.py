"""Wall time per stage over all sessions of a run, and the largest memory of driver and workers together."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from promptcot.store import write_atomic


class Clock:
    """Measures one session and adds up the earlier ones, kept as `<run>/sessions/<start>.json`."""

    def __init__(self, run: Path, interval_s: float = 1.0) -> None:
        self.folder, self.interval_s = run / "sessions", interval_s
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
        text = json.dumps({"wall_s": self.stages, "peak_rss_mb": self.peak_bytes / 2**20})
        write_atomic(self.file, text.encode())

    def wall_s(self) -> dict[str, float]:
        """Seconds per stage, earlier sessions included."""
        self._settle()
        total = dict(self.stages)
        for session in self._others():
            for stage, seconds in session["wall_s"].items():
                total[stage] = total.get(stage, 0.0) + seconds
        return total

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
