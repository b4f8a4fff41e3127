"""How hard seeds and new problems are for two other models (`evaluate.difficulty`): their attempts, and the table.

`evaluate/difficulty_strong` holds the stronger model's solutions, `evaluate/difficulty_weak` the weaker one's at T=0, one
per problem of the sets below. Math only: the answer of the stronger model is the reference, and a program has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from promptcot.analysis.difficulty import Asked, table
from promptcot.domains import get
from promptcot.ids import digest
from promptcot.records import Problem, Rollout, Seed
from promptcot.settings import Difficulty, Model
from promptcot.stages.context import Context, asks, model_key
from promptcot.stages.label import pick
from promptcot.stages.solving import attempt
from promptcot.store import Step
from promptcot.verify.answers import equivalent

NAME = "evaluate"
Posed = Seed | Problem


def run(ctx: Context) -> None:
    """Both models' attempts; nothing where the recipe does not ask for them."""
    settings = ctx.recipe.evaluate and ctx.recipe.evaluate.difficulty
    if not settings or not ctx.has("seeds", "seeds"):
        return
    rows = list({p.id: p for found in sets(ctx, settings).values() for p in found}.values())
    if rows:
        _attempts(ctx, "strong", settings.strong, rows, settings, greedy=False)
        _attempts(ctx, "weak", settings.weak, rows, settings, greedy=True)


def sets(ctx: Context, settings: Difficulty) -> dict[str, Sequence[Posed]]:
    """The math problems of every set that is there, `settings.problems` of each."""
    found: dict[str, list[Posed]] = {"seeds": [], "held-out seeds": []}
    for seed in ctx.load("seeds", "seeds", Seed).rows():
        found["seeds" if seed.split == "train" else "held-out seeds"].append(seed)
    for name, stage in (("curated", "curate"), ("labelled", "label")):
        if ctx.has(stage, "problems"):
            found[name] = list(ctx.load(stage, "problems", Problem).rows())
    style, run_seed = ctx.recipe.templates, ctx.recipe.run.seed
    voted = {
        name: [p for p in rows if get(p.domain, style).answer_kind == "vote"] for name, rows in found.items()
    }
    return {name: pick(rows, settings.problems, run_seed) for name, rows in voted.items() if rows}  # type: ignore[arg-type]


def summary(ctx: Context) -> dict[str, Any] | None:
    """The table with the names of both models, or None where it was not asked for."""
    settings = ctx.recipe.evaluate and ctx.recipe.evaluate.difficulty
    if not settings or not ctx.has(NAME, "difficulty_weak"):
        return None
    strong, weak = (_by_problem(ctx.load(NAME, f"difficulty_{who}", Rollout)) for who in ("strong", "weak"))
    asked = {
        name: [_asked(p, strong[p.id], weak[p.id]) for p in rows if p.id in strong and p.id in weak]
        for name, rows in sets(ctx, settings).items()
    }
    models = {who: m.model or m.engine for who, m in (("weak", settings.weak), ("strong", settings.strong))}
    unit = "tokens" if any(r.tokens for r in strong.values()) else "words"  # a program writes no tokens
    return {**models, "unit": unit, "sets": table(asked, ctx.recipe.run.seed)}


def _asked(p: Posed, strong: Rollout, weak: Rollout) -> Asked:
    solved = None if strong.answer is None else equivalent(strong.answer, weak.answer)
    length = strong.tokens or len(strong.text.split())
    return Asked((p.domain, p.level), solved, length, strong.finish == "length")


def _attempts(
    ctx: Context, who: str, model: Model, rows: Sequence[Posed], settings: Difficulty, *, greedy: bool
) -> Step[Rollout]:
    spec, style = model.spec(), ctx.recipe.templates
    sampling = settings.sampling
    fn = partial(
        attempt, model=spec, params=sampling.params(greedy=greedy), style=style, rules=ctx.recipe.programs
    )  # fmt: skip
    asked = [
        replace(a, answer=None, tests=[]) for a in asks("difficulty", rows, 1)
    ]  # nobody judges: a reference will
    return ctx.map(
        NAME, f"difficulty_{who}", Rollout, asked, fn,
        params={"model": model.key(), "sampling": sampling.key(), "greedy": greedy, "templates": style},
        inputs={"problems": digest([a.id for a in asked]), "model": model_key(spec.model)}, version=2,
    )  # fmt: skip


def _by_problem(step: Step[Rollout]) -> dict[str, Rollout]:
    return {row.problem_id: row for row in step.rows()}
