"""Runs that are killed -9 in the middle of their progress and started again, until they are finished."""

from __future__ import annotations

import ctypes
import json
import os
import random
import re
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil
from tests.chaos.gate import Gate, Progress

ROOT = Path(__file__).parents[2]
LONGEST_S = 1800.0  # a run in which nothing happens for so long hangs
GONE_S = 300.0  # what a command started has ended so long after it
SUBREAPER = 36  # of prctl

# How far each event brings a run.
WEIGHTS = {"shard": 2, "commit": 2, "reply": 1, "step": 1, "model": 2, "done": 2, "export": 2}

Command = Sequence[str]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """With bytecode, which saves a second at every start."""
    here = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    here |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **(more or {})}
    return {**here, "PYTHONPATH": os.pathsep.join([here.get("PYTHONPATH", ""), str(ROOT)])}


def promptcot(*words: object) -> list[str]:
    """A command of the command line."""
    return [sys.executable, "-m", "promptcot.cli", *map(str, words)]


def digests(path: Path) -> dict[str, str]:
    """By step, the digest of its content; analysis and report hold times."""
    return {
        str(f.parent.relative_to(path)): json.loads(f.read_text())["digest"]
        for f in path.glob("*/*/done.json")
        if f.parts[-3] != "11_analyze"
    }


def committed(path: Path) -> int:
    """Committed shards."""
    return sum(f.read_bytes().count(b"\n") for f in path.glob("*/*/commits.jsonl"))


def trains(path: Path) -> bool:
    """Whether an optimiser step of an unfinished training is done."""
    for file in path.glob("*/*/.making/progress.json"):
        with suppress(FileNotFoundError):
            if json.loads(file.read_text())["step"]:
                return True
    return False


class Served:
    """`promptcot serve` on one port, whatever happens to it."""

    def __init__(self) -> None:
        self._place = socket.socket()  # bound and not listening, so that nobody else takes the port meanwhile
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port = self._place.getsockname()[1]
        self.command = promptcot("serve", "pocket", "--port", self.port, "--name", "served")
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, env=environment(), text=True)
        assert self.process.stdout is not None
        assert re.search(r"http://[\w.]+:\d+/v1", self.process.stdout.readline())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._place.close()


def unbroken(command: Command, path: Path) -> int:
    """Run a command on the run directory `path` to its end; its progress."""
    found, seen = 0, set[str]()
    with Gate(path) as gate, tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, env=environment(gate.environment()), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=said
        )
        while process.poll() is None:
            if progress := gate.next(within_s=0.1):
                with progress:
                    found += weight(progress, seen)
        said.seek(0)
        assert process.returncode == 0, said.read()
    return found


@contextmanager
def orphans() -> Iterator[None]:
    """Those of whatever is started become children of this process, where they are seen."""
    prctl = ctypes.CDLL(None).prctl
    prctl(SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(SUBREAPER, 0)


def weight(progress: Progress, seen: set[str]) -> int:
    """How far it brings the run: not at all where it was seen before."""
    new = progress.what not in seen
    seen.add(progress.what)
    return WEIGHTS.get(progress.kind, 0) if new else 0


class Trouble:
    """Something that is begun while a command works where it `fits`, makes it fail with `error`, and is ended again."""

    def __init__(
        self, name: str, error: str, fits: Callable[[Progress], bool], begin: Callable[[], None], end: Callable[[], None]
    ) -> None:  # fmt: skip
        self.name, self.error, self.fits, self.begin, self.end = name, error, fits, begin, end


class Started:
    """One start of a command, and what was done to it."""

    def __init__(self, command: Command, env: Mapping[str, str]) -> None:
        self.command, self.harm = command, list[str]()
        self.name = "helper" if "1/2" in command else "driver"  # --shard
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=self.errors, start_new_session=True
        )

    def said(self) -> str:
        with self.errors:
            self.errors.seek(0)
            return self.errors.read()


