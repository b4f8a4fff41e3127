"""Inside the sandbox: run one program in this process, as a script or by calling one of its functions.

Loaded by `launcher.py`, used in a fork that is confined already. A program starts and ends as one that `python3 file`
runs; only the modules that are not its own are not torn down at its end (`leave`), which would double the cost of a test.
"""
# ruff: noqa: SIM115, BLE001  (a program may have changed contextlib; the streams stay open; theirs raise anything)

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import atexit
import builtins
import gc
import json
import operator
import os
import sys
import weakref

RESULT_FD = 3  # where a called function's result goes
# What LiveCodeBench puts in front of every program (its testing_util.py): these modules, with a star, then by name.
STARRED = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys"
    " json builtins typing"
)
PRELUDE = "".join(f"from {name} import *\n" for name in STARRED.split())
PRELUDE += f"import {STARRED.replace(' ', ', ')}\nsys.setrecursionlimit(50000)\n"


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
    loader = type(json.__loader__)(name, "solution.py")  # type: ignore[call-arg,misc]
    # Without `site`, whose import costs more than most tests, two names would be missing.
    vars(module).update(
        __builtins__=builtins, __file__="solution.py", __loader__=loader, exit=sys.exit, quit=sys.exit
    )
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
    while inner and os.path.dirname(inner.tb_frame.f_code.co_filename) == os.path.dirname(__file__):
        inner = inner.tb_next
    sys.__excepthook__(kind, error.with_traceback(inner), inner)


class Ending:
    """How the program ended, and whether its names are still there (its loader is one of them)."""

    def __init__(self, main: dict[str, object], lcb: bool) -> None:
        self.code, self.lcb, self.loader = 0, lcb, weakref.ref(main["__loader__"])

    def note(self, error: BaseException) -> None:
        """The exit code Python gives to an exception that reaches the top; LiveCodeBench swallows a SystemExit."""
        self.code = 1
        if type(error) is KeyboardInterrupt:
            self.code = -signal.SIGINT
        elif isinstance(error, SystemExit):
            given = 0 if error.code is None or self.lcb else error.code
            if isinstance(given, int):
                self.code = given & 0xFF if -(1 << 63) <= given < 1 << 63 else 0xFF

    def leave(self) -> None:
        """End at once, after threads and the program's own exit hooks, in the order of Py_FinalizeEx (CPython 3.11):
        flush, collect, give up the program's names, collect, flush.

        The names are still there when `sys.stdout` is flushed, whatever it was replaced by, and when objects that
        only hold each other are finalised.
        """
        written = flushed("stdout", quiet=False), flushed("stderr")
        if not all(written) and not self.lcb and self.code >= 0:
            self.code = 120
        for number in range(1, signal.NSIG):
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        if gc.isenabled():
            gc.collect()
        atexit._clear()
        for name in ("last_exc", "last_type", "last_value", "last_traceback"):
            vars(sys).pop(name, None)
        sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
        sys.excepthook, sys.displayhook = sys.__excepthook__, sys.__displayhook__
        sys.modules.pop("solution", None)
        sys.modules.pop("__main__", None)
        gc.collect()
        if loader := self.loader():  # a cache of some module holds a class or function of the program
            for names in gc.get_referrers(loader):
                if isinstance(names, dict):
                    names.clear()
        flushed("stdout")
        flushed("stderr")
        if self.code < 0:
            signal.signal(-self.code, signal.SIG_DFL)
            os.kill(os.getpid(), -self.code)
        os._exit(self.code)


def flushed(name: str, quiet: bool = True) -> bool:
    """Was there nothing left to write, or could it be written? The standard streams may be anything by now."""
    stream = getattr(sys, name, None)
    try:
        done = stream is None or stream.closed
    except BaseException:
        done = False
    if done:
        return True
    try:
        stream.flush()  # type: ignore[union-attr]
    except BaseException as error:
        if not quiet:
            sys.__excepthook__(type(error), error, error.__traceback__)
        return False
    return True


def plain(value: object) -> object:
    """The numbers of packages, which equal Python's own, as these. Raises TypeError: it is none."""
    if hasattr(type(value), "__index__"):
        return operator.index(value)  # type: ignore[arg-type]
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} is no JSON")


def call(source: bytes, name: str, namespace: dict[str, object]) -> None:
    """Call a function with one JSON value per line of stdin; its result goes out as JSON.

    A value that is not JSON (a set, an object with a clever `__eq__`) leaves no result, which equals nothing.
    """
    arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
    exec(compile(source, "solution.py", "exec", dont_inherit=True), namespace)
    owner = namespace.get("Solution")
    function = getattr(owner(), name, None) if callable(owner) else None
    result = (function or namespace[name])(*arguments)  # type: ignore[operator]
    try:
        text = json.dumps(result, default=plain)
    except (TypeError, ValueError, RecursionError):
        return
    out = text.encode()
    while out:
        out = out[os.write(RESULT_FD, out) :]


def run_test(source: bytes, function: str, lcb: bool) -> None:
    """Run the program as a script, or load it and call one function."""
    main = fresh_main("solution" if function else "__main__")
    ending = Ending(main, lcb)
    atexit.register(ending.leave)  # registered first, so called last
    try:
        if lcb or function:
            exec(PRELUDE, main)
        if function:
            call(source, function, main)
        else:
            exec(compile(source, "solution.py", "exec", dont_inherit=True), main)
    except BaseException as error:
        ending.note(error)
        raise
    finally:
        flushed("stderr")
        flushed("stdout")
