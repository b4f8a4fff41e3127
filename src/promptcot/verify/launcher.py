"""The program inside the child process of `process.run_program`: forks once per test.

Run as `python -s -S -P launcher.py WALL_S CPU_S MEMORY_BYTES OUTPUT_BYTES IN,OUT,ERR ...` with the code on
stdin. Every test is three open file descriptors. Reports on stdout, one line per event:
`ready`, `start PID`, `end INDEX WAIT_STATUS CPU_S PEAK_BYTES TIMED_OUT`, `nofork ERRNO`, `done`.

Start-up is paid per program and exit per test, so both are kept short: only built-in modules are imported
(`_signal`, because `signal` loads `enum` and doubles the start-up), and a test skips the teardown of modules.
"""
# ruff: noqa: SIM105, SIM115  (contextlib loads a dozen modules; the streams stay open until the end)

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import atexit
import gc
import os
import resource
import sys


def report(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def fork_tests(tests: list[str], wall_s: float) -> str | None:
    """In the supervisor: None, when all tests are over. In each child: the descriptors of its test."""
    for index, fds in enumerate(tests):
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
        supervise(index, pid, wall_s)
    report("done")
    return None


def supervise(index: int, pid: int, wall_s: float) -> None:
    """Wait for one test, kill what is left of its process group, report how it ended."""
    timed_out = False

    def on_alarm(_signum: int, _frame: object) -> None:
        nonlocal timed_out
        timed_out = True
        kill_group(pid)

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, wall_s)
    # Not reaped yet: as long as the leader is a zombie its group's number cannot be given to anyone else.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    signal.setitimer(signal.ITIMER_REAL, 0)
    kill_group(pid)
    _, status, usage = os.wait4(pid, 0)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    report("end", index, status, usage.ru_utime + usage.ru_stime, peak, int(timed_out))


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):  # gone, or (macOS) a zombie
        pass


def become_test(fds: str, cpu_s: int, memory_bytes: int, output_bytes: int) -> None:
    """Turn this fork into the process of one test: own group, own files, hard limits, nothing inherited."""
    os.setpgid(0, 0)
    for target, fd in enumerate(map(int, fds.split(","))):
        os.dup2(fd, target)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGALRM, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (output_bytes + 1, output_bytes + 1))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def fresh_main() -> dict[str, object]:
    """What a program run on its own would find: standard streams, `exit`, an empty `__main__`."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="replace", closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # type: ignore[misc]
    sys.argv[:] = ["solution.py"]
    sys.excepthook = show_without_launcher
    module = type(sys)("__main__")
    # Without `site`, whose import costs more than most tests, two names would be missing.
    vars(module).update(__builtins__=__builtins__, exit=sys.exit, quit=sys.exit)
    sys.modules["__main__"] = module
    return vars(module)


def show_without_launcher(kind: type[BaseException], error: BaseException, trace: object) -> None:
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    sys.__excepthook__(kind, error.with_traceback(inner), inner)


def leave(namespace: dict[str, object], exit_code: list[int]) -> None:
    """End at once, after threads and the program's own exit hooks, with its open files flushed."""
    namespace.clear()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (ValueError, OSError, AttributeError):  # closed, or replaced by something else
            pass
    os._exit(exit_code[0])


def code_of(error: BaseException) -> int:
    """The exit code Python gives to an exception that reaches the top."""
    if not isinstance(error, SystemExit):
        return 1
    code = 0 if error.code is None else error.code
    return code & 0xFF if isinstance(code, int) else 1


if __name__ == "__main__":
    source = sys.stdin.buffer.read()
    wall, cpu, memory, output = sys.argv[1:5]
    os.environ.clear()
    compile("0", "warm", "exec")  # the first compilation of a process takes milliseconds: once, not per fork
    gc.freeze()
    report("ready")
    if test := fork_tests(sys.argv[5:], float(wall)):
        become_test(test, int(cpu), int(memory), int(output))
        main, code = fresh_main(), [0]
        atexit.register(leave, main, code)  # registered first, so called last
        try:
            exec(compile(source, "solution.py", "exec"), main)
        except BaseException as error:
            code[0] = code_of(error)
            raise
