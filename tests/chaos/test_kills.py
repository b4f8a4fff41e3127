"""kill -9 in the middle of any progress; the same command again gives the same rows as an uninterrupted run."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.chaos.gate import Progress
from tests.chaos.killing import ROOT, Killer, Served, Trouble, digests, environment, promptcot, unbroken
from tests.runner import line
from tests.runner.conftest import on_its_own

from promptcot.pocket.world import generate

TINY = ROOT / "recipes" / "tiny.yaml"
# The corridor up to the EM at its smallest: sampling, scoring, training and tables of real models in seconds.
SMALL = (
    "run.workers=1", "run.shard_rows=8", "seeds.count=24", "seeds.heldout=6", "coldstart.training.epochs=1",
    "em.items=6", "em.measure=2", "em.measure_draws=2", "em.sampling.max_tokens=24", "em.max_rejected=1.0",
    "em.mstep_rationale=selected", "em.training.max_tokens=256", "synthesize=null", "curate=null", "label=null",
    "selfplay=null", "distill=null", "evaluate=null",
)  # fmt: skip


def run(recipe: Path, path: Path, *sets: str) -> list[str]:
    return promptcot("run", recipe, "--run-dir", path, "--quiet", *(w for s in sets for w in ("--set", s)))


def done(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment(), cwd=ROOT, check=False, capture_output=True, text=True)


def same(path: Path, whole: Path) -> None:
    """What was killed on the way holds what an unbroken run holds, and no unfinished file."""
    assert digests(path) == digests(whole)
    assert not [*path.rglob(".*.tmp*")]


def test_a_line_of_steps_survives_many_kills(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "killed"
    progress = unbroken(line.command(whole), whole)
    Killer(path, seed=5).finish([line.command(path, workers=2)], 4, progress)
    same(path, whole)


@pytest.mark.slow
def test_killed_anywhere_and_started_again_real_models_give_the_same_rows(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "killed"
    progress = unbroken(run(TINY, whole, *SMALL), whole)
    Killer(path, seed=7).finish([run(TINY, path, *SMALL)], 2, progress)
    same(path, whole)


@pytest.mark.chaos
def test_killed_anywhere_and_started_again_real_models_leave_no_trace(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "disk" / "r"
    with disk(path.parent) as fills:
        killer = Killer(path, seed=7, during=fills, between=damage(path, 1, 2, 3))
        survives(killer, run(TINY, whole, *SMALL), run(TINY, path, *SMALL), kills=3)
        repair_what_is_named(run(TINY, path, *SMALL), path, "04_em/q1", digests(whole))


@pytest.mark.chaos
def test_a_launched_training_of_two_processes_goes_on_whoever_of_them_is_killed(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "killed"
    two = [
        *SMALL, "em=null", "coldstart.training.epochs=8", "coldstart.training.checkpoint_steps=1",
        "coldstart.training.launch.processes=2",
    ]  # fmt: skip
    for folder in (whole, path):
        for stage in ("seeds", "annotate"):
            assert (
                done([stage if word == "run" else word for word in run(TINY, folder, *two)]).returncode == 0
            )
    killer = Killer(path, seed=2, only=["driver", "training", "launcher", "rank"])
    survives(killer, run(TINY, whole, *two), run(TINY, path, *two), kills=10, exports=0)
    assert {victim for _, victim in killer.kills} == {"driver", "training", "launcher", "rank"}


@pytest.mark.chaos
def test_two_members_on_one_directory_whoever_of_them_is_killed(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "killed"
    progress = unbroken(run(TINY, whole, *SMALL), whole)
    members = [[*run(TINY, path, *SMALL), "--shard", f"{i}/2"] for i in range(2)]
    killer = Killer(path, seed=4)
    killer.finish(members, 8, progress)
    print(killer.summary())
    same(path, whole)
    assert not [*path.rglob("by-*")]
    assert {victim for _, victim in killer.kills} >= {"driver", "helper", "worker"}


@pytest.mark.chaos
def test_a_run_on_ray_survives_the_death_of_its_driver_and_of_its_workers(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'promptcot[ray]'")
    whole, path = tmp_path / "whole", tmp_path / "killed"
    progress = unbroken(line.command(whole), whole)
    with tempfile.TemporaryDirectory() as folder:
        killer = Killer(path, seed=6, survived=["worker", "training"], env=on_its_own(folder))
        killer.finish([line.command(path, runner="ray", workers=2)], 6, progress)
    print(killer.summary())
    same(path, whole)
    assert {victim for _, victim in killer.kills} >= {"driver", "worker"}


def corridor(folder: Path, server: Served) -> Path:
    """recipes/tiny.yaml at half its size, in small shards, with checkpoints; labels and traces come from a server."""
    recipe: dict[str, Any] = yaml.safe_load(TINY.read_text())
    served = {
        "engine": "openai",
        "model": "served",
        "server": {"base_url": server.base_url, "max_concurrency": 2},
    }
    changes: dict[str, dict[str, Any]] = {
        "run": {"workers": 1, "shard_rows": 8}, "seeds": {"count": 64, "heldout": 8}, "coldstart": {},
        "em": {"items": 12, "measure": 4, "measure_draws": 2}, "synthesize": {"problems": 40},
        "label": {"model": served}, "distill": {"teacher": served, "traces_per_problem": 2},
        "selfplay": {"problems": "seeds", "rollouts": 3, "track": 40, "track_samples": 1}, "evaluate": {"samples": 1},
    }  # fmt: skip
    for section, change in changes.items():
        recipe[section] |= change
        if "training" in recipe[section]:
            recipe[section]["training"] |= {"checkpoint_steps": 2, "batch_size": 8}
    file = folder / f"{server.port}.yaml"
    file.write_text(yaml.safe_dump(recipe))
    return file


@pytest.mark.chaos
def test_a_server_that_is_killed_and_started_again_changes_no_label(tmp_path: Path) -> None:
    whole, path, problems = tmp_path / "whole", tmp_path / "killed", tmp_path / "problems.jsonl"
    items = [generate(i, "math", "1", "train") for i in range(16)]
    problems.write_text("".join(json.dumps({"problem": item.text}) + "\n" for item in items))
    off = ("coldstart", "em", "selfplay", "distill", "evaluate")
    sets = [
        *(f"{stage}=null" for stage in off),
        f"synthesize.path={problems}",
        "seeds.count=8",
        "seeds.heldout=8",
    ]
    with Served() as server:
        recipe = corridor(tmp_path, server)
        killer = Killer(path, seed=3, server=server, only=["server"])
        survives(killer, run(recipe, whole, *sets), run(recipe, path, *sets), kills=2)


@pytest.mark.chaos
def test_fifty_kills_over_the_whole_corridor_leave_no_trace(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "disk" / "r"
    with Served() as server, disk(path.parent) as fills:
        killer = Killer(
            path, seed=11, most_delay_s=0.5, server=server, during=fills,
            between=damage(path, 10, 20, 30),
        )  # fmt: skip
        recipe = corridor(tmp_path, server)
        command = run(recipe, path)
        survives(killer, run(recipe, whole), command, kills=47)
        repair_what_is_named(command, path, "08_selfplay/solver1", digests(whole))
    stages, victims = ({k[n] for k in killer.kills} for n in (0, 1))
    assert victims >= {"driver", "worker", "training", "server"}
    assert stages >= {
        "coldstart",
        "em",
        "label",
        "selfplay",
        "export",
    }  # later ones get what is left of the kills


def survives(killer: Killer, whole: list[str], command: list[str], kills: int, exports: int = 3) -> None:
    """`command` with `kills` kills, and more in its export, ends as the unbroken `whole`."""
    path, other = killer.path, directory(whole)
    killer.finish([command], kills, unbroken(whole, other))
    if exports:
        killer.only = ["driver"]
        progress = unbroken(promptcot("export", other, "--to", "trl"), other)
        killer.finish([promptcot("export", path, "--to", "trl")], exports, progress)
        assert exported(path) == exported(other) != {}
    print(killer.summary())
    same(path, other)


def directory(command: list[str]) -> Path:
    return Path(command[command.index("--run-dir") + 1])


def damage(path: Path, *after: int) -> dict[int, Callable[[random.Random], str]]:
    """Three kinds of damage to a run directory, each after so many kills."""
    return dict(zip(after, (partial(flip, path), partial(cut, path), partial(cut_line, path)), strict=True))


def exported(path: Path) -> dict[str, bytes]:
    """What an export wrote; its card and manifest name the run directory and times."""
    folder = path / "exports"
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*.jsonl")}


def repair_what_is_named(command: list[str], path: Path, model: str, whole: dict[str, str]) -> None:
    """Do what `show --check` says, to a model cut short and to shards whose damage nothing has read since."""
    check, step = promptcot("show", path, "--check"), path / model
    weights = step / "artifact" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    told = done(check)
    assert told.returncode == 1, told.stderr
    named = re.findall(r"try: (?:rm -f|delete) '([^']+)'", told.stdout.replace("\n", ""))
    assert str(step) in named
    for file in map(Path, named):
        print(f"deleting {file.relative_to(path)}, as --check says")
        shutil.rmtree(file) if file.is_dir() else file.unlink()
    again = done(command)
    assert again.returncode == 0, again.stderr
    assert done(check).returncode == 0
    assert digests(path) == whole


@contextmanager
def disk(folder: Path, size: str = "400m") -> Iterator[list[Trouble]]:
    """A small disk, and what fills it: once anywhere, once in a training. No trouble where nothing can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        print(f"the disk is never full: {mounted.stderr.decode().strip()}")
        yield []
        return
    filler = folder / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as f, suppress(OSError):
            while True:
                f.write(b"x" * 4096)

    def trouble(fits: Callable[[Progress], bool]) -> Trouble:
        return Trouble("full disk", "No space left on device", fits, fill, filler.unlink)

    try:
        yield [
            trouble(lambda now: now.kind == "commit" and now.stage == "annotate"),
            trouble(lambda now: now.kind == "step" and now.stage == "em"),
        ]
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def flip(path: Path, rng: random.Random) -> str:
    """One bit of a committed shard."""
    file = a_shard(path, rng)
    data = bytearray(file.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    file.write_bytes(data)
    return f"flipped a bit of {file.relative_to(path)}"


def cut(path: Path, rng: random.Random) -> str:
    """The end of a committed shard."""
    file = a_shard(path, rng)
    file.write_bytes(file.read_bytes()[: -rng.randint(1, 200)])
    return f"cut {file.relative_to(path)}"


def cut_line(path: Path, rng: random.Random) -> str:
    """The end of the last line of a manifest."""
    file = rng.choice(sorted(path.glob("*/*/commits.jsonl")))
    file.write_bytes(file.read_bytes()[: -rng.randint(1, 100)])
    return f"cut the last line of {file.relative_to(path)}"


def a_shard(path: Path, rng: random.Random) -> Path:
    return rng.choice(sorted(path.glob("*/*/part-*.parquet")))


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="needs root to mount a small disk"
)
def test_a_full_disk_is_a_clear_error_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "600k") as fills:
        if not fills:
            pytest.skip("nothing can be mounted here")
        path = tmp_path / "disk" / "r"
        seeds, annotate = (promptcot(stage, TINY, "--run-dir", path) for stage in ("seeds", "annotate"))
        assert done(seeds).returncode == 0
        fills[0].begin()
        full = done(annotate)
        assert full.returncode == 2, full.stderr
        assert "No space left on device" in full.stderr
        assert "Traceback" not in full.stderr
        fills[0].end()
        assert done(annotate).returncode == 0
