"""Runs that are killed -9 at random moments and started again, until they are finished."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
LONGEST_S = 600.0  # a run that commits nothing for so long hangs


def environment() -> dict[str, str]:
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}


def progress(path: Path) -> int:
    """Committed shards, finished steps, and started trainings."""
    lines = sum(f.read_bytes().count(b"\n") for f in path.rglob("commits.jsonl"))
    return lines + len([*path.rglob("done.json"), *path.rglob("progress.json")])


def digests(path: Path) -> dict[str, str]:
    """By step, the digest of its content; analysis and report hold times."""
    return {
        str(f.parent.relative_to(path)): json.loads(f.read_text())["digest"]
        for f in path.glob("*/*/done.json")
        if f.parts[-3] != "11_analyze"
    }


class Killer:
    """Starts `command` again and again and kills it, or one of its workers, at random moments.

    `kills` counts the victims: "driver", "worker" (also one that trains, or a sandbox), "all" (the whole group).
    """

    def __init__(self, seed: int, most_progress: int, most_delay_s: float) -> None:
        self.rng, self.kills = random.Random(seed), Counter[str]()
        self.most_progress, self.most_delay_s = most_progress, most_delay_s

    def finish(self, command: Sequence[str], path: Path, kills: int) -> None:
        """Run to the end, with up to `kills` kills on the way."""
        for _ in range(kills):
            if self._once(command, path):
                return
        done = self._start(command)
        _, errors = done.communicate(timeout=LONGEST_S)
        assert done.returncode == 0, errors

    def _start(self, command: Sequence[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=environment(), cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def _once(self, command: Sequence[str], path: Path) -> bool:
        """One start and one kill; True when the run was finished before."""
        wanted = progress(path) + self.rng.randint(0, self.most_progress)
        process, started = self._start(command), time.monotonic()
        while process.poll() is None and progress(path) < wanted:
            assert time.monotonic() - started < LONGEST_S, "nothing is committed any more"
            time.sleep(0.02)
        time.sleep(self.rng.uniform(0.0, self.most_delay_s))
        before = progress_of_rows(path)
        victim = self._kill(process)
        _, errors = process.communicate(timeout=LONGEST_S)
        if victim is None:
            assert process.returncode == 0, errors
            return True
        self.kills[victim] += 1
        if victim == "worker" and process.returncode not in (0, -signal.SIGKILL):
            assert "error: " in errors, errors  # a worker's death, or that of a sandbox, is named
            assert "Traceback" not in errors, errors
        assert progress_of_rows(path) >= before, "a committed shard is gone"
        return False

    def _kill(self, process: subprocess.Popen[str]) -> str | None:
        if process.poll() is not None:
            return None
        try:
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return None
        workers = [c for c in children if "resource_tracker" not in " ".join(_command(c))]
        victim = self.rng.choice(["driver", "worker", "all"] if workers else ["driver"])
        if victim == "worker":
            target = self.rng.choice(workers)
            target.kill() if target.is_running() else process.kill()
            return "worker"
        if victim == "all":
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive, "workers outlived the killed driver"
        return victim


def _command(process: psutil.Process) -> list[str]:
    try:
        found: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return found


def progress_of_rows(path: Path) -> int:
    """Committed shards."""
    return sum(f.read_bytes().count(b"\n") for f in path.rglob("commits.jsonl"))


def promptcot(recipe: Path, path: Path, *options: str) -> list[str]:
    """The command that runs a recipe."""
    run = [sys.executable, "-m", "promptcot.cli", "run", str(recipe), "--run-dir", str(path), "--quiet"]
    return [*run, *options]
