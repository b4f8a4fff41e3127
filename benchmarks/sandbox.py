"""What isolation costs: test runs per second per core of each sandbox, next to a process per test and a Manager each.

    python benchmarks/sandbox.py [--programs 40] [--tests 4] [--leak-runs 10000] [--fuzz 2000]

Everything is measured in this run, alternating, over the same trivial programs. The peer is our own re-creation of what the
released PromptCoT 2.0 evaluation does for a test (docs/verification-programs.md): a `multiprocessing.Manager` and a forked
`Process` that executes the program with its streams replaced, in which nothing is confined. A core's second is a second
of CPU time, of all processes together, so that other work on the machine does not count; the clock's are printed too.
`--leak-runs` then counts processes, descriptors and temporary files before and after that many runs on each back end,
`--fuzz` runs that many random programs: none may hang, crash the runner or leave anything.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil

from promptcot.verify.sandbox import Choice, Limits, probe, run_program
from promptcot.verify.sandbox.server import shut

PROGRAM = "print(sum(map(int, input().split())))"
INPUT, OUTPUT = "1 2 3\n", "6\n"
ROUNDS = 3
CONFINED: tuple[Choice, ...] = ("bwrap", "landlock")


def released(tests: int) -> None:
    """The peer: for every test a new Manager and a new Process, with nothing shared but the list of results."""
    context = multiprocessing.get_context("fork")
    for _ in range(tests):
        with context.Manager() as manager:
            results = manager.list()
            process = context.Process(target=_in_process, args=(PROGRAM, INPUT, OUTPUT, results))
            process.start()
            process.join(31)
            if process.is_alive():
                process.kill()
            assert list(results) == [True]


def _in_process(code: str, given: str, expected: str, results: Any) -> None:
    sys.stdin = io.StringIO(given)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(code, "solution", "exec"), {"__name__": "__main__"})
    results.append(said.getvalue() == expected)


def ours(sandbox: Choice) -> Callable[[int], None]:
    """All tests of one program in one start of the sandbox."""

    def run(tests: int) -> None:
        runs = run_program(PROGRAM, [INPUT] * tests, sandbox=sandbox)
        assert [r.stdout for r in runs] == [OUTPUT] * tests, runs

    return run


def cpu_s() -> float:
    """CPU seconds of this process and of all its children that ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(r.ru_utime + r.ru_stime for r in both)


