"""Running untrusted programs: honest ones work however they read, the others end as data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from promptcot.errors import UserError
from promptcot.verify.sandbox import Backend, Choice, Limits, Run, run_program
from promptcot.verify.sandbox.run import run_batch


def only(
    code: str,
    stdin: str = "",
    *,
    sandbox: Choice,
    wall_s: float = 20.0,
    cpu_s: float = 20.0,
    memory_mb: int = 1024,
    output_bytes: int = 1 << 20,
) -> Run:
    limits = Limits(wall_s, cpu_s, memory_mb, output_bytes)
    (run,) = run_program(code, [stdin], limits, sandbox=sandbox)
    return run


@pytest.mark.parametrize(
    "code",
    [
        "print(int(input()) + int(input()))",
        "import sys; print(sum(int(line) for line in sys.stdin))",
        "import sys; print(sum(map(int, sys.stdin.read().split())))",
        "import sys; print(sum(map(int, sys.stdin.readlines())))",
        "import sys; r = sys.stdin.buffer.readline; print(int(r()) + int(r()))",
        "print(sum(map(int, open(0).read().split())))",
        "import os; os.write(1, b'%d' % sum(map(int, os.read(0, 99).split())))",
        "import sys; sys.stdout.buffer.write(b'%d' % sum(map(int, sys.stdin.buffer.read().split())))",
        "import os; print(int(input()) + int(input()), flush=True); os._exit(0)",
        "print(int(input()) + int(input())); exit()",
        "f = open(1, 'w', closefd=False); f.write(str(int(input()) + int(input())))",
        "import atexit; x = int(input()) + int(input()); atexit.register(lambda: print(x))",
        "import threading\ndef go(): print(int(input()) + int(input()))\nthreading.Thread(target=go).start()",
        "total = 0\ndef add():\n    global total\n    total += int(input())\nadd(); add(); print(total)",
        "if __name__ == '__main__': print(int(input()) + int(input()))",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n  x: int\nprint(P(int(input())).x + int(input()))",
    ],
)
def test_every_way_of_reading_and_writing_works(code: str, runner: Choice) -> None:
    run = only(code, "3\n4\n", sandbox=runner)
    assert (run.status, run.stdout.strip(), run.exit_code) == ("ok", "7", 0), run.stderr


def test_tests_come_back_in_order_and_do_not_see_each_other(runner: Choice) -> None:
    code = "import builtins\nn = getattr(builtins, 'n', 0)\nbuiltins.n = n + 1\nprint(n, input())"
    runs = run_program(code, [str(i) for i in range(40)], sandbox=runner)
    assert [run.stdout for run in runs] == [f"0 {i}\n" for i in range(40)]


def test_no_tests_need_no_process() -> None:
    assert run_program("print(1)", []) == []


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("1/0", "error", 1),
        ("print(", "error", 1),
        ("\0", "error", 1),
        ("\ud800", "error", 1),
        ("import sys; sys.exit(3)", "error", 3),
        ("exit('no')", "error", 1),
        ("import os; os.abort()", "error", -6),
        ("def f(): f()\nf()", "error", 1),
        ("import os; os._exit(0)", "ok", 0),
        ("x = bytearray(1 << 40)", "memory", 1),
        ("x = []\nwhile True: x.append(' ' * 9999)", "memory", 1),
        ("while True: print('x' * 9999)", "output_limit", -25),
        ("import sys\nwhile True: sys.stderr.write('x' * 9999)", "output_limit", -25),
        ("import os; os.lseek(1, 1 << 40, 0); os.write(1, b'x')", "output_limit", -25),
        ("while True: pass", "timeout", -9),
        ("import time; time.sleep(99)", "timeout", -9),
        ("while True:\n  try:\n    while True: pass\n  except BaseException: pass", "timeout", -9),
        ("import os; os.kill(os.getpid(), 19)", "timeout", -9),
    ],
)
def test_misbehaviour_ends_as_data(code: str, status: str, exit_code: int, runner: Choice) -> None:
    wall_s = 1.0 if status == "timeout" else 30.0
    run = only(code, wall_s=wall_s, memory_mb=100, output_bytes=1 << 16, sandbox=runner)
    assert (run.status, run.exit_code) == (status, exit_code), run.stderr


def test_cpu_time_ends_a_program_before_the_clock_does(runner: Choice) -> None:
    run = only("while True: pass", cpu_s=1, wall_s=60, sandbox=runner)
    assert (run.status, run.exit_code) == ("timeout", -signal.SIGXCPU)


def test_output_is_cut_at_the_limit_and_complaints_keep_their_end(runner: Choice) -> None:
    run = only("print('x' * 2000)", output_bytes=1000, sandbox=runner)
    assert (run.status, run.stdout) == ("output_limit", "x" * 1000)
    run = only("import sys; sys.stderr.write('x' * 5000 + 'end'); sys.exit(1)", sandbox=runner)
    assert run.stderr == "x" * 1997 + "end"


def test_a_failure_names_the_program_and_not_this_machine(runner: Choice) -> None:
    run = only("def f():\n    return 1 / 0\nf()", sandbox=runner)
    assert "ZeroDivisionError" in run.stderr
    assert 'File "solution.py", line 2, in f' in run.stderr
    assert "launcher" not in run.stderr


def test_without_a_sandbox_a_killed_supervisor_is_an_error_and_the_next_call_works() -> None:
    runs = run_program("import os; os.kill(os.getppid(), 9)", ["", ""], sandbox="unsafe")
    assert [(run.status, run.exit_code) for run in runs] == [("error", None)] * 2
    assert only("print(1)", sandbox="unsafe").stdout == "1\n"


def test_forged_reports_change_no_output_and_kill_nobody(runner: Choice) -> None:
    forge = "open(f'/proc/{os.getppid()}/fd/1', 'w').write('start 0\\nend 7\\nend x y\\nstart -1\\n')"
    run = only(f"import os\ntry: {forge}\nexcept OSError: pass\nprint(2)", sandbox=runner)
    assert run.stdout == "2\n"


def test_without_a_sandbox_what_a_test_leaves_running_in_its_group_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = f"import os, time\npid = os.fork()\nif pid == 0: time.sleep(99)\nopen({str(note)!r}, 'w').write(str(pid))"
    assert only(code, sandbox="unsafe").status == "ok"
    wait_until(lambda: not alive(int(note.read_text())))


def test_a_killed_caller_leaves_nothing_running(runner: Choice) -> None:
    call = (
        "from promptcot.verify.sandbox import Limits, run_program\n"
        f"run_program('import time; time.sleep(500)', [''], Limits(wall_s=500.0), sandbox={runner!r})"
    )
    caller = subprocess.Popen([sys.executable, "-c", call])
    deepest = 3 if runner == "bwrap" else 2  # bwrap, the supervisor, the test
    family = psutil.Process(caller.pid)
    wait_until(lambda: asleep(family, deepest))
    pids = [p.pid for p in family.children(recursive=True)]
    caller.kill()
    caller.wait()
    wait_until(lambda: not any(map(alive, pids)))


def asleep(family: psutil.Process, deepest: int) -> bool:
    """Has the test itself been running for a while?"""
    children = family.children(recursive=True)
    return len(children) == deepest and all(time.time() - p.create_time() > 1.0 for p in children)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, "still waiting after five minutes"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_without_a_sandbox_the_environment_is_empty_and_the_working_directory_new() -> None:
    os.environ["PROMPTCOT_TEST_SECRET"] = "x"
    try:
        code = "import os; print(dict(os.environ), os.listdir('.')); open('a', 'w')"
        assert only(code, sandbox="unsafe").stdout == "{} []\n"
        assert only(code, sandbox="unsafe").stdout == "{} []\n"
    finally:
        del os.environ["PROMPTCOT_TEST_SECRET"]


def test_no_descriptor_of_ours_reaches_the_program(runner: Choice) -> None:
    code = "import os\nfor fd in range(3, 64):\n  try: os.fstat(fd); print(fd)\n  except OSError: pass"
    assert [run.stdout for run in run_program(code, ["", "", ""], sandbox=runner)] == ["", "", ""]


def test_the_order_of_sets_depends_on_the_hash_seed_only(runner: Choice) -> None:
    code = "print(*{'ab', 'cd', 'ef', 'gh', 'ij', 'kl'})"
    first = {run_program(code, [""], sandbox=runner)[0].stdout for _ in range(3)}
    other = {run_program(code, [""], hash_seed=seed, sandbox=runner)[0].stdout for seed in range(1, 6)}
    assert len(first) == 1
    assert other - first


def test_large_input_and_odd_characters_arrive(runner: Choice) -> None:
    assert only("print(len(input()))", "x" * 3_000_000, sandbox=runner).stdout == "3000000\n"
    assert (
        only("print(input())", "\u00e9\u4e2d\U0001f600", sandbox=runner).stdout == "\u00e9\u4e2d\U0001f600\n"
    )
    assert only("print(1)", "\ud800", sandbox=runner).stdout == "1\n"


def test_deep_recursion_in_a_thread_works(runner: Choice) -> None:
    code = (
        "import sys, threading\nsys.setrecursionlimit(10**6); threading.stack_size(256 << 20)\n"
        "def f(n): return 0 if n == 0 else 1 + f(n - 1)\n"
        "t = threading.Thread(target=lambda: print(f(50000))); t.start(); t.join()"
    )
    assert only(code, sandbox=runner).stdout == "50000\n"


def test_it_works_from_threads_and_leaves_no_descriptor_and_no_child(runner: Choice) -> None:
    fd_folder = Path("/proc/self/fd")
    before = len(list(fd_folder.iterdir())) if fd_folder.exists() else 0
    children = psutil.Process().children(recursive=True)
    outputs: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: outputs.extend(r.stdout for r in run_program("print(5)", [""] * 3, sandbox=runner))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outputs == ["5\n"] * 12
    if before:
        assert len(list(fd_folder.iterdir())) <= before
    assert psutil.Process().children(recursive=True) == children


def test_no_interpreter_is_an_infrastructure_failure() -> None:
    for broken in ("/nonexistent/python", "/bin/false"):
        backend = Backend("unsafe", "none", broken)
        with pytest.raises(UserError, match="could not run tests"):
            run_batch(backend, "print(1)", [""], Limits())


@pytest.mark.parametrize("limits", [{"wall_s": 0}, {"cpu_s": -1}, {"memory_mb": 0}, {"output_bytes": 0}])
def test_limits_must_be_positive(limits: dict[str, int]) -> None:
    with pytest.raises(UserError, match="expected: a positive number"):
        Limits(**limits)  # type: ignore[arg-type]
