"""Stage 2. Concepts and rationales from annotators, one instruction each (PAPER section 2 and 6).

Seeds that bring their own concepts and rationale pass through under the annotator "given".
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from promptcot.domains import get
from promptcot.domains.templates import parse_concepts, parse_rationale
from promptcot.errors import UserError
from promptcot.ids import row_id, row_seed
from promptcot.lm.base import Engine, Failure, Prompt, Sample, draw
from promptcot.records import Reject, Seed, Triple
from promptcot.runner.worker import Worker
from promptcot.settings import Annotate
from promptcot.stages.context import Context, check_rejects, model_inputs
from promptcot.verify.boxes import after_thinking

NAME = "annotate"
GIVEN = "given"


def run(ctx: Context) -> None:
    """Explode (seed x annotator), ask, parse."""
    settings = ctx.recipe.annotate
    seeds = ctx.load("seeds", "seeds", Seed)
    todo = assign(list(seeds.rows()), settings)
    step = ctx.map(
        NAME, "triples", Triple, todo, partial(annotate, settings=settings, style=ctx.recipe.templates),
        params={**settings.key(), "order": list(settings.annotators)},  # they take turns
        inputs={"seeds": seeds.digest, **model_inputs(settings.annotators)}, version=2,
    )  # fmt: skip
    check_rejects(step, settings.max_rejected, "annotate.max_rejected")


def assign(seeds: Sequence[Seed], settings: Annotate) -> list[Triple]:
    """Unfinished triples: which annotator writes for which seed. The annotators take turns over the seeds;
    a held-out seed gets one."""
    names = list(settings.annotators)
    per_seed = min(settings.per_seed or len(names), len(names))
    todo = []
    for n, seed in enumerate(seeds):
        if seed.concepts and seed.rationale:
            chosen = [GIVEN]
        elif not names:
            raise UserError(
                "a seed without concepts or rationale, and no annotators",
                expected="annotate.annotators with at least one model, or annotated seeds",
                do="add annotators to the recipe (see recipes/pocket.yaml)",
            )
        else:
            count = 1 if seed.split == "heldout" else per_seed
            chosen = [names[(n + i) % len(names)] for i in range(count)]
        todo += [_blank(seed, name) for name in chosen]
    return todo


def _blank(seed: Seed, annotator: str) -> Triple:
    return Triple(
        id=row_id(NAME, 1, [seed.id], annotator), seed_id=seed.id, domain=seed.domain, level=seed.level,
        split=seed.split, annotator=annotator, concepts=list(seed.concepts), rationale=seed.rationale or "",
        problem=seed.problem,
    )  # fmt: skip


def annotate(worker: Worker, rows: list[Triple], *, settings: Annotate, style: str) -> list[Triple | Reject]:
    """Fill in concepts, then rationale; rows are grouped by annotator and come back in their order."""
    done: dict[str, Triple | Reject] = {r.id: r for r in rows if r.annotator == GIVEN}
    for name, model in settings.annotators.items():
        mine = [r for r in rows if r.annotator == name]
        if mine:
            engine = worker.engine(model.spec())
            for result in _by_one(engine, mine, settings, style, worker.seed):
                done[result.id] = result
    return [done[r.id] for r in rows]


def _by_one(
    engine: Engine, rows: list[Triple], settings: Annotate, style: str, run_seed: int
) -> list[Triple | Reject]:
    from dataclasses import replace

    params = settings.sampling.params()
    out: list[Triple | Reject] = []
    asked = [
        Prompt(row_seed(run_seed, f"{r.id}:c"), messages=get(r.domain, style).concept_messages(r.problem, settings.num_concepts))
        for r in rows
    ]  # fmt: skip
    with_concepts: list[Triple] = []
    for row, sample in zip(rows, draw(engine, asked, params), strict=True):
        said = _said(row, sample)
        if isinstance(said, Reject):
            out.append(said)
        elif (concepts := parse_concepts(said)) is None:
            out.append(Reject(row.id, "no_concepts", said[:200]))
        else:
            with_concepts.append(replace(row, concepts=concepts))
    asked = [
        Prompt(row_seed(run_seed, f"{r.id}:z"), messages=get(r.domain, style).annotation_messages(r.problem, r.concepts, r.level))
        for r in with_concepts
    ]  # fmt: skip
    for row, sample in zip(with_concepts, draw(engine, asked, params), strict=True):
        said = _said(row, sample)
        if isinstance(said, Reject):
            out.append(said)
        elif (rationale := parse_rationale(said)) is None:
            out.append(Reject(row.id, "no_rationale", said[:200]))
        else:
            out.append(replace(row, rationale=rationale))
    return out


def _said(row: Triple, sample: Sample | Failure) -> str | Reject:
    """What an annotator answered behind its own thoughts, which may repeat the request."""
    if isinstance(sample, Failure):
        return sample.reject(row.id)
    said = after_thinking(sample.text) if sample.finish == "stop" else None
    return Reject(row.id, "truncated", sample.text[-200:]) if said is None else said
