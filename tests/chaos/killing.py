"""Runs that are killed -9 at random moments and started again, until they are finished."""

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
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Self

import psutil

ROOT = Path(__file__).parents[2]
LONGEST_S = 600.0  # a run in which nothing changes for so long hangs
SUBREAPER = (
    36  # prctl: orphans of whatever is started here become children of this process, where they are seen
)

Command = Sequence[str]


def environment() -> dict[str, str]:
    """With bytecode, which saves a second at every start."""
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    here = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**here, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}


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
    return sum(_lines(f) for f in path.glob("*/*/commits.jsonl"))


def stage_at_work(path: Path) -> str:
    """The stage with a step that is begun and not finished; between two steps, that of the one begun last."""
    begun = sorted(path.glob("[0-9]*/[!.]*/step.json"), key=lambda f: f.stat().st_mtime_ns)
    open_ = [f for f in begun if not (f.parent / "done.json").exists()]
    return (open_ or begun)[-1].parts[-3][3:] if begun else "start"


def training(path: Path) -> bool:
    """Whether an optimiser step of an unfinished training is done."""
    return any(True for _ in path.glob("*/*/.making/progress.json"))


def asking(path: Path) -> bool:
    """Whether a shard waits for replies of a server."""
    return any(True for _ in path.glob("*/*/.replies-*"))


def state(path: Path) -> tuple[object, ...]:
    """Whatever changes while work goes on: shards, replies, every fourth step of trainings, finished steps."""
    trained = [
        json.loads(_text(f) or '{"step": 0}')["step"] // 4 for f in path.glob("*/*/.making/progress.json")
    ]
    replies = sum(_lines(f) for f in path.glob("*/*/.replies-*"))
    return committed(path), replies, trained, len([*path.glob("*/*/done.json")])


def _unfinished(folder: Path) -> set[int]:
    """The folders of exports that are being written, or were."""
    return (
        {entry.inode() for entry in os.scandir(folder) if ".tmp" in entry.name} if folder.exists() else set()
    )


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""


def _lines(file: Path) -> int:
    return _text(file).count("\n")


