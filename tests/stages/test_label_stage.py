"""The label stage on the packaged model: waves give the labels of all samples, and everything resumes and repeats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from promptcot.pocket.world import items
from promptcot.records import Ballot, Problem, Reject, Rollout, Suite
from promptcot.rundir import RunDir
from promptcot.runner.clock import Clock
from promptcot.runner.local import LocalRunner
from promptcot.runner.progress import Reporter
from promptcot.settings import Recipe
from promptcot.stages import analyze, label
from promptcot.stages.context import Context
from promptcot.store import Step
from promptcot.team import Team
from promptcot.verify.answers import equivalent

PROBLEMS = [
    Problem(f"p{i}", item.domain, item.level, ["c"], "z", item.text)
    for i, item in enumerate(items(14, 5, "train", {"1": 1.0}, {"math": 0.6, "code": 0.4}))
]
WAVES = [4, 1, 1]
LABEL = {
    "model": {"model": "pocket", "batch_tokens": 4096}, "samples": 6, "min_votes": 4, "tests": 3, "min_tests": 1,
    "vetting": {"votes": 3, "mutants": 2}, "sampling": {"max_tokens": 80},
}  # fmt: skip


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRunner]:
    """One warm worker for all runs of this file."""
    team = Team(tmp_path_factory.mktemp("team"))
    with LocalRunner(1, 1, 16, Reporter(quiet=True), team) as runner:
        yield runner


class Done(NamedTuple):
    """The tables of a finished label stage, and what the report says of them."""

    steps: dict[str, Step[Any]]
    shown: dict[str, Any]


def run(path: Path, runner: LocalRunner, **changed: Any) -> Done:
    """The label stage in a run directory of its own, on given problems."""
    model = {"model": "pocket"}
    recipe = Recipe.model_validate(
        {
            "name": "t", "templates": "compact", "run": {"shard_rows": 16}, "seeds": {"source": "pocket"},
            "coldstart": {"base": model, "training": {"lr": 1.0}}, "em": {"training": {"lr": 1.0}},
            "synthesize": {"problems": 1}, "curate": {}, "label": {**LABEL, **changed},
        }
    )  # fmt: skip
    run_dir = RunDir(path, recipe)
    try:
        with Clock(path) as clock:
            ctx = Context(recipe, run_dir, runner, runner.reporter, clock)
            given = len(PROBLEMS), PROBLEMS, list[Reject]()
            ctx.table("curate", "problems", Problem, lambda: given, params={}, inputs={})
            label.run(ctx)
            kinds = {"problems": Problem, "suites": Suite}
            names = [p.name for p in (path / "07_label").iterdir()]
            steps: dict[str, Step[Any]] = {
                n: ctx.load("label", n, kinds.get(n, Ballot if n.startswith("votes") else Rollout))
                for n in names
            }
            return Done(steps, analyze.labelling(ctx))
    finally:
        run_dir.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, runner: LocalRunner) -> Done:
    return run(tmp_path_factory.mktemp("label") / "whole", runner)


@pytest.fixture(scope="module")
def waves(tmp_path_factory: pytest.TempPathFactory, runner: LocalRunner) -> Done:
    return run(tmp_path_factory.mktemp("label") / "waves", runner, waves=WAVES)


def test_waves_give_the_labels_of_all_samples_with_fewer(whole: Done, waves: Done) -> None:
    full = {p.id: p for p in whole.steps["problems"].rows()}
    early = {p.id: p for p in waves.steps["problems"].rows()}
    assert set(early) == set(full)
    assert any(p.domain == "math" for p in full.values())
    for ident, p in full.items():
        if p.domain == "math":
            assert equivalent(p.answer, early[ident].answer)
        else:
            assert early[ident] == p  # programs are all drawn at once
    drawn = sum(waves.steps[n].totals()["rows_in"] for n in waves.steps if n.startswith("attempts"))
    assert drawn < whole.steps["attempts"].totals()["rows_in"] == 6 * len(PROBLEMS)
    assert waves.shown["attempts"] == {"planned": 6 * len(PROBLEMS), "drawn": drawn}
    assert whole.shown["attempts"] == {"planned": 6 * len(PROBLEMS), "drawn": 6 * len(PROBLEMS)}


def test_what_is_drawn_in_waves_is_what_would_have_been_drawn(whole: Done, waves: Done) -> None:
    full = {r.id: r for r in whole.steps["attempts"].rows()}
    rows = [r for n in waves.steps if n.startswith("attempts") for r in waves.steps[n].rows()]
    assert len({r.id for r in rows}) == len(rows)
    assert all(full[r.id] == r for r in rows)
    math = [r for r in waves.steps["attempts"].rows() if r.domain == "math"]
    assert {r.sample for r in math} == {0, 1, 2, 3}  # the first wave has the same draws of every problem
    for wave, name in ((1, "attempts2"), (2, "attempts3")):
        is_open = {b.id for b in waves.steps[f"votes{wave}"].rows() if b.decision == "open"}
        assert {r.problem_id for r in waves.steps[name].rows()} == is_open


def test_suites_carry_their_evidence_into_the_problems(whole: Done) -> None:
    suites = {s.id: s for s in whole.steps["suites"].rows()}
    code = [p for p in whole.steps["problems"].rows() if p.domain == "code"]
    assert code
    for p in code:
        suite = suites[p.id]
        assert p.tests == suite.tests
        assert (p.label_flags, p.mutants, p.mutants_killed) == (
            suite.flags,
            suite.mutants,
            suite.mutants_killed,
        )
        assert suite.mutants <= 2
    tests = whole.shown["tests"]
    assert tests["problems"] == len(suites)
    assert tests["mutants"] == sum(s.mutants for s in suites.values()) > 0


def test_a_run_that_was_cut_off_between_waves_ends_with_the_same_rows(
    waves: Done, runner: LocalRunner
) -> None:
    digests = {n: step.digest for n, step in waves.steps.items()}
    for name in ("attempts3", "problems"):  # as if killed after the second ballot
        for file in ("done.json", "commits.jsonl"):
            (waves.steps[name].path / file).unlink()
    resumed = run(waves.steps["problems"].path.parents[1], runner, waves=WAVES)
    assert {n: step.digest for n, step in resumed.steps.items()} == digests


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(waves: Done, tmp_path: Path) -> None:
    with LocalRunner(1, 2, 5, Reporter(quiet=True), Team(tmp_path)) as two:
        again = run(tmp_path / "two", two, waves=WAVES)
    assert {n: step.digest for n, step in again.steps.items()} == {
        n: step.digest for n, step in waves.steps.items()
    }
