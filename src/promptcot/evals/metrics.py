"""From the attempts at one benchmark to its numbers: avg@n, pass@k, maj@k, and what did not come to a verdict.

A truncated or empty attempt counts as wrong and is reported apart. So does an answer that the checker cannot read, with
what the score would be at most; any other unscored attempt is left out of every number, and counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from promptcot.analysis.statistics import average, pass_one
from promptcot.ids import row_seed
from promptcot.records import Rollout, Verdict
from promptcot.verify.vote import class_of

MAX_SUBSETS = 2000
Equivalent = Callable[[str, str], bool]


@dataclass(frozen=True)
class Ballot:
    """One problem for maj@k: the class of each scored attempt's answer (None: no answer), and the correct classes."""

    classes: Sequence[int | None]
    correct: frozenset[int]


def ballot(attempts: Sequence[Rollout], equivalent: Equivalent) -> Ballot:
    """Classes of the attempts that have a verdict; a class is correct when one of its answers is."""
    scored = [a for a in attempts if a.counts]
    classes = class_of([a.answer for a in scored], equivalent)
    right = {
        c for a, c in zip(scored, classes, strict=True) if a.verdict == Verdict.CORRECT and c is not None
    }
    return Ballot(classes, frozenset(right))


def majority(one: Ballot, k: int, seed: int) -> float:
    """maj@k of a problem: the chance that the largest class of k of its attempts is correct.

    The mean over all k-subsets, or over `MAX_SUBSETS` seeded random ones where there are more. Classes that tie
    share the credit; where nobody answered there is none.
    """
    n = len(one.classes)
    if math.comb(n, k) <= MAX_SUBSETS:
        subsets: Any = combinations(range(n), k)
    else:
        rng = np.random.default_rng(seed)
        subsets = (rng.choice(n, k, replace=False) for _ in range(MAX_SUBSETS))
    credits = [_credit([one.classes[i] for i in subset], one.correct) for subset in subsets]
    return sum(credits) / len(credits)


def _credit(classes: Sequence[int | None], correct: frozenset[int]) -> float:
    counts = Counter(c for c in classes if c is not None)
    if not counts:
        return 0.0
    most = max(counts.values())
    winners = [c for c, votes in counts.items() if votes == most]
    return sum(c in correct for c in winners) / len(winners)


def powers(n: int) -> list[int]:
    """1, 2, 4, ... up to n, and n."""
    return sorted({*(1 << i for i in range(n.bit_length())), n})


def summary(by_problem: dict[str, list[Rollout]], equivalent: Equivalent | None, seed: int) -> dict[str, Any]:
    """The numbers of one model on one benchmark, as plain values; shares in [0, 1].

    Args:
        by_problem: Every problem with all its attempts, in order.
        equivalent: Of answers, for maj@k; None for programs.
        seed: Of the subsets of maj@k.
    """
    marks = {name: _marks(rows) for name, rows in by_problem.items()}
    scored = {name: m for name, m in marks.items() if m}
    everything = [r for rows in by_problem.values() for r in rows]
    out: dict[str, Any] = {
        "problems": len(by_problem), "problems_scored": len(scored), "attempts": len(everything), **_rates(everything)
    }  # fmt: skip
    if not scored:
        return out
    estimate = average(scored.values())
    out |= {
        "samples": estimate.samples, "mean": estimate.mean, "ci95": list(estimate.ci95),
        "at_most": average([r.verdict == Verdict.CORRECT or r.unread for r in by_problem[n] if r.counts] for n in scored).mean,
        "sampling_se": estimate.sampling_se, "problem_se": estimate.problem_se, "pass_at": pass_at(scored),
    }  # fmt: skip
    if equivalent is not None:
        ballots = {name: ballot(by_problem[name], equivalent) for name in scored}
        out["maj_at"] = maj_at(ballots, seed)
    return out


def pass_at(marks: dict[str, list[bool]]) -> dict[str, float]:
    """Unbiased pass@k for k = 1, 2, 4, ..., over all problems; k up to the fewest verdicts a problem has."""
    fewest = min(map(len, marks.values()))
    return {
        str(k): sum(pass_one(len(m), sum(m), k) for m in marks.values()) / len(marks) for k in powers(fewest)
    }


def maj_at(ballots: dict[str, Ballot], seed: int) -> dict[str, float]:
    """maj@k for k = 1, 2, 4, ..., as `pass_at`."""
    fewest = min(len(b.classes) for b in ballots.values())
    return {
        str(k): sum(majority(b, k, row_seed(seed, f"{name}@{k}")) for name, b in ballots.items())
        / len(ballots)
        for k in powers(fewest)
    }


def _marks(rows: Sequence[Rollout]) -> list[bool]:
    return [r.verdict == Verdict.CORRECT for r in rows if r.counts]


def _rates(rows: Sequence[Rollout]) -> dict[str, Any]:
    """Shares of all attempts. `truncated` ones are among `no_answer`."""
    counts = Counter(r.verdict for r in rows)
    lost = Counter(r.reason for r in rows if not r.counts)
    return {
        "no_answer": counts[Verdict.NO_ANSWER] / len(rows),
        "truncated": sum(r.finish == "length" for r in rows) / len(rows),
        "unread": sum(r.unread for r in rows) / len(rows),
        "unscored": lost.total() / len(rows),
        "unscored_reasons": dict(lost),
        "mean_tokens": sum(r.tokens for r in rows) / len(rows),
    }
