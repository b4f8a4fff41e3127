"""Benchmarks in the corridor: what is scored is what is decontaminated against, and the report shows both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from promptcot.analysis.headline import headline
from promptcot.analysis.report import render
from promptcot.errors import UserError
from promptcot.evals.tasks import Task, attempts
from promptcot.lm.base import EngineSpec, Failure, SamplingParams
from promptcot.lm.scripted import ScriptedEngine
from promptcot.recipe import parse
from promptcot.records import Problem, Reject, Rollout, Seed
from promptcot.rundir import RunDir
from promptcot.runner.clock import Clock
from promptcot.runner.local import LocalRunner
from promptcot.runner.progress import Reporter
from promptcot.runner.worker import Worker
from promptcot.settings import Recipe, Rules
from promptcot.stages import benchmarks, curate
from promptcot.stages.context import Context
from promptcot.stages.selfplay import Play

LEAK = "A farmer counts 12 sheep in the morning and 7 more at noon, then sells 5 of them. How many sheep are left?"
CLEAN = "Find the sum of the first nine positive odd numbers greater than four."


def recipe(tmp_path: Path, *names: str) -> Recipe:
    path = tmp_path / "aime.jsonl"
    path.write_text(json.dumps({"id": 3, "problem": LEAK, "answer": 14}) + "\n")
    training = {"lr": 1e-3}
    return parse({
        "name": "r", "seeds": {"source": "pocket", "count": 1}, "coldstart": {"base": {}, "training": training},
        "em": {"training": training}, "synthesize": {"problems": 2}, "curate": {},
        "evaluate": {"benchmarks": {name: {"source": str(path)} for name in names}},
    })  # fmt: skip


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Any]:
    """A run with two synthesized problems and no seeds, for a recipe."""
    opened = []

    def make(name: str, *names: str) -> Context:
        reporter = Reporter(quiet=True)
        settings = recipe(tmp_path, *names)
        run = RunDir(tmp_path / name, settings)
        opened.append(run)
        ctx = Context(
            settings, run, LocalRunner(1, 1, 8, reporter, run.team), reporter, Clock(tmp_path / name)
        )
        made = [Problem(t, "math", "1", ["x"], "z", t) for t in (LEAK, CLEAN)]
        ctx.table("synthesize", "problems", Problem, lambda: (2, made, []), params={}, inputs={})
        ctx.table("seeds", "seeds", Seed, lambda: (0, [], []), params={}, inputs={})
        return ctx

    yield make
    for run in opened:
        run.close()


def test_curate_drops_what_repeats_a_benchmark_that_is_scored(context: Any) -> None:
    ctx = context("with", "aime24")
    curate.run(ctx)
    step = ctx.load("curate", "problems", Problem)
    assert [p.problem for p in step.rows()] == [CLEAN]
    (reject,) = step.rejects()
    assert (reject.reason, reject.detail.split()[0]) == ("contaminated", "aime24/3")
    ctx = context("without")
    curate.run(ctx)
    assert len(list(ctx.load("curate", "problems", Problem).rows())) == 2


def test_self_play_on_seeds_leaves_out_those_that_are_evaluated(context: Any) -> None:
    ctx = context("with", "aime24")
    heldout = "A train with 40 seats carries 23 people to the coast and picks up 9 more on the way there. How many seats are free?"
    gold = [Seed("a", "math", "1", LEAK), Seed("b", "math", "1", CLEAN), Seed("c", "math", "1", heldout)]
    play = Play.__new__(Play)
    play.ctx = ctx
    clean = play.clean(gold, [*gold, Seed("d", "math", "1", heldout, split="heldout")])
    assert [seed.id for seed in clean] == ["b"]


def test_a_run_is_not_scored_on_what_it_was_not_decontaminated_against(context: Any) -> None:
    ctx = context("run")
    curate.run(ctx)
    ctx.run.close()
    later = context("run", "aime24")  # benchmarks may be added to a run, but not after it has curated
    with pytest.raises(UserError, match="decontaminated against other benchmarks") as error:
        benchmarks.run(later, {"model": (None, "")}, {})  # type: ignore[dict-item]
    assert "--fork" in error.value.do


def test_a_problem_that_does_not_fit_the_context_has_no_answer_and_stops_no_other() -> None:
    spec, worker = EngineSpec("scripted"), Worker(1)
    worker._engines[spec] = ScriptedEngine(lambda prompt, seed: "\\boxed{7}", max_context=60)
    tasks = [
        Task(f"aime24/{n}", "math", text, answer="7")
        for n, text in enumerate(["3+4?", "long " * 20, "2+5?", "1+1?"])
    ]
    rows = benchmarks.sit(
        worker,
        attempts(tasks, 1),
        model=spec,
        params=SamplingParams(),
        style="compact",
        answers="symbolic",
        rules=Rules(),
    )
    found = [(r.verdict, r.reason) for r in rows if isinstance(r, Rollout)]
    assert found == [
        ("correct", "equal"),
        ("no_answer", "prompt_too_long"),
        ("correct", "equal"),
        ("correct", "equal"),
    ]


def test_a_server_that_refuses_a_long_prompt_is_no_lost_attempt() -> None:
    class Served(ScriptedEngine):
        def sample(self, prompts: Any, params: Any) -> Any:
            return [Failure("context", "900 tokens"), Failure("timeout", "600 s")]

    spec, worker = EngineSpec("scripted"), Worker(1)
    worker._engines[spec] = Served(lambda prompt, seed: "")
    tasks = [Task(f"aime24/{n}", "math", "3+4?", answer="7") for n in range(2)]
    long, lost = benchmarks.sit(
        worker, attempts(tasks, 1), model=spec, params=SamplingParams(), style="compact", answers="symbolic", rules=Rules()
    )  # fmt: skip
    assert isinstance(long, Rollout)
    assert (long.verdict, long.reason) == ("no_answer", "prompt_too_long")
    assert isinstance(lost, Reject)
    assert lost.reason == "timeout"


def results(run: Path, before: str, after: str) -> None:
    def entry(verdicts: str) -> dict[str, Any]:
        mean = verdicts.count("c") / len(verdicts)
        return {"mean": mean, "ci95": [0.0, 1.0], "samples": 4, "verdicts": {"p": verdicts, "q": verdicts}}

    models = {
        name: {"benchmarks": {"aime24": entry(v)}} for name, v in (("solver_before", before), ("solver_after", after))
    }  # fmt: skip
    (run / "results.json").write_text(json.dumps({"models": models}))


def test_the_report_shows_benchmarks_before_and_after(context: Any, tmp_path: Path) -> None:
    ctx = context("run", "aime24")
    assert benchmarks.rows(ctx, [("self_play", "solver_before", "solver_after")]) == []
    results(tmp_path / "run", "ciii", "ccci")
    (row,) = benchmarks.rows(ctx, [("self_play", "solver_before", "solver_after")])
    assert (row["split"], row["metric"], row["problems"], row["samples"]) == ("aime24", "avg@4", 2, 4)
    assert row["difference"]["mean"] == 0.5
    report = {"evaluation": [row], "em": {"iterations": []}}
    (line,) = headline(report)
    assert line["text"].startswith("Self-play: aime24 avg@4 25.0% to 75.0%, +50.0 points")
    assert "split aime24" in render({**report, "run": "r", "headline": [line]})