class Served:
    """`promptcot serve` on one port, whatever happens to it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.command = promptcot("serve", "pocket", "--port", self.port, "--name", "served")
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, env=environment(), text=True)
        assert self.process.stdout is not None
        assert re.search(r"http://[\w.]+:\d+/v1", self.process.stdout.readline())
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


class Killer:
    """Starts a command again and again, and kills what works for it at random moments.

    `kills` counts (stage at work, victim): "driver", "worker", "training" (a worker in one), "sandbox", "server".

    Args:
        most_changes, most_delay_s: A kill comes that many changes of the run directory after the last one or the start,
            and then so many seconds later, at most.
        between: What else happens to the run directory at the first end of the command after so many kills.
        during: The same at a moment of its own; (begin, end) of something that makes the command fail with an error.
        only: The victims that are killed; all kinds by default.
        most_in_a_stage: Kills while one stage is at work, so that long ones leave some to the others.
    """

    def __init__(
        self, seed: int, most_changes: int, most_delay_s: float, server: Served | None = None,
        between: dict[int, Callable[[random.Random], str]] | None = None, during: Sequence[Trouble] = (),
        only: Collection[str] = (), most_in_a_stage: int = 1000,
    ) -> None:  # fmt: skip
        self.rng, self.kills = random.Random(seed), Counter[tuple[str, str]]()
        self.most_changes, self.most_delay_s, self.server = most_changes, most_delay_s, server
        self.between, self.during, self.only = dict(between or {}), [*during], only
        self.damaged, self.most_in_a_stage = 0, most_in_a_stage
        ctypes.CDLL(None).prctl(SUBREAPER, 1)
        self.before = _children()
        self.cpu_before_s, self.started = _cpu_s(), time.monotonic()

    def finish(self, command: Command, path: Path, kills: int) -> None:
        """Run to the end, with `kills` kills on the way."""
        while not self._session(command, path, kills):
            for at in [n for n in self.between if self.kills.total() >= n]:
                self._note(self.between.pop(at)(self.rng))
                self.damaged += 1
        assert not self.between, f"the run was finished after {self.kills.total()} kills"
        assert not self.during, f"the run was finished without {[t.name for t in self.during]}"

    def finish_writing(self, whole: Command, command: Command, kills: int) -> None:
        """Export: `whole` undisturbed, `command` with a kill whenever its folder of unfinished files is there."""
        assert (
            subprocess.run(whole, env=environment(), stdout=subprocess.DEVNULL, check=False).returncode == 0
        )
        out = Path(command[command.index("export") + 1]) / "exports"
        killed = 0
        for _ in range(20 * kills):  # some are over before they are seen to have begun
            if killed == kills:
                break
            old = _unfinished(out)
            process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
            while process.poll() is None and _unfinished(out) <= old:
                time.sleep(0.001)
            if process.poll() is None:
                process.kill()
                killed += 1
                self.kills["export", "driver"] += 1
                self._note(f"kill {self.kills.total()}: driver in export")
            process.wait(LONGEST_S)
            self._all_gone()
        assert (
            subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, check=False).returncode == 0
        )

    def _session(self, command: Command, path: Path, kills: int) -> bool:
        """One start of the command until its end; True when it was a good one."""
        excuses: list[Trouble | str] = []
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(
                command, env=environment(), cwd=ROOT, stderr=errors, start_new_session=True
            )
            before = committed(path)
            while self._moment(process, path, self.kills.total() < kills):
                trouble = next((t for t in self.during if t.fits(path)), None)
                if trouble:
                    trouble.begin()
                    process.wait(LONGEST_S)
                    trouble.end()
                    self.during.remove(trouble)
                    self._note(f"{trouble.name} in {stage_at_work(path)}")
                    excuses.append(trouble)
                elif self.kills.total() < kills:
                    excuses += self._kill(process, path)
            self._all_gone()
            errors.seek(0)
            text = errors.read()
        assert committed(path) >= before - self.damaged, (
            "a committed shard is gone"
        )  # a damaged one is made again
        if process.returncode == 0:
            return True
        excuses = [e for e in excuses if e != "server"]  # that is no reason to end
        assert excuses, f"exit code {process.returncode}: {text}"
        if excuses[-1] != "driver":  # the others' deaths, and a full disk, are errors that say what happened
            assert (excuses[-1].error if isinstance(excuses[-1], Trouble) else "error: ") in text, text
            assert "Traceback" not in text, text
        return False

    def _moment(self, process: subprocess.Popen[bytes], path: Path, kills: bool) -> bool:
        """Wait for the next moment to kill, or for one that fits a trouble; False when the command has ended."""
        left = self.rng.randint(1, self.most_changes)
        seen, since = state(path), time.monotonic()
        while process.poll() is None and (left or not kills or self._enough(path)):
            if any(t.fits(path) for t in self.during) or (kills and self._server_is_due(path)):
                return True
            time.sleep(0.05)
            now = state(path)
            if now != seen:
                left, seen, since = max(0, left - 1), now, time.monotonic()
            assert time.monotonic() - since < LONGEST_S, "nothing happens any more"
        time.sleep(self.rng.uniform(0.0, self.most_delay_s) if kills else 0.0)
        return process.poll() is None

    def _enough(self, path: Path) -> bool:
        """Whether the stage at work has had its kills."""
        stage = stage_at_work(path)
        return sum(n for (where, _), n in self.kills.items() if where == stage) >= self.most_in_a_stage

    def _server_is_due(self, path: Path) -> bool:
        """Whether the server is asked, and was never killed so far: it is asked for moments only."""
        return self.server is not None and asking(path) and not any(v == "server" for _, v in self.kills)

    def _kill(self, process: subprocess.Popen[bytes], path: Path) -> list[str]:
        """Kill something; returns what, or nothing where it had ended before."""
        stage, trains = stage_at_work(path), training(path)
        victims: dict[str, list[psutil.Process]] = {"driver": [psutil.Process(process.pid)]}
        if self.server and asking(path):
            victims["server"] = [psutil.Process(self.server.process.pid)]
        for child in _descendants(process.pid):
            words = _command(child)
            if "spawn_main" in words:
                victims.setdefault("training" if trains else "worker", []).append(child)
            elif "resource_tracker" not in words and words:
                victims.setdefault("sandbox", []).append(child)
        if self.only:
            victims = {name: found for name, found in victims.items() if name in self.only}
        if not victims:
            return []
        due = "server" in victims and self._server_is_due(path)
        victim = "server" if due else self.rng.choice(sorted(victims))
        target = self.rng.choice(victims[victim])
        try:
            target.kill()
        except psutil.NoSuchProcess:
            return []
        self.kills[stage, victim] += 1
        self._note(f"kill {self.kills.total()}: {victim} in {stage}")
        if victim == "server":
            assert self.server
            self.server.__exit__()
            self.server.__enter__()
        elif victim != "sandbox":
            process.wait(LONGEST_S)
        return [victim]

    def _all_gone(self) -> None:
        """Whatever the command started has ended with it, also what was handed on to this process."""
        mine = {self.server.process.pid} if self.server else set()
        left = [p for pid, p in _children().items() if pid not in self.before and pid not in mine]
        _, alive = psutil.wait_procs(left, timeout=60)
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


class Trouble:
    """Something that is begun while a command works where it `fits`, makes it fail with `error`, and is ended again."""

    def __init__(
        self, name: str, error: str, fits: Callable[[Path], bool], begin: Callable[[], None], end: Callable[[], None]
    ) -> None:  # fmt: skip
        self.name, self.error, self.fits, self.begin, self.end = name, error, fits, begin, end


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
