"""The program inside the sandbox: forks once per test, confines each fork, and runs the untrusted code in it.

Run as `python -I -S -B launcher.py KEY=VALUE ...` with the code on stdin; `launch.py` is the other side. Every
test is three open file descriptors. Reports on stdout, which no test can reach, one line per event: `ready`,
`start PID`, `inside`, `end INDEX WAIT_STATUS CPU_S PEAK_BYTES WALL_S KILLED_FOR`, `nofork ERRNO`,
`unconfined WHAT ERRNO`, `done`.

This process runs nothing untrusted and does not even parse it. A test cannot signal, trace or read it, and it is
forked anew for every test, so nothing a test does to its own interpreter reaches the next one.

Start-up is paid per solution and exit per test, so both are kept short: only built-in modules are imported
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
import time

TICK_S = 0.05  # how often a running test is looked at
RESULT_FD = 3  # where a called function's result goes
STACK_BYTES = 64 << 20
# What LiveCodeBench puts in front of every program (its testing_util.py): these modules, with a star, then by name.
STARRED = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys"
    " json builtins typing"
)
PRELUDE = "".join(f"from {name} import *\n" for name in STARRED.split())
PRELUDE += f"import {STARRED.replace(' ', ', ')}\nsys.setrecursionlimit(50000)\n"


class Options:
    """What `launch.py` asked for (see `launch.arguments`)."""

    def __init__(self, words: list[str]) -> None:
        given: dict[str, list[str]] = {}
        for word in words:
            key, _, value = word.partition("=")
            given.setdefault(key, []).append(value)
        self.confine = given["confine"][0]
        self.wall_s = float(given["wall_s"][0])
        self.cpu_s, self.memory, self.output, self.threads = (
            int(given[key][0]) for key in ("cpu_s", "memory", "output", "threads")
        )
        self.stop, self.lcb = (given[key][0] == "1" for key in ("stop", "lcb"))
        self.function = given.get("function", [""])[0]
        self.filter = bytes.fromhex(given.get("filter", [""])[0])
        self.readable = given.get("read", [])
        self.tests = given.get("test", [])


def report(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


# --- the supervisor ----------------------------------------------------------------------------------------


def fork_tests(options: Options) -> str | None:
    """In the supervisor: None, when all tests are over. In each child: the descriptors of its test."""
    for index, fds in enumerate(options.tests):
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
        if supervise(index, pid, options) != 0 and options.stop:
            break
    report("done")
    return None


def supervise(index: int, pid: int, options: Options) -> int:
    """Wait for one test, kill what is left of its process group, report how it ended."""
    started = time.monotonic()
    killed_for = "-"

    def on_tick(_signum: int, _frame: object) -> None:
        nonlocal killed_for
        if time.monotonic() - started >= options.wall_s:
            killed_for = "wall"
        elif threads_of(pid) > options.threads:
            killed_for = "threads"
        if killed_for != "-":
            kill_group(pid)

    def on_stop(_signum: int, _frame: object) -> None:
        kill_group(pid)
        os.waitpid(pid, 0)
        os._exit(1)

    signal.signal(signal.SIGALRM, on_tick)
    signal.signal(signal.SIGTERM, on_stop)
    signal.setitimer(signal.ITIMER_REAL, min(TICK_S, options.wall_s), TICK_S)
    # Not reaped yet: as long as the leader is a zombie its group's number cannot be given to anyone else.
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    signal.setitimer(signal.ITIMER_REAL, 0)
    wall_s = time.monotonic() - started
    kill_group(pid)
    _, status, usage = os.wait4(pid, 0)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    report("end", index, status, usage.ru_utime + usage.ru_stime, peak, round(wall_s, 4), killed_for)
    return status


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


# --- confinement -------------------------------------------------------------------------------------------


class Kernel:
    """The system calls that Python has no function for. Every method raises OSError."""

    def __init__(self) -> None:
        import ctypes

        self.c = ctypes
        self.libc = ctypes.CDLL(None, use_errno=True)

    def call(self, number: int, *values: object) -> int:
        words = [self.c.c_long(v) if isinstance(v, int) else v for v in values]
        return self._checked(self.libc.syscall(self.c.c_long(number), *words))

    def prctl(self, option: int, *values: object) -> int:
        words = [self.c.c_ulong(v) if isinstance(v, int) else v for v in (*values, 0, 0, 0, 0)[:4]]
        return self._checked(self.libc.prctl(self.c.c_int(option), *words))

    def _checked(self, result: int) -> int:
        if result < 0:
            raise OSError(self.c.get_errno(), os.strerror(self.c.get_errno()))
        return result

    def die_with_parent(self) -> None:
        self.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    def hide_memory(self) -> None:
        self.prctl(
            4, 0
        )  # PR_SET_DUMPABLE: no one of the same user may trace this process or open its /proc files

    def drop_capabilities(self) -> None:
        header = (0x20080522).to_bytes(4, sys.byteorder) + bytes(
            4
        )  # _LINUX_CAPABILITY_VERSION_3, this process
        self._checked(self.libc.capset(header, bytes(24)))

    def filter(self, program: bytes) -> None:
        """seccomp(2), for good."""
        code = self.c.create_string_buffer(program, len(program))
        head = len(program) // 8
        fprog = head.to_bytes(8, sys.byteorder) + self.c.addressof(code).to_bytes(8, sys.byteorder)
        self.prctl(22, 2, self.c.c_char_p(fprog))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER

    def landlock(self, readable: list[str]) -> int:
        """A ruleset that allows reading beneath some paths and nothing else; returns its descriptor.

        landlock(7) and linux/landlock.h. Older kernels know fewer rights; the filter covers what they miss.
        """
        create, add_rule = 444, 445
        abi = self.call(create, None, 0, 1)
        rights = (1 << (13, 14, 15, 15, 16)[min(abi, 5) - 1]) - 1
        attributes = [
            rights,
            3 if abi >= 4 else 0,
            3 if abi >= 6 else 0,
        ]  # files; TCP; signals, abstract sockets
        size = 24 if abi >= 6 else 16 if abi >= 4 else 8
        packed = b"".join(word.to_bytes(8, sys.byteorder) for word in attributes)[:size]
        ruleset = self.call(create, packed, size, 0)
        for path in readable:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            # READ_FILE, READ_DIR; WRITE_FILE, for programs that silence themselves
            read = 4 | (8 if os.path.isdir(path) else 0) | (2 if path == os.devnull else 0)
            rule = read.to_bytes(8, sys.byteorder) + fd.to_bytes(4, sys.byteorder)
            self.call(add_rule, ruleset, 1, rule, 0)
            os.close(fd)
        return ruleset

    def enter_landlock(self, ruleset: int) -> None:
        self.call(446, ruleset, 0)


def confine(kernel: Kernel, options: Options, ruleset: int) -> None:
    """Give up, in this process and for good, everything a program that answers a question does not need."""
    kernel.die_with_parent()
    kernel.prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    kernel.prctl(4, 1)  # its own /proc/self is its own again
    kernel.drop_capabilities()
    if ruleset >= 0:
        kernel.enter_landlock(ruleset)
    mine = os.getpid().to_bytes(4, sys.byteorder)
    placeholder = (0x70696421).to_bytes(4, sys.byteorder)
    kernel.filter(options.filter.replace(placeholder, mine))


def set_limits(options: Options) -> None:
    """Hard limits; without capabilities nothing can raise them."""
    stack = resource.getrlimit(resource.RLIMIT_STACK)[1]
    wanted = min(STACK_BYTES, options.memory)
    wanted = wanted if stack == resource.RLIM_INFINITY else min(stack, wanted)
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_STACK, wanted, stack),
        (resource.RLIMIT_FSIZE, options.output + 1, options.output + 1),
        (resource.RLIMIT_CPU, options.cpu_s, options.cpu_s + 1),
        (resource.RLIMIT_AS, options.memory, options.memory),
    ):
        try:
            resource.setrlimit(what, (soft, hard))
        except (
            ValueError,
            OSError,
        ):  # macOS refuses some; the clock and the output file still bound the test
            if sys.platform == "linux":
                raise


# --- the test ----------------------------------------------------------------------------------------------


def become_test(fds: str, options: Options, kernel: Kernel | None, ruleset: int) -> None:
    """Turn this fork into the process of one test: confined, own group, own files, nothing inherited."""
    signal.setitimer(signal.ITIMER_REAL, 0)
    os.setpgid(0, 0)
    for number in (signal.SIGALRM, signal.SIGXFSZ, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    try:
        set_limits(options)
        if kernel is not None and options.confine != "none":
            confine(kernel, options, ruleset)
        elif kernel is not None:
            kernel.die_with_parent()
    except (OSError, ValueError) as error:
        report("unconfined", *str(error).split())
        os._exit(1)
    report("inside")
    stdin, stdout, stderr = map(int, fds.split(","))
    os.dup2(stdin, 0)
    os.dup2(stderr, 2)
    # What a called function's program prints goes nowhere. Last, as any of the others may have the number 3.
    os.dup2(NOWHERE if options.function else stdout, 1)
    os.dup2(stdout, RESULT_FD)
    os.closerange(RESULT_FD + bool(options.function), os.sysconf("SC_OPEN_MAX"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def fresh_main(name: str) -> dict[str, object]:
    """What a program run on its own would find: standard streams, `exit`, an empty `__main__`."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="replace", closefd=False)  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # type: ignore[misc]
    sys.argv[:] = ["solution.py"]
    sys.orig_argv[:] = ["python", "solution.py"]
    sys.excepthook = show_without_launcher
    offer_no_fork()
    module = type(sys)(name)
    # Without `site`, whose import costs more than most tests, two names would be missing.
    vars(module).update(__builtins__=__builtins__, exit=sys.exit, quit=sys.exit)
    sys.modules["__main__"] = sys.modules[name] = module
    return vars(module)