class Killer:
    """Starts commands again and again, and kills what works for them while some of it waits to do the next thing.

    Kills are spread over the progress of an unbroken run, drawn with `seed`. None comes too late, on whatever machine:
    what would come next waits at the gate. `kills` counts (stage, victim): "driver", "helper" (--shard), "worker",
    "training" (a worker in one), "launcher" and "rank" of a launched training, "sandbox", "server".

    Args:
        path: The run directory.
        most_delay_s: Seconds for which those who need not wait go on before a kill.
        survived: Victims whose end is none of the command.
        between: What else happens to the run directory at the first end of the command after so many kills.
        during: The same at a moment of its own; (begin, end) of something that makes the command fail with an error.
        only: The victims that are killed; all kinds by default.
        env: Variables of the commands.
    """

    def __init__(
        self, path: Path, seed: int, *, most_delay_s: float = 0.2, server: Served | None = None,
        survived: Collection[str] = ("sandbox", "server"), only: Collection[str] = (),
        between: dict[int, Callable[[random.Random], str]] | None = None, during: Sequence[Trouble] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.path, self.rng, self.kills = path, random.Random(seed), Counter[tuple[str, str]]()
        self.most_delay_s, self.server, self.survived = most_delay_s, server, survived
        self.only, self.env = only, dict(env or {})
        self.between, self.during, self.damaged = dict(between or {}), [*during], 0
        self._progress, self._due = 0, list[float]()  # so far; at which the next kills are due
        self._seen = set[str]()
        self._trouble: Trouble | None = None  # that has begun
        self._running: list[Started] = []
        self._most_committed = 0
        self.before = _children()
        self.cpu_before_s, self.started = _cpu_s(), time.monotonic()

    def finish(self, commands: Sequence[Command], kills: int, progress: int) -> None:
        """Run all of them to a good end, with `kills` kills on the way; unbroken they make this progress."""
        each = 0.95 * progress / kills
        self._progress, self._due = 0, [(n + self.rng.random()) * each for n in range(kills)]
        self._seen.clear()
        with Gate(self.path) as gate, orphans():
            env = environment({**self.env, **gate.environment()})
            self._running = [Started(command, env) for command in commands]
            since = time.monotonic()
            while self._running:
                if now := gate.next(within_s=0.1):
                    since = time.monotonic()
                    with now:
                        self._at(now)
                assert time.monotonic() - since < LONGEST_S, "nothing happens any more"
                for one in [s for s in self._running if s.process.poll() is not None]:
                    self._running.remove(one)
                    if not self._well(one, len(commands) > 1):
                        self._running.append(Started(one.command, env))
        assert not self._due, f"the run was finished with {len(self._due)} kills to come"
        assert not self.between, f"the run was finished after {self.kills.total()} kills"
        assert not self.during, f"the run was finished without {[t.name for t in self.during]}"

    def _at(self, progress: Progress) -> None:
        """Do what is due at this moment."""
        stage = progress.stage
        self._progress += weight(progress, self._seen)
        trouble = next((t for t in self.during if t.fits(progress)), None)
        if trouble and not self._trouble and not any(s.harm for s in self._running):
            trouble.begin()
            self._trouble = trouble
            self._note(f"{trouble.name} in {stage}")
            return
        if self._trouble or not self._due or not psutil.pid_exists(progress.pid):
            return
        # The server is asked for moments only, so it is due at the first reply.
        due = (
            self.server is not None
            and progress.kind == "reply"
            and not any(v == "server" for _, v in self.kills)
        )
        if due or self._progress >= self._due[0]:
            time.sleep(self.rng.uniform(0.0, self.most_delay_s))
            self._kill(progress, due)

    def _victims(self, progress: Progress) -> dict[str, list[tuple[Started, psutil.Process]]]:
        """By kind, what works for a command that has not lost anything it needs."""
        found: dict[str, list[tuple[Started, psutil.Process]]] = {}
        for one in self._running:
            if one.process.poll() is not None or any(h not in self.survived for h in one.harm):
                continue
            family = [(one.name, psutil.Process(one.process.pid))]
            family += [(_kind(_command(p), trains(self.path)), p) for p in _descendants(one.process.pid)]
            if self.server and progress.kind == "reply":
                family.append(("server", psutil.Process(self.server.process.pid)))
            for kind, process in family:
                if kind and (kind in self.only or not self.only):
                    found.setdefault(kind, []).append((one, process))
        return found

    def _kill(self, progress: Progress, server: bool) -> None:
        """Kill one of a kind that was killed the least so far."""
        victims = self._victims(progress)
        if not victims:
            return
        so_far = Counter(v for (_, v), n in self.kills.items() for _ in range(n))
        victim = "server" if server else min(sorted(victims), key=lambda v: (so_far[v], self.rng.random()))
        one, process = self.rng.choice(victims[victim])
        try:
            process.kill()
        except psutil.NoSuchProcess:
            return
        one.harm.append(victim)
        self.kills[progress.stage, victim] += 1
        self._note(f"kill {self.kills.total()}: {victim} in {progress.stage}, before a {progress.kind}")
        if victim == "server":
            assert self.server
            self.server.end()
            self.server.start()
        self._due.pop(0)

    def _well(self, one: Started, several: bool) -> bool:
        """Look at the end of one start; True when it was a good one."""
        self._all_gone()
        text, trouble = one.said(), self._trouble
        if trouble:
            trouble.end()
            self.during.remove(trouble)
            self._trouble = None
        now = committed(self.path)
        assert several or now >= self._most_committed - self.damaged, "a committed shard is gone"
        self._most_committed = max(now, self._most_committed)
        if one.process.returncode == 0:
            return True
        fatal = [h for h in one.harm if h not in self.survived]
        assert fatal or trouble or (several and self.kills), f"exit code {one.process.returncode}: {text}"
        if fatal != [one.name]:  # the others' deaths, and a full disk, are errors that say what happened
            assert (trouble.error if trouble else "error: ") in text, text
            assert "Traceback" not in text, text
        for at in [n for n in self.between if self.kills.total() >= n]:
            self._note(self.between.pop(at)(self.rng))
            self.damaged += 1  # a damaged shard is made again
        return False

    def _all_gone(self) -> None:
        """Whatever the command started has ended with it, also what was handed on to this process."""
        mine = {s.process.pid for s in self._running} | ({self.server.process.pid} if self.server else set())
        left = [p for pid, p in _children().items() if pid not in self.before and pid not in mine]
        _, alive = psutil.wait_procs(left, timeout=GONE_S)
        assert not alive, f"outlived the command: {[_command(p) for p in alive]}"

    def _note(self, line: str) -> None:
        print(f"{time.monotonic() - self.started:6.0f} s  {line}", flush=True)

    def summary(self) -> str:
        """Kills by stage and victim, and what it took."""
        stages, victims = ([*dict.fromkeys(k[n] for k in self.kills)] for n in (0, 1))
        rows = [[s, *(str(self.kills[s, v] or "-") for v in victims)] for s in stages]
        rows.append(["all", *(str(sum(self.kills[s, v] for s in stages)) for v in victims)])
        table = "\n".join("".join(f"{cell:>11}" for cell in row) for row in [["", *victims], *rows])
        spent = (
            f"{time.monotonic() - self.started:.0f} s on the clock, {_cpu_s() - self.cpu_before_s:.0f} CPU s"
        )
        return f"{table}\n{self.kills.total()} kills, {spent}"


def _kind(command: str, training: bool) -> str:
    """What a process below the driver is, by its command; "" for what is nobody's work."""
    if "promptcot.train.launch" in command:
        return "launcher" if "torch.distributed.run" in command else "rank"
    if "spawn_main" in command or "RemoteWorker" in command:
        return "training" if training else "worker"
    return "sandbox" if "launcher.py" in command else ""


def _cpu_s() -> float:
    """CPU seconds of everything that was started here and has ended; orphans come here to be waited for."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def _children() -> dict[int, psutil.Process]:
    """Of this process; orphans of what it started are among them."""
    return {p.pid: p for p in psutil.Process().children()}


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
