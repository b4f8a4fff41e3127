"""Start the launcher behind a back end, listen to it, and leave nothing running.

Inputs and outputs are anonymous files: there is no pipe to fill up, RLIMIT_FSIZE bounds the output, and nothing a
program does to a file system changes what is read back.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO

from promptcot.errors import UserError
from promptcot.verify.sandbox.backends import Backend

_STARTUP_S = 60.0
_GRACE_S = 10.0  # how late the supervisor may be with a report before it is given up
_END_S = 5.0  # how long it may take to end once asked to
_MAX_REPORT_BYTES = 1 << 16


@dataclass(frozen=True)
class Files:
    """The standard streams of one test."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def fds(self) -> list[int]:
        """Their descriptors."""
        return [self.stdin.fileno(), self.stdout.fileno(), self.stderr.fileno()]


@dataclass(frozen=True)
class End:
    """What the supervisor said about a test. `killed_for`: `wall`, `threads`, or `-`."""

    wait_status: int
    cpu_s: float
    peak_bytes: int
    wall_s: float
    killed_for: str


@dataclass
class Report:
    """Everything the supervisor said. `running` is the process group of the test that has not ended."""

    ready: bool = False
    done: bool = False
    trouble: str = ""
    running: int | None = None
    inside: int = 0
    ends: dict[int, End] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One batch: the code, its tests and their limits (see `run.Limits`); `function` empty for stdin programs."""

    code: str
    tests: Sequence[Files]
    wall_s: float
    cpu_s: float
    memory_mb: int
    output_bytes: int
    threads: int
    hash_seed: int
    function: str
    lcb: bool
    stop: bool


def anonymous(stack: ExitStack, text: str = "") -> IO[bytes]:
    """A file without a name holding `text`, at its start. Lone surrogates pass: models write anything."""
    if sys.platform == "linux":
        file: IO[bytes] = stack.enter_context(open(os.memfd_create("promptcot"), "w+b", buffering=0))  # noqa: SIM115
    else:
        file = stack.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
    left = memoryview(text.encode("utf-8", "surrogatepass"))
    while left:
        left = left[file.write(left) :]
    file.seek(0)
    return file


def launch(backend: Backend, job: Job) -> Report:
    """Run one batch.

    Raises:
        UserError: the launcher did not start, could not fork, or could not confine a test: an infrastructure
            failure, which must not be scored.
    """
    with ExitStack() as stack:
        complaints = anonymous(stack)
        source = anonymous(stack, job.code)
        folder = stack.enter_context(_scratch(backend))
        process, pid = _start(backend, job, source, complaints, folder)
        report = Report()
        try:
            assert process.stdout is not None
            _listen(process.stdout.fileno(), job, report)
        finally:
            _stop(process, pid, report.running if backend.name == "unsafe" else None, report.done)
        complaints.seek(0)
        said = complaints.read(500).decode(errors="replace").strip()
    if not report.ready or report.trouble:
        raise cannot_run(backend, report.trouble or said or "it said nothing")
    return report


def cannot_run(backend: Backend, why: str) -> UserError:
    """The error for a back end that does not do its work."""
    return UserError(
        f"could not run tests with {backend.python!r} in the sandbox '{backend.name}': {why}",
        expected="a Python interpreter that starts, forks and confines its forks",
        do="promptcot doctor; and check the limits on processes, memory and open files (ulimit -a)",
    )


@contextmanager
def _scratch(backend: Backend) -> Iterator[str]:
    """The working directory: an empty folder without a sandbox; in one there is nothing to write to."""
    if backend.name != "unsafe":
        yield "/"
        return
    with tempfile.TemporaryDirectory(prefix="promptcot-run-", ignore_cleanup_errors=True) as folder:
        yield folder


def arguments(backend: Backend, job: Job) -> list[str]:
    """The launcher's command line: KEY=VALUE words."""
    values = {
        "confine": backend.confine, "wall_s": job.wall_s, "cpu_s": math.ceil(job.cpu_s),
        "memory": job.memory_mb << 20, "output": job.output_bytes, "threads": job.threads, "stop": int(job.stop),
        "lcb": int(job.lcb), "function": job.function, "filter": backend.filter.hex(),
    }  # fmt: skip
    words = [f"{key}={value}" for key, value in values.items()]
    words += [f"read={path}" for path in backend.readable]
    return words + ["test=" + ",".join(map(str, files.fds())) for files in job.tests]


