"""Cheating the judge: a program cannot learn what is expected, forge a result, or leave a hint for its next test."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import psutil
import pytest

from promptcot.errors import UserError
from promptcot.records import UnitTest, Verdict
from promptcot.verify import programs
from promptcot.verify.programs import check_program, extract_program, pair_tests, run_tests
from promptcot.verify.sandbox import Choice, Limits, Run, run_program

LIMITS = Limits(wall_s=20.0, cpu_s=20.0)
NONCE = "8241990017"


def calls(body: str, sandbox: Choice, tests: list[UnitTest] | None = None) -> list[str]:
    code = f"class Solution:\n    def f(self, x):\n        {body}\n"
    return run_tests(code, tests or [UnitTest("1", NONCE)], LIMITS, sandbox=sandbox, function="f")


@pytest.mark.parametrize(
    ("tests", "body", "ends"),
    [
        (("3", "6"), "return 2 * x", "passed"),
        (("[1, 2]", "[2, 1]"), "return x[::-1]", "passed"),
        (("[1, 2]", "[1, 2]"), "return tuple(x)", "passed"),
        (("1", "[[1, 2]]"), "return [(1, 2)]", "passed"),
        (("1", "true"), "return 1", "passed"),
        (("1", "1.0"), "return 1", "passed"),
        (("1", "0.3"), "return 0.1 + 0.2", "wrong_output"),
        (("1", "[1, 2]"), "return {1, 2}", "wrong_output"),
        (("1", "null"), "pass", "passed"),
        (("1", "0"), "pass", "wrong_output"),
        (("1", "2"), "print(2)", "wrong_output"),
        (("1", "2"), "print('x' * (4 << 20)); return 2", "passed"),
        (('"a"', '"a\\u00e9"'), "return x + 'é'", "passed"),
        (("1", "2"), "return undefined", "error"),
        (("1", "2"), "while True: pass", "timeout"),
        (("1", "NaN"), "return float('nan')", "wrong_output"),
        (("1", "1"), "return 10 ** 5000", "wrong_output"),
        (("1", "1"), "x = []\n        for _ in range(9 ** 5): x = [x]\n        return x", "wrong_output"),
    ],
)
def test_calls_are_compared_as_livecodebench_does(
    tests: tuple[str, str], body: str, ends: str, sandbox: Choice
) -> None:
    limits = Limits(wall_s=1.0) if ends == "timeout" else LIMITS
    code = f"class Solution:\n    def f(self, x: List[int]):\n        {body}\n"
    assert run_tests(code, [UnitTest(*tests)], limits, sandbox=sandbox, function="f") == [ends]


def test_a_call_takes_one_argument_per_line_and_a_plain_function_will_do(sandbox: Choice) -> None:
    tests = [UnitTest("3\n[4]\n", "7"), UnitTest("1\n[1]", "2")]
    code = (
        "def add(a, b):\n    return a + b[0]\nif __name__ == '__main__':\n    print(add(int(input()), [1]))"
    )
    assert run_tests(code, tests, LIMITS, sandbox=sandbox, function="add") == ["passed", "passed"]


CLEVER = {
    "always equal": "class E:\n    __eq__ = lambda s, o: True\n    __hash__ = None\nclass Solution:\n    def f(self, x): return E()",
    "an equal int": "class E(int):\n    __eq__ = lambda s, o: True\nclass Solution:\n    def f(self, x): return E(1)",
    "an equal str": "class E(str):\n    __eq__ = lambda s, o: True\nclass Solution:\n    def f(self, x): return E('1')",
    "an equal list": "class E(list):\n    __eq__ = lambda s, o: True\nclass Solution:\n    def f(self, x): return E([1])",
    "an equal dict": "class E(dict):\n    __eq__ = lambda s, o: True\nclass Solution:\n    def f(self, x): return E()",
    "exit": "import os\nclass Solution:\n    def f(self, x): os._exit(0)",
    "sys.exit": "import sys\nclass Solution:\n    def f(self, x): sys.exit(0)",
    "exit while loading": "import os; os._exit(0)",
    "patched json": "import json\njson.dumps = lambda *a, **k: '*'\njson.loads = lambda *a, **k: 1\nclass Solution:\n    def f(self, x): return 1",
    "patched builtins": "import builtins\nbuiltins.all = builtins.any = lambda *a: True\nclass Solution:\n    def f(self, x): return 1",
    "many results": "import os\nclass Solution:\n    def f(self, x):\n        os.write(3, b'1\\n2\\ntrue\\n'); return True",
    "reports": "import os\nclass Solution:\n    def f(self, x):\n        for fd in range(64):\n            try: os.write(fd, b'end 0 0 0 0 0 -\\ndone\\n')\n            except OSError: pass\n        os._exit(0)",
    # The expected number is 8241 and six digits that these programs do not know.
    "frames": (
        "import sys, gc, re\nclass Solution:\n    def f(self, x):\n        frame, seen = sys._getframe(), []\n"
        "        while frame:\n            seen += map(repr, [*frame.f_locals.values(), *frame.f_globals.values()]); frame = frame.f_back\n"
        "        seen += [repr(o) for o in gc.get_objects() if isinstance(o, (list, tuple, dict))]\n"
        "        return int((re.findall('8241[0-9]{6}', ' '.join(seen)) or [0])[0])"
    ),
    "memory": (
        "import re\nclass Solution:\n    def f(self, x):\n        found = []\n        with open('/proc/self/mem', 'rb') as mem:\n"
        "            for line in open('/proc/self/maps'):\n                a, b = (int(v, 16) for v in line.split()[0].split('-'))\n"
        "                try: mem.seek(a); found += re.findall(b'8241[0-9]{6}', mem.read(b - a))\n                except (OSError, OverflowError, ValueError): continue\n"
        "        return int((found or [0])[0])"
    ),
    "arguments": (
        "import sys, re\nclass Solution:\n    def f(self, x): return int((re.findall('8241[0-9]{6}', ' '.join([*sys.argv, *sys.orig_argv])) or [0])[0])"
    ),
}


@pytest.mark.parametrize("trick", CLEVER)
def test_no_trick_passes_a_call(trick: str, sandbox: Choice) -> None:
    (end,) = run_tests(CLEVER[trick], [UnitTest("1", NONCE)], LIMITS, sandbox=sandbox, function="f")
    assert end in ("wrong_output", "error"), trick


@pytest.mark.parametrize(
    "code",
    [
        "import os; os._exit(0)",
        "import sys; sys.exit(0)",
        "raise SystemExit",
        "import threading, os; threading.Thread(target=os._exit, args=(0,)).start()",
        "import atexit, os; atexit.register(os._exit, 0)",
        "import sys; sys.stdout = open('/dev/null', 'w'); print(8241990017)",
        "import sys; sys.stderr.write('8241990017')",
        "import sys; sys.stdin.buffer.raw.write(b'x') if sys.stdin.buffer.raw.writable() else print('read-only')",
        "import os; os.write(2, b'8241990017')",
    ],
)
@pytest.mark.parametrize("mode", ["lcb", "judge"])
def test_no_exit_passes_without_the_output(code: str, mode: programs.Mode, sandbox: Choice) -> None:
    verdict, reason, _ = check_program(code, [UnitTest("1", NONCE)], LIMITS, sandbox=sandbox, mode=mode)
    assert verdict is Verdict.INCORRECT, reason


HINTS = {
    "a file": "open('{p}', 'a').write('x')\nn = len(open('{p}').read())",
    "a name": "import builtins\nbuiltins.n = getattr(builtins, 'n', 0) + 1\nn = builtins.n",
    "a module": "import sys\nsys.count = n = getattr(sys, 'count', 0) + 1",
    "the environment": "import os\nn = int(os.environ.get('N', 0)) + 1\nos.environ['N'] = str(n); os.putenv('N', str(n))",
    "a current folder": "import os\nn = 1 + (os.getcwd() == '/dev')\nos.chdir('/dev')",
    "the kernel's shared memory": "import ctypes\nn = 1 + (ctypes.CDLL(None).shmget(77, 64, 0o600) >= 0)\nctypes.CDLL(None).shmget(77, 64, 0o1600)",
    "a mask": "import os\nn = 1 + (os.umask(0o123) == 0o123)",
    "input": "import os\nn = os.lseek(0, 0, 1) + 1\nos.lseek(0, 0, 2)",
    "a number of tests": "import os\nn = 1 + (len(os.listdir('/proc/self/fd/')) > 5)",
}  # fmt: skip


PLACES = ("/tmp/promptcot-hint", "hint", "/dev/shm/promptcot-hint", "/proc/self/comm")


@pytest.mark.parametrize(
    ("hint", "place"), [(h, p) for h in HINTS for p in (PLACES if h == "a file" else ("",))]
)
def test_nothing_passes_from_one_test_to_the_next(hint: str, place: str, sandbox: Choice) -> None:
    body = HINTS[hint].replace("{p}", place).replace("\n", "\n  ")
    code = f"try:\n  {body}\nexcept OSError: n = 1\nprint(n)"
    assert [run.stdout for run in run_program(code, ["", "", ""], LIMITS, sandbox=sandbox)] == ["1\n"] * 3


def test_a_program_sees_no_other_tests_input(sandbox: Choice) -> None:
    code = (
        "import os, glob\nfound = set()\nfor pid in (os.getppid(), 1, 'self'):\n  for fd in range(64):\n"
        "    try: found.add(os.read(os.open(f'/proc/{pid}/fd/{fd}', os.O_RDONLY), 99))\n    except OSError: pass\n"
        "print(sorted(found - {b''}))"
    )
    runs = run_program(code, ["one", "two"], LIMITS, sandbox=sandbox)
    assert [run.stdout for run in runs] == ["[b'one']\n", "[b'two']\n"]


FLOODS = {
    "memory": ("x = bytearray(4 << 30)", "memory"),
    "memory in small pieces": ("x = []\nwhile True: x.append(bytes(1 << 20))", "memory"),
    "shared memory": ("import mmap\nx = mmap.mmap(-1, 4 << 30)\nx[0] = 1", "error"),
    "output": ("while True: print('x' * 9999)", "output_limit"),
    "output by descriptor": ("import os\nfd = os.dup(1)\nwhile True: os.write(fd, b'x' * 99999)", "output_limit"),
    "output by path": ("f = open('/dev/stdout', 'a')\nwhile True: f.write('x' * 99999)", "output_limit"),
    "complaints": ("import os\nwhile True: os.write(2, b'x' * 99999)", "output_limit"),
    "a sparse output": ("import os\nos.ftruncate(1, 1 << 40)", "output_limit"),
    "an allocated output": ("import os\nos.posix_fallocate(1, 0, 1 << 40)", "output_limit"),
    "input": ("import os\nwhile True: os.write(0, b'x' * 99999)", "output_limit"),
    "output with the signal ignored": (
        "import os, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nwhile True: os.write(1, b'x' * 99999)",
        "output_limit",
    ),
    "threads": (
        "import threading, time\nthreading.stack_size(32768)\nwhile True:\n"
        "  try: threading.Thread(target=time.sleep, args=(99,)).start()\n  except Exception: pass",
        "error",
    ),
    "descriptors": ("import os\nx = [os.pipe() for _ in range(999)]", "error"),
    "the clock": (
        "import signal\nfor s in range(1, 64):\n  try: signal.signal(s, lambda *a: None)\n  except (OSError, ValueError): pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))\nwhile True:\n  try:\n    while True: signal.alarm(0)\n  except BaseException: pass",
        "timeout",
    ),
}  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS)
def test_no_flood_lasts(flood: str, sandbox: Choice) -> None:
    code, status = FLOODS[flood]
    wall_s = 2.0 if status == "timeout" else 60.0
    (run,) = run_program(code, [""], Limits(wall_s, 60.0, 512, 1 << 16), sandbox=sandbox)
    assert run.status == status, run
    assert len(run.stdout) <= 1 << 16


HONEST = {
    "/dev/stdin": "print(sum(map(int, open('/dev/stdin').read().split())))",
    "asyncio": "import asyncio\nasync def main(): await asyncio.sleep(0); print(sum(map(int, input().split())))\nasyncio.run(main())",
    "threads": "import threading, queue\nq = queue.Queue()\nt = threading.Thread(target=lambda: q.put(sum(map(int, input().split()))))\nt.start(); print(q.get())",
    "a pool of threads": "from concurrent.futures import ThreadPoolExecutor as P\nwith P(8) as p: print(sum(p.map(int, input().split())))",
    "silence": "import os, sys\nsys.stderr = open(os.devnull, 'w')\nprint('x', file=sys.stderr)\nprint(sum(map(int, input().split())))",
    "signals to itself": "import os, signal\nsignal.signal(signal.SIGUSR1, lambda *a: print(7))\ninput(); os.kill(os.getpid(), signal.SIGUSR1)",
    "an alarm": "import signal\nsignal.signal(signal.SIGALRM, lambda *a: print(7))\nsignal.setitimer(signal.ITIMER_REAL, 0.01); signal.pause()",
    "its own limits": "import resource as r\nr.setrlimit(r.RLIMIT_STACK, r.getrlimit(r.RLIMIT_STACK)); print(sum(map(int, input().split())))",
    "mmap": "import mmap\nm = mmap.mmap(0, 0, prot=mmap.PROT_READ)\nprint(sum(map(int, m[:].split())))",
    "big numbers": "a, b = map(int, input().split()); print((a ** 9999 * b) % 1009 * 0 + a + b)",
    "time, randomness, zones": "import time, random, zoneinfo\ntime.time(); random.random(); zoneinfo.ZoneInfo('Europe/Paris')\nprint(sum(map(int, input().split())))",
    "what it imports": "import decimal, fractions, sqlite3, hashlib, array, struct, unicodedata, zlib, ctypes, cmath\nprint(sum(map(int, input().split())))",
    "deep recursion": "import sys\nsys.setrecursionlimit(10 ** 6)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\nf(20000); print(sum(map(int, input().split())))",
}  # fmt: skip


@pytest.mark.parametrize("way", HONEST)
def test_honest_programs_are_left_alone(way: str, sandbox: Choice) -> None:
    (run,) = run_program(HONEST[way], ["3 4\n"], LIMITS, sandbox=sandbox)
    assert (run.status, run.stdout) == ("ok", "7\n"), run.stderr


def test_leaving_by_sys_exit_is_an_error_for_a_judge_only(sandbox: Choice) -> None:
    tests = [UnitTest("", "6")]
    for code, lcb, judge in (
        ("print(6); exit(3)", "passed", "error"),
        ("print(6); raise SystemExit('no')", "passed", "error"),
        ("print(6, flush=True); 1 / 0", "error", "error"),
        ("print(floor(6.5), sqrt, sep='\\n'[:0])", "wrong_output", "error"),  # the prelude's names
    ):
        assert run_tests(code, tests, LIMITS, sandbox=sandbox, mode="lcb") == [lcb]
        assert run_tests(code, tests, LIMITS, sandbox=sandbox, mode="judge") == [judge]


def test_stopping_ends_the_list_with_the_first_failure(sandbox: Choice) -> None:
    tests = [UnitTest(str(i), str(i if i != 2 else 9)) for i in range(40)]
    assert run_tests("print(input())", tests, LIMITS, sandbox=sandbox, stop=True) == ["passed"] * 2 + [
        "wrong_output"
    ]
    assert run_tests("print(1 // int(input()))", tests, LIMITS, sandbox=sandbox, stop=True) == ["error"]
    _, _, passed = check_program("print(input())", tests, LIMITS, sandbox=sandbox)
    assert passed == [i != 2 for i in range(40)]


@pytest.mark.parametrize(
    ("inputs", "outputs", "function"),
    [
        ([], [], ""),
        (["1"], [], ""),
        (["1"], ["1", "2"], ""),
        (["x"], ["1"], "f"),
        (["1"], [""], "f"),
        ([1], ["1"], ""),
    ],
)
def test_tests_that_do_not_fit_are_an_error(inputs: list[str], outputs: list[str], function: str) -> None:
    with pytest.raises(UserError):
        pair_tests(inputs, outputs, function)


def test_a_timeout_of_the_clock_is_tried_once_more_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from promptcot.verify.sandbox import choose, run

    choose("unsafe")  # its trial is run before the replacement
    asked: list[list[str]] = []

    def batch(backend: object, code: str, stdins: list[str], limits: Limits, **_: object) -> list[Run]:
        asked.append(list(stdins))
        first = len(asked) == 1
        return [
            Run("timeout" if first and s != "a" else "ok", s, "", -9 if first and s == "b" else -24)
            for s in stdins
        ]

    monkeypatch.setattr(run, "run_batch", batch)
    done = run_program("", ["a", "b", "c"], sandbox="unsafe")
    assert asked == [["a", "b", "c"], ["b"]]
    assert [r.status for r in done] == ["ok", "ok", "timeout"]


def test_a_lost_supervisor_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run_program", lambda *a, **k: [Run("lost", "6", "", None)])
    assert check_program("print(6)", [UnitTest("", "6")])[:2] == (Verdict.UNSCORED, "lost")


@pytest.mark.parametrize(
    ("text", "judge", "lcb"),
    [
        ("```python\nx\n```", "x\n", "x"),
        ("```\na\n```\n```\nb\n```", "b\n", "b"),
        ("```\na\n```\nthen ```b``` ends", "a\n", "then ```b``` ends"[:0] or None),
        ("<think>```\na\n```</think>```\nb\n```", "b\n", "b"),
        ("```a", None, None),
        ("no code", None, None),
    ],
)
def test_code_is_extracted_as_asked(text: str, judge: str | None, lcb: str | None) -> None:
    assert extract_program(text) == judge
    assert extract_program(text, "lcb") == lcb


def test_hundreds_of_runs_leave_no_process_descriptor_or_file(
    sandbox: Choice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # a folder that no other test writes to
    me = psutil.Process()
    run_program("print(1)", [""], LIMITS, sandbox=sandbox)
    before = len(os.listdir("/proc/self/fd")), me.children(recursive=True)
    rough = Limits(wall_s=0.3, cpu_s=1.0, output_bytes=1000)
    for i in range(40):
        code = (
            "print(1)",
            "while True: pass",
            "print('x' * 9999)",
            "1/0",
            "import os; os.kill(os.getpid(), 9)",
        )[i % 5]
        run_program(code, [""] * (1 if i % 5 == 1 else 6), rough, sandbox=sandbox)
    assert (len(os.listdir("/proc/self/fd")), me.children(recursive=True)) == before
    assert os.listdir(tmp_path) == []
