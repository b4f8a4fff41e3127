"""Stage 11. From tables to numbers: funnel, EM curves, labels, difficulty, evaluation, examples, provenance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from promptcot import __version__
from promptcot.analysis import em_curves, funnel, outcomes
from promptcot.analysis.headline import headline
from promptcot.ids import digest
from promptcot.records import Candidate, Decision, HeldOut, Pair, Problem, Record, Rollout, Round, Seed, Suite
from promptcot.rundir import finished_steps, folder, package_versions, provenance
from promptcot.stages import benchmarks
from promptcot.stages.context import Context
from promptcot.stages.evaluate import regimes

NAME = "analyze"
EXAMPLES = 6


def run(ctx: Context) -> None:
    """Build the report's numbers once all tables are there."""
    steps = [s for s in finished_steps(ctx.run.path) if s[0][:2] <= "10"]
    digests = {name: done["digest"] for name, _, done in steps}
    step = ctx.run.step(NAME, "analysis", Record, {}, {"tables": digest(digests)}, 1)
    if step.done:
        return
    report = build(ctx, steps, digests)
    making = step.path / ".making"
    making.mkdir(exist_ok=True)
    (making / "analysis.json").write_text(json.dumps(report, indent=1, ensure_ascii=False))
    step.put_artifact(making)
    step.finish(0, {"artifact": digest(report)})


def build(ctx: Context, steps: list[funnel.Step], digests: dict[str, str]) -> dict[str, Any]:
    """The report as plain data; sections whose stage did not run are missing."""
    recipe = ctx.recipe
    wall = ctx.clock.wall_s()
    report: dict[str, Any] = {
        "promptcot": __version__, "run": ctx.run.path.name, "recipe_name": recipe.name,
        "simulated": recipe.seeds.source == "pocket",
        "funnel": funnel.funnel(steps), "em": em(ctx), "stages": funnel.cost(steps, wall, ctx.clock.capacity_s()),
        "kept_problems": funnel.kept_problems(steps), "wall_s": round(sum(wall.values()), 1), "peak_rss_mb": ctx.clock.peak_rss_mb(),
        "provenance": {
            "seed": recipe.run.seed, "python": provenance()["python"], "packages": package_versions(),
            "code_version": provenance()["code"], "program_runner": program_runner(ctx),
            "digests": digests,
        },
        "recipe": recipe.model_dump(mode="json"),
    }  # fmt: skip
    report |= synthesis(ctx)
    report |= labelling(ctx)
    report |= evaluation(ctx)
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
        return {"iterations": [], "estep": []}
    steps = range(settings.iterations + 1)
    heldout = {
        t: list(ctx.load("em", f"h{t}_heldout", HeldOut).rows())
        for t in steps if _there(ctx, "em", f"h{t}_heldout")
    }  # fmt: skip
    estep = [e_step(ctx, t) for t in steps if _there(ctx, "em", f"e{t}_selected")]
    out: dict[str, Any] = {"iterations": em_curves.iterations(heldout, ctx.recipe.run.seed), "estep": estep}
    if _there(ctx, "em", "decision"):
        (decision,) = ctx.load("em", "decision", Decision).rows()
        out["decision"] = {k: v for k, v in decision.row().items() if k != "id"}
    return out


def e_step(ctx: Context, t: int) -> dict[str, Any]:
    """What the E-step of iteration t had and chose."""
    rejected = int(ctx.load("em", f"e{t}_samples", Candidate).totals()["rejected"])
    scored = list(ctx.load("em", f"e{t}_candidates", Candidate).rows())
    if _there(ctx, "em", f"e{t}_more_candidates"):
        rejected += int(ctx.load("em", f"e{t}_more_samples", Candidate).totals()["rejected"])
        scored += ctx.load("em", f"e{t}_more_candidates", Candidate).rows()
    chosen = list(ctx.load("em", f"e{t}_selected", Candidate).rows())
    return em_curves.e_step(t, scored, chosen, rejected)


