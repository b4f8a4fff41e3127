"""A program in the sandbox ends as `python3 file` does: the same output, the same exit code, in whatever way it ends.

Each program is run by the plain interpreter, too; what that prints is what is right.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptcot.verify.sandbox import Choice, Limits, Run, run_program
from promptcot.verify.sandbox.backends import MAX_DIGITS, interpreter

LIMITS = Limits(wall_s=30.0, cpu_s=30.0, output_bytes=1 << 22)
STDIN = "3\n4 5\nsix\n"

# Fast output as contestants write it: a wrapper of one's own in the place of sys.stdout, flushed in one way or another.
WRAPPER = """
import os, sys
from io import BytesIO, IOBase
class Fast(IOBase):
    newlines = 0
    def __init__(self, file):
        self._fd = file.fileno()
        self.buffer = BytesIO()
        self.writable = "x" in file.mode or "r" not in file.mode
        self.write = self.buffer.write if self.writable else None
    def read(self):
        while True:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, 8192))
            if not b: break
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines = 0
        return self.buffer.read()
    def readline(self):
        while self.newlines == 0:
            b = os.read(self._fd, max(os.fstat(self._fd).st_size, 8192))
            self.newlines = b.count(b"\\n") + (not b)
            ptr = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(ptr)
        self.newlines -= 1
        return self.buffer.readline()
    def flush(self):
        if self.writable:
            os.write(self._fd, self.buffer.getvalue())
            self.buffer.truncate(0), self.buffer.seek(0)
class Text(IOBase):
    def __init__(self, file):
        self.buffer = Fast(file)
        self.flush = self.buffer.flush
        self.writable = self.buffer.writable
        self.write = lambda s: self.buffer.write(s.encode("ascii"))
        self.read = lambda: self.buffer.read().decode("ascii")
        self.readline = lambda: self.buffer.readline().decode("ascii")
