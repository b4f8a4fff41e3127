"""Worker processes for SymPy, lent one at a time. Safe under threads and forks; no signal handler, no alarm.

CPU time and memory are bounded inside the worker (`worker.py`), which then replies that they ran out. The limit on
the clock here is the second net: a worker that says nothing is killed, and its successor starts in the background.
After a fork the child forgets its parent's workers and starts its own. Idle workers end when this process does,
however it ends, because their stdin closes.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

STARTUP_S = 60.0


@dataclass(frozen=True)
class Bounds:
    """What one comparison may use: CPU seconds, seconds on the clock, megabytes of address space of its worker."""

    cpu_s: float = 0.6
    wall_s: float = 4.0
    memory_mb: int = 1024


class WorkerFailed(Exception):
    """No verdict from the worker; the message is the reason: timeout, crashed, cannot start, missing PACKAGE."""


class _Worker:
    """One process. `ask` either returns its reply or kills it and raises."""

    def __init__(self, package: str, bounds: Bounds) -> None:
        self.serves, self.ready = (package, bounds), False
        self.wall_s = bounds.wall_s
        limits = [str(bounds.memory_mb), str(bounds.cpu_s)]
        command = [sys.executable, "-P", "-m", "promptcot.verify.worker", package, *limits]
        try:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise WorkerFailed(f"cannot start {sys.executable}: {error}") from error

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        answered = False
        try:
            self.wait()
            reply = self.exchange(request)
            answered = True
            return reply
        finally:
            if not answered:  # late, dead, or interrupted: it will not be asked again
                self.kill()

    def wait(self) -> None:
        """Until its imports are done. Raises WorkerFailed."""
        if not self.ready:
            hello = self.read(STARTUP_S, "the worker did not start")
            if hello["missing"]:
                raise WorkerFailed(f"missing {hello['missing']}")
            self.ready = True

    def exchange(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise WorkerFailed("crashed") from error
        return self.read(self.wall_s, "timeout")

    def read(self, wall_s: float, late: str) -> dict[str, Any]:
        """The next line. Raises WorkerFailed with `late` if it does not come in time."""
        assert self.process.stdout is not None
        fd, heard, end_s = self.process.stdout.fileno(), b"", time.monotonic() + wall_s
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        while not heard.endswith(b"\n"):
            left_s = end_s - time.monotonic()
            if left_s <= 0 or not poll.poll(left_s * 1000):
                raise WorkerFailed(f"{late} ({wall_s:g} s)")
            chunk = os.read(fd, 1 << 16)
            if not chunk:
                raise WorkerFailed("crashed")
            heard += chunk
        reply: dict[str, Any] = json.loads(heard)
        return reply

    def kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its own session: the worker and its child
        self.process.wait()
        self.close()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


class Pool:
    """Idle workers; as many as there are threads that ask at the same time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.idle: list[_Worker] = []

    def ask(self, request: dict[str, Any], package: str, bounds: Bounds) -> dict[str, Any]:
        """The reply to one request, from a worker that has `package` imported.

        Raises:
            WorkerFailed: it took too long, crashed, or could not be started.
        """
        worker = self.borrow(package, bounds)
        try:
            reply = worker.ask(request)
        except WorkerFailed as failure:
            if not str(failure).startswith(("missing", "cannot")):
                self.give_back(_Worker(package, bounds))
            raise
        self.give_back(worker)
        return reply

    def warm(self, package: str, bounds: Bounds, count: int) -> None:
        """Start `count` workers and wait until they are ready; one that fails is left for `ask` to report."""
        started = []
        with suppress(WorkerFailed):
            started = [_Worker(package, bounds) for _ in range(count)]
        for worker in started:
            try:
                worker.wait()
            except WorkerFailed:
                worker.kill()
            else:
                self.give_back(worker)

    def borrow(self, package: str, bounds: Bounds) -> _Worker:
        with self.lock:
            for i, worker in enumerate(self.idle):
                if worker.serves == (package, bounds):
                    return self.idle.pop(i)
        return _Worker(package, bounds)

    def give_back(self, worker: _Worker) -> None:
        with self.lock:
            self.idle.append(worker)

    def shut(self) -> None:
        """End all idle workers."""
        with self.lock:
            idle, self.idle = self.idle, []
        for worker in idle:
            worker.kill()

    def forget(self) -> None:
        """In a forked child: the parent's workers are not ours to talk to."""
        self.lock = threading.Lock()
        idle, self.idle = self.idle, []
        for worker in idle:
            worker.close()
            worker.process.returncode = (
                0  # keeps Popen from complaining about, or waiting for, another's child
            )


POOL = Pool()
atexit.register(POOL.shut)
os.register_at_fork(after_in_child=POOL.forget)