def synthesis(ctx: Context) -> dict[str, Any]:
    """Labels, validity, difficulty, examples; on the pocket world also what is true."""
    out: dict[str, Any] = {}
    rows: Callable[[str, type[Any]], list[Any]] = lambda stage, kind: (  # noqa: E731
        list(ctx.load(stage, "problems", kind).rows()) if _there(ctx, stage, "problems") else []
    )
    made, curated, labelled = (rows(s, Problem) for s in ("synthesize", "curate", "label"))
    if made and ctx.recipe.seeds.source == "pocket":
        asked_ids = _asked(ctx) | {p.id for p in labelled} if labelled else set()
        asked = [p for p in curated if p.id in asked_ids]
        out["labels"], out["validity"] = outcomes.pocket_truth(made, asked, labelled)
    rollouts: list[Rollout] = []
    if ctx.recipe.selfplay and _there(ctx, "selfplay", "rollouts1"):
        rollouts = list(ctx.load("selfplay", "rollouts1", Rollout).rows())
        first, *_ = ctx.recipe.selfplay.waves or [
            ctx.recipe.selfplay.rollouts
        ]  # later waves ask fewer problems
        out["difficulty"] = outcomes.difficulty(rollouts, first)
        out["selfplay"] = [
            row.row()
            for r in range(1, ctx.recipe.selfplay.rounds + 1)
            if _there(ctx, "selfplay", f"round{r}")
            for row in ctx.load("selfplay", f"round{r}", Round).rows()
        ]
    out["examples"] = examples(ctx, labelled or curated, rollouts)
    return out


def labelling(ctx: Context) -> dict[str, Any]:
    """How many answers the votes took of those planned, and what vetting left of the tests."""
    settings = ctx.recipe.label
    if settings is None or not _there(ctx, "label", "problems"):
        return {}
    waves = ["attempts", *(f"attempts{n}" for n in range(2, len(settings.waves) + 1))]
    drawn = sum(ctx.load("label", name, Rollout).totals()["rows_in"] for name in waves)
    suites = list(ctx.load("label", "suites", Suite).rows())
    return {
        "attempts": {"planned": settings.samples * len(_asked(ctx)), "drawn": drawn},
        "tests": outcomes.vetting(suites) if suites else None,
    }


def _asked(ctx: Context) -> set[str]:
    return {r.problem_id for r in ctx.load("label", "attempts", Rollout).rows()}


def examples(ctx: Context, problems: list[Problem], rollouts: list[Rollout]) -> list[dict[str, Any]]:
    """The first problems of the table as they are, with their lineage; paired ones first. Not picked by quality."""
    pairs: dict[str, Pair] = {}
    if ctx.recipe.selfplay and _there(ctx, "selfplay", "pairs1"):
        for pair in ctx.load("selfplay", "pairs1", Pair).rows():
            pairs.setdefault(pair.problem_id, pair)
    rates = outcomes.solve_rates(rollouts)
    chosen = ([p for p in problems if p.id in pairs] or problems)[:EXAMPLES]
    return [_example(p, pairs.get(p.id), rates.get(p.id)) for p in chosen]


def _example(p: Problem, pair: Pair | None, rate: float | None) -> dict[str, Any]:
    label = f"{p.label_votes} of {p.label_samples} attempts agree" if p.label_samples else "not labelled"
    label += f"; {p.mutants_killed} of {p.mutants} mutants caught" if p.mutants else ""
    label += f"; {', '.join(p.label_flags)}" if p.label_flags else ""
    return {
        "title": f"{p.domain}, level {p.level}", "concepts": p.concepts, "level": p.level, "rationale": p.rationale,
        "problem": p.problem, "answer": p.answer or "; ".join(f"{t.input!r} -> {t.output!r}" for t in p.tests[:3]),
        "label": label, "solve_rate": None if rate is None else f"{rate:.0%} of the solver's attempts",
        "chosen": pair.chosen if pair else None, "rejected": pair.rejected if pair else None,
    }  # fmt: skip


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


def _there(ctx: Context, stage: str, name: str) -> bool:
    return (ctx.run.path / folder(stage) / name / "done.json").exists()


def saved(path: Path) -> dict[str, Any]:
    """The analysis of a run directory."""
    text = (path / folder(NAME) / "analysis" / "artifact" / "analysis.json").read_text()
    report: dict[str, Any] = json.loads(text)
    return report
