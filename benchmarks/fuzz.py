r"""Random answers and random programs: nothing may fail, hang, get out or be left behind.

    python -m benchmarks.fuzz [--strings 100000] [--programs 2000] [--seed 1]

`--strings`: pairs of noise and mutated answers through `compare`. Looked for: an exception, a worker that crashed, a
pair that takes long on the clock; a vote on a twentieth of the pairs must not depend on their order.
`--programs`: programs put together from pieces that attack, flood, hang, crash or lie, on each back end in turn, with a
secret file, a process of the same user and a listening socket in reach. Looked for: an exception, a run past its limit,
the secret in an output, a change to any of the three, and processes, descriptors or temporary files left behind.
Exits with 1 if anything was found.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from promptcot.verify.answers import compare, equivalent
from promptcot.verify.sandbox import Choice, Limits, probe, run_program
from promptcot.verify.sandbox.server import shut

# --- answers

LATE_S = 2.0
CHARACTERS = (
    "0123456789abcefinxyzABE.,;:!?'\"|/\\^_{}()[]<>=+-*%$&~# \t\n\u00b2\u2212\u221e\u03c0\u00b1\u4e2d\ud800"
)
COMMANDS = r"""\frac \sqrt \pi \infty \cdot \times \left( \right) \{ \} \pm \mp \le \ge \ne \in \cup \cap \setminus \text{
\text{and} \text{cm} \mathrm{e} \sin \cos \tan \log \ln \exp ^2 ^{ _{ ^\circ ! !! \% \$ \, \\ \begin{pmatrix}
\end{pmatrix} \binom \overline{ \boxed{ \sum \int \mathbb{R} |x| ^{99999} 10^{ (10^9)! 1/2 0.5 x= 1,000 3.14 2x+1 e^{
or and sqrt( 999999999999999999999999999999"""
PIECES = (*CHARACTERS, *COMMANDS.split(), "no solution")
ANSWERS = (
    r"\frac{3\sqrt{7}}{14}", r"\left(-\infty,\frac{5}{2}\right]\cup(9,\infty)", r"x=\frac{-3\pm\sqrt{29}}{10}",
    r"\{2,3\sqrt5,\pi\}", r"(r,\theta)=(4,\tfrac{7\pi}6)", r"7x^3-12x+\frac25", r"\begin{pmatrix}1&-2\\0&\frac13\end{pmatrix}",
    r"5\text{ km}", r"2^{31}-1", r"\sin^2\theta-\cos\frac{\theta}{3}", r"-4<x\leq\log_3 20", r"17\%", r"1.2\overline{34}",
    r"6-11i", r"\binom{12}{5}+8!", r"1243_5", r"\text{north-east}", r"e^{-2t}\ln 3", r"a^{b^{c}}", r"11:45",
)  # fmt: skip


def noise(rng: random.Random) -> str:
    """A few pieces in any order."""
    return "".join(rng.choice(PIECES) for _ in range(rng.randrange(12)))


def mutated(rng: random.Random) -> str:
    """An answer with some of it cut, doubled or put in."""
    text = rng.choice(ANSWERS)
    for _ in range(rng.randrange(4)):
        i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        j = min(j, i + 5)
        text = rng.choice(
            [text[:i] + text[j:], text[:i] + rng.choice(PIECES) + text[i:], text[:j] + text[i:]]
        )
    return text


def pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Golds and predictions."""
    rng = random.Random(seed)
    makers = (noise, mutated, mutated)
    found = []
    for _ in range(count):
        gold = rng.choice(makers)(rng)
        found.append((gold, f" {gold}." if rng.random() < 0.05 else rng.choice(makers)(rng)))
    return found


def strings(count: int, seed: int) -> bool:
    """Judge the pairs, print what came out; True if nothing was found."""
    compare(r"\sin^2 x", r"1-\cos^2 x")  # starts a worker, whose start is not what is looked at
    reasons, trouble = Counter[str](), []
    slowest_s, slowest, late = 0.0, ("", ""), 0
    for i, (gold, prediction) in enumerate(pairs(count, seed)):
        started_s = time.perf_counter()
        verdict, reason = compare(gold, prediction)
        took_s = time.perf_counter() - started_s
        reasons[f"{verdict.value} {reason.partition(':')[0].partition(' (')[0]}"] += 1
        late += took_s > LATE_S
        if took_s > slowest_s:
            slowest_s, slowest = took_s, (gold, prediction)
        if "crashed" in reason or (
            i % 20 == 0 and equivalent(gold, prediction) != equivalent(prediction, gold)
        ):
            trouble.append((gold, prediction, reason))
    print(f"strings: {count} pairs (seed {seed}): {dict(reasons.most_common())}")
    print(f"  the slowest took {slowest_s:.2f} s, {late} took more than {LATE_S:g} s; {slowest!r}")
    print(f"  crashes and votes that depend on the order: {len(trouble)} {trouble[:3]}")
    return not trouble


# --- programs

CONFINED: tuple[Choice, ...] = ("bwrap", "landlock")
LIMITS = Limits(wall_s=1.0, cpu_s=1.0, memory_mb=256, output_bytes=10_000)
SECRET = "Qm7xLw2z"
STATEMENTS = (
    "x = input()", "os.fork()", "os.kill({n}, {m})", "os._exit({m})", "sys.exit({m})", "print('y' * {n})",
    "x = bytearray({n} * {n})", "os.close({m})", "os.dup2({m}, {k})", "os.write({m}, b'end 0 0 0 0 0 -\\ndone\\n')",
    "raise SystemExit({m})", "ctypes.string_at({n})", "ctypes.CDLL(None).syscall({n}, {m}, {k}, {m})",
    "ctypes.CDLL(None).syscall({m}, {k}, {n})", "signal.signal({m}, lambda *a: None)", "signal.alarm({k})",
    "threading.Thread(target=print).start()", "threading.Thread(target=time.sleep, args=(9,)).start()",
    "socket.socketpair()", "open({m}, 'w').write('z' * {n})", "open('/proc/self/mem', 'r+b').seek({n})", "1 / 0",
    "def f(): f()", "f()", "sys.setrecursionlimit({n})", "os.lseek({m}, {n}, 0)", "while True: pass", "sys.stdout.close()",
    "os.ftruncate({m}, {n})", "for _ in range({n}): pass", "os.setpgid(0, 0)", "del sys.modules['os']", "os.abort()",
    "import builtins; builtins.print = None", "import _thread; _thread.interrupt_main()", "import gc; gc.disable()",
    "print(open({secret!r}).read())", "open({secret!r}, 'w').write('x')", "os.unlink({secret!r})", "os.chmod({secret!r}, 0)",
    "os.kill({victim}, {m})", "os.kill(os.getppid(), {m})", "os.kill(-1, {m})", "os.setpriority(0, {victim}, {k})",
    "socket.create_connection(('127.0.0.1', {port}), 1)", "os.execv('/bin/cat', ['cat', {secret!r}])",
    "os.posix_spawn('/bin/cat', ['cat', {secret!r}], {{}})", "print(open('/proc/{victim}/environ').read())",
    "open({folder!r} + '/new', 'w').close()", "[os.pipe() for _ in range({n})]", "os.memfd_create('x')",
    "import resource; resource.prlimit({victim}, 7, ({m}, {m}))", "ctypes.CDLL(None).ptrace(16, {victim}, 0, 0)",
    "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64))", "sys.setswitchinterval(1e-9)", "x = 'a' * {n}; x *= {n}",
    "sys.settrace(lambda *a: {n})", "os.umask({m})", "os.chdir('/dev')", "atexit.register(time.sleep, {k})",
    "for t in range({m}): threading.Thread(target=lambda: [0] * {n}).start()", "re.match('(a+)+$', 'a' * {m} + 'b')",
    "int('9' * {n})", "print(10 ** {n} % 7)", "sys.stdin.read({n})", "exec('(' * {n})", "compile('-' * {n} + '1', '', 'eval')",
    "ctypes.memset(id(None), {m}, {k})", "sys.excepthook = None", "sys.stderr.write('w' * {n})", "import sqlite3, asyncio",
)  # fmt: skip


class Bait(NamedTuple):
    """What a program could get at, and what it looked like before."""

    folder: Path
    victim: psutil.Process
    port: int

    def state(self) -> object:
        """Everything a program could have changed."""
        files = {p.name: (p.read_bytes(), p.lstat().st_mode) for p in sorted(self.folder.iterdir())}
        return files, untouched(self.victim)


def untouched(process: psutil.Process) -> object:
    """What signals and other calls change of a process; whether it sleeps just now is no such thing."""
    stands = process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP, psutil.STATUS_ZOMBIE)
    limits = process.rlimit(psutil.RLIMIT_NOFILE)
    return process.is_running(), stands, process.nice(), process.cpu_affinity(), limits


def random_program(rng: random.Random, bait: Bait) -> str:
    """A few of the statements, each sometimes in a `try`, some in a thread."""
    lines = ["import atexit, ctypes, os, re, signal, socket, sys, threading, time"]
    places = {"secret": str(bait.folder / "secret"), "folder": str(bait.folder)}
    for statement in rng.choices(STATEMENTS, k=rng.randint(1, 8)):
        n, m, k = rng.choice((0, 1, 99, 9999, 2**31, 2**40)), rng.randint(0, 64), rng.randint(0, 8)
        line = statement.format(n=n, m=m, k=k, victim=bait.victim.pid, port=bait.port, **places)
        guarded = rng.random() < 0.5 and not line.startswith("def")
        lines.append(f"try: {line}\nexcept BaseException: pass" if guarded else line)
    return "\n".join(lines)


def standing() -> tuple[set[str], set[str], set[str]]:
    """Processes below this one, its descriptors, its temporary files."""
    children = {str(process.pid) for process in psutil.Process().children(recursive=True)}
    return children, set(os.listdir("/proc/self/fd")), set(os.listdir(tempfile.gettempdir()))


@contextmanager
def own_temporary_directory() -> Iterator[None]:
    """Temporary files of this process go where nobody else puts any."""
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        try:
            yield
        finally:
            tempfile.tempdir = before


def programs(count: int, seed: int) -> bool:
    """Run random programs, print how they ended; True if nothing was found."""
    usable = [name for name in CONFINED if not probe(name).why]
    with (
        own_temporary_directory(),
        tempfile.TemporaryDirectory() as name,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        (Path(name) / "secret").write_text(SECRET)
        env = {**os.environ, "SECRET": SECRET}
        victim = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], env=env)
        try:
            bait = Bait(Path(name), psutil.Process(victim.pid), server.getsockname()[1])
            return bool(usable) and _programs(count, seed, usable, bait, server)
        finally:
            victim.kill()
            victim.wait()


def _programs(count: int, seed: int, usable: list[Choice], bait: Bait, server: socket.socket) -> bool:
    rng, ends, trouble = random.Random(seed), Counter[str](), list[object]()
    server.setblocking(False)
    shut()
    before, state, longest_s = standing(), bait.state(), 0.0
    for i in range(count):
        code, sandbox = random_program(rng, bait), usable[i % len(usable)]
        started_s = time.monotonic()
        (run,) = run_program(code, ["5\n"], LIMITS, sandbox=sandbox)
        longest_s = max(longest_s, time.monotonic() - started_s)
        ends[run.status] += 1
        if run.status == "lost" or SECRET in run.stdout + run.stderr or bait.state() != state:
            trouble.append((sandbox, run, code))
    shut()
    left = [sorted(now - then) for now, then in zip(standing(), before, strict=True)]
    try:
        server.accept()
        trouble.append("a connection")
    except BlockingIOError:
        pass
    print(f"programs: {count} (seed {seed}) in {' and '.join(usable)} ended: {dict(ends.most_common())}")
    print(f"  the longest took {longest_s:.1f} s (limit {LIMITS.wall_s:g} s, tried twice)")
    print(f"  lost, got out or changed something: {len(trouble)} {trouble[:2]}")
    print(f"  left behind: processes, descriptors, temporary files: {left}")
    return not trouble and not any(left)


def main() -> None:
    """Parse the command line and look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--strings", type=int, default=100_000)
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    fine = [strings(given.strings, given.seed), programs(given.programs, given.seed)]
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
