"""Early rejects: candidates that are not worth scoring, each with a reason code (notes: DESIGN section 4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def reject_reason(
    z_ids: Sequence[int], rationale: str, problem: str, finish: str, max_repetition: float, max_copy: float
) -> str | None:
    """Why a rationale is dropped before scoring, or None.

    no_terminator: it ran into the length limit. empty: nothing in it. repetition: one 4-gram of tokens covers
    more than `max_repetition` of it. copies_problem: more than `max_copy` of the problem's word 5-grams are in it
    (log p(x|z,c) would be trivially high).
    """
    if finish != "stop":
        return "no_terminator"
    if not rationale.strip():
        return "empty"
    if repetition(z_ids) > max_repetition:
        return "repetition"
    if copied(rationale, problem) > max_copy:
        return "copies_problem"
    return None


def repetition(ids: Sequence[int], n: int = 4) -> float:
    """Share of the sequence's n-grams taken by the most frequent one, beyond its first occurrence."""
    grams = Counter(tuple(ids[i : i + n]) for i in range(len(ids) - n + 1))
    total = sum(grams.values())
    return (max(grams.values()) - 1) / total if total else 0.0


def copied(rationale: str, problem: str, n: int = 5) -> float:
    """Share of the problem's word n-grams that occur in the rationale."""
    words, source = problem.lower().split(), rationale.lower().split()
    there = {tuple(source[i : i + n]) for i in range(len(source) - n + 1)}
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return sum(g in there for g in grams) / len(grams) if grams else 0.0