def offer_no_fork() -> None:
    """A `posix` that is loaded anew has no `fork`: programs that look for the name instead of trying find none."""
    importer = sys.meta_path[0]
    load = importer.exec_module  # type: ignore[attr-defined]

    def without(module: object) -> None:
        load(module)
        for name in ("fork", "forkpty"):
            vars(module).pop(name, None)

    importer.exec_module = without  # type: ignore[attr-defined]


def show_without_launcher(kind: type[BaseException], error: BaseException, trace: object) -> None:
    inner = error.__traceback__
    while inner and inner.tb_frame.f_code.co_filename == __file__:
        inner = inner.tb_next
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


def code_of(error: BaseException, lcb: bool) -> int:
    """The exit code Python gives to an exception that reaches the top; LiveCodeBench swallows a SystemExit."""
    if not isinstance(error, SystemExit):
        return 1
    code = 0 if error.code is None else error.code
    return 0 if lcb else code & 0xFF if isinstance(code, int) else 1


def call(source: bytes, options: Options, namespace: dict[str, object]) -> None:
    """Call a function with one JSON value per line of stdin; its result goes out as JSON.

    A value that is not JSON (a set, an object with a clever `__eq__`) leaves no result, which equals nothing.
    """
    import json

    arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
    exec(compile(source, "solution.py", "exec"), namespace)
    owner = namespace.get("Solution")
    function = getattr(owner(), options.function, None) if callable(owner) else None
    result = (function or namespace[options.function])(*arguments)  # type: ignore[operator]
    try:
        text = json.dumps(result)
    except (TypeError, ValueError, RecursionError):
        return
    out = text.encode()
    while out:
        out = out[os.write(RESULT_FD, out) :]


