"""Started sandboxes: each serves the programs of one thread, one after the other, until the thread ends.

The start of a sandbox and an interpreter costs ten times what a test costs, so it is paid once and not per program.
What keeps the programs apart all the same: docs/verification-programs.md.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from multiprocessing.util import Finalize
from typing import IO

from promptcot.errors import UserError
from promptcot.verify.sandbox.backends import Backend
from promptcot.verify.sandbox.job import Job, Report, anonymous

_STARTUP_S = 60.0
_GRACE_S = 10.0  # how late the supervisor may be with a report before it is given up
_END_S = 5.0  # how long it may take to end once asked to
_MAX_REPORT_BYTES = 1 << 16  # of one job
_MAX_TESTS = 1000  # then a new one is started, so that nothing can pile up
_MAX_IDLE = 4  # servers of one thread


class _Mine(threading.local):
    """The idle servers of this thread: the kernel ends a server with the thread that started it."""

    def __init__(self) -> None:
        self.idle: dict[tuple[Backend, int], Server] = {}


def launch(backend: Backend, job: Job) -> Report:
    """Run one job.

    Raises:
        UserError: the launcher did not start, could not fork, or could not confine a test: an infrastructure
            failure, which must not be scored.
    """
    if backend.confine == "none":  # a program may have changed what supervises it, so it serves no second one
        with tempfile.TemporaryDirectory(prefix="promptcot-run-", ignore_cleanup_errors=True) as folder:
            return Server(backend, job.hash_seed, folder).run(job, last=True)
    key = (backend, job.hash_seed)
    server = _mine.idle.pop(key, None)
    if server is None or not server.usable():
        server = Server(backend, job.hash_seed)
    report = server.run(job)
    if server.usable():
        _mine.idle[key] = server
        if len(_mine.idle) > _MAX_IDLE:
            _mine.idle.pop(next(iter(_mine.idle))).close()
    return report


def shut() -> None:
    """End the idle servers of this thread now, not at its end."""
    while _mine.idle:
        _mine.idle.popitem()[1].close()


class Server:
    """A launcher that was started and is ready; `close` ends it, and so do its garbage collection and our exit."""

    def __init__(self, backend: Backend, hash_seed: int, folder: str = "") -> None:
        """Start it and wait until it is ready. Without a sandbox it works in `folder`, and removes that at its end.

        Raises:
            UserError: it did not start, or could not prepare to confine its forks.
        """
        self.backend, self.tests, self.heard = backend, 0, b""
        with ExitStack() as stack:
            complaints = anonymous(stack)
            self.control, theirs = socket.socketpair()
            stack.callback(theirs.close)
            self.process, pid = _start(backend, str(hash_seed), theirs, complaints, folder)
            theirs.close()  # so that its end is seen
            self.close = Finalize(self, _end, (self.process, pid, self.control), exitpriority=10)
            trouble = ""
            for line in self.lines(_STARTUP_S):
                if line == "ready":
                    return
                trouble = trouble or line
            self.close()
            complaints.seek(0)
            said = complaints.read(500).decode(errors="replace").strip()
        raise cannot_run(backend, trouble or said or "it said nothing")

    def usable(self) -> bool:
        """Can it have another job?"""
        return self.close.still_active() and self.tests < _MAX_TESTS and self.process.poll() is None

    def run(self, job: Job, last: bool = False) -> Report:
        """Give it a job; listen until it is done, ends, says too much or stays silent too long, which ends it.

        Raises:
            UserError: see `launch`.
        """
        report = Report()
        self.tests += len(job.tests)
        try:
            self._run(job, report)
        finally:
            if last or not report.done or not self.usable():
                self.close()
                group = report.running or 0
                if self.backend.confine == "none" and group > 1:  # 0 would be our own group
                    _kill(-group, signal.SIGKILL)
        if report.trouble:
            raise cannot_run(self.backend, report.trouble)
        return report

    def _run(self, job: Job, report: Report) -> None:
        with ExitStack() as stack:
            source = anonymous(stack, job.code)
            fds = [source.fileno(), *(fd for files in job.tests for fd in files.fds())]
            try:
                socket.send_fds(self.control, [job.request()], fds)
            except OSError:  # it ended while nobody looked: all tests are lost
                return
            end_s = time.monotonic() + len(job.tests) * (job.wall_s + _GRACE_S)
            for line in self.lines(job.wall_s + _GRACE_S):
                report.take(line)
                if report.done or report.trouble or time.monotonic() > end_s:
                    return

    def lines(self, silence_s: float) -> Iterator[str]:
        """What it says, until it ends, has said too much, or is silent for too long."""
        left = _MAX_REPORT_BYTES
        while left > 0:
            while b"\n" not in self.heard:
                if not select.select([self.control], [], [], silence_s)[0]:
                    return
                with suppress(ConnectionResetError):
                    if chunk := self.control.recv(4096):
                        self.heard += chunk
                        left -= len(chunk)
                        continue
                return
            line, _, self.heard = self.heard.partition(b"\n")
            yield line.decode(errors="replace")


def _start(
    backend: Backend, hash_seed: str, control: socket.socket, complaints: IO[bytes], folder: str
) -> tuple[subprocess.Popen[bytes], int]:
    """The process and the number of the launcher in it."""
    words = [f"confine={backend.confine}", f"filter={backend.filter.hex()}"]
    words += [f"read={path}" for path in backend.readable]
    words += [f"module={name}={path}" for name, path in backend.packages.modules]
    words += [f"preload={name}" for name in backend.packages.asked]
    words += [f"folder={folder}"] if folder else []
    heard, said = os.pipe()
    with open(heard, "rb", buffering=0) as hears:
        with open(said, "wb", buffering=0):
            try:
                process = subprocess.Popen(
                    [*backend.command(hash_seed, said), *words],
                    stdin=control.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=complaints,
                    cwd=folder or "/",
                    env={} if backend.names_inner else {"PYTHONHASHSEED": hash_seed},
                    pass_fds=[said] if backend.names_inner else [],
                    start_new_session=True,
                )
            except OSError as error:
                raise cannot_run(backend, str(error)) from error
        return process, (_inner(hears) if backend.names_inner else None) or process.pid


def _inner(file: IO[bytes]) -> int | None:
    """bwrap's `--info-fd`: the number of the process inside; None if bwrap ended without saying."""
    heard = b""
    end_s = time.monotonic() + _STARTUP_S
    while (wait_s := end_s - time.monotonic()) > 0 and select.select([file], [], [], wait_s)[0]:
        chunk = file.read(4096)
        heard += chunk
        with suppress(ValueError, KeyError):
            return int(json.loads(heard)["child-pid"])
        if not chunk:
            break
    return None


def _end(process: subprocess.Popen[bytes], pid: int, control: socket.socket) -> None:
    """Ask it to end, or end it: the inner process first, so that what is outside reaps it and no zombie is left."""
    with suppress(OSError):
        control.shutdown(socket.SHUT_RDWR)  # also where a fork of ours still holds a copy
    control.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            _kill(pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
            return
    process.kill()
    process.wait()


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def cannot_run(backend: Backend, why: str) -> UserError:
    """The error for a back end that does not do its work."""
    return UserError(
        f"could not run tests with {backend.python!r} in the sandbox '{backend.name}': {why}",
        expected="a Python interpreter that starts, forks and confines its forks",
        do="promptcot doctor; and check the limits on processes, memory and open files (ulimit -a)",
    )


def _forget() -> None:
    """In a forked child: the servers are our parent's, and serve it on."""
    for server in _mine.idle.values():
        server.control.close()
        server.process.returncode = 0  # keeps Popen from waiting for another's child
    _mine.idle.clear()


_mine = _Mine()
os.register_at_fork(after_in_child=_forget)
