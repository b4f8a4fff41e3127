"""What isolation costs: test runs per second per core of each sandbox, next to a process per test and a Manager each.

    python -m benchmarks.sandbox [--programs 60] [--tests 1 4 16] [--packages] [--leak-runs 10000]

Everything is measured in this run, alternating, over the same trivial programs. The peer is our own re-creation of what the
released PromptCoT 2.0 evaluation does for a test (docs/verification-programs.md): a `multiprocessing.Manager` and a forked
`Process` that executes the program with its streams replaced, in which nothing is confined. A core's second is a second
of CPU time, of all processes together, so that other work on the machine does not count; the clock's are printed too. Each
round of `--programs` programs pays for one start of each sandbox. `--packages` measures instead what packages cost that
programs may import: their start, a test, memory. `--leak-runs` counts processes, descriptors and temporary
files before and after that many runs on each back end, and exits with 1 if there are new ones.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import io
import multiprocessing
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from benchmarks.fuzz import standing

from promptcot.verify.sandbox import Choice, Limits, choose, probe, run_program
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


USES = {
    (): PROGRAM,
    ("sortedcontainers",): "from sortedcontainers import SortedList\nprint(sum(SortedList(map(int, input().split()))))",
    ("numpy",): "import numpy as np\nprint(np.array(input().split(), int).sum())",
    ("networkx",): "import networkx as nx\nprint(sum(nx.path_graph(4)))",
    ("sympy",): "import sympy\nprint(sum(map(sympy.Integer, input().split())))",
    ("networkx", "numpy", "sortedcontainers", "sympy"): "import networkx, numpy, sortedcontainers, sympy\nprint(6)",
}  # fmt: skip
# How many megabytes of its address space a program has left, found by asking for them.
LEFT = """
low, high = 0, 1024
while high - low > 1:
    tried = (low + high) // 2
    try: low = len(bytearray(tried << 20)) >> 20
    except MemoryError: high = tried
print(low)
"""


def packages(tests: int) -> None:
    """Print, for sets of packages on each back end: CPU of the start and of a test, and memory."""
    print(
        "CPU ms of the start, of a test, of a test in an interpreter of its own; MB resident, MB of address space"
    )
    for names, code in USES.items():
        limits = Limits(30.0, 30.0, packages=names)
        (alone,) = run_program(code, [INPUT], limits, sandbox="unsafe")
        for name in CONFINED:
            if probe(name).why:
                continue
            choose(name, names)
            shut()
            before = cpu_s()
            first = run_program(code, [INPUT], limits, sandbox=name)
            shut()
            start, before = cpu_s() - before, cpu_s()
            runs = run_program(code, [INPUT] * tests, limits, sandbox=name)
            shut()
            each = (cpu_s() - before - start) / (tests - 1)
            assert {r.stdout for r in (*first, *runs)} == {OUTPUT}, runs
            (left,) = run_program(code + LEFT, [INPUT], limits, sandbox=name)
            held = limits.memory_mb - int(left.stdout.split()[-1])
            print(
                f"  {name:<9} {', '.join(names) or 'none':<42} {1e3 * (start - each):5.0f} {1e3 * each:6.1f} "
                f"{1e3 * alone.cpu_s:6.0f} {max(r.max_rss_mb for r in runs):6.0f} {held:6d}"
            )


KINDS = (
    *[PROGRAM] * 10, "1/0", "print('x' * 99999)", "import os; os.kill(os.getpid(), 9)", "import os; os._exit(0)",
    "import os; os.fork()", "import threading, time\nfor _ in range(9): threading.Thread(target=time.sleep, args=(9,)).start()\n"
    "import os; os._exit(0)",
)  # fmt: skip


def leaks(runs: int) -> bool:
    """Print what there was before and after `runs` runs on each back end, a third of them of programs that misbehave."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what loses its parent becomes our child
    clean = True
    for name in CONFINED:
        if why := probe(name).why:
            print(f"{name}: skipped, {why}")
            continue
        shut()
        before, done, ends = standing(), 0, Counter[str]()
        while done < runs:
            tests = (1, 4, 16)[done % 3]
            batch = run_program(
                KINDS[done % len(KINDS)], [INPUT] * tests, Limits(output_bytes=1000), sandbox=name
            )
            done += len(batch)
            ends.update(run.status for run in batch)
        shut()
        after = standing()
        clean = clean and before == after
        print(f"{name}: {done} runs ended: {dict(ends)}")
        for what, then, now in zip(
            ("processes", "descriptors", "temporary files"), before, after, strict=True
        ):
            print(f"  {what}: {len(then)} before, {len(now)} after; new: {sorted(now - then)}")
    return clean


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--programs", type=int, default=60)
    parser.add_argument("--tests", type=int, nargs="+", default=[1, 4, 16], help="tests per program")
    parser.add_argument("--leak-runs", type=int, default=10_000)
    parser.add_argument("--packages", action="store_true", help="what packages cost, and nothing else")
    given = parser.parse_args()
    if given.packages:
        packages(60)
        return
    if given.programs:
        for tests in given.tests:
            speed(given.programs, tests)
    if given.leak_runs and not leaks(given.leak_runs):
        sys.exit(1)


if __name__ == "__main__":
    main()
