"""Stage 5. p writes new problems: one completion holds the rationale and the problem."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

from promptcot.domains import get
from promptcot.domains.sequences import split_completion
from promptcot.errors import UserError
from promptcot.ids import row_id, row_seed
from promptcot.lm.base import EngineSpec, Failure, Prompt, draw
from promptcot.readers.files import file_digest, read_rows
from promptcot.readers.rows import mapped, plain_seed, read_seeds
from promptcot.records import Ask, Problem, Reject, Seed, Triple
from promptcot.runner.worker import Worker
from promptcot.settings import Synthesize
from promptcot.stages.concepts import ConceptList, file_lists, sample_lists
from promptcot.stages.context import Context, first_rejects
from promptcot.stages.em import kept_model
from promptcot.stages.seeds import gold_flaw, with_own_gold
from promptcot.store import View

NAME = "synthesize"


def run(ctx: Context) -> None:
    """Concept lists, completions of the last p, parsing."""
    settings, cold = ctx.recipe.synthesize, ctx.recipe.coldstart
    assert settings is not None
    if settings.path is not None:
        take_over(ctx, settings, settings.path)
        return
    assert cold is not None
    triples = ctx.load("annotate", "triples", Triple)
    asked = requests(settings, triples.rows(), ctx.recipe.run.seed, ctx.recipe.seeds.domain)
    model = kept_model(ctx, "p")
    fn = partial(
        generate, p=cold.base.spec(str(model.artifact)), settings=settings, style=ctx.recipe.templates
    )
    inputs = {"triples": triples.digest, "p": model.digest}
    if settings.concepts:
        inputs["concepts"] = file_digest(settings.concepts, "synthesize.concepts")
    ctx.map(
        NAME, "problems", Problem, asked, fn, params={**settings.key(), "templates": ctx.recipe.templates, **order(settings)},
        inputs=inputs, version=2 if settings.concepts else 1,
    )  # fmt: skip


def order(settings: Synthesize) -> dict[str, Any]:
    """The order of the weights, which draws depend on and a comparison of mappings does not see; nothing if it is sorted."""
    found = {name: list(getattr(settings, name)) for name in ("levels", "sizes")}
    found = {name: keys for name, keys in found.items() if keys != sorted(keys)}
    return {"order": found} if found else {}


def take_over(ctx: Context, settings: Synthesize, path: str) -> None:
    """Problems of a file instead of p's; what is wrong with a row is its reject's reason.

    Raises:
        UserError: it holds no usable problem.
    """
    domain = ctx.recipe.seeds.domain
    step = ctx.table(
        NAME, "problems", Problem, lambda: read_problems(path, settings, domain, ctx.reporter.line),
        params={"fields": settings.fields, "problems": settings.problems, "domain": domain},
        inputs={"file": file_digest(path, "synthesize.path")}, version=3,
    )  # fmt: skip
    totals = step.totals()
    if not totals["rows_out"]:
        why = f": {totals['reasons']}. {first_rejects(step)}" if totals["rejected"] else ""
        raise UserError(
            f"no usable problem among the {totals['rows_in']} rows of '{path}'{why}",
            expected="at least one row with a problem",
            do="synthesize.fields names the file's own columns: {problem: COLUMN}",
        )


def read_problems(
    path: str, settings: Synthesize, domain: str, say: Callable[[str], None] = lambda line: None
) -> tuple[int, list[Problem], list[Reject]]:
    """(rows read, problems, rejects); beyond `settings.problems` rows nothing is read."""
    name, key = Path(path).name, "synthesize.fields"
    rows = mapped(islice(read_rows(Path(path)), settings.problems or None), settings.fields, name, key)
    n, seeds, rejects = read_seeds(rows, plain_seed(settings.fields, domain, name, key), name)
    kept = [usable(s) for s in seeds]
    if bare := sum(
        bool(s.answer or s.tests) and not (k.answer or k.tests) for s, k in zip(seeds, kept, strict=True)
    ):
        say(
            f"  {name}: {bare} problems bring an answer or tests that can judge nobody; they are labelled anew"
        )
    problems = [
        Problem(
            row_id(NAME, 1, [s.id]), s.domain, s.level, s.concepts, s.rationale or "", s.problem, s.answer, s.tests
        )
        for s in kept
    ]  # fmt: skip
    return n, problems, rejects


def usable(seed: Seed) -> Seed:
    """Without an answer or tests that could judge nobody: then the problem is labelled like one of p's."""
    seed = with_own_gold(seed)
    return replace(seed, answer=None, tests=[]) if gold_flaw(seed) else seed


def requests(
    settings: Synthesize, triples: Iterable[Triple], run_seed: int, domain: str = "math"
) -> Sequence[Ask]:
    """One unit of work per problem to write, made when asked for. Only train triples lend their concepts and levels.

    A file is read at once, so that nothing is begun with a bad one. Nothing is sampled before the first row is asked for:
    a finished step asks for none.

    Args:
        domain: Of the lists of a file that do not say theirs.
    """
    n, seed = settings.problems, row_seed(run_seed, NAME)

    @cache
    def lists() -> list[ConceptList]:
        known = [ConceptList(t.domain, t.level, tuple(t.concepts)) for t in triples if t.split == "train"]
        if settings.concepts:
            return file_lists(settings.concepts, n, known, seed=seed, domain=domain, levels=settings.levels)
        return sample_lists(
            known, n, seed=seed, novel=settings.novel, code_share=settings.code_share, levels=settings.levels,
            sizes=settings.sizes,
        )  # fmt: skip

    if settings.concepts:
        lists()
    return View(n, lambda a, b: [_request(lists()[n], n) for n in range(a, b)])


def _request(row: ConceptList, n: int) -> Ask:
    ident = row_id(NAME, 1, [row.domain, row.level, *row.concepts], None, n)
    return Ask(ident, "", n, row.domain, row.level, list(row.concepts), "")


def generate(
    worker: Worker, rows: list[Ask], *, p: EngineSpec, settings: Synthesize, style: str
) -> list[Problem | Reject]:
    """Sample (z, x) ~ p(z, x | c) and split the completion."""
    engine = worker.engine(p)
    domains = [get(r.domain, style) for r in rows]
    prompts = [
        Prompt(row_seed(worker.seed, r.id), ids=engine.encode(d.generator_prompt(r.concepts, r.level)))
        for r, d in zip(rows, domains, strict=True)
    ]
    samples = draw(engine, prompts, settings.sampling.params(domains[0].layout.x_end))
    out: list[Problem | Reject] = []
    for row, domain, sample in zip(rows, domains, samples, strict=True):
        if isinstance(sample, Failure):
            out.append(sample.reject(row.id))
            continue
        made = split_completion(domain, sample.text) if sample.finish == "stop" else "no_terminator"
        if isinstance(made, str):
            out.append(Reject(row.id, made, sample.text[:200]))
        else:
            out.append(
                Problem(row.id, row.domain, row.level, row.concepts, rationale=made[0], problem=made[1])
            )
    return out
