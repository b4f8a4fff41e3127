"""Stage 4. Expectation-Maximization (arXiv 2509.19894, section 2; PAPER sections 1 and 2).

Iteration t:
  E-step   K rationales per (c,x) from q[t-1] at T=1; p[t-1] scores both terms in one pass; the best under
           Eq. 5 trains q[t].
  M-step   q[t] decodes greedily; those rationales (not the best-of-K ones) train p[t].
  measure  on held-out (c,x): greedy z from q[t], NLL(x|z,c) and log p(z,x|c) under p[t].
How it departs from textbook EM: the arg max instead of the posterior, and a greedy M-step. Both are the paper's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import Any

from promptcot.domains import get
from promptcot.domains.sequences import Item, p_parts
from promptcot.em.rejects import reject_reason
from promptcot.em.select import best, joint
from promptcot.ids import row_id, row_seed
from promptcot.lm.base import EngineSpec, Prompt
from promptcot.records import Ask, Candidate, Reject, Triple
from promptcot.runner.worker import Worker
from promptcot.settings import EM
from promptcot.stages.coldstart import train
from promptcot.stages.context import Context, check_rejects
from promptcot.store import Step

NAME = "em"


def run(ctx: Context) -> None:
    """All iterations, each step resumable on its own."""
    assert ctx.recipe.em is not None
    assert ctx.recipe.coldstart is not None
    settings = ctx.recipe.em
    triples = ctx.load("annotate", "triples", Triple)
    items = one_per_seed(triples.rows(), "train", settings.items)
    heldout = one_per_seed(triples.rows(), "heldout", settings.measure)
    loop = Loop(ctx, settings, triples.digest, items, heldout)
    loop.measure(0)
    for t in range(1, settings.iterations + 1):
        loop.e_step(t)
        loop.m_step(t)
        loop.measure(t)


def one_per_seed(triples: Any, split: str, limit: int) -> list[Triple]:
    """One (c, x) per seed: the annotators' turns rotate, so each contributes its share of concept lists."""
    chosen: dict[str, Triple] = {}
    for triple in triples:
        if triple.split == split:
            chosen.setdefault(triple.seed_id, triple)
    rows = list(chosen.values())
    return rows[:limit] if limit else rows


class Loop:
    """The state of the loop is on disk: this only names the steps of each iteration."""

    def __init__(
        self, ctx: Context, settings: EM, source: str, items: list[Triple], heldout: list[Triple]
    ) -> None:
        self.ctx, self.settings, self.source = ctx, settings, source
        self.items, self.heldout = items, heldout
        self.by_id = {t.id: t for t in items}
        self.style = ctx.recipe.templates

    def model(self, role: str, t: int) -> Step[Any]:
        """q[t] or p[t]; iteration 0 is the cold start."""
        return (
            self.ctx.load("coldstart", role, Candidate)
            if t == 0
            else self.ctx.load(NAME, f"{role}{t}", Candidate)
        )

    def spec(self, role: str, t: int) -> EngineSpec:
        """The engine of q[t] or p[t]."""
        assert self.ctx.recipe.coldstart is not None
        return self.ctx.recipe.coldstart.base.spec(str(self.model(role, t).artifact))

    def propose(
        self, name: str, rows: list[Triple], q: int, p: int | None, k: int, greedy: bool
    ) -> Step[Candidate]:
        """Draw k rationales per row from q[q]; with `p`, score them under p[p]."""
        settings = self.settings
        params = {"k": k, "greedy": greedy, "sampling": settings.sampling.key(), "templates": self.style,
                  "max_repetition": settings.max_repetition, "max_copy": settings.max_copy}  # fmt: skip
        asked = [
            Ask(row_id(NAME, 1, [r.id], [name, greedy], i), r.id, i, r.domain, r.level, r.concepts, r.problem)
            for r in rows
            for i in range(k)
        ]
        fn = partial(
            candidates, q=self.spec("q", q), p=None if p is None else self.spec("p", p), greedy=greedy,
            settings=settings, style=self.style,
        )  # fmt: skip
        inputs = {"triples": self.source, "q": self.model("q", q).digest}
        if p is not None:
            inputs["p"] = self.model("p", p).digest
        return self.ctx.map(NAME, name, Candidate, asked, fn, params=params, inputs=inputs)

    def e_step(self, t: int) -> None:
        """Best of K under Eq. 5 trains q."""
        proposed = self.propose(f"e{t}_candidates", self.items, t - 1, t - 1, self.settings.k, greedy=False)
        check_rejects(proposed, self.settings.max_rejected, "em.max_rejected")
        chosen = self.ctx.table(
            NAME, f"e{t}_selected", Candidate, lambda: select_best(proposed),
            params={"select": self.settings.select, "draw": self.settings.draw}, inputs={"candidates": proposed.digest},
        )  # fmt: skip
        self.fit("q", t, chosen)

    def m_step(self, t: int) -> None:
        """q's greedy rationales train p."""
        greedy = self.propose(f"m{t}_rationales", self.items, t, None, 1, greedy=True)
        check_rejects(greedy, self.settings.max_rejected, "em.max_rejected")
        self.fit("p", t, greedy)

    def fit(self, role: Any, t: int, rationales: Step[Candidate]) -> None:
        """Train q[t] or p[t] from its predecessor on the given rationales."""
        settings = (self.settings.p_training if role == "p" else None) or self.settings.training
        rows = list(rationales.rows())
        triples = [self.by_id[c.item_id] for c in rows]
        fn = partial(
            train, role=role, triples=triples, spec=self.spec(role, t - 1), settings=settings,
            style=self.style, z_ids=[c.z_ids for c in rows],
        )  # fmt: skip
        params = {**settings.key(), "templates": self.style}
        inputs = {"rationales": rationales.digest, "start": self.model(role, t - 1).digest}
        self.ctx.artifacts(NAME, [(f"{role}{t}", fn, params, inputs)])

    def measure(self, t: int) -> None:
        """Greedy rationales on held-out items, scored; `analyze` turns them into curves."""
        if self.heldout:
            self.propose(f"h{t}_heldout", self.heldout, t, t, 1, greedy=True)