"""
FAST = WRAPPER + "sys.stdin, sys.stdout = Text(sys.stdin), Text(sys.stdout)\n"
FAST += "input = lambda: sys.stdin.readline().rstrip('\\r\\n')\n"
TOUCHES = "class Late:\n    def __init__(self, name): self.name = name\n    def __del__(self): print('late', self.name, len(NAMES))\nNAMES = [1, 2]\n"

OUTPUTS = {
    "plain": "print(input())",
    "fast": FAST + "print(int(input()) * 2)\nprint(input())",
    "fast, main guarded": FAST + "def main():\n    print(input())\nif __name__ == '__main__':\n    main()",
    "fast, flushed by hand": FAST + "print(1)\nsys.stdout.flush()\nprint(2)",
    "fast, flushed at exit": FAST + "import atexit\natexit.register(sys.stdout.flush)\nprint(1)",
    "fast, exits": FAST + "print(1)\nsys.exit()",
    "fast, exits with a code": FAST + "print(1)\nsys.exit(3)",
    "fast, fails": FAST + "print(1)\n1 / 0",
    "fast, in a thread": FAST
    + "import threading\ndef main(): print(input())\nt = threading.Thread(target=main); t.start(); t.join()",
    "fast, thread not waited for": FAST
    + "import threading, time\ndef main(): time.sleep(0.1); print(input())\nthreading.Thread(target=main).start()",
    "fast, print of its own": FAST
    + "def print(*a, sep=' ', end='\\n'): sys.stdout.write(sep.join(map(str, a)) + end)\nprint(1, 2)",
    "fast, large": FAST + "for i in range(40000): print(i)",
    "fast, never printed": FAST + "x = input()",
    "fast, only stdout": WRAPPER + "sys.stdout = Text(sys.stdout)\nprint(input())",
    "fast, buffer written": FAST + "sys.stdout.buffer.write(b'a')\nprint('b')",
    "fast, restored": WRAPPER
    + "old = sys.stdout\nsys.stdout = Text(sys.stdout)\nprint(1)\nsys.stdout.flush()\nsys.stdout = old\nprint(2)",
    "fast, not flushed before restored": WRAPPER
    + "old = sys.stdout\nsys.stdout = Text(sys.stdout)\nprint(1)\nsys.stdout = old\nprint(2)",
    "string buffer, written at exit": "import sys, io, atexit\nout = sys.stdout = io.StringIO()\natexit.register(lambda: sys.__stdout__.write(out.getvalue()))\nprint(input())",
    "string buffer, bytes at exit": "import sys, io, atexit, os\nbuf = io.BytesIO()\nsys.stdout = io.TextIOWrapper(buf)\ndef end():\n    sys.stdout.flush(); os.write(1, buf.getvalue())\natexit.register(end)\nprint(5)",
    "string buffer, lost": "import sys, io\nsys.stdout = io.StringIO()\nprint(1)",
    "text over the buffer": "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\nprint(1)",
    "text over the detached": "import sys, io\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='utf-8')\nprint('ä')",
    "reopened": "import sys\nsys.stdout = open(1, 'w')\nprint(1)",
    "reopened, large": "import sys\nsys.stdout = open(1, 'w', 1 << 20)\nfor i in range(30000): print(i)",
    "reopened, not closing": "import sys\nsys.stdout = open(1, 'w', closefd=False)\nprint(1)",
    "line buffered": "import sys\nsys.stdout.reconfigure(line_buffering=True)\nprint(1); print(2, end='')",
    "codecs": "import sys, codecs\nsys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer)\nprint('ä')",
    "buffered writer": "import io\nout = io.BufferedWriter(io.FileIO(1, 'w'))\nout.write(b'1')",
    "buffered writer, not closing": "import io\nout = io.BufferedWriter(io.FileIO(1, 'w', closefd=False))\nout.write(b'1')",
    "a file never closed": "f = open(1, 'w')\nf.write('1')\nprint(2)",
    "a file never closed, in a function": "def main():\n    global f\n    f = open(1, 'w', closefd=False)\n    f.write('1')\nmain()\nprint(2)",
    "a file never closed, held by typing": "import io\nfrom typing import List\nclass Node: pass\ndef f(x: List[Node]) -> Node: pass\nout = io.BufferedWriter(io.FileIO(1, 'w'))\nout.write(b'1')",
    "a file never closed, held by a hook": "import sys, threading\ndef hook(*a): print(out)\nsys.excepthook = threading.excepthook = sys.unraisablehook = hook\nout = open(1, 'w', closefd=False)\nout.write('1')",
    "a file never closed, held by a handler": "import signal\nsignal.signal(signal.SIGTERM, lambda *a: out)\nout = open(1, 'w', closefd=False)\nout.write('1')",
    "write as print": "import sys\nprint = lambda *a: sys.stdout.write(' '.join(map(str, a)) + '\\n')\nprint(1, 2)",
    "flush in __del__": "import os, sys\nclass W:\n    def __init__(self): self.parts = []\n    def write(self, s): self.parts.append(s)\n    def flush(self): pass\n    def __del__(self): os.write(1, ''.join(self.parts).encode())\nsys.stdout = W()\nprint(1)",
    "flush in __del__, of a global": "import os\nclass W:\n    def __init__(self): self.parts = []\n    def __del__(self): os.write(1, ''.join(self.parts).encode())\nw = W()\nw.parts.append('1')",
    "no flush at all": "import os, sys\nclass W:\n    def write(self, s): os.write(1, s.encode())\nsys.stdout = W()\nprint(1)",
    "a flush that fails": "import sys\nclass W:\n    def __init__(self, f): self.f = f\n    def write(self, s): self.f.write(s)\n    def flush(self): raise ValueError('no')\nsys.stdout = W(sys.stdout)\nprint(1)",
    "a flush that exits": "import sys\nclass W:\n    def __init__(self, f): self.f = f\n    def write(self, s): self.f.write(s)\n    def flush(self): sys.exit(7)\nsys.stdout = W(sys.stdout)\nprint(1)",
    "passing on by __getattr__": "import sys\nclass W:\n    def __init__(self, f): self.f = f\n    def write(self, s): self.f.write(s.upper())\n    def __getattr__(self, name): return getattr(self.f, name)\nsys.stdout = W(sys.stdout)\nprint('abc')",
    "two ways at once": "import os, sys\nprint(1)\nos.write(1, b'2\\n')\nsys.stdout.flush()\nprint(3)",
    "original stdout": "import sys, io\nsys.stdout = io.StringIO()\nprint(1, file=sys.__stdout__)",
    "standard error": "import sys\nprint(1, file=sys.stderr)\nprint(2)",
    "no stdout": "import sys\nsys.stdout = None\nprint(1)",
    "closed stdout": "import sys\nprint(1)\nsys.stdout.close()",
    "closed descriptor": "import os\nprint(1)\nos.close(1)",
    "closed descriptor, flushed before": "import os\nprint(1, flush=True)\nos.close(1)",
    "stdout deleted": "import sys\nprint(1)\ndel sys.stdout",
    "redirected": "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as s:\n    print(1)\nprint(s.getvalue() * 2, end='')",
    "writelines": "import sys\nsys.stdout.writelines(str(i) + '\\n' for i in range(5))",
    "duplicated": "import os\nfd = os.dup(1)\nos.write(fd, b'1\\n')\nprint(2)",
    "fdopen": "import os\nout = os.fdopen(1, 'wb')\nout.write(b'1\\n')",
    "print to a list, joined": "out = []\nprint = out.append\nprint('1')\nprint('2')\nimport sys\nsys.stdout.write('\\n'.join(out))",
    "logging": "import logging, sys\nlogging.basicConfig(stream=sys.stdout, level=logging.INFO, format='%(message)s')\nlogging.info('x')",
    "memory handler": "import logging, logging.handlers, sys\nh = logging.handlers.MemoryHandler(100, target=logging.StreamHandler(sys.stdout))\nl = logging.getLogger('a'); l.addHandler(h); l.setLevel(10); l.info('kept until the end')",
    "csv": "import csv, sys\ncsv.writer(sys.stdout).writerows([[1, 2], [3]])",
    "pprint": "import pprint\npprint.pprint({'a': [1, 2]})",
}

EXITS = {
    "exit": "print(1)\nexit()",
    "quit": "print(1)\nquit(2)",
    "sys.exit": "import sys\nprint(1)\nsys.exit(0)",
    "sys.exit in main": "import sys\ndef main():\n    print(1)\n    sys.exit(4)\nmain()",
    "a result": "import sys\ndef main(): return 5\nsys.exit(main())",
    "a text": "import sys\nprint(1)\nsys.exit('no')",
    "true": "raise SystemExit(True)",
    "a float": "raise SystemExit(2.5)",
    "a list": "raise SystemExit([1])",
    "two arguments": "raise SystemExit(1, 2)",
    "minus one": "raise SystemExit(-1)",
    "256": "raise SystemExit(256)",
    "huge": "raise SystemExit(10 ** 30)",
    "huge and negative": "raise SystemExit(-10 ** 30)",
    "40 bits": "raise SystemExit((1 << 40) + 9)",
    "a subclass": "class E(SystemExit): pass\nraise E(6)",
    "code changed": "e = SystemExit(1)\ne.code = 8\nraise e",
    "os._exit": "import os\nprint(1, flush=True)\nprint(2)\nos._exit(3)",
    "abort": "import os\nprint(1, flush=True)\nos.abort()",
    "killed by itself": "import os, signal\nprint(1, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)",
    "terminated by itself": "import os, signal\nprint(1)\nos.kill(os.getpid(), signal.SIGTERM)",
    "interrupted": "print(1)\nraise KeyboardInterrupt",
    "interrupted by a signal": "import os, signal, time\nprint(1)\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(5)",
    "interrupt caught": "import os, signal, time\ntry:\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(5)\nexcept KeyboardInterrupt:\n    print('caught')",
    "a subclass of the interrupt": "class K(KeyboardInterrupt): pass\nraise K",
    "an error": "print(1)\nraise ValueError('x')",
    "an error of its own hook": "import sys\nsys.excepthook = lambda *a: print('hook', a[0].__name__)\n1 / 0",
    "a hook that fails": "import sys\ndef hook(*a): raise KeyError\nsys.excepthook = hook\n1 / 0",
    "a syntax error": "print(1)\nx = = 1",
    "a bare exception": "raise BaseException",
    "a group": "raise ExceptionGroup('g', [ValueError(1), TypeError(2)])",
    "a generator exit": "raise GeneratorExit",
    "assertion": "print(1)\nassert False",
    "end of input": "while True: print(input())",
    "recursion": "def f(n): return f(n + 1)\nf(0)",
    "recursion caught": "def f(n):\n    return f(n + 1)\ntry: f(0)\nexcept RecursionError: print('deep')",
    "exit in a try": "import sys\ntry:\n    sys.exit(2)\nfinally:\n    print('finally')",
    "exit swallowed": "import sys\ntry:\n    sys.exit(2)\nexcept BaseException as e:\n    print('swallowed', e.code)",
    "exit in a thread": "import sys, threading\nt = threading.Thread(target=sys.exit, args=(3,)); t.start(); t.join()\nprint(1)",
    "error in a thread": "import threading\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()\nprint(1)",
    "thread hook": "import threading\nthreading.excepthook = lambda a: print('hook', a.exc_type.__name__)\nt = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()",
    "thread outlives main": "import threading, time\ndef go(): time.sleep(0.2); print('thread')\nthreading.Thread(target=go).start()\nprint('main')",
    "thread outlives an error": "import threading, time\ndef go(): time.sleep(0.2); print('thread')\nthreading.Thread(target=go).start()\n1 / 0",
    "thread outlives an exit": "import threading, time, sys\ndef go(): time.sleep(0.2); print('thread')\nthreading.Thread(target=go).start()\nsys.exit(5)",
    "daemon thread does not": "import threading, time\ndef go(): time.sleep(20); print('thread')\nthreading.Thread(target=go, daemon=True).start()\nprint('main')",
    "timer": "import threading\nthreading.Timer(0.1, print, ['timer']).start()\nprint('main')",
    "pool of threads": "from concurrent.futures import ThreadPoolExecutor\np = ThreadPoolExecutor(2)\nf = [p.submit(print, i) for i in range(1)]",
    "pool waited for": "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as p: print(list(p.map(lambda x: x * x, range(5))))",
    "deep thread": "import sys, threading\nsys.setrecursionlimit(10**6); threading.stack_size(1 << 27)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)\nt = threading.Thread(target=lambda: print(f(30000))); t.start(); t.join()",
    "asyncio": "import asyncio\nasync def main():\n    await asyncio.sleep(0.01); print(1)\nasyncio.run(main())",
    "asyncio, never awaited": "async def f(): print(1)\nf()\nprint(2)",
    "alarm": "import signal, time\nsignal.signal(signal.SIGALRM, lambda *a: print('alarm'))\nsignal.setitimer(signal.ITIMER_REAL, 0.05)\ntime.sleep(0.3)",
    "killed by an alarm": "import signal, time\nprint(1, flush=True)\nsignal.alarm(1)\ntime.sleep(5)",
    "no code at all": "",
    "a comment": "# nothing",
    "exec": "exec('print(1)\\nraise SystemExit(3)')",
    "main is imported": "import __main__\nx = 5\nprint(__main__.x)",
    "name": "print(__name__, __spec__, __doc__)",
    "docstring": "'''doc'''\nprint(__doc__)",
    "annotations of functions": "def f(x: int) -> 'int': pass\nprint(f.__annotations__)",
    "annotations": "x: int = 1\nprint(__annotations__)",
    "builtins": "print(__builtins__.len([1]), type(__builtins__).__name__)",
    "file": "import os\nprint(os.path.basename(__file__))",
}

ENDINGS = {
    "at exit": "import atexit\natexit.register(print, 'end')\nprint('main')",
    "at exit, last first": "import atexit\nfor i in range(3): atexit.register(print, i)",
    "at exit, within at exit": "import atexit\natexit.register(lambda: atexit.register(print, 'inner'))",
    "at exit, unregistered": "import atexit\natexit.register(print, 1)\natexit.unregister(print)",
    "at exit, cleared": "import atexit\natexit.register(print, 1)\natexit._clear()\nprint(2)",
    "at exit, error": "import atexit\natexit.register(lambda: 1 / 0)\natexit.register(print, 'first')\nprint('main')",
    "at exit, exits": "import atexit, sys\natexit.register(sys.exit, 9)\nprint('main')",
    "at exit, os._exit": "import atexit, os\natexit.register(os._exit, 9)\nprint('main', flush=True)",
    "at exit, buffered before": "import atexit, os\natexit.register(os.write, 1, b'end')\nprint('main')",
    "at exit, after an error": "import atexit\natexit.register(print, 'end')\n1 / 0",
    "at exit, after an exit": "import atexit, sys\natexit.register(print, 'end')\nsys.exit(2)",
    "at exit, replaces stdout": "import atexit, sys, io\n@atexit.register\ndef end():\n    sys.stdout = io.TextIOWrapper(sys.__stdout__.buffer, write_through=True); print('end')",
    "at exit, with globals": "import atexit\nx = [1]\n@atexit.register\ndef end(): print(x)\nx.append(2)",
    "at exit, reads on": "import atexit\natexit.register(lambda: print(input()))\nprint(input())",
    "weakref at exit": "import weakref\nclass A: pass\na = A()\nweakref.finalize(a, print, 'gone')\nprint('main')",
    "weakref not at exit": "import weakref\nclass A: pass\na = A()\nf = weakref.finalize(a, print, 'gone'); f.atexit = False\nprint('main')",
    "generator suspended": "def g():\n    try: yield 1\n    finally: print('finally')\nit = g()\nprint(next(it))",
    "generator in a list": "def g(i):\n    try: yield i\n    finally: print('finally', i)\nits = [g(0)]\nfor it in its: next(it)",
    "generator, with": "import contextlib\n@contextlib.contextmanager\ndef c():\n    print('in')\n    try: yield\n    finally: print('out')\nx = c()\nx.__enter__()",
    "generator uses globals": "NAME = 'n'\ndef g():\n    try: yield 1\n    finally: print(NAME)\nit = g()\nnext(it)",
    "async generator": "async def g():\n    try: yield 1\n    finally: print('finally')\nimport asyncio\nasync def main():\n    async for x in g(): print(x); break\nasyncio.run(main())",
    "object deleted at the end": TOUCHES + "a = Late('a')\nb = Late('b')",
    "object in a cycle": TOUCHES + "a = Late('a')\na.me = a",
    "object in a lost cycle": TOUCHES + "a = Late('a')\na.me = a\ndel a",
    "cycles, collector off": TOUCHES + "import gc\ngc.disable()\na = Late('a')\na.me = a\ndel a",
    "object in a function": TOUCHES + "def f(x=Late('default')): pass",
    "object of a class": TOUCHES + "class C: x = Late('class')",
    "object in a closure": TOUCHES + "def f():\n    x = Late('closure')\n    return lambda: x\ng = f()",
    "object in a list": TOUCHES + "xs = [Late('item')]",
    "object in a cache": TOUCHES + "import functools\n@functools.lru_cache(None)\ndef f(i): return Late(i)\nf(1)",
    "object after an error": TOUCHES + "a = Late('a')\n1 / 0",
    "object in the frame of an error": TOUCHES + "def f():\n    x = Late('frame')\n    1 / 0\nf()",
    "object after an exit": TOUCHES + "import sys\na = Late('a')\nsys.exit(3)",
    "object in a module": "import builtins\nclass L:\n    def __del__(self): __import__('os').write(1, b'late')\nbuiltins.kept = L()",
    "error in __del__": "class L:\n    def __del__(self): 1 / 0\na = L()\nprint(1)",
    "private names first": "class L:\n    def __init__(self, n): self.n = n\n    def __del__(self): print(self.n)\n_b = L('_b')\na = L('a')\n_c = L('_c')",
    "stdout in __del__": FAST + "class L:\n    def __del__(self): print('late')\na = L()\nprint('main')",
    "writes in __del__": "import os\nclass L:\n    def __del__(self): os.write(1, b'late')\na = L()\nprint('main')",
    "temporary object": TOUCHES + "Late('now')\nprint('main')",
    "with": "class C:\n    def __enter__(self): print('in')\n    def __exit__(self, *a): print('out', a[0])\nwith C(): 1 / 0",
}  # fmt: skip

PROGRAMS = {**OUTPUTS, **EXITS, **ENDINGS}


@cache
def plain(code: str) -> tuple[str, int]:
    """(stdout, exit code) of `python3 solution.py`, with the limits on digits and the encoding of the sandbox."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "solution.py").write_text(code)
        (folder / "stdin").write_text(STDIN)
        command = [interpreter(), "-X", "utf8", "-X", f"int_max_str_digits={MAX_DIGITS}", "solution.py"]
        with (folder / "stdin").open("rb") as source, (folder / "stdout").open("wb") as out:
            done = subprocess.run(
                command, stdin=source, stdout=out, stderr=subprocess.DEVNULL, cwd=folder, timeout=60,
                env={"PYTHONHASHSEED": "0"}, check=False, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )  # fmt: skip
        return (folder / "stdout").read_bytes().decode(errors="replace"), done.returncode