def _start(
    backend: Backend, job: Job, source: IO[bytes], complaints: IO[bytes], folder: str
) -> tuple[subprocess.Popen[bytes], int]:
    """The process and the number of the launcher in it."""
    fds = [fd for files in job.tests for fd in files.fds()]
    hash_seed = str(job.hash_seed)
    with ExitStack() as stack:
        heard = said = -1
        if backend.names_inner:
            heard, said = os.pipe()
            stack.callback(os.close, heard)
            closing = stack.enter_context(ExitStack())
            closing.callback(os.close, said)
        try:
            process = subprocess.Popen(
                [*backend.command(hash_seed, said), *arguments(backend, job)],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=complaints,
                cwd=folder,
                env={} if backend.names_inner else {"PYTHONHASHSEED": hash_seed},
                pass_fds=fds + ([said] if said >= 0 else []),
                start_new_session=True,
            )
        except OSError as error:
            raise cannot_run(backend, str(error)) from error
        if not backend.names_inner:
            return process, process.pid
        closing.close()
        return process, _inner(heard) or process.pid


def _inner(fd: int) -> int | None:
    """bwrap's `--info-fd`: the number of the process inside; None if bwrap ended without saying."""
    heard = b""
    end_s = time.monotonic() + _STARTUP_S
    while (wait_s := end_s - time.monotonic()) > 0 and select.select([fd], [], [], wait_s)[0]:
        chunk = os.read(fd, 4096)
        heard += chunk
        with suppress(ValueError, KeyError):
            return int(json.loads(heard)["child-pid"])
        if not chunk:
            break
    return None


def _listen(fd: int, job: Job, report: Report) -> None:
    """Read until the supervisor is done, ends, says too much or stays silent too long."""
    heard = b""
    total = 0
    end_s = time.monotonic() + _STARTUP_S + len(job.tests) * (job.wall_s + _GRACE_S)
    silence_s = _STARTUP_S
    while not report.done and total < _MAX_REPORT_BYTES:
        wait_s = min(silence_s, end_s - time.monotonic())
        if wait_s <= 0 or not select.select([fd], [], [], wait_s)[0]:
            return
        chunk = os.read(fd, 4096)
        if not chunk:
            return
        total += len(chunk)
        *lines, heard = (heard + chunk).split(b"\n")
        for line in lines:
            _take(line.decode(errors="replace"), report)
        silence_s = job.wall_s + _GRACE_S


def _take(line: str, report: Report) -> None:
    """One line. Without a sandbox a program can forge lines, so a malformed one is only ignored."""
    word, *values = line.split() or [""]
    with suppress(ValueError):
        match word:
            case "ready":
                report.ready = True
            case "done":
                report.done = True
            case "inside":
                report.inside += 1
            case "start":
                (report.running,) = map(int, values)
            case "nofork" | "unconfined":
                report.trouble = report.trouble or line
            case "end":
                index, status, cpu_s, peak, wall_s, killed_for = values
                end = End(int(status), float(cpu_s), int(peak), float(wall_s), killed_for)
                report.ends[int(index)] = end
                report.running = None
            case _:
                pass


def _stop(process: subprocess.Popen[bytes], pid: int, group: int | None, done: bool) -> None:
    """Let it end, or end it: the inner process first, so that what is outside reaps it and no zombie is left."""
    for number in (0, signal.SIGTERM, signal.SIGKILL):
        if number and process.poll() is None:
            _kill(pid, number)
        if not number and not done:
            continue
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
            break
    if process.poll() is None:
        process.kill()
        process.wait()
    if group is not None and group > 1:  # 0 would be our own group
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()


def _kill(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
