"""kill -9 at random moments; the same command again gives the same rows as an uninterrupted run."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
TINY = ROOT / "recipes" / "tiny.yaml"
ENV = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
KILLS = 3


def start(path: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "promptcot.cli", "run", str(TINY), "--run-dir", str(path), "--quiet"]
    return subprocess.Popen(command, env=ENV, stderr=subprocess.PIPE, start_new_session=True)


def digest(path: Path) -> dict[str, str]:
    command = [sys.executable, "-m", "promptcot.cli", "show", str(path), "--digest", "--json"]
    found: dict[str, str] = json.loads(
        subprocess.run(command, capture_output=True, check=True, env=ENV).stdout
    )["steps"]
    return found


def committed(path: Path) -> int:
    return sum(len(f.read_bytes().splitlines()) for f in path.rglob("commits.jsonl"))


def finished(path: Path) -> int:
    return len(list(path.rglob("done.json")))


@pytest.mark.slow
def test_killed_anywhere_and_started_again_the_rows_are_the_same(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    first = start(whole)
    assert first.wait() == 0, first.stderr
    steps = finished(whole)
    path = tmp_path / "killed"
    rng = random.Random(7)
    # Kill after a random number of further finished steps, and a random moment into the next one.
    for cut in sorted(rng.sample(range(steps - 1), KILLS)):
        process = start(path)
        while process.poll() is None and finished(path) <= cut:
            time.sleep(0.05)
        time.sleep(rng.uniform(0.0, 1.5))
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        before = committed(path)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert committed(path) >= before  # what was committed stays
        _, alive = psutil.wait_procs(children, timeout=10)
        assert not alive, "workers outlived the killed driver"
    last = start(path)
    assert last.wait() == 0, last.stderr.read().decode() if last.stderr else ""
    assert digest(path) == digest(whole)


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root to mount a small disk"
)
def test_a_full_disk_is_a_clear_error_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {mounted.stderr.decode().strip()}")
    try:
        command = [sys.executable, "-m", "promptcot.cli", "annotate", str(TINY), "--run-dir", str(disk / "r")]
        seeds = [*command[:3], "seeds", *command[4:]]
        assert subprocess.run(seeds, env=ENV, check=False, capture_output=True).returncode == 0
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        full = subprocess.run(command, env=ENV, check=False, capture_output=True, text=True)
        assert full.returncode == 2, full.stderr
        assert "No space left on device" in full.stderr
        assert "Traceback" not in full.stderr
        filler.unlink()
        assert subprocess.run(command, env=ENV, check=False, capture_output=True).returncode == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
