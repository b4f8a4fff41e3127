"""kill -9 at random moments; the same command again gives the same rows as an uninterrupted run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.chaos.killing import Killer, digests, environment, promptcot

ROOT = Path(__file__).parents[2]
TINY = ROOT / "recipes" / "tiny.yaml"
# The corridor up to the EM at its smallest: sampling, scoring, training and tables of real models in seconds.
SMALL = (
    "run.workers=1", "run.shard_rows=8", "seeds.count=24", "seeds.heldout=6", "coldstart.training.epochs=1",
    "em.items=6", "em.measure=2", "em.measure_draws=2", "em.sampling.max_tokens=24", "em.max_rejected=1.0",
    "em.mstep_rationale=selected", "em.training.max_tokens=256", "synthesize=null", "curate=null", "label=null",
    "selfplay=null", "distill=null", "evaluate=null",
)  # fmt: skip


def options(sets: tuple[str, ...]) -> list[str]:
    return [word for s in sets for word in ("--set", s)]


def test_a_line_of_steps_survives_many_kills(tmp_path: Path) -> None:
    def command(path: Path, pause: str) -> list[str]:
        return [sys.executable, "-m", "tests.runner.line", str(path), "0/1", "local", "2", pause]

    assert subprocess.run(command(tmp_path / "whole", "0"), env=environment(), cwd=ROOT, check=True)
    killer = Killer(seed=5, most_progress=8, most_delay_s=0.2)
    killer.finish(command(tmp_path / "killed", "0.05"), tmp_path / "killed", kills=4)
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    assert killer.kills.total() >= 3, killer.kills


@pytest.mark.slow
def test_killed_anywhere_and_started_again_real_models_give_the_same_rows(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "killed"
    first = subprocess.run(
        promptcot(TINY, whole, *options(SMALL)),
        env=environment(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert first.returncode == 0, first.stderr
    killer = Killer(seed=7, most_progress=24, most_delay_s=2.0)
    killer.finish(promptcot(TINY, path, *options(SMALL)), path, kills=2)
    assert digests(path) == digests(whole)
    assert killer.kills.total() == 2


@pytest.mark.chaos
def test_fifty_kills_over_the_whole_corridor_leave_no_trace(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    subprocess.run(promptcot(TINY, whole), env=environment(), check=True)
    killer = Killer(seed=11, most_progress=4, most_delay_s=3.0)
    for n in range(50):
        path = tmp_path / f"killed{n}"
        killer.finish(promptcot(TINY, path), path, kills=50 - killer.kills.total())
        assert digests(path) == digests(whole)
        print(
            f"{path.name}: finished with the rows of the uninterrupted run; kills so far: {dict(killer.kills)}"
        )
        if killer.kills.total() >= 50:
            return
    pytest.fail(f"only {killer.kills.total()} kills")


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
    env = environment()
    try:
        command = [sys.executable, "-m", "promptcot.cli", "annotate", str(TINY), "--run-dir", str(disk / "r")]
        seeds = [*command[:3], "seeds", *command[4:]]
        assert subprocess.run(seeds, env=env, check=False, capture_output=True).returncode == 0
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"x" * 4096)
            except OSError:
                pass
        full = subprocess.run(command, env=env, check=False, capture_output=True, text=True)
        assert full.returncode == 2, full.stderr
        assert "No space left on device" in full.stderr
        assert "Traceback" not in full.stderr
        filler.unlink()
        assert subprocess.run(command, env=env, check=False, capture_output=True).returncode == 0
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)
