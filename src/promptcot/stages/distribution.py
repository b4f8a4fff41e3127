"""The map of data sets within the analysis: sampled texts, embedded by one worker, and their distances.

`analyze/map` is made where the embedding model is installed (`promptcot[map]`), and made again when the tables or the
model have changed.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from promptcot.analysis.distribution import summary
from promptcot.analysis.embedding import NAME as MODEL
from promptcot.analysis.embedding import embed, model_directory
from promptcot.errors import MissingExtra
from promptcot.ids import digest
from promptcot.records import Problem, Seed
from promptcot.runner.worker import Worker
from promptcot.stages.context import Context, forget
from promptcot.stages.label import pick

NAME, STEP = "analyze", "map"
TEXTS = 500  # of each set; the interval of a distance is narrow by then
Texts = dict[str, list[tuple[str, str]]]  # by set: (id, problem)


def run(ctx: Context) -> dict[str, Any]:
    """The map's numbers, or `absent`: what is missing and what to type."""
    try:
        directory = model_directory()
    except MissingExtra as missing:
        return {"absent": {"seen": missing.seen, "do": missing.do}}
    texts = sample(ctx)
    if len(texts) < 2:
        return {"absent": {"seen": "there is only one set of problems", "do": ""}}
    seed = ctx.recipe.run.seed
    inputs = {name: digest([i for i, _ in rows]) for name, rows in texts.items()}
    params = {"model": MODEL, "texts": TEXTS}
    forget(ctx, NAME, STEP, inputs, 1)
    (step,) = ctx.artifacts(
        NAME, [(STEP, partial(make, texts=texts, directory=directory, seed=seed), params, inputs)]
    )
    found: dict[str, Any] = json.loads((step.artifact / "map.json").read_text())
    return found


def sample(ctx: Context) -> Texts:
    """Up to TEXTS problems of every set that has any, chosen by a digest of their ids."""
    found: dict[str, list[Seed | Problem]] = {"seeds": [], "held-out seeds": []}
    for row in ctx.load("seeds", "seeds", Seed).rows():
        found["seeds" if row.split == "train" else "held-out seeds"].append(row)
    for name, stage in (("new problems", "synthesize"), ("curated", "curate"), ("labelled", "label")):
        if ctx.has(stage, "problems"):
            found[name] = list(ctx.load(stage, "problems", Problem).rows())
    picked = {n: pick(rows, TEXTS, ctx.recipe.run.seed) for n, rows in found.items() if rows}  # type: ignore[arg-type]
    return {name: [(p.id, p.problem) for p in rows] for name, rows in picked.items()}


def make(worker: Worker, out: Path, *, texts: Texts, directory: Path, seed: int) -> dict[str, Any]:
    """Embed every text once and write `map.json`."""
    distinct = list({text for rows in texts.values() for _, text in rows})
    distinct.sort()
    vectors, cut = embed(distinct, directory)
    at = {text: n for n, text in enumerate(distinct)}
    by_set = {name: vectors[[at[text] for _, text in rows]] for name, rows in texts.items()}
    found = {"model": MODEL, "cut_share": cut / len(distinct), **summary(by_set, seed)}
    (out / "map.json").write_text(json.dumps(found, indent=1))
    return {"rows": len(distinct), "did": "embedded"}
