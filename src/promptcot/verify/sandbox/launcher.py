"""The process inside the sandbox: waits for jobs, forks once per test, confines each fork, which then runs the program.

Run as `python -s -S -P -B launcher.py KEY=VALUE ...` with a socket as stdin; `server.py` is the other side. A job is
one line of KEY=VALUE words and, beside it, open descriptors: the program, then stdin, stdout and stderr of every
test. Reports go back through the socket, one line per event: `ready`, `start PID`, `inside`, `end INDEX WAIT_STATUS
CPU_S PEAK_BYTES WALL_S KILLED_FOR`, `nofork ERRNO`, `unconfined WHAT ERRNO`, `done`.

This process serves many programs, so it touches none of them: it never reads a program, an input or an output, and
no fork can signal, trace, read or write to it, or reach its socket. Tests run one after the other; the next is
forked when the last one's process is gone with all its threads. What keeps programs apart: docs/verification-programs.md.
"""
# ruff: noqa: SIM105  (contextlib is slower)

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import _socket
import gc
import os
import resource
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # -P keeps it out
import confine  # type: ignore[import-not-found]
import imports  # type: ignore[import-not-found]
import program  # type: ignore[import-not-found]

del sys.path[0], sys.modules["confine"], sys.modules["imports"], sys.modules["program"]

TICK_S = 0.05  # how often a running test is looked at
MAX_FDS = 253  # SCM_MAX_FD


def words(texts: list[str]) -> dict[str, list[str]]:
    """KEY=VALUE words, as lists of values."""
    given: dict[str, list[str]] = {}
    for text in texts:
        key, _, value = text.partition("=")
        given.setdefault(key, []).append(value)
    return given


class Fence:
    """How every fork of this process is confined; fixed when it starts."""

    def __init__(self, texts: list[str]) -> None:
        given = words(texts)
        self.modules, self.preload = given.get("module", []), given.get("preload", [])
        self.kind, self.filter = given["confine"][0], bytes.fromhex(given["filter"][0])
        self.kernel = confine.Kernel() if sys.platform == "linux" else None
        self.ruleset = -1
        self.folder = given.get("folder", [""])[
            0
        ]  # where an unconfined program writes; it goes with this process
        if self.folder:
            signal.signal(signal.SIGTERM, on_stop(0, self.folder))
        if self.kernel is not None:
            self.kernel.die_with_parent(signal.SIGTERM if self.folder else signal.SIGKILL)
            if self.kind != "none":
                self.kernel.hide_memory()
            if self.kind == "landlock":
                self.ruleset = self.kernel.landlock(given.get("read", []))

    def close(self) -> None:
        """Around this process, a fork, for good. Raises OSError."""
        if self.kernel is not None and self.kind != "none":
            confine.confine(self.kernel, self.filter, self.ruleset)
        elif self.kernel is not None:
            self.kernel.die_with_parent()


class Job:
    """One program, its tests and the limits of each (see `job.py`)."""

    def __init__(self, line: str, fds: list[int]) -> None:
        given = {key: values[0] for key, values in words(line.split(" ")).items()}
        self.wall_s = float(given["wall_s"])
        self.cpu_s, self.memory, self.output = (int(given[key]) for key in ("cpu_s", "memory", "output"))
        self.threads = int(given["threads"])
        self.stop, self.lcb = given["stop"] == "1", given["lcb"] == "1"
        self.function = bytes.fromhex(given["function"]).decode("utf-8", "surrogatepass")
        self.fds, self.source = fds, fds[0]
        self.tests = [fds[i : i + 3] for i in range(1, len(fds), 3)]


def receive(control: _socket.socket) -> Job | None:
    """The next job; None when there will be none."""
    heard, fds = b"", []
    while not heard.endswith(b"\n"):
        chunk, ancillary, _, _ = control.recvmsg(4096, _socket.CMSG_SPACE(4 * MAX_FDS))
        for _, _, data in ancillary:
            fds += [int.from_bytes(data[i : i + 4], sys.byteorder) for i in range(0, len(data), 4)]
        if not chunk:
            return None
        heard += chunk
    return Job(heard.decode().strip(), fds)


def report(*values: object) -> None:
    os.write(0, (" ".join(map(str, values)) + "\n").encode())


# --- the supervisor ----------------------------------------------------------------------------------------


