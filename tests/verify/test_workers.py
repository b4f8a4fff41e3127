"""SymPy in processes that can be killed: hangs, threads, forks, crashes, a missing package, nothing left behind."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest

from promptcot.records import Verdict
from promptcot.verify.answers import compare, equivalent
from promptcot.verify.workers import POOL, Bounds, WorkerFailed

NEEDS_SYMPY = (r"\sin^2 u", r"1-\cos^2 u")
SHORT = Bounds(cpu_s=0.2)
# prod of sin(k pi / 31) for k = 1..15 is sqrt(31) / 2^15: true, and no simplification finds it in time.
HANG = (r"\frac{\sqrt{31}}{2^{15}}", r"\cdot ".join(rf"\sin\frac{{{k}\pi}}{{31}}" for k in range(1, 16)))


def workers() -> list[psutil.Process]:
    return [
        p
        for p in psutil.Process().children(recursive=True)
        if "promptcot.verify.worker" in " ".join(p.cmdline())
    ]


def test_what_takes_too_long_is_unscored_and_the_next_answer_is_judged() -> None:
    verdict, reason = compare(*HANG, bounds=SHORT)
    assert (verdict, reason.partition(":")[0]) == (Verdict.UNSCORED, "timeout")
    assert compare(*NEEDS_SYMPY)[0] is Verdict.CORRECT


def test_the_common_cases_start_no_process() -> None:
    POOL.shut()
    for gold, prediction in [
        ("5", "5.0"),
        (r"\frac12", "0.5"),
        (r"2\sqrt3", r"\sqrt{12}"),
        ("(x+1)^2", "x^2+2x+1"),
    ]:
        assert equivalent(gold, prediction)
    assert not equivalent("5", r"\sqrt{24}")
    assert not workers()


def test_threads_get_workers_of_their_own_and_the_right_replies() -> None:
    rows = [(rf"\sin^2 u+{k}", rf"{k}+1-\cos^2 u" if k % 2 else r"\cos u") for k in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: compare(*row)[0], rows))
    assert found == [Verdict.CORRECT if k % 2 else Verdict.INCORRECT for k in range(24)]


def in_child(_: int) -> str:
    return str(compare(*NEEDS_SYMPY)[0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_do_not_share_workers(method: str) -> None:
    assert compare(*NEEDS_SYMPY)[0] is Verdict.CORRECT  # the parent has an idle worker when it forks
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert list(pool.map(in_child, range(6))) == ["correct"] * 6
    assert compare(*NEEDS_SYMPY)[0] is Verdict.CORRECT


def test_a_worker_killed_from_outside_is_a_reason_and_no_exception() -> None:
    POOL.shut()
    assert compare(*NEEDS_SYMPY)[0] is Verdict.CORRECT
    for process in workers():
        process.kill()
        process.wait()
    verdict, reason = compare(*NEEDS_SYMPY)
    assert (verdict, reason) == (Verdict.UNSCORED, "crashed")
    assert compare(*NEEDS_SYMPY)[0] is Verdict.CORRECT


def test_memory_is_bounded() -> None:
    verdict, reason = compare(*HANG, bounds=Bounds(cpu_s=20, wall_s=60, memory_mb=1))
    assert verdict is Verdict.UNSCORED
    assert reason.startswith(("memory", "crashed", "sympy failed"))


def test_without_the_package_the_reason_says_what_to_install() -> None:
    with pytest.raises(WorkerFailed, match="missing no_such_package"):
        POOL.ask({}, "no_such_package", Bounds())
    code = (
        "import sys; sys.modules['sympy'] = None\n"
        "import promptcot.verify.workers as w\n"
        "w.sys.path.insert(0, sys.argv[1])\n"
        "from promptcot.verify.answers import compare\n"
        "print(compare('0.5', '1/2')); print(compare(r'\\sin u', r'\\cos u'))"
    )
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(f"{folder}/sympy")
        with open(f"{folder}/sympy/__init__.py", "w") as f:
            f.write("raise ImportError(name='sympy')")
        said = subprocess.run(
            [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
        ).stdout
    assert said.splitlines()[0] == "(<Verdict.CORRECT: 'correct'>, 'equal')"
    assert "unscored" in said
    assert "needs the package 'sympy': pip install 'promptcot[verify]'" in said


@pytest.mark.parametrize("end", ["pass", "import os; os._exit(0)", "import os; os.kill(os.getpid(), 9)"])
def test_no_worker_outlives_the_process_that_started_it(end: str) -> None:
    code = (
        "from promptcot.verify.answers import compare\n"
        f"compare({NEEDS_SYMPY[0]!r}, {NEEDS_SYMPY[1]!r})\n"
        "import psutil\n"
        "print(*[p.pid for p in psutil.Process().children(recursive=True)], flush=True)\n" + end
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
    pids = [int(word) for word in said.split()]
    assert pids
    psutil.wait_procs(living(pids), timeout=300)
    assert not living(pids)


def living(pids: list[int]) -> list[psutil.Process]:
    """The processes that there still are, without those that only wait for their parent to ask about them."""
    found = []
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            found += [process] if process.status() != psutil.STATUS_ZOMBIE else []
    return found
