"""One recipe under several settings and seeds: scaling curves over the amount of data, ablations.

A study is a YAML file: a recipe, seeds, and arms, each a list of overrides as `--set` takes them; the first arm is the
one the others are compared with. Every arm is a run of its own, forked from the first one of its seed, so that what its
settings do not touch is not done again.

    <dir>/seed-1/ARM/ ...   runs
    <dir>/study.json        every score of every arm, and paired differences to the first
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rich.markup import escape

from promptcot.analysis.statistics import mean_ci, paired_difference
from promptcot.corridor import execute
from promptcot.errors import UserError
from promptcot.evals.results import Entry, keys, read_results, solved
from promptcot.recipe import load, read_yaml
from promptcot.runner.progress import Reporter
from promptcot.settings import Recipe
from promptcot.store import write_atomic

Shares = dict[str, float]  # problem (`results.keys`) -> share of right attempts, mean over seeds


class Study(BaseModel):
    """recipe: a path, from the study's own folder. set: overrides that all arms share."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str
    seeds: list[int] = Field(default=[1, 2, 3], min_length=1)
    set: list[str] = []
    arms: dict[str, list[str]] = Field(min_length=2)


def read(path: Path) -> tuple[Study, dict[tuple[int, str], Recipe]]:
    """A study, and the recipe of every (seed, arm): all are checked before anything runs.

    Raises:
        UserError: no such file, not a study, or an arm that is no valid recipe.
    """
    try:
        study = Study.model_validate(read_yaml(path.read_text(), f"'{path}'"))
    except (OSError, yaml.YAMLError, ValidationError) as e:
        raise UserError(
            f"cannot read the study '{path}': {e}", expected="recipe, seeds, and arms: {NAME: [a.b=c, ...]}"
        ) from None
    recipes = {
        (seed, arm): load(path.parent / study.recipe, [*study.set, *sets, f"run.seed={seed}"])
        for seed in study.seeds
        for arm, sets in study.arms.items()
    }
    if missing := [arm for (_, arm), recipe in recipes.items() if recipe.evaluate is None]:
        raise UserError(f"arm '{missing[0]}': the recipe has no section 'evaluate'")
    return study, recipes


def run(path: Path, directory: Path, quiet: bool) -> dict[str, Any]:
    """Run all arms under all seeds (finished ones are kept) and write `study.json`; returns its content.

    An arm that cannot be finished (a model that writes no usable problem, say) is a result too: it is left out of the
    rows, its reason is in `failed`, and the other arms go on.

    Raises:
        UserError: a wrong study, or the first arm cannot be finished.
    """
    study, recipes = read(path)
    first = next(iter(study.arms))
    failed: dict[str, str] = {}
    for (seed, arm), recipe in recipes.items():
        base = str(directory / f"seed-{seed}" / first)
        reporter = Reporter(quiet=quiet)
        reporter.line(f"seed {seed}, arm {arm}", bold=True)
        try:
            execute(recipe, recipe.stages(), reporter, base, None if arm == first else arm)
        except UserError as e:
            if arm == first:
                raise
            failed.setdefault(arm, f"seed {seed}: {e.seen}")
            reporter.line(f"  arm {arm} cannot be finished: {escape(e.seen)}")
    done = study.model_copy(update={"arms": {a: s for a, s in study.arms.items() if a not in failed}})
    data = {"study": path.name, "recipe": study.recipe, "seeds": study.seeds, "arms": study.arms, "failed": failed,
            "rows": summary(directory, done)}  # fmt: skip
    write_atomic(directory / "study.json", json.dumps(data, indent=1).encode())
    return data


def summary(directory: Path, study: Study) -> list[dict[str, Any]]:
    """A row per model and benchmark that every run has a score on: each arm's, and its change against the first arm on the
    problems of both (none where they share none).

    A problem's score is the mean over the seeds that have it; intervals are bootstraps over problems, and the scores
    of the single seeds stand beside them.
    """
    runs = {(s, a): read_results(directory / f"seed-{s}" / a) for s in study.seeds for a in study.arms}
    scored = [(m, b) for m, entries in next(iter(runs.values())).items() for b in entries]
    rows = []
    for model, name in scored:
        if all(solved(run.get(model, {}).get(name, {"verdicts": {}})) for run in runs.values()):
            rows.append({"model": model, "benchmark": name, "arms": _row(runs, model, name, study)})
    return rows


def _row(runs: dict[tuple[int, str], Any], model: str, name: str, study: Study) -> dict[str, Any]:
    seed, arms = study.seeds[0], {}
    everything = [run[model][name] for run in runs.values()]
    shares: dict[str, Shares] = {}
    for arm in study.arms:
        by_seed = [_shares(runs[s, arm][model][name], everything) for s in study.seeds]
        shares[arm] = _mean(by_seed)
        arms[arm] = {
            "mean": sum(shares[arm].values()) / len(shares[arm]),
            "ci95": list(mean_ci(list(shares[arm].values()), seed, shares=True)),
            "by_seed": [sum(p.values()) / len(p) for p in by_seed], "problems": len(shares[arm]),
        }  # fmt: skip
    first, *others = shares
    for arm in others:
        shared = [p for p in shares[first] if p in shares[arm]]
        if not shared:
            arms[arm]["change"] = {"problems": 0}
            continue
        change = paired_difference(
            [shares[first][p] for p in shared], [shares[arm][p] for p in shared], seed, shares=True
        )
        arms[arm]["change"] = {"mean": change.mean, "ci95": list(change.ci95), "problems": change.problems,
                               "clear": change.clear}  # fmt: skip
    return arms


def _shares(entry: Entry, others: list[Entry]) -> Shares:
    key = keys(entry, *others)
    return {key[problem]: sum(marks) / len(marks) for problem, marks in solved(entry).items()}


def _mean(by_seed: list[Shares]) -> Shares:
    problems = dict.fromkeys(p for one in by_seed for p in one)
    found = {p: [one[p] for one in by_seed if p in one] for p in problems}
    return {p: sum(values) / len(values) for p, values in found.items()}
