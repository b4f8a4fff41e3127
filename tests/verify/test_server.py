"""One start of a sandbox serves many programs, and they are as far apart as if each had its own."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import psutil
import pytest

from promptcot.verify.sandbox import Choice, Limits, choose, run_program, server
from promptcot.verify.sandbox.server import Server, shut

LIMITS = Limits(wall_s=20.0, cpu_s=20.0)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Every test begins and ends without a started sandbox."""
    shut()
    yield
    shut()


def said(code: str, sandbox: Choice, stdin: str = "", limits: Limits = LIMITS) -> str:
    (run,) = run_program(code, [stdin], limits, sandbox=sandbox)
    assert run.status == "ok", run
    return run.stdout


def idle(sandbox: Choice) -> Server:
    """The server that waits for this thread's next program."""
    return server._mine.idle[choose(sandbox), 0]


def test_many_programs_and_kinds_of_programs_share_one_start(sandbox: Choice) -> None:
    assert said("print(1)", sandbox) == "1\n"
    first = idle(sandbox).process.pid
    assert said("print(input())", sandbox, "two") == "two\n"
    assert (
        run_program("def f(x): return x + 1", ["2"], LIMITS, sandbox=sandbox, function="f")[0].stdout == "3"
    )
    assert run_program("print(floor(4.5))", [""], LIMITS, sandbox=sandbox, lcb=True)[0].stdout == "4\n"
    assert run_program("print(floor(4.5))", [""], LIMITS, sandbox=sandbox)[0].status == "error"
    assert idle(sandbox).process.pid == first


def test_without_a_sandbox_nothing_is_shared() -> None:
    assert said("print(1)", "unsafe") == "1\n"
    assert not server._mine.idle


# Reads all memory near its own objects, heap and stack through a pipe, so that a gap is an error and no crash.
SEARCH = """
import ctypes, os
libc = ctypes.CDLL(None)
heard, said = os.pipe()
buffer = ctypes.create_string_buffer(1 << 16)
local = ctypes.c_int()
found = set()
wanted = {parts}
for anchor in (id(object()), id(os), id(wanted), ctypes.addressof(buffer), ctypes.addressof(local)):
    for page in range((anchor >> 12) - {pages}, (anchor >> 12) + {pages}):
        if libc.write(said, ctypes.c_void_p(page << 12), 4096) != 4096: continue
        text = os.read(heard, 4096)
        for name, (first, rest) in wanted.items():
            if any(before.endswith(first) for before in text.split(rest)[:-1]): found.add(name)
print(*sorted(found))
"""


def test_no_program_finds_another_ones_source_input_or_output_in_its_memory(sandbox: Choice) -> None:
    marks = {"source": "Kx7q", "input": "Zp4w", "output": "Vb9m", "own": "Hn3t"}
    earlier = f"secret = '{marks['source'] * 9}'\nprint('{marks['output'] * 9}', len(input()))"
    for _ in range(2):
        said(earlier, sandbox, marks["input"] * 9)
    split = {name: (mark[:2].encode(), mark[2:].encode()) for name, mark in marks.items()}  # never whole here
    search = SEARCH.format(parts=repr(split), pages=4000) + f"# {marks['own'] * 9}\n"
    assert said(search, sandbox) == "own\n"


def test_a_thread_that_outlives_its_main_thread_does_not_outlive_the_test(sandbox: Choice) -> None:
    lasting = (
        "import ctypes, os, threading, time\n"
        "def on():\n  while True: time.sleep(0.01); os.write(1, b'still here')\n"
        "threading.Thread(target=on).start()\n"
        "ctypes.CDLL(None).syscall(93 if os.uname().machine == 'aarch64' else 60, 0)  # exit of one thread\n"
    )
    runs = run_program(lasting, ["", ""], Limits(wall_s=0.5), sandbox=sandbox)
    assert [run.status for run in runs] == ["timeout"] * 2
    inside = [p for p in psutil.Process().children(recursive=True) if p.num_threads() > 1]
    assert inside == []
    assert said("print(2)", sandbox) == "2\n"


def test_a_server_that_dies_while_idle_is_replaced(sandbox: Choice) -> None:
    said("print(1)", sandbox)
    first = idle(sandbox)
    first.process.kill()
    first.process.wait()
    assert said("print(2)", sandbox) == "2\n"
    assert idle(sandbox) is not first


def test_a_server_that_dies_in_the_middle_costs_a_second_try_and_no_verdict(sandbox: Choice) -> None:
    said("print(1)", sandbox)
    victim = psutil.Process(idle(sandbox).process.pid)
    killer = threading.Timer(0.5, victim.kill)
    killer.start()
    assert said("import time; time.sleep(1.5); print(3)", sandbox) == "3\n"
    killer.join()


def test_a_server_retires(sandbox: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_MAX_TESTS", 2)
    said("print(1)", sandbox)
    first = idle(sandbox)
    said("print(1)", sandbox)
    assert first.process.poll() is not None
    assert not server._mine.idle


def test_a_thread_keeps_a_few_servers_and_takes_them_with_it(sandbox: Choice) -> None:
    kept: list[list[psutil.Process]] = []

    def work() -> None:
        for seed in range(6):
            run_program("print(1)", [""], LIMITS, sandbox=sandbox, hash_seed=seed)
        kept.append([psutil.Process(s.process.pid) for s in server._mine.idle.values()])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(kept[0]) == server._MAX_IDLE
    assert not any(process.is_running() for process in kept[0])


def test_a_fork_of_ours_starts_its_own_and_leaves_its_parents_alone(sandbox: Choice) -> None:
    said("print(1)", sandbox)
    first = idle(sandbox)
    pid = os.fork()
    if pid == 0:
        done = False
        try:
            done = said("print(2)", sandbox) == "2\n" and idle(sandbox).process.pid != first.process.pid
            shut()
        finally:
            os._exit(0 if done else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert said("print(3)", sandbox) == "3\n"
    assert idle(sandbox) is first


def test_a_server_ends_when_asked_although_a_fork_holds_our_end(
    sandbox: Choice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_END_S", 300.0)
    said("print(1)", sandbox)
    process = idle(sandbox).process
    pid = os.fork()
    if pid == 0:
        signal.pause()
    shut()
    assert process.returncode in (0, -15)  # nobody had to kill it
    os.kill(pid, 9)
    os.waitpid(pid, 0)