def rates(programs: int, tests: int) -> dict[str, tuple[float, float]]:
    """(runs per CPU second, runs per second) of each, in alternating rounds, each with its own start of the sandbox."""
    usable: list[Choice] = [name for name in (*CONFINED, "unsafe") if not probe(name).why]
    sides: dict[str, Callable[[int], None]] = {name: ours(name) for name in usable}
    sides["released"] = released
    spent = {name: [0.0, 0.0] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            cpu, clock = cpu_s(), time.monotonic()
            for _ in range(programs):
                side(tests)
            shut()  # what it cost is known when it ends
            spent[name][0] += cpu_s() - cpu
            spent[name][1] += time.monotonic() - clock
    runs = ROUNDS * programs * tests
    return {name: (runs / cpu, runs / clock) for name, (cpu, clock) in spent.items()}


def speed(programs: int, tests: int) -> None:
    """Print the rates and their ratios to the peer."""
    found = rates(programs, tests)
    cpu, clock = found["released"]
    print(
        f"{tests} test(s) per program, {programs} programs: runs per second per core (clock), ratio to the peer"
    )
    for name, (a, b) in found.items():
        print(f"  {name:<9} {a:7.1f} ({b:7.1f})   {a / cpu:5.2f}x ({b / clock:5.2f}x)")


def standing() -> tuple[int, int, set[str]]:
    """Processes below this one, its descriptors, temporary files."""
    children = psutil.Process().children(recursive=True)
    return len(children), len(os.listdir("/proc/self/fd")), set(os.listdir(tempfile.gettempdir()))


def leaks(runs: int) -> None:
    """Print what `runs` runs left behind, a fifth of them programs that misbehave."""
    kinds = [PROGRAM] * 12 + [
        "1/0",
        "print('x' * 99999)",
        "import os; os.kill(os.getpid(), 9)",
        "import os; os._exit(0)",
    ]
    for name in CONFINED:
        if why := probe(name).why:
            print(f"{name}: skipped, {why}")
            continue
        processes, descriptors, files = standing()
        done, ends = 0, Counter[str]()
        while done < runs:
            batch = run_program(kinds[done // 16 % 16], [INPUT] * 16, Limits(output_bytes=1000), sandbox=name)
            done += len(batch)
            ends.update(run.status for run in batch)
        after = standing()
        left = len([f for f in after[2] - files if "promptcot" in f])
        print(
            f"{name}: {done} runs ({dict(ends)}) left {after[0] - processes} processes, "
            f"{after[1] - descriptors} descriptors, {left} files"
        )


PIECES = (
    "import os", "import sys", "import threading", "import signal", "import ctypes", "import socket", "x = input()",
    "os.fork()", "os.kill({n}, {m})", "os._exit({m})", "sys.exit({m})", "print('y' * {n})", "x = bytearray({n} * {n})",
    "os.close({m})", "os.dup2({m}, {k})", "os.write({m}, b'end 0 0 0 0 0 -\\ndone\\n')", "raise SystemExit({m})",
    "ctypes.string_at({n})", "ctypes.CDLL(None).syscall({n}, {m}, {k}, {m})", "ctypes.CDLL(None).syscall({m}, {k}, {n})",
    "signal.signal({m}, lambda *a: None)", "signal.alarm({k})", "threading.Thread(target=print).start()",
    "socket.socketpair()", "open({m}, 'w').write('z' * {n})", "open('/proc/self/mem', 'r+b').seek({n})", "1 / 0",
    "def f(): f()", "f()", "sys.setrecursionlimit({n})", "os.lseek({m}, {n}, 0)", "while True: pass", "sys.stdout.close()",
    "os.ftruncate({m}, {n})", "for _ in range({n}): pass", "os.setpgid(0, 0)", "del sys.modules['os']", "os.abort()",
    "import builtins; builtins.print = None", "import _thread; _thread.interrupt_main()", "import gc; gc.disable()",
)  # fmt: skip


def random_program(rng: random.Random) -> str:
    """A few of the pieces, sometimes each in a `try`."""
    lines = []
    for piece in (
        "import os, sys, threading, signal, ctypes, socket",
        *rng.choices(PIECES, k=rng.randint(1, 8)),
    ):
        n, m, k = rng.choice((0, 1, 99, 9999, 2**31, 2**40)), rng.randint(0, 64), rng.randint(0, 8)
        line = piece.replace("{n}", str(n)).replace("{m}", str(m)).replace("{k}", str(k))
        lines.append(
            f"try: {line}\nexcept BaseException: pass" if rng.random() < 0.5 and "def" not in line else line
        )
    return "\n".join(lines)


def fuzz(programs: int, seed: int) -> None:
    """Print how that many random programs ended. An exception here, or a hang, is the failure looked for."""
    rng = random.Random(seed)
    before, ends, longest_s = standing(), Counter[str](), 0.0
    limits = Limits(wall_s=1.0, cpu_s=1.0, memory_mb=256, output_bytes=10_000)
    for i in range(programs):
        started = time.monotonic()
        (run,) = run_program(random_program(rng), ["5\n"], limits, sandbox=CONFINED[i % 2])
        longest_s = max(longest_s, time.monotonic() - started)
        ends[run.status] += 1
    after = standing()
    print(
        f"fuzz: {programs} random programs (seed {seed}) ended: {dict(ends)}; the longest took {longest_s:.1f} s; "
        f"left {after[0] - before[0]} processes, {after[1] - before[1]} descriptors"
    )


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--programs", type=int, default=40)
    parser.add_argument("--tests", type=int, default=4)
    parser.add_argument("--leak-runs", type=int, default=10_000)
    parser.add_argument("--fuzz", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.programs:
        for tests in (1, given.tests, 16):
            speed(given.programs, tests)
    if given.fuzz:
        fuzz(given.fuzz, given.seed)
    if given.leak_runs:
        leaks(given.leak_runs)


if __name__ == "__main__":
    main()
