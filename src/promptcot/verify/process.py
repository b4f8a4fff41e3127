"""Run an untrusted Python program in a separate process that can always be killed.

Covered: wall-clock and CPU time, memory per process, output size, crashes, `os._exit`, leftover processes in
the test's own process group, an empty environment, a temporary working directory, a fixed hash seed. All of
these end as data (`Run`), never as a hang or an exception. Expected outputs never enter the process.

NOT covered: this is not a sandbox. A program can read and write the user's files, use the network, signal
the user's processes, start processes that leave its group (memory counts per process), and see its sibling
tests' inputs. Run only programs you would run by hand.

One interpreter per 16 tests (`launcher.py`) forks once per test, so a test costs a fork and not a start-up.
Inputs and outputs are unnamed temporary files: there is no pipe to fill up, RLIMIT_FSIZE bounds the output,
and nothing a program does to the file system changes what is read back.
"""

from __future__ import annotations

import math
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from promptcot.errors import UserError

Status = Literal["ok", "timeout", "error", "memory", "output_limit"]

_LAUNCHER = Path(__file__).with_name("launcher.py")
_TESTS_PER_INTERPRETER = 16  # three file descriptors each
_STARTUP_S = 30.0
_GRACE_S = 5.0  # how late the supervisor may be with a report before it is given up
_STDERR_TAIL_BYTES = 2000
_MAX_REPORT_BYTES = 1 << 16


@dataclass(frozen=True)
class Limits:
    """What one test may use.

    wall_s: seconds on the clock. cpu_s: seconds of CPU, rounded up to whole ones. memory_mb: address space
    of one process, about 25 of it for the interpreter. output_bytes: of stdout, and of stderr.
    """

    wall_s: float = 6.0
    cpu_s: float = 6.0
    memory_mb: int = 1024
    output_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise UserError(f"{name} is {value!r}", expected="a positive number")


@dataclass(frozen=True)
class Run:
    """How one test ended.

    stdout: up to the output limit. stderr: its last 2,000 bytes. exit_code: as `subprocess` has it, negative
    for a signal; None if the process that supervises the tests was lost.
    """

    status: Status
    stdout: str
    stderr: str
    exit_code: int | None


@dataclass(frozen=True)
class _Files:
    stdin: IO[bytes]
    stdout: IO[bytes]
    stderr: IO[bytes]

    def fds(self) -> list[int]:
        return [self.stdin.fileno(), self.stdout.fileno(), self.stderr.fileno()]


@dataclass(frozen=True)
class _End:
    """What the supervisor said about a test."""

    wait_status: int
    cpu_s: float
    peak_bytes: int
    timed_out: bool


@dataclass(frozen=True)
class _Report:
    """Everything the supervisor said. `running` is the process group of the test that has not ended."""

    ready: bool
    nofork: bool
    running: int | None
    ends: dict[int, _End]


def run_program(
    code: str,
    stdins: Sequence[str],
    *,
    wall_s: float = Limits.wall_s,
    cpu_s: float = Limits.cpu_s,
    memory_mb: int = Limits.memory_mb,
    output_bytes: int = Limits.output_bytes,
    hash_seed: int = 0,
) -> list[Run]:
    """Run `code` once per text on stdin, in a fresh fork each time; one `Run` per stdin, in order.

    Limits are per test (see `Limits`). `hash_seed` fixes the order of sets of strings; with another seed,
    a program whose output depends on that order shows it. Only the standard library can be imported.

    Raises:
        UserError: a limit is not positive, or the interpreter could not be started or could not fork: an
            infrastructure failure, which must not be scored.
    """
    limits = Limits(wall_s, cpu_s, memory_mb, output_bytes)
    step = _TESTS_PER_INTERPRETER
    batches = [stdins[i : i + step] for i in range(0, len(stdins), step)]
    return [run for batch in batches for run in _run_batch(code, batch, limits, hash_seed)]


def _run_batch(code: str, stdins: Sequence[str], limits: Limits, hash_seed: int) -> list[Run]:
    with ExitStack() as stack:
        source = _file(stack, code)
        files = [_Files(_file(stack, text), _file(stack), _file(stack)) for text in stdins]
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="promptcot-run-", ignore_cleanup_errors=True)
        )
        report = _launch(source, files, folder, limits, hash_seed)
        return [_result(file, report.ends.get(i), limits) for i, file in enumerate(files)]


def _file(stack: ExitStack, text: str = "") -> IO[bytes]:
    """An unnamed temporary file holding `text`, at its start. Lone surrogates pass: models write anything."""
    file = stack.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
    file.write(text.encode("utf-8", "surrogatepass"))
    file.seek(0)
    return file


