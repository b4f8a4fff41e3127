"""Early rejects: candidates that are not worth scoring, each with a reason code."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """What a rationale may be: `repetition` and `copy` are the largest shares allowed; its tokens lie between `shortest`
    and `longest` times those of the annotator's rationale for the same problem (0 and infinity: any length)."""

    repetition: float = 1.0
    copy: float = 1.0
    shortest: float = 0.0
    longest: float = math.inf


def reject_reason(
    z_ids: Sequence[int], rationale: str, problem: str, finish: str, bounds: Bounds, reference_tokens: int
) -> str | None:
    """Why a rationale is dropped before scoring, or None.

    no_terminator: it ran into the length limit. empty: nothing in it. too_short, too_long: against
    `reference_tokens`; Eq. 5 is a sum over tokens and rewards a rationale that leaves steps out. repetition: one
    4-gram of tokens covers too much of it. copies_problem: too many of the problem's word 5-grams are in it
    (log p(x|z,c) would be trivially high).
    """
    if finish != "stop":
        return "no_terminator"
    if not rationale.strip():
        return "empty"
    if len(z_ids) < bounds.shortest * reference_tokens:
        return "too_short"
    if len(z_ids) > bounds.longest * reference_tokens:
        return "too_long"
    if repetition(z_ids) > bounds.repetition:
        return "repetition"
    if copied(rationale, problem) > bounds.copy:
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
