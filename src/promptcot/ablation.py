"""The EM ablation as one command: arms (`promptcot.stages.ablation`) times seeds, then one report.

    <dir>/seed-1/ ...      a run directory per seed: its own seeds, annotations, cold start and arms
    <dir>/report.html      curves with bands over the seeds; report.json holds the numbers

Seeds run side by side in processes of one worker each, which keeps every core busy where arms alternate between
sampling (parallel) and training (not). Kill and resume work as in any run: the same command goes on.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from promptcot import __version__
from promptcot.analysis.ablation import summary
from promptcot.analysis.report import render
from promptcot.corridor import execute
from promptcot.recipe import parse
from promptcot.rundir import folder, package_versions, provenance
from promptcot.runner.progress import Reporter
from promptcot.runner.worker import die_with_parent
from promptcot.settings import Recipe
from promptcot.shards import write_atomic
from promptcot.stages.ablation import arms, settings_of

STAGES = ("seeds", "annotate", "coldstart", "ablation")


def run(recipe: Recipe, directory: Path, seeds: Sequence[int], jobs: int, quiet: bool) -> Path:
    """Run every arm under every seed and write the report. Returns its path.

    Raises:
        UserError: an unknown arm, or whatever a run raises.
    """
    assert recipe.em is not None
    for arm in arms(recipe.em):
        settings_of(arm, recipe.em)  # a typo must not surface after an hour
    if jobs == 1:
        for seed in seeds:
            one_seed(recipe.model_dump(mode="json"), seed, directory, recipe.run.workers, quiet)
    else:
        with ProcessPoolExecutor(
            jobs, multiprocessing.get_context("spawn"), initializer=die_with_parent, initargs=(os.getpid(),)
        ) as pool:
            plain = recipe.model_dump(mode="json")
            running = [pool.submit(one_seed, plain, seed, directory, 1, quiet) for seed in seeds]
            for future in running:
                future.result()
    return report(recipe, directory, seeds)


def one_seed(plain: dict[str, Any], seed: int, directory: Path, workers: int, quiet: bool) -> None:
    """All arms under one seed."""
    plain = {**plain, "run": {**plain["run"], "seed": seed, "workers": workers, "dir": ""}}
    execute(parse(plain), STAGES, Reporter(quiet=quiet), str(directory / f"seed-{seed}"))


def report(recipe: Recipe, directory: Path, seeds: Sequence[int]) -> Path:
    """The report over all seeds; only what the tables hold."""
    assert recipe.em is not None
    runs = {seed: directory / f"seed-{seed}" / folder("em") for seed in seeds}
    wall = [
        json.loads(f.read_text())["wall_s"] for seed in seeds
        for f in (directory / f"seed-{seed}" / "sessions").glob("*.json")
    ]  # fmt: skip
    data = {
        "promptcot": __version__, "recipe_name": recipe.name, "run": directory.name, "simulated": recipe.seeds.source == "pocket",
        "ablation": summary(runs, arms(recipe.em), recipe.run.seed),
        "wall_s": round(sum(sum(w.values()) for w in wall), 1),
        "provenance": {"seeds": list(seeds), "python": provenance()["python"], "packages": package_versions(),
                       "code_version": provenance()["code"]},
        "recipe": recipe.model_dump(mode="json"),
    }  # fmt: skip
    write_atomic(directory / "report.json", json.dumps(data, indent=1, ensure_ascii=False).encode())
    path = directory / "report.html"
    write_atomic(path, render(data, "ablation.html.j2").encode())
    return path
