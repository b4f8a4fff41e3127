"""Run an untrusted Python program in the sandbox, once per input.

All of these end as data (`Run`), never as a hang or an exception: too much time on the clock or of the CPU, too
much memory, output or threads, crashes, `os._exit`. A program cannot start processes, so the memory limit bounds
everything it can hold. It reads the standard library, the packages that were named, and its stdin, writes its stdout and stderr, and that is all:
no other file, no network, no signal to anyone, no environment, nothing left behind for the next test. Expected
outputs never enter it.

Left over: with `landlock` a program can ask for names, sizes and times of files that it cannot open. With `unsafe`
none of the above holds but the limits: run only programs you would run by hand.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from promptcot.errors import UserError
from promptcot.verify.sandbox.backends import Backend, Choice, choose
from promptcot.verify.sandbox.job import End, Files, Job, Report, anonymous
from promptcot.verify.sandbox.server import cannot_run, launch

Status = Literal["ok", "timeout", "error", "memory", "output_limit", "lost"]

TESTS_PER_JOB = 16  # three file descriptors each
_STDERR_TAIL_BYTES = 2000


@dataclass(frozen=True)
class Limits:
    """What one test may use.

    wall_s: seconds on the clock. cpu_s: seconds of CPU, rounded up to whole ones. memory_mb: address space, about
    25 of it for the interpreter (docs/verification-programs.md says what packages take). output_bytes: of stdout, and of
    stderr. threads: at the same time. packages: distributions it may import besides the standard library, with what
    they require (see `packages.find`).
    """

    wall_s: float = 6.0
    cpu_s: float = 7.0
    memory_mb: int = 1024
    output_bytes: int = 1 << 20
    threads: int = 64
    packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "packages" and not value > 0:
                raise UserError(f"{name} is {value!r}", expected="a positive number")


@dataclass(frozen=True)
class Run:
    """How one test ended.

    status: `lost` if the process that supervises the tests was lost (killed by the system for memory, say), which
    says nothing about the program. stdout: up to the output limit; for a called function its result as JSON.
    stderr: its last 2,000 bytes. exit_code: as `subprocess` has it, negative for a signal.
    """

    status: Status
    stdout: str
    stderr: str
    exit_code: int | None
    wall_s: float = 0.0
    cpu_s: float = 0.0
    max_rss_mb: float = 0.0


def run_program(
    code: str,
    stdins: Sequence[str],
    limits: Limits | None = None,
    *,
    sandbox: Choice = "auto",
    hash_seed: int = 0,
    function: str = "",
    lcb: bool = False,
    stop: bool = False,
) -> list[Run]:
    """Run `code` once per text on stdin, in a fresh process each time; one `Run` per stdin, in order.

    Args:
        limits: Per test.
        sandbox: `auto`, or the name of a back end (see `backends.choose`).
        hash_seed: Fixes the order of sets of strings; with another seed, a program whose output depends on that
            order shows it.
        function: Call this function (a method of `Solution`, if there is such a class) with one JSON value per
            line of the text, instead of running the code as a script.
        lcb: LiveCodeBench's prelude and its treatment of SystemExit.
        stop: Stop at the first test that does not end with exit code 0; the list ends with it.

    Only the standard library and `limits.packages` can be imported. A timeout of the clock is tried once more, alone, as a busy machine
    looks the same; a timeout of the CPU is not.

    Raises:
        UserError: a limit is not positive, there is no sandbox, a package is missing, or the sandbox could not be
            started: an infrastructure failure, which must not be scored.
    """
    limits = limits or Limits()
    backend = choose(sandbox, limits.packages)
    options = {"hash_seed": hash_seed, "function": function, "lcb": lcb}
    runs: list[Run] = []
    while len(runs) < len(stdins):
        batch = stdins[len(runs) : len(runs) + TESTS_PER_JOB]
        done = run_batch(backend, code, batch, limits, stop=stop, **options)  # type: ignore[arg-type]
        for i, run in enumerate(done):
            if run.status == "lost" or (run.status == "timeout" and run.exit_code == -signal.SIGKILL):
                alone = run_batch(backend, code, [batch[i]], limits, stop=False, **options)  # type: ignore[arg-type]
                done[i] = alone[0]
        runs += done
        if stop and done[-1].status != "ok":
            break
    return runs


def run_batch(
    backend: Backend,
    code: str,
    stdins: Sequence[str],
    limits: Limits,
    *,
    hash_seed: int = 0,
    function: str = "",
    lcb: bool = False,
    stop: bool = False,
) -> list[Run]:
    """One job, one fork per text. Nothing is tried twice; the list ends early where a test was not run.

    Raises:
        UserError: see `server.launch`.
    """
    with ExitStack() as stack:
        files = [Files(anonymous(stack, text), anonymous(stack), anonymous(stack)) for text in stdins]
        job = Job(
            code, files, limits.wall_s, limits.cpu_s, limits.memory_mb, limits.output_bytes, limits.threads,
            hash_seed, function, lcb, stop,
        )  # fmt: skip
        report = launch(backend, job)
        if backend.confine != "none" and report.inside < len(report.ends):
            raise cannot_run(backend, "a test ran without saying that it was confined")
        # Without a sandbox the program itself may have killed what supervises it.
        lost: Status = "error" if backend.confine == "none" else "lost"
        ran = range(_ran(report, len(stdins)))
        return [_result(files[i], report.ends.get(i), limits, lost) for i in ran]


def _ran(report: Report, asked: int) -> int:
    """How many tests were run: those that ended, if the supervisor was done; else all count as lost."""
    return len(report.ends) if report.done else asked


def _result(files: Files, end: End | None, limits: Limits, lost: Status) -> Run:
    out_bytes, err_bytes = (os.fstat(file.fileno()).st_size for file in (files.stdout, files.stderr))
    stdout = os.pread(files.stdout.fileno(), limits.output_bytes, 0).decode(errors="replace")
    tail_at = max(0, err_bytes - _STDERR_TAIL_BYTES)
    stderr = os.pread(files.stderr.fileno(), _STDERR_TAIL_BYTES, tail_at).decode(errors="replace")
    if end is None:
        return Run(lost, stdout, stderr or "the process that supervises the tests was lost", None)
    code = os.waitstatus_to_exitcode(end.wait_status)
    too_long = max(out_bytes, err_bytes) > limits.output_bytes
    status = "output_limit" if too_long else _status(code, end, stderr, limits)
    if end.killed_for == "threads":
        stderr += f"\nkilled: more than {limits.threads} threads"
    return Run(status, stdout, stderr, code, end.wall_s, end.cpu_s, round(end.peak_bytes / 2**20, 1))


def _status(code: int, end: End, stderr: str, limits: Limits) -> Status:
    if end.killed_for == "wall" or code == -signal.SIGXCPU:
        return "timeout"
    if code == 0:
        return "ok"
    if code == -signal.SIGXFSZ:
        return "output_limit"
    if code == -signal.SIGKILL and end.cpu_s >= limits.cpu_s:
        return "timeout"
    raised = stderr.strip().rpartition("\n")[2].partition(":")[0]
    # NumPy's has a longer name. The interpreter may be too short of memory to say so.
    if raised.endswith("MemoryError") or end.peak_bytes >= 0.9 * (limits.memory_mb << 20):
        return "memory"
    return "error"