def confined(code: str, sandbox: Choice, lcb: bool = False) -> Run:
    (run,) = run_program(code, [STDIN], LIMITS, sandbox=sandbox, lcb=lcb)
    return run


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends_as_in_plain_python(name: str, sandbox: Choice) -> None:
    run = confined(PROGRAMS[name], sandbox)
    assert (run.stdout, run.exit_code) == plain(PROGRAMS[name]), run.stderr


@pytest.mark.parametrize("name", OUTPUTS)
def test_livecodebenchs_mode_prints_the_same_and_asks_for_no_clean_exit(name: str, sandbox: Choice) -> None:
    run = confined(OUTPUTS[name], sandbox, lcb=True)
    output, code = plain(OUTPUTS[name])
    assert (run.stdout, run.exit_code) == (output, 1 if code == 1 else 0), run.stderr


PIECES = st.lists(st.sampled_from([
    "print(1)", "print(2, end='')", "os.write(1, b'3\\n')", "sys.stdout.flush()", "print(4, file=sys.__stdout__)",
    "sys.stdout = io.StringIO()", "sys.stdout = sys.__stdout__", "sys.stdout = open(1, 'w', closefd=False)",
    "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, write_through=True)", "sys.stdout = None", "sys.stdout.close()",
    "out = io.BufferedWriter(io.FileIO(1, 'w', closefd=False)); out.write(b'5\\n')", "del out",
    "atexit.register(print, 6)", "atexit.register(os.write, 1, b'7\\n')", "atexit.register(lambda: sys.stdout.write('8\\n'))",
    "late = Late('9')", "late = Late('10'); late.me = late", "del late", "gc.disable()", "gc.collect()",
    "it = suspended('11'); next(it)", "its = [suspended('12')]; next(its[0])", "del it",
    "sys.stdout = Text(sys.__stdout__)", "sys.exit(3)", "1 / 0", "os._exit(4)", "print(input())",
]), max_size=8)  # fmt: skip
BEGIN = (
    WRAPPER
    + """import atexit, gc, io
NAMES = ['kept']
class Late:
    def __init__(self, name): self.name = name
    def __del__(self): os.write(1, ('late ' + self.name + NAMES[0] + '\\n').encode())
def suspended(name):
    try: yield
    finally: os.write(1, ('end ' + name + NAMES[0] + '\\n').encode())
"""
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PIECES)
def test_any_mixture_of_ways_ends_as_in_plain_python(sandbox: Choice, pieces: list[str]) -> None:
    code = BEGIN + "\n".join(pieces)
    run = confined(code, sandbox)
    assert (run.stdout, run.exit_code) == plain(code), run.stderr
