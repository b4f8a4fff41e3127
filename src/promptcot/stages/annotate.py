"""Stage 2. Concepts and rationales from annotators, one instruction each (PAPER section 2 and 6).

Seeds that bring their own concepts and rationale pass through under the annotator "given".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from promptcot.domains import get
from promptcot.domains.annotations import parse_concepts, parse_rationale
from promptcot.domains.templates import Messages
from promptcot.errors import UserError
from promptcot.ids import row_id, row_seed
from promptcot.lm.base import Engine, Failure, Prompt, Sample, draw
from promptcot.records import Reject, Seed, Triple
from promptcot.runner.worker import Worker
from promptcot.settings import Annotate
from promptcot.stages.context import Context, check_rejects, model_inputs
from promptcot.verify.boxes import after_thinking

T = TypeVar("T")
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
        inputs={"seeds": seeds.digest, **model_inputs(settings.annotators)}, version=3,
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
    params = settings.sampling.params()
    out: list[Triple | Reject] = []

    def read(rows: list[Triple], kind: str, messages: Callable[[Triple], Messages], parse: Callable[[str], T | None],
             missing: str) -> Iterator[tuple[Triple, T]]:  # fmt: skip
        """Rows with what `parse` found in the answers; the others go to `out`."""
        asked = [Prompt(row_seed(run_seed, f"{r.id}:{kind}"), messages=messages(r)) for r in rows]
        for row, sample in zip(rows, draw(engine, asked, params), strict=True):
            said = _said(row, sample)
            if isinstance(said, Reject):
                out.append(said)
            elif (found := parse(said)) is None:
                out.append(Reject(row.id, missing, said[:200]))
            else:
                yield row, found

    def concepts(r: Triple) -> Messages:
        return get(r.domain, style).concept_messages(r.problem, settings.num_concepts)

    def rationale(r: Triple) -> Messages:
        return get(r.domain, style).annotation_messages(r.problem, r.concepts, r.level)

    listed = [replace(r, concepts=c) for r, c in read(rows, "c", concepts, parse_concepts, "no_concepts")]
    out += [replace(r, rationale=z) for r, z in read(listed, "z", rationale, parse_rationale, "no_rationale")]
    return out


def _said(row: Triple, sample: Sample | Failure) -> str | Reject:
    """What an annotator answered behind its own thoughts, which may repeat the request."""
    if isinstance(sample, Failure):
        return sample.reject(row.id)
    said = after_thinking(sample.text) if sample.finish == "stop" else None
    return Reject(row.id, "truncated", sample.text[-200:]) if said is None else said
