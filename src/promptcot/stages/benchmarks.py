"""Benchmarks within the evaluate stage: read, check the gold, attempt, judge, and write `results.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from rich.markup import escape

from promptcot import __version__
from promptcot.errors import UserError
from promptcot.evals import benchmarks, gold
from promptcot.evals.compare import difference
from promptcot.evals.results import LEGEND, Entry, entry, rating, read_results
from promptcot.evals.scoring import score
from promptcot.evals.tasks import Attempt, Task, attempts
from promptcot.ids import row_seed
from promptcot.lm.base import EngineSpec, Failure, Prompt, SamplingParams, draw
from promptcot.records import Problem, Reject, Rollout, Seed, Verdict
from promptcot.runner.worker import Worker
from promptcot.settings import BenchmarkName, Evaluate, Model, Recipe, Rules
from promptcot.shards import rows_digest
from promptcot.stages.context import Context, model_key
from promptcot.stages.solving import limits, rules_for
from promptcot.store import Step, write_atomic
from promptcot.verify.answers import Mode

NAME = "evaluate"
SHOWN = ("mean", "ci95", "problems", "clear", "sampling_ci95")  # of a difference, in the report


def run(ctx: Context, models: dict[str, tuple[Model, str]], heldout: dict[str, Entry]) -> None:
    """Attempts of every model at every benchmark, one step each. All sources are read and all gold is checked
    before the first model is asked; the numbers are computed anew each time.

    Args:
        heldout: The entries of the models that were scored on the held-out problems.
    """
    settings = ctx.recipe.evaluate
    assert settings is not None
    tasks, refused = _tasks(ctx, settings) if models else ({}, {})
    rules = rules_for(ctx, [t for found in tasks.values() for t in found])
    results: dict[str, Any] = {}
    for model_name, (model, weights) in models.items():
        spec = model.spec(weights)
        entries = {"heldout": heldout[model_name]} if heldout.get(model_name) else {}
        for name, found in tasks.items():
            step = _attempts(ctx, settings, f"{model_name}.{name}", name, found, spec, rules)
            entries[name] = entry(
                name, settings.benchmarks[name], found, refused[name], list(step.rows()), ctx.recipe.run.seed
            )
            entries[name]["attempts_at"] = f"{step.name}/part-*.parquet"
        results[model_name] = {**spec.key(), "benchmarks": entries}
    head = {
        "promptcot": __version__, "run": ctx.recipe.name, "seed": ctx.recipe.run.seed, "answers": settings.answers,
        "sampling": settings.benchmark_sampling.key(), "program_runner": ctx.run.facts.get("program_runner"),
        "verdict_letters": LEGEND, "models": results,
    }  # fmt: skip
    write_atomic(ctx.run.path / "results.json", json.dumps(head, indent=1).encode())


Tasks = dict[BenchmarkName, list[Task]]


def _tasks(ctx: Context, settings: Evaluate) -> tuple[Tasks, dict[BenchmarkName, list[Reject]]]:
    """Every benchmark's tasks that can be scored, and the rows that cannot; and whether an Elo will be possible.

    Raises:
        UserError: a benchmark without any, or without what its Elo needs.
    """
    for place in (p for b in settings.benchmarks.values() for p in b.source if p.startswith("hf://")):
        ctx.reporter.line(f"  reading {place} (from the network, unless the Hub's cache has it)")
    whole = {name: benchmarks.read_all(name, b) for name, b in settings.benchmarks.items()}
    _check_decontaminated(ctx, [found for found, _ in whole.values()])
    tasks: Tasks = {}
    refused = {}
    for name, (found, unread) in whole.items():
        flawed = gold.flaws(found, settings.answers)
        bad = {r.id for r in flawed}
        tasks[name], refused[name] = [t for t in found if t.id not in bad], [*unread, *flawed]
        what, b = benchmarks.definition(name), settings.benchmarks[name]
        because = benchmarks.refusals(refused[name])
        if not tasks[name]:
            raise UserError(
                f"no problem of {what.title} can be scored{because}", expected="gold that judges rightly",
                do="promptcot verify gold checks a file of answers or tests",
            )  # fmt: skip
        if b.standings:
            rating({t.name: [False] for t in tasks[name]}, b.standings, b.ratings)
        n = len(tasks[name])
        other = "" if n == what.problems else f" (the paper's has {what.problems})"
        ctx.reporter.line(f"  {name:<28} {n:>6} problems, gold checked{other}{escape(because)}")
    return tasks, refused


def references(recipe: Recipe) -> list[Seed]:
    """The problems of all benchmarks that this recipe scores, as held-out seeds, for decontamination."""
    scored = recipe.evaluate.benchmarks if recipe.evaluate else {}
    return _as_seeds(benchmarks.read(name, b) for name, b in scored.items())


def _as_seeds(tasks: Iterable[list[Task]]) -> list[Seed]:
    return [
        Seed(t.id, t.domain, "", t.problem, split="heldout", source=t.id) for found in tasks for t in found
    ]


def _check_decontaminated(ctx: Context, tasks: Iterable[list[Task]]) -> None:
    """Raises UserError: problems were curated without a look at the benchmarks that are to be scored now."""
    seeds = _as_seeds(tasks)
    if ctx.recipe.curate is None or not seeds:
        return
    curated = ctx.load("curate", "problems", Problem)
    if curated.key["inputs"].get("benchmarks") != f"{rows_digest(seeds):032x}":
        raise UserError(
            f"'{curated.path}' was decontaminated against other benchmarks than those to be scored",
            expected="a run that knew its benchmarks when it curated",
            do="promptcot run RECIPE --fork NAME curates anew and keeps every step still valid; "
            "promptcot evaluate --model PATH scores one model outside of the run",
        )


def rows(ctx: Context, regimes: Sequence[tuple[str, str, str]]) -> list[dict[str, Any]]:
    """Before and after on every benchmark, in the shape of the held-out rows of the report."""
    path = ctx.run.path / "results.json"
    if not path.exists():
        return []
    models, out = read_results(path), []
    for regime, before, after in regimes:
        for name, a in models.get(before, {}).items():
            b = models[after][name]
            change = difference(a, b, ctx.recipe.run.seed)
            if not change["problems"] or name == "heldout":  # the report has those by domain and level
                continue
            n = a["samples"]
            out.append({
                "regime": regime, "metric": f"avg@{n}" if n > 1 else "pass@1", "split": name, "domain": "all",
                "level": "all", "before": {k: a[k] for k in ("mean", "ci95")},
                "after": {k: b[k] for k in ("mean", "ci95")}, "difference": {k: change[k] for k in SHOWN}, "problems": change["problems"],
                "samples": n,
            })  # fmt: skip
    return out


def _attempts(
    ctx: Context, settings: Evaluate, step: str, name: BenchmarkName, tasks: Sequence[Task], spec: EngineSpec, rules: Rules
) -> Step[Rollout]:  # fmt: skip
    params = settings.benchmark_sampling
    what = benchmarks.definition(name)
    samples = settings.benchmarks[name].samples or what.samples
    judging = (
        {"answers": settings.answers} if what.domain == "math" else {"programs": ctx.recipe.programs.key()}
    )
    fn = partial(
        sit, model=spec, params=params.params(), style=ctx.recipe.templates, answers=settings.answers, rules=rules
    )  # fmt: skip
    return ctx.map(
        NAME, step, Rollout, attempts(tasks, samples), fn,
        params={
            "samples": samples, "sampling": params.key(), "templates": ctx.recipe.templates, "engine": {"engine": spec.engine, "dtype": spec.dtype}, **judging,
        },
        inputs={"problems": f"{rows_digest(tasks):032x}", "model": model_key(spec.model)}, version=2,
    )  # fmt: skip


def sit(
    worker: Worker, rows: list[Attempt], *, model: EngineSpec, params: SamplingParams, style: str,
    answers: Mode, rules: Rules,
) -> list[Rollout | Reject]:  # fmt: skip
    """One attempt per row, judged. A problem that does not fit the model's context is one it cannot answer."""
    engine = worker.engine(model)
    prompts = [Prompt(row_seed(worker.seed, r.id), messages=r.task.messages(style)) for r in rows]
    out: list[Rollout | Reject] = []
    for row, sample in zip(rows, draw(engine, prompts, params), strict=True):
        task, text, finish, tokens = row.task, "", "length", 0
        answer, verdict, reason = None, Verdict.NO_ANSWER, "prompt_too_long"
        if isinstance(sample, Failure):
            if sample.reason != "context":
                out.append(sample.reject(row.id))
                continue
        else:
            text, finish, tokens = sample.text, sample.finish, sample.tokens
            answer, verdict, reason = score(
                task, text, finish == "stop", answers, limits(rules), rules.sandbox
            )
        out.append(
            Rollout(
                id=row.id, problem_id=task.id, domain=task.domain, sample=row.sample, text=text, tokens=tokens,
                finish=finish, answer=answer, verdict=verdict.value, reason=reason,
            )
        )  # fmt: skip
    return out
