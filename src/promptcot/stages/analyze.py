"""Stage 11. From tables to numbers: funnel, EM curves, concepts, map, labels, difficulty, evaluation, examples, provenance.

What each number is called: docs/report.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptcot import __version__
from promptcot.analysis import coverage, em_curves, funnel, outcomes
from promptcot.analysis.headline import headline
from promptcot.ids import digest
from promptcot.records import (
    Candidate,
    Decision,
    HeldOut,
    Problem,
    Record,
    Rollout,
    Round,
    Seed,
    Suite,
    Triple,
)  # fmt: skip
from promptcot.rundir import finished_steps, folder, package_versions, provenance
from promptcot.settings import Model, Recipe, Section
from promptcot.stages import benchmarks, difficulty, distribution, lineage
from promptcot.stages.context import Context, forget
from promptcot.stages.em import WITHOUT
from promptcot.stages.evaluate import regimes

NAME = "analyze"
VERSION = 3


def run(ctx: Context) -> None:
    """Build the report's numbers once all tables are there."""
    steps = [s for s in finished_steps(ctx.run.path) if s[0][:2] <= "10"]
    digests = {name: done["digest"] for name, _, done in steps}
    mapped = distribution.run(ctx)
    inputs = {"tables": digest(digests), "map": digest(mapped)}
    forget(ctx, NAME, "analysis", inputs, VERSION)
    step = ctx.run.step(NAME, "analysis", Record, {}, inputs, VERSION)
    if step.done:
        return
    report = {**build(ctx, steps, digests), "distribution": mapped}
    making = step.path / ".making"
    making.mkdir(exist_ok=True)
    (making / "analysis.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
    step.put_artifact(making)
    step.finish(0, {"artifact": digest(report)})


def build(ctx: Context, steps: list[funnel.Step], digests: dict[str, str]) -> dict[str, Any]:
    """The report as plain data; sections whose stage did not run are missing."""
    recipe = ctx.recipe
    wall, capacity = ctx.clock.wall_s(), ctx.clock.capacity_s()
    report: dict[str, Any] = {
        "promptcot": __version__, "run": ctx.run.path.name, "recipe_name": recipe.name,
        "simulated": recipe.seeds.source == "pocket",
        "funnel": funnel.funnel(steps), "em": em(ctx), "stages": funnel.cost(steps, wall, capacity),
        "kept_problems": funnel.kept_problems(steps), "wall_s": round(sum(wall.values()), 1), "peak_rss_mb": ctx.clock.peak_rss_mb(),
        "total": funnel.total(steps, wall, capacity),
        "provenance": {
            "seed": recipe.run.seed, "models": models(recipe), "python": provenance()["python"], "packages": package_versions(),
            "code_version": provenance()["code"], "program_runner": program_runner(ctx),
            "digests": digests,
        },
        "recipe": recipe.model_dump(mode="json"),
    }  # fmt: skip
    report |= synthesis(ctx)
    report |= labelling(ctx)
    report |= evaluation(ctx)
    report |= {"concepts": concepts(ctx), "difficulty_table": difficulty.summary(ctx)}
    report["headline"] = headline(report)
    return report


def program_runner(ctx: Context) -> str:
    """What confined the programs of this run, as the headers of its steps say."""
    found = {
        step["program_runner"] for _, step, _ in finished_steps(ctx.run.path) if "program_runner" in step
    }
    return ", ".join(sorted(found)) or "no programs were run"


def em(ctx: Context) -> dict[str, Any]:
    """Curves and E-step figures of every iteration that ran."""
    settings = ctx.recipe.em
    if settings is None:
        return {"iterations": [], "estep": [], "without_estep": []}
    decision = next(iter(ctx.load("em", "decision", Decision).rows())) if ctx.has("em", "decision") else None
    steps = range((decision.last if decision else settings.iterations) + 1)
    heldout = {
        t: list(ctx.load("em", f"h{t}_heldout", HeldOut).rows())
        for t in steps if ctx.has("em", f"h{t}_heldout")
    }  # fmt: skip
    estep = [e_step(ctx, t) for t in steps if ctx.has("em", f"e{t}_selected")]
    seed = ctx.recipe.run.seed
    out: dict[str, Any] = {"iterations": em_curves.iterations(heldout, seed), "estep": estep}
    without = {
        t: list(ctx.load("em", f"{WITHOUT}.h{t}_heldout", HeldOut).rows())
        for t in steps if ctx.has("em", f"{WITHOUT}.h{t}_heldout")
    }  # fmt: skip
    out["without_estep"] = em_curves.iterations(without, seed)
    if decision:
        out["decision"] = {k: v for k, v in decision.row().items() if k != "id"}
    return out


def e_step(ctx: Context, t: int) -> dict[str, Any]:
    """What the E-step of iteration t had and chose."""
    rejected = int(ctx.load("em", f"e{t}_samples", Candidate).totals()["rejected"])
    scored = list(ctx.load("em", f"e{t}_candidates", Candidate).rows())
    if ctx.has("em", f"e{t}_more_candidates"):
        rejected += int(ctx.load("em", f"e{t}_more_samples", Candidate).totals()["rejected"])
        scored += ctx.load("em", f"e{t}_more_candidates", Candidate).rows()
    chosen = list(ctx.load("em", f"e{t}_selected", Candidate).rows())
    return em_curves.e_step(t, scored, chosen, rejected)


def synthesis(ctx: Context) -> dict[str, Any]:
    """Labels, validity, difficulty, examples; on the pocket world also what is true."""
    out: dict[str, Any] = {}
    rows: Callable[[str, type[Any]], list[Any]] = lambda stage, kind: (  # noqa: E731
        list(ctx.load(stage, "problems", kind).rows()) if ctx.has(stage, "problems") else []
    )
    made, curated, labelled = (rows(s, Problem) for s in ("synthesize", "curate", "label"))
    if made and ctx.recipe.seeds.source == "pocket":
        asked_ids = _asked(ctx) | {p.id for p in labelled} if labelled else set()
        asked = [p for p in curated if p.id in asked_ids]
        out["labels"], out["validity"] = outcomes.pocket_truth(made, asked, labelled)
    rollouts: list[Rollout] = []
    if ctx.recipe.selfplay and ctx.has("selfplay", "rollouts1"):
        rollouts = list(ctx.load("selfplay", "rollouts1", Rollout).rows())
        first, *_ = ctx.recipe.selfplay.waves or [
            ctx.recipe.selfplay.rollouts
        ]  # later waves ask fewer problems
        out["difficulty"] = outcomes.difficulty(rollouts, first)
        out["selfplay"] = [
            row.row()
            for r in range(1, ctx.recipe.selfplay.rounds + 1)
            if ctx.has("selfplay", f"round{r}")
            for row in ctx.load("selfplay", f"round{r}", Round).rows()
        ]
    out["examples"] = lineage.examples(ctx, labelled or curated, rollouts)
    return out


def concepts(ctx: Context) -> dict[str, Any] | None:
    """Coverage and co-occurrence of concepts from the seeds to the labelled problems."""
    found: dict[str, list[list[str]]] = {}
    if ctx.has("annotate", "triples"):
        triples = ctx.load("annotate", "triples", Triple).rows()
        found["seeds"] = [t.concepts for t in triples if t.split == "train"]
    for name, stage in (("new problems", "synthesize"), ("curated", "curate"), ("labelled", "label")):
        if ctx.has(stage, "problems"):
            found[name] = [p.concepts for p in ctx.load(stage, "problems", Problem).rows()]
    return coverage.summary(found)


def models(recipe: Recipe) -> dict[str, str]:
    """Every model of the recipe by the key that names it: engine, weights, number format."""
    found: dict[str, str] = {}

    def walk(section: Any, path: str) -> None:
        if isinstance(section, Model):
            what = [section.model or "its own", f"by {section.engine}"]
            what += [section.dtype] if section.engine == "transformers" else []
            found[path] = ", ".join(what)
        elif isinstance(section, Section):
            for name in type(section).model_fields:
                walk(getattr(section, name), f"{path}.{name}".strip("."))
        elif isinstance(section, dict):
            for name, part in section.items():
                walk(part, f"{path}.{name}")

    walk(recipe, "")
    return found


def labelling(ctx: Context) -> dict[str, Any]:
    """How many answers the votes took of those planned, and what vetting left of the tests."""
    settings = ctx.recipe.label
    if settings is None or not ctx.has("label", "problems"):
        return {}
    waves = ["attempts", *(f"attempts{n}" for n in range(2, len(settings.waves) + 1))]
    steps = [ctx.load("label", name, Rollout) for name in waves]
    drawn = sum(step.totals()["rows_in"] for step in steps)
    suites = list(ctx.load("label", "suites", Suite).rows())
    return {
        "attempts": {"planned": settings.samples * len(_asked(ctx)), "drawn": drawn},
        "unread": outcomes.unread(row for step in steps for row in step.rows()),
        "tests": outcomes.vetting(suites) if suites else None,
    }


def _asked(ctx: Context) -> set[str]:
    return {r.problem_id for r in ctx.load("label", "attempts", Rollout).rows()}


def evaluation(ctx: Context) -> dict[str, Any]:
    """Before and after, both regimes."""
    settings = ctx.recipe.evaluate
    if settings is None:
        return {"evaluation": []}
    heldout = [s for s in ctx.load("seeds", "seeds", Seed).rows() if s.split == "heldout"]
    rows = []
    for regime, before, after in regimes(ctx):
        a, b = (outcomes.solve_rates(ctx.load("evaluate", n, Rollout).rows()) for n in (before, after))
        rows += outcomes.compare(regime, a, b, heldout, settings.samples, ctx.recipe.run.seed)
    return {"evaluation": rows + benchmarks.rows(ctx, regimes(ctx))}


def saved(path: Path) -> dict[str, Any]:
    """The analysis of a run directory."""
    text = (path / folder(NAME) / "analysis" / "artifact" / "analysis.json").read_text()
    report: dict[str, Any] = json.loads(text)
    return report
