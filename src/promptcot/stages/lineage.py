"""Examples of the report: one problem each, with everything that led to it and that was made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from promptcot.analysis.outcomes import solve_rates
from promptcot.records import Pair, Problem, Rollout, Trace
from promptcot.stages.context import Context

EXAMPLES = 6
TESTS = 3  # shown of a suite
ANSWER = 60  # characters of an attempt's answer


def examples(ctx: Context, problems: Sequence[Problem], rollouts: Sequence[Rollout]) -> list[dict[str, Any]]:
    """The first problems of the table as they are, paired ones first, the domains in turn. Not picked by quality."""
    pairs: dict[str, Pair] = {}
    if ctx.recipe.selfplay and ctx.has("selfplay", "pairs1"):
        for pair in ctx.load("selfplay", "pairs1", Pair).rows():
            pairs.setdefault(pair.problem_id, pair)
    chosen = _in_turns([p for p in problems if p.id in pairs] or problems)
    attempts: dict[str, list[Rollout]] = {p.id: [] for p in chosen}
    for row in rollouts:
        if row.problem_id in attempts:
            attempts[row.problem_id].append(row)
    traces: dict[str, Trace] = {}
    if ctx.has("distill", "traces"):
        traces = {
            t.problem_id: t for t in ctx.load("distill", "traces", Trace).rows() if t.problem_id in attempts
        }
    return [_example(p, attempts[p.id], pairs.get(p.id), traces.get(p.id)) for p in chosen]


def _in_turns(problems: Sequence[Problem]) -> list[Problem]:
    by_domain: dict[str, list[Problem]] = {}
    for p in problems:
        here = by_domain.setdefault(p.domain, [])
        if len(here) < EXAMPLES:
            here.append(p)
    turns = [(n, d) for d, rows in by_domain.items() for n in range(len(rows))]
    return [by_domain[d][n] for n, d in sorted(turns, key=lambda t: t[0])][:EXAMPLES]


def _example(
    p: Problem, attempts: Sequence[Rollout], pair: Pair | None, trace: Trace | None
) -> dict[str, Any]:
    label = f"{p.label_votes} of {p.label_samples} attempts agree" if p.label_samples else "not labelled"
    label += f"; {p.mutants_killed} of {p.mutants} mutants caught" if p.mutants else ""
    label += f"; {', '.join(p.label_flags)}" if p.label_flags else ""
    rate = solve_rates(attempts).get(p.id)
    voted = p.answer is not None
    return {
        "id": p.id, "title": f"{p.domain}, level {p.level}", "concepts": p.concepts, "level": p.level,
        "rationale": p.rationale, "problem": p.problem, "answer": p.answer or "",
        "tests": [{"input": t.input, "output": t.output} for t in p.tests[:TESTS]], "label": label,
        "votes": [{"answer": _short(a), "votes": n} for a, n in json.loads(p.label_histogram or "[]")] if voted else [],
        "solve_rate": None if rate is None else f"{rate:.0%} of the solver's attempts",
        "attempts": [
            {"sample": r.sample, "verdict": r.verdict, "reason": r.reason, "tokens": r.tokens,
             "answer": _short(r.answer) if voted else ""}
            for r in sorted(attempts, key=lambda r: r.sample)
        ],
        "chosen": pair.chosen if pair else None, "rejected": pair.rejected if pair else None,
        "trace": trace.response if trace else None,
    }  # fmt: skip


def _short(answer: str | None) -> str:
    text = " ".join((answer or "").split())
    return text if len(text) <= ANSWER else text[: ANSWER - 1] + "…"
