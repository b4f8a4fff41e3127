"""Stage 1. Seeds: the problems to start from, split into train and held-out."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

from promptcot.curation.dedup import normalize_text
from promptcot.domains import get
from promptcot.errors import UserError
from promptcot.ids import digest
from promptcot.readers import files, rows
from promptcot.readers.gsm8k import gsm8k_seed
from promptcot.records import Reject, Seed
from promptcot.settings import Seeds
from promptcot.stages.context import Context, check_rejects, first_rejects
from promptcot.verify.gold import GoldSuite, answer_flaw, suite_flaw

NAME = "seeds"


def run(ctx: Context) -> None:
    """Read, check, split."""
    s, seed = ctx.recipe.seeds, ctx.recipe.run.seed
    step = ctx.table(
        NAME,
        "seeds",
        Seed,
        lambda: build(s, seed),
        params=s.key(),
        inputs=_inputs(s),
        version=2 if s.source == "pocket" else 4,
    )
    check_rejects(step, s.max_rejected, "seeds.max_rejected")
    taught = ctx.recipe.coldstart is not None or bool(ctx.recipe.annotate.annotators)
    needed = {"train"} if taught else {"train", "heldout"}  # without a training they only keep their like out
    splits = {row.split for row in step.rows()}
    if splits and not splits & needed:
        raise UserError(
            f"seeds.heldout={s.heldout} keeps out all {step.totals()['rows_out']} usable rows of '{s.path or s.source}'",
            expected="more rows than seeds.heldout, to train on",
            do="--set seeds.heldout=N with a smaller N",
        )
    if not splits:
        raise UserError(
            f"no usable seed in '{s.path}': {step.totals()['reasons']}. {first_rejects(step)}",
            expected="at least one row with a problem",
            do="mend the file, or name its columns: seeds.fields: {problem: COLUMN}",
        )


def _inputs(s: Seeds) -> dict[str, str]:
    """The digest of the seed file, so that an edited file is noticed."""
    if s.path is None or s.source == "hub":
        return {}
    return {"file": files.file_digest(s.path, "seeds.path")}


def build(s: Seeds, run_seed: int) -> tuple[int, list[Seed], list[Reject]]:
    """(rows read, seeds with their split, rejects). Held-out problems are chosen by a digest of their first row's id."""
    if s.source == "pocket":
        return _pocket(s, run_seed)
    n, seeds, rejects = read(s)
    if n == 0:
        raise UserError(f"'{s.path}' is empty", expected="one problem per row", do="--set seeds.path=FILE")
    flawed = {r.id: Reject(r.id, "bad_gold", f"{r.source}: {flaw}") for r in seeds if (flaw := gold_flaw(r))}
    seeds, rejects = [with_own_gold(r) for r in seeds if r.id not in flawed], [*rejects, *flawed.values()]
    order = sorted(seeds, key=lambda r: digest([run_seed, r.id]))
    texts = [normalize_text(r.problem) for r in order]
    first: dict[str, Seed] = {}  # of the rows with one text
    for text, r in zip(texts, order, strict=True):
        first.setdefault(text, r)
    held = dict(islice(first.items(), s.heldout))
    heldout = [replace(r, split="heldout") for r in held.values()]
    train, copies = [], []
    for text, r in zip(texts, order, strict=True):
        twin = held.get(text)
        if twin is None:
            train.append(r)
        elif r is not twin:
            copies.append(Reject(r.id, "copy_of_heldout", f"{r.source}: the problem of {twin.source}"))
    keep = train[: s.count] if s.count else train
    unused = [Reject(r.id, "not_sampled", "beyond seeds.count") for r in train[len(keep) :]]
    return n, heldout + keep, rejects + copies + unused


def gold_flaw(seed: Seed) -> str:
    """Why the seed's answer or tests could judge nobody; empty if they could, or if there are none.

    Raises:
        UserError: its domain is unknown.
    """
    domain = get(seed.domain, "compact")
    if domain.check is not None:
        return (
            "" if seed.answer is None or domain.check(seed.problem, seed.answer) else "its domain refuses it"
        )
    flaw = ""
    if seed.answer is not None and domain.answer_kind == "vote":  # a program is no answer to compare
        flaw = answer_flaw(seed.source, seed.answer)
    return flaw or (suite_flaw(GoldSuite(seed.source, seed.tests)) if seed.tests else "")


def with_own_gold(seed: Seed) -> Seed:
    """The seed with what its domain judges by, tests or an answer, and without the other."""
    if get(seed.domain, "compact").answer_kind == "tests":
        return replace(seed, answer=None)
    return replace(seed, tests=[])


def read(s: Seeds) -> tuple[int, list[Seed], list[Reject]]:
    """All rows of a file or Hub dataset as seeds."""
    path = Path(s.path or "")
    source = s.path or ""
    if s.source == "hub":
        raw = rows.mapped(files.read_hub(source, s.split), s.fields, source, "seeds.fields")
        return rows.read_seeds(raw, rows.plain_seed(s.fields, s.domain, source), source)
    raw = files.read_parquet(path) if s.source == "parquet" else files.read_rows(path)
    if s.source != "gsm8k":  # it has columns of its own
        raw = rows.mapped(raw, s.fields, path.name, "seeds.fields")
    build_one = gsm8k_seed if s.source == "gsm8k" else rows.plain_seed(s.fields, s.domain, path.name)
    n, seeds, rejects = rows.read_seeds(raw, build_one, path.name)
    if s.source == "triples":
        bare = [r for r in seeds if not (r.concepts and r.rationale)]
        rejects += [Reject(r.id, "no_triple", f"{r.source}: concepts or rationale is missing") for r in bare]
        seeds = [r for r in seeds if r.concepts and r.rationale]
    return n, seeds, rejects


def _pocket(s: Seeds, run_seed: int) -> tuple[int, list[Seed], list[Reject]]:
    from promptcot.pocket.world import items

    seeds = []
    domains = {"math": 1.0 - s.code_share, "code": s.code_share}
    for split, count, levels in (("train", s.count, s.levels), ("heldout", s.heldout, s.heldout_levels)):
        for item in items(count, run_seed, split, levels or None, domains):
            seeds.append(
                Seed(
                    id=digest(["pocket", item.text]), domain=item.domain, level=item.level, problem=item.text,
                    split=split, answer=item.answer, tests=list(item.tests), source="pocket",
                )
            )  # fmt: skip
    return len(seeds), seeds, []