def _launch(source: IO[bytes], files: list[_Files], folder: str, limits: Limits, hash_seed: int) -> _Report:
    """Start the supervisor, listen until it is done or out of time, and leave nothing running."""
    with tempfile.TemporaryFile() as complaints:
        process = _start(source, files, folder, limits, hash_seed, complaints)
        assert process.stdout is not None
        report = _Report(False, False, None, {})
        try:
            report = _parse(_listen(process.stdout.fileno(), len(files), limits.wall_s))
        finally:
            _kill_all(process, report.running)
        complaints.seek(0)
        said = complaints.read(500).decode(errors="replace").strip()
    if not report.ready or report.nofork:
        raise _cannot_start(said or ("fork failed" if report.nofork else "it said nothing"))
    return report


def _start(
    source: IO[bytes],
    files: list[_Files],
    folder: str,
    limits: Limits,
    hash_seed: int,
    complaints: IO[bytes],
) -> subprocess.Popen[bytes]:
    numbers = [limits.wall_s, math.ceil(limits.cpu_s), limits.memory_mb << 20, limits.output_bytes]
    tests = [",".join(map(str, file.fds())) for file in files]
    try:
        return subprocess.Popen(
            [sys.executable, "-s", "-S", "-P", "-X", "utf8", str(_LAUNCHER), *map(str, numbers), *tests],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=complaints,
            cwd=folder,
            env={"PYTHONHASHSEED": str(hash_seed)},
            pass_fds=[fd for file in files for fd in file.fds()],
            start_new_session=True,
        )
    except OSError as error:
        raise _cannot_start(str(error)) from error


def _cannot_start(said: str) -> UserError:
    return UserError(
        f"could not run tests with {sys.executable!r}: {said}",
        expected="a Python interpreter that starts and may fork",
        do="check the limits on processes, memory and open files (ulimit -a)",
    )


def _listen(fd: int, tests: int, wall_s: float) -> bytes:
    """The supervisor's report: until it says it is done, it ends, says too much or stays silent too long."""
    heard = b""
    end_s = time.monotonic() + _STARTUP_S + tests * (wall_s + _GRACE_S)
    silence_s = _STARTUP_S
    while not heard.endswith(b"done\n") and len(heard) < _MAX_REPORT_BYTES:
        wait_s = min(silence_s, end_s - time.monotonic())
        if wait_s <= 0 or not select.select([fd], [], [], wait_s)[0]:
            break
        chunk = os.read(fd, 4096)
        if not chunk:
            break
        heard += chunk
        silence_s = wall_s + _GRACE_S
    return heard


def _parse(heard: bytes) -> _Report:
    """Read the report. A program can forge lines of it, so a malformed line is only ignored."""
    ready = nofork = False
    running: int | None = None
    ends: dict[int, _End] = {}
    for line in heard.decode(errors="replace").splitlines():
        word, *values = line.split() or [""]
        with suppress(ValueError):
            if word == "start":
                (running,) = map(int, values)
            elif word == "end":
                index, status, cpu_s, peak, timed_out = map(float, values)
                ends[int(index)] = _End(int(status), cpu_s, int(peak), bool(timed_out))
                running = None
            ready, nofork = ready or word == "ready", nofork or word == "nofork"
    return _Report(ready, nofork, running, ends)


def _kill_all(process: subprocess.Popen[bytes], running: int | None) -> None:
    for group in (process.pid, running):
        if group is not None and group > 1:  # 0 would be our own group
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _result(files: _Files, end: _End | None, limits: Limits) -> Run:
    out_bytes, err_bytes = (os.fstat(file.fileno()).st_size for file in (files.stdout, files.stderr))
    stdout = os.pread(files.stdout.fileno(), limits.output_bytes, 0).decode(errors="replace")
    tail_at = max(0, err_bytes - _STDERR_TAIL_BYTES)
    stderr = os.pread(files.stderr.fileno(), _STDERR_TAIL_BYTES, tail_at).decode(errors="replace")
    if end is None:
        return Run("error", stdout, stderr or "the process that supervises the tests was lost", None)
    code = os.waitstatus_to_exitcode(end.wait_status)
    if max(out_bytes, err_bytes) > limits.output_bytes:
        return Run("output_limit", stdout, stderr, code)
    return Run(_status(code, end, stderr, limits), stdout, stderr, code)


def _status(code: int, end: _End, stderr: str, limits: Limits) -> Status:
    if end.timed_out or code == -signal.SIGXCPU:
        return "timeout"
    if code == 0:
        return "ok"
    if code == -signal.SIGXFSZ:
        return "output_limit"
    if code == -signal.SIGKILL and end.cpu_s >= limits.cpu_s:
        return "timeout"
    last_line = stderr.strip().rpartition("\n")[2]
    # The interpreter may be too short of memory to say so.
    if last_line.startswith("MemoryError") or end.peak_bytes >= 0.9 * (limits.memory_mb << 20):
        return "memory"
    return "error"
