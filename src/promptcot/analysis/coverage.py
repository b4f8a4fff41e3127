"""Concepts: which of the seeds' concepts the new problems use, how often, and which they bring together."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

TOP = 12  # concepts in the figure, pairs in the table

ConceptLists = Sequence[Sequence[str]]  # one list per problem


def summary(sets: Mapping[str, ConceptLists], top: int = TOP) -> dict[str, Any] | None:
    """Coverage of the first set's concepts and pairs by every set, and the co-occurrence among the last set's problems.

    Args:
        sets: By name, the concept lists of its problems, in the order of the corridor; the first is what the others
            were made from. A concept counts once per problem, case ignored. Empty sets are left out.

    Returns:
        None without any concepts. `sets`: per set its problems, distinct concepts and pairs, the share of the first
        set's concepts and pairs that occur, the share of problems with a pair unseen in the first set, and the
        effective number of concepts, exp(entropy of their frequencies): all concepts alike would give their count.
        `concepts`: the most frequent ones of all sets together, as a share of each set's problems. `matrix`: how many
        problems of the last set have both of two such concepts (the diagonal: the concept at all). `pairs`: the pairs
        most frequent in the last set, with both counts, and lift: how many times more often than if independent.
    """
    kept = {name: found for name, lists in sets.items() if (found := _clean(lists))}
    if not kept:
        return None
    first, last = next(iter(kept)), list(kept)[-1]
    singles = {name: Counter(c for row in rows for c in row) for name, rows in kept.items()}
    pairs = {name: Counter(p for row in rows for p in combinations(row, 2)) for name, rows in kept.items()}
    share: dict[str, float] = defaultdict(float)
    for name, counted in singles.items():
        for concept, n in counted.items():
            share[concept] += n / len(kept[name])
    shown = sorted(share, key=lambda c: (-share[c], c))[:top]
    return {
        "from": first, "of": last,
        "sets": [_row(name, rows, singles, pairs, first) for name, rows in kept.items()],
        "concepts": [
            {"concept": c, "shares": {name: singles[name][c] / len(kept[name]) for name in kept}} for c in shown
        ],
        "matrix": {"concepts": shown, "counts": _matrix(shown, singles[last], pairs[last])},
        "pairs": [
            {"a": a, "b": b, "problems": n, "before": pairs[first][a, b],
             "lift": n * len(kept[last]) / (singles[last][a] * singles[last][b])}
            for (a, b), n in sorted(pairs[last].items(), key=lambda kv: (-kv[1], kv[0]))[:top]
        ],
    }  # fmt: skip


def _clean(lists: ConceptLists) -> list[list[str]]:
    """Sorted distinct concepts of every problem that has any."""
    rows = (sorted({c.strip().lower() for c in row} - {""}) for row in lists)
    return [row for row in rows if row]


def _row(
    name: str, rows: list[list[str]], singles: Mapping[str, Counter[str]], pairs: Mapping[str, Counter[tuple[str, str]]],
    first: str,
) -> dict[str, Any]:  # fmt: skip
    known, together = set(singles[first]), set(pairs[first])
    unseen = sum(any(p not in together for p in combinations(row, 2)) for row in rows)
    total = singles[name].total()
    entropy = -sum(n / total * math.log(n / total) for n in singles[name].values())
    return {
        "set": name, "problems": len(rows), "concepts": len(singles[name]), "effective": math.exp(entropy),
        "covered": len(known & set(singles[name])) / len(known), "pairs": len(pairs[name]),
        "pairs_covered": len(together & set(pairs[name])) / len(together) if together else None,
        "novel_share": unseen / len(rows),
    }  # fmt: skip


def _matrix(names: Sequence[str], singles: Counter[str], pairs: Counter[tuple[str, str]]) -> list[list[int]]:
    return [
        [singles[a] if a == b else pairs[min(a, b), max(a, b)] for b in names] for a in names
    ]  # fmt: skip
