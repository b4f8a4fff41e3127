"""Stage 10. Evaluation on held-out problems: the solver before and after self-play, the student before and after SFT."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from promptcot.errors import UserError
from promptcot.records import Rollout, Seed, Verdict
from promptcot.settings import Evaluate, Model
from promptcot.stages.context import Context, asks, model_key
from promptcot.stages.selfplay import kept_solver
from promptcot.stages.solving import attempt, rules_for
from promptcot.verify.answers import check_answer

NAME = "evaluate"


def run(ctx: Context) -> None:
    """avg@k rollouts of every model in question; gold answers pass their own verifier first."""
    settings = ctx.recipe.evaluate
    assert settings is not None
    for name, (model, weights) in models(ctx).items():
        rollouts(ctx, settings, name, model, weights)


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


def rollouts(ctx: Context, settings: Evaluate, name: str, model: Model, weights: str) -> None:
    """The attempts of one model at the held-out problems."""
    if not any(name in (before, after) for _, before, after in regimes(ctx)):
        return
    seeds = ctx.load("seeds", "seeds", Seed)
    problems = [s for s in seeds.rows() if s.split == "heldout" and (s.answer is not None or s.tests)]
    problems = problems[: settings.problems] if settings.problems else problems
    check_gold(problems)
    spec = model.spec(weights)
    style = ctx.recipe.templates
    fn = partial(
        attempt, model=spec, params=settings.sampling.params(), style=style, rules=rules_for(ctx, problems)
    )  # fmt: skip
    ctx.map(
        NAME, name, Rollout, asks(NAME, problems, settings.samples), fn,
        params={**settings.key(), "templates": style, "programs": ctx.recipe.programs.key()},
        inputs={"seeds": seeds.digest, "model": model_key(weights)}, version=2,
    )  # fmt: skip


def check_gold(problems: Sequence[Seed]) -> None:
    """Every gold answer passes its own verifier and a perturbed one fails, before any model is scored.

    Raises:
        UserError: an answer that the verifier cannot judge.
    """
    for p in problems:
        if p.answer is None:
            continue
        passes, _ = check_answer(p.answer, f"\\boxed{{{p.answer}}}")
        fails, _ = check_answer(p.answer, f"\\boxed{{{p.answer}7}}")
        if (passes, fails) != (Verdict.CORRECT, Verdict.INCORRECT):
            raise UserError(
                f"the gold answer {p.answer!r} of {p.source} cannot be judged (itself: {passes}, perturbed: {fails})",
                expected="an answer that equals itself, and not itself with a 7 behind it",
                do="correct the answer in the seed file, or leave it out",
            )