def run_test(source: bytes, options: Options) -> None:
    """Run the program as a script, or load it and call one function."""
    main, code = fresh_main("solution" if options.function else "__main__"), [0]
    atexit.register(leave, main, code)  # registered first, so called last
    try:
        if options.lcb or options.function:
            exec(PRELUDE, main)
        if options.function:
            call(source, options, main)
        else:
            exec(compile(source, "solution.py", "exec"), main)
    except BaseException as error:
        code[0] = code_of(error, options.lcb)
        raise


def main() -> None:
    options = Options(sys.argv[1:])
    source = sys.stdin.buffer.read()
    os.environ.clear()
    kernel = Kernel() if sys.platform == "linux" else None
    ruleset = -1
    if kernel is not None:
        try:
            kernel.die_with_parent()
            if options.confine != "none":
                kernel.hide_memory()
            if options.confine == "landlock":
                ruleset = kernel.landlock(options.readable)
        except OSError as error:
            report("unconfined", *str(error).split())
            return
    if options.lcb or options.function:
        exec(PRELUDE, {})  # loads the modules once, before the forks
    compile("0", "warm", "exec")  # the first compilation of a process takes milliseconds: once, not per fork
    gc.freeze()
    report("ready")
    if test := fork_tests(options):
        become_test(test, options, kernel, ruleset)
        run_test(source, options)


NOWHERE = os.open(os.devnull, os.O_WRONLY)
if __name__ == "__main__":
    main()