def fork_tests(job: Job, folder: str) -> list[int] | None:
    """In the supervisor: None, when all tests are over. In each child: the descriptors of its test."""
    for index, fds in enumerate(job.tests):
        try:
            pid = os.fork()
        except OSError as error:
            report("nofork", error.errno)
            return None
        if pid == 0:
            return fds
        try:
            os.setpgid(pid, pid)  # both sides do it, so that neither has to wait for the other
        except OSError:  # the child was faster and is already over
            pass
        report("start", pid)
        if supervise(index, pid, job, folder) != 0 and job.stop:
            break
    for fd in job.fds:
        os.close(fd)
    report("done")
    return None


def supervise(index: int, pid: int, job: Job, folder: str) -> int:
    """Wait for one test, kill what is left of its process group, report how it ended."""
    started = time.monotonic()
    killed_for = "-"

    def on_tick(_signum: int, _frame: object) -> None:
        nonlocal killed_for
        if time.monotonic() - started >= job.wall_s:
            killed_for = "wall"
        elif threads_of(pid) > job.threads:
            killed_for = "threads"
        if killed_for != "-":
            kill_group(pid)

    signal.signal(signal.SIGALRM, on_tick)
    before = signal.signal(signal.SIGTERM, on_stop(pid, folder))
    signal.setitimer(signal.ITIMER_REAL, min(TICK_S, job.wall_s), TICK_S)
    # Not reaped yet: as long as the leader is a zombie its group's number cannot be given to anyone else.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    signal.setitimer(signal.ITIMER_REAL, 0)
    wall_s = time.monotonic() - started
    kill_group(pid)
    _, status, usage = os.wait4(pid, 0)
    signal.signal(signal.SIGTERM, before)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    report("end", index, status, usage.ru_utime + usage.ru_stime, peak, round(wall_s, 4), killed_for)
    return status


def on_stop(pid: int, folder: str) -> object:
    """What a request to end does (the caller's, or that it is gone): end the running test, remove its folder, and end."""

    def stop(_signum: int, _frame: object) -> None:
        if pid:
            kill_group(pid)
            os.waitpid(pid, 0)
        remove(folder)
        os._exit(1)

    return stop


def remove(folder: str) -> None:
    if not folder:
        return
    try:
        os.rmdir(folder)
    except OSError:  # not empty
        from shutil import rmtree

        rmtree(folder, ignore_errors=True)


def threads_of(pid: int) -> int:
    """How many threads a process has; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[17])
    except (OSError, IndexError, ValueError):
        return 0


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone, or (macOS) a zombie
        pass


# --- the test ----------------------------------------------------------------------------------------------


def become_test(fds: list[int], job: Job, fence: Fence) -> bytes:
    """Turn this fork into the process of one test: confined, own group, own files, nothing inherited.

    Returns the program, which no process read before.
    """
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.setpgid(0, 0)
    for number in (signal.SIGALRM, signal.SIGXFSZ, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by workers and in the background
    try:
        confine.set_limits(job.memory, job.output, job.cpu_s)
        fence.close()
    except (OSError, ValueError) as error:
        report("unconfined", *str(error).split())
        os._exit(1)
    report("inside")
    stdin, stdout, stderr = fds
    os.dup2(stderr, 2)
    source = os.pread(job.source, os.fstat(job.source).st_size, 0)
    os.dup2(stdin, 0)
    # What a called function's program prints goes nowhere. Last, as any of the others may have the number 3.
    if not job.function:
        os.dup2(stdout, 1)
    os.dup2(stdout, program.RESULT_FD)
    os.closerange(program.RESULT_FD + bool(job.function), os.sysconf("SC_OPEN_MAX"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    return source


def main() -> None:
    os.environ.clear()
    try:
        fence = Fence(sys.argv[1:])
    except OSError as error:
        report("unconfined", *str(error).split())
        return
    if fence.kind != "none":
        exec(program.PRELUDE, {})  # loads the modules once, before the forks
    if fence.modules:
        imports.offer(fence.modules, fence.preload if fence.kind != "none" else [])
    compile("0", "warm", "exec")  # the first compilation of a process takes milliseconds: once, not per fork
    gc.freeze()
    report("ready")
    control = _socket.socket(fileno=os.dup(0))
    while job := receive(control):
        if test := fork_tests(job, fence.folder):
            control.detach()
            source = become_test(test, job, fence)
            imports.begin()
            program.run_test(source, job.function, job.lcb)
            return
    remove(fence.folder)


if __name__ == "__main__":
    main()
