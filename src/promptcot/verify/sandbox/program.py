"""Inside the sandbox: run one program in this process, as a script or by calling one of its functions.

Loaded by `launcher.py`, used in a fork that is confined already. The exit of a process is paid for every test, so the
teardown of modules is skipped.
"""
# ruff: noqa: SIM105, SIM115  (a program may have changed contextlib; the streams stay open until the end)

from __future__ import annotations

import atexit
import json
import os
import sys

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
    while inner and os.path.dirname(inner.tb_frame.f_code.co_filename) == os.path.dirname(__file__):
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


def call(source: bytes, name: str, namespace: dict[str, object]) -> None:
    """Call a function with one JSON value per line of stdin; its result goes out as JSON.

    A value that is not JSON (a set, an object with a clever `__eq__`) leaves no result, which equals nothing.
    """
    arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
    exec(compile(source, "solution.py", "exec"), namespace)
    owner = namespace.get("Solution")
    function = getattr(owner(), name, None) if callable(owner) else None
    result = (function or namespace[name])(*arguments)  # type: ignore[operator]
    try:
        text = json.dumps(result)
    except (TypeError, ValueError, RecursionError):
        return
    out = text.encode()
    while out:
        out = out[os.write(RESULT_FD, out) :]


def run_test(source: bytes, function: str, lcb: bool) -> None:
    """Run the program as a script, or load it and call one function."""
    main, code = fresh_main("solution" if function else "__main__"), [0]
    atexit.register(leave, main, code)  # registered first, so called last
    try:
        if lcb or function:
            exec(PRELUDE, main)
        if function:
            call(source, function, main)
        else:
            exec(compile(source, "solution.py", "exec"), main)
    except BaseException as error:
        code[0] = code_of(error, lcb)
        raise
