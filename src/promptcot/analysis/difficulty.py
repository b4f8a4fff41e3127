"""The difficulty table: how often a weaker model solves a set's problems, and how much a stronger one writes to solve them.

The paper's measures (its difficulty table; PAPER section 3): problems drawn uniformly from each set, the stronger model's
answer as the reference of every problem, the weaker model asked once at T=0. Problems without a reference are counted,
not scored. Sets differ in their mix of domains and levels, so every mean also comes weighted to the first set's mix.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from promptcot.analysis.statistics import mean_ci


@dataclass(frozen=True)
class Asked:
    """One problem as both models saw it. solved: the weaker one, None without a reference; tokens: of the stronger one's
    solution, truncated where it ended at its limit."""

    group: tuple[str, str]  # domain, level
    solved: bool | None
    tokens: int
    truncated: bool


def table(sets: Mapping[str, Sequence[Asked]], seed: int) -> list[dict[str, Any]]:
    """One row per set: `accuracy` and `tokens` with 95% bootstrap intervals over problems, the same at the first set's mix
    of domains and levels (`*_same_mix`: group means weighted by the first set's counts, over the groups that every set
    has; None without any), and how many problems had no reference or a cut one.

    Tokens are those of solutions that gave a reference, and of cut ones, which count with the tokens they were given.
    """
    kept = {name: rows for name, rows in sets.items() if rows}
    out = []
    for name, rows in kept.items():
        row: dict[str, Any] = {
            "set": name, "problems": len(rows), "without_reference": sum(r.solved is None for r in rows),
            "truncated": sum(r.truncated for r in rows),
        }  # fmt: skip
        for measure in ("accuracy", "tokens"):
            values = {n: _values(r, measure) for n, r in kept.items()}
            mine = values[name]
            plain = [v for _, v in mine]
            row[measure] = sum(plain) / len(plain) if plain else None
            row[f"{measure}_ci95"] = (
                list(mean_ci(plain, seed, shares=measure == "accuracy")) if plain else None
            )
            weights = _weights(list(values.values()))
            row[f"{measure}_same_mix"], row[f"{measure}_same_mix_ci95"] = _standardised(mine, weights, seed)
        out.append(row)
    return out


Values = list[tuple[tuple[str, str], float]]  # by group


def _values(rows: Sequence[Asked], measure: str) -> Values:
    if measure == "tokens":
        return [(r.group, float(r.tokens)) for r in rows if r.solved is not None or r.truncated]
    return [(r.group, float(r.solved)) for r in rows if r.solved is not None]


def _weights(sets: Sequence[Values]) -> dict[tuple[str, str], float]:
    """The first set's share of every group that all sets have."""
    common = set.intersection(*({g for g, _ in values} for values in sets))
    counts = Counter(g for g, _ in sets[0] if g in common)
    return {g: n / counts.total() for g, n in counts.items()}


def _standardised(
    values: Values, weights: Mapping[tuple[str, str], float], seed: int, resamples: int = 2000
) -> tuple[float | None, list[float] | None]:
    """The weighted mean of group means, and its 95% interval by bootstrap within groups."""
    if not weights:
        return None, None
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for group, value in values:
        groups[group].append(value)
    rng = np.random.default_rng(seed)
    mean, drawn_R = 0.0, np.zeros(resamples)
    for group, weight in sorted(weights.items()):
        here = np.array(groups[group])
        mean += weight * float(here.mean())
        drawn_R += weight * here[rng.integers(0, len(here), (resamples, len(here)))].mean(axis=1)
    low, high = np.quantile(drawn_R, [0.025, 0.975])
    return mean, [float(low), float(high)]