def candidates(
    worker: Worker,
    rows: list[Ask],
    *,
    q: EngineSpec,
    p: EngineSpec | None,
    greedy: bool,
    settings: EM,
    style: str,
) -> list[Candidate | Reject]:
    """Sample z ~ q(z|c,x) with its log-prob, drop what is not worth scoring, score the rest in one pass of p."""
    proposer = worker.engine(q)
    items = [Item(get(r.domain, style), r.level, r.concepts, r.problem) for r in rows]
    prompts = [
        Prompt(row_seed(worker.seed, r.id), ids=proposer.encode(i.cx_text))
        for r, i in zip(rows, items, strict=True)
    ]
    stop = items[0].domain.layout.q_end
    samples = proposer.sample(prompts, settings.sampling.params(stop, greedy=greedy))
    results: list[Candidate | Reject] = []
    for row, sample in zip(rows, samples, strict=True):
        reason = reject_reason(
            sample.ids, sample.text, row.problem, sample.finish, settings.max_repetition, settings.max_copy
        )
        if reason and not (p is not None and greedy):  # held-out rows are measured as they come
            results.append(Reject(row.id, reason, sample.text[:200]))
        else:
            results.append(
                Candidate(
                    id=row.id, item_id=row.of, sample=row.sample, rationale=sample.text, z_ids=list(sample.ids),
                    finish=sample.finish, logq=sample.logq or 0.0, logp_z=0.0, logp_x=0.0,
                    z_tokens=len(sample.ids), x_tokens=0,
                )
            )  # fmt: skip
    return results if p is None else _scored(worker, p, items, results)


def _scored(
    worker: Worker, p: EngineSpec, items: Sequence[Item], rows: list[Candidate | Reject]
) -> list[Candidate | Reject]:
    from dataclasses import replace

    scorer = worker.engine(p)
    where = [i for i, r in enumerate(rows) if isinstance(r, Candidate)]
    sequences = []
    for i in where:
        row = rows[i]
        assert isinstance(row, Candidate)
        sequences.append(p_parts(items[i], row.z_ids, scorer.encode))
    for i, score in zip(where, scorer.score(sequences), strict=True):
        row = rows[i]
        assert isinstance(row, Candidate)
        rows[i] = replace(
            row,
            logp_z=score["z"].logp,
            logp_x=score["x"].logp,
            x_tokens=score["x"].tokens,
            z_tokens=score["z"].tokens,
        )
    return rows


def select_best(proposed: Step[Candidate]) -> tuple[int, list[Candidate], list[Reject]]:
    """Per item the candidate with the largest Eq. 5; the others are rejected as `not_best`."""
    groups: dict[str, list[Candidate]] = defaultdict(list)
    for row in proposed.rows():
        groups[row.item_id].append(row)
    chosen: list[Candidate] = []
    rest: list[Reject] = []
    for group in groups.values():
        winner = best([joint(c.logp_x, c.logp_z) for c in group])
        chosen.append(group[winner])
        rest += [Reject(c.id, "not_best") for i, c in enumerate(group) if i != winner]
    return len(chosen) + len(rest), chosen, rest
