"""Stage 10. Evaluation: the solver before and after self-play, the student before and after SFT, on held-out problems
and on benchmarks; and any one model on benchmarks alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from promptcot.domains import get
from promptcot.evals.results import Entry, numbers, text_key
from promptcot.records import Rollout, Seed
from promptcot.settings import Evaluate, Model
from promptcot.stages import benchmarks, difficulty
from promptcot.stages.context import Context, asks, model_key
from promptcot.stages.selfplay import kept_solver
from promptcot.stages.solving import attempt, judgeable, rules_for
from promptcot.verify.gold import GoldSuite, check_answers, check_suites

NAME = "evaluate"


def run(ctx: Context) -> None:
    """avg@k rollouts of every model in question; gold answers pass their own verifier first; then benchmarks."""
    settings = ctx.recipe.evaluate
    assert settings is not None
    named = models(ctx)
    heldout: dict[str, Entry] = {}
    for name, (model, weights) in named.items():
        if any(name in (before, after) for _, before, after in regimes(ctx)):
            heldout[name] = rollouts(ctx, settings, name, model, weights)
    benchmarks.run(ctx, named, heldout)
    difficulty.run(ctx)


def models(ctx: Context) -> dict[str, tuple[Model, str]]:
    """What is evaluated: name -> (engine settings, weights)."""
    out: dict[str, tuple[Model, str]] = {}
    if ctx.recipe.selfplay:
        s = ctx.recipe.selfplay
        out["solver_before"] = (s.model, s.model.model)
        out["solver_after"] = (s.model, kept_solver(ctx))
    if ctx.recipe.distill:
        student = ctx.recipe.distill.student
        out["student_before"] = (student, student.model)
        out["student_after"] = (student, ctx.artifact_path("distill", "student"))
    if ctx.recipe.evaluate and ctx.recipe.evaluate.model:
        out["model"] = (ctx.recipe.evaluate.model, ctx.recipe.evaluate.model.model)
    return out


def regimes(ctx: Context) -> list[tuple[str, str, str]]:
    """(regime, step before, step after); one model before both regimes is evaluated once."""
    out = []
    if ctx.recipe.selfplay:
        out.append(("self_play", "solver_before", "solver_after"))
    if ctx.recipe.distill:
        same = ctx.recipe.selfplay is not None and ctx.recipe.selfplay.model == ctx.recipe.distill.student
        out.append(("sft", "solver_before" if same else "student_before", "student_after"))
    return out


def rollouts(ctx: Context, settings: Evaluate, name: str, model: Model, weights: str) -> Entry:
    """The attempts of one model at the held-out problems, and their numbers for `results.json` (none without problems)."""
    seeds = ctx.load("seeds", "seeds", Seed)
    problems = [s for s in seeds.rows() if s.split == "heldout" and judgeable(s, ctx.recipe.templates)]
    problems = problems[: settings.problems] if settings.problems else problems
    check_gold([p for p in problems if get(p.domain, ctx.recipe.templates).check is None])
    spec = model.spec(weights)
    style = ctx.recipe.templates
    fn = partial(
        attempt, model=spec, params=settings.sampling.params(), style=style, rules=rules_for(ctx, problems)
    )  # fmt: skip
    step = ctx.map(
        NAME, name, Rollout, asks(NAME, problems, settings.samples), fn,
        params={
            "model": model.key(), "problems": settings.problems, "samples": settings.samples, "sampling": settings.sampling.key(),
            "templates": style, "programs": ctx.recipe.programs.key(),
        },
        inputs={"seeds": seeds.digest, "model": model_key(weights)}, version=3,
    )  # fmt: skip
    if not problems:
        return {}
    answers = all(p.domain == "math" for p in problems)
    found = numbers(
        {p.id: p.id for p in problems}, list(step.rows()), answers, settings.samples, ctx.recipe.run.seed
    )
    texts = {p.id: text_key(p.problem) for p in problems}
    return {"title": "held-out problems", "paper_problems": len(problems), **found, "texts": texts}


def check_gold(problems: Sequence[Seed]) -> None:
    """Every gold answer and every set of tests judges rightly (`verify.gold`), before any model is scored.

    Not asked of domains that check an answer by the problem: their golds are not used.

    Raises:
        UserError: one that does not, with its source.
    """
    check_answers((f"{p.source} {p.id}", p.answer) for p in problems if p.answer is not None)
    check_suites(GoldSuite(f"{p.source} {p.id}", p.tests) for p in problems if p.tests)
