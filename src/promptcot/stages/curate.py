"""Stage 6. What is worth a label: form, exact and near duplicates, decontamination.

Everything here is cheap beside a label or a trace, so it comes before them.
"""

from __future__ import annotations

from collections.abc import Sequence

from promptcot.curation.decontaminate import find_contaminated
from promptcot.curation.dedup import find_duplicates, normalize_text
from promptcot.curation.words import count_words
from promptcot.domains import get
from promptcot.records import Problem, Reject, Seed
from promptcot.settings import Curate
from promptcot.shards import rows_digest
from promptcot.stages.benchmarks import references
from promptcot.stages.context import Context

NAME = "curate"


def run(ctx: Context) -> None:
    """One table: the problems kept; the rejects say why the others went."""
    settings = ctx.recipe.curate
    assert settings is not None
    made = ctx.load("synthesize", "problems", Problem)
    seeds = ctx.load("seeds", "seeds", Seed)
    inputs = {"problems": made.digest, "seeds": seeds.digest}
    scored = references(ctx.recipe)
    if scored:
        inputs["benchmarks"] = f"{rows_digest(scored):032x}"
    ctx.table(
        NAME, "problems", Problem,
        lambda: curate(
            list(made.rows()), [*seeds.rows(), *scored], settings, ctx.recipe.templates, ctx.recipe.run.seed
        ),
        params=settings.key(), inputs=inputs, version=4,
    )  # fmt: skip


def curate(
    problems: list[Problem], seeds: Sequence[Seed], settings: Curate, style: str, run_seed: int
) -> tuple[int, list[Problem], list[Reject]]:
    """Filters in the order of their cost; the first of a group of duplicates stays."""
    rejects: list[Reject] = []
    kept = problems
    for name in (form, duplicates, contamination):
        dropped = name(kept, seeds, settings, style, run_seed)
        rejects += dropped.values()
        kept = [p for p in kept if p.id not in dropped]
    return len(problems), kept, rejects


def form(
    problems: Sequence[Problem], seeds: Sequence[Seed], settings: Curate, style: str, run_seed: int
) -> dict[str, Reject]:
    """Length in words, and what the domain calls malformed."""
    out = {}
    for p in problems:
        words = count_words(p.problem)
        if not settings.min_words <= words <= settings.max_words:
            out[p.id] = Reject(p.id, "length", f"{words} words")
        elif reason := get(p.domain, style).malformed(p.problem):
            out[p.id] = Reject(p.id, reason)
    return out


def duplicates(
    problems: Sequence[Problem], seeds: Sequence[Seed], settings: Curate, style: str, run_seed: int
) -> dict[str, Reject]:
    """Copies of a train seed, and exact or near duplicates of an earlier problem."""
    known = {normalize_text(s.problem): s.id for s in seeds if s.split == "train"}
    out = {}
    for p in problems:
        if seed := known.get(normalize_text(p.problem)):
            out[p.id] = Reject(p.id, "copy_of_seed", seed)
    found = find_duplicates(
        [(p.id, p.problem) for p in problems if p.id not in out], threshold=settings.near_threshold,
        shingle=settings.near_shingle, num_perm=settings.near_permutations, seed=run_seed,
    )  # fmt: skip
    return out | {
        d.id: Reject(d.id, f"{d.kind}_duplicate", f"{d.duplicate_of} {d.similarity:.2f}") for d in found
    }


def contamination(
    problems: Sequence[Problem], seeds: Sequence[Seed], settings: Curate, style: str, run_seed: int
) -> dict[str, Reject]:
    """Overlap with a held-out problem, or with one of a benchmark that this recipe scores."""
    references = [(s.id, s.problem) for s in seeds if s.split == "heldout"]
    found = find_contaminated([(p.id, p.problem) for p in problems], references, mode=settings.decontaminate)
    return {
        c.id: Reject(c.id, "contaminated", f"{c.reference_id} {c.ratio:.2f}: {c.span[:80]}") for c in found
    }
