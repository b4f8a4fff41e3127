"""Gates between iterations: collapses by name, and when to stop.

A gate compares the means over the held-out items with those of the cold start. It fires when a mean moved by more than
is allowed and the 95% interval of the move, paired over items, excludes zero: a handful of items cannot fire one by
chance. What to type next is part of the alarm, because whoever reads it has just lost an iteration.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Alarm:
    """A gate that fired: what was seen at the cold start and now, how much was allowed, and what to try."""

    gate: str
    before: float
    now: float
    allowed: float
    advice: str

    def __str__(self) -> str:
        return (
            f"gate '{self.gate}' fired: {self.before:.3g} at the cold start, {self.now:.3g} now "
            f"(allowed: {self.allowed:g}); {self.advice}"
        )


@dataclass(frozen=True)
class Gate:
    """Which mean it watches, how far it moved, and what helps."""

    measure: str
    moved: Callable[[float, float], float]
    advice: str


def _rise(before: float, now: float) -> float:
    return now - before


def _fall(before: float, now: float) -> float:
    return before - now


def _relative(before: float, now: float) -> float:
    return abs(now - before) / before if before else math.inf


GATES = {
    "length": Gate("tokens_sampled", _relative,
                   "the reward's raw sum favours short rationales: try em.select=iw, or a lower em.training.lr"),
    "concepts": Gate("written_coverage", _fall,
                     "p stops following its concepts: try em.mstep_rationale=selected, or a lower em.p_training.lr"),
    "domain": Gate("in_domain", _fall,
                   "p mixes up domains: train longer at the cold start, or lower em.p_training.lr"),
    "format": Gate("well_formed", _fall,
                   "p loses the form of its completions: lower em.p_training.lr, or raise em.sampling.max_tokens"),
    "duplicates": Gate("duplicate", _rise,
                       "q writes the same rationale for different problems: lower em.training.lr, "
                       "or try em.select=iw em.draw=resample"),
    "copies": Gate("copies", _rise, "rationales copy the problem: lower em.max_copy"),
}  # fmt: skip


def alarms(
    before: Mapping[str, float],
    now: Mapping[str, float],
    moves: Mapping[str, tuple[float, float]],
    limits: Mapping[str, float],
) -> list[Alarm]:
    """The gates that fire, in the order of `GATES`. A measure that is NaN on either side fires none.

    Args:
        before, now: Mean of every watched measure at the cold start and after this iteration.
        moves: The 95% interval of now - before, paired over items.
        limits: By gate, the largest move allowed (a relative one for "length").
    """
    fired = []
    for name, gate in GATES.items():
        a, b = before[gate.measure], now[gate.measure]
        if math.isnan(a + b):
            continue
        low, high = moves[gate.measure]
        if (low > 0 or high < 0) and gate.moved(a, b) > limits[name]:
            fired.append(Alarm(name, a, b, limits[name], gate.advice))
    return fired


def verdict(ci95: tuple[float, float]) -> str:
    """What the 95% interval of an improvement says: "better", "worse", or "converged" when it holds zero."""
    low, high = ci95
    return "better" if low > 0 else "worse" if high < 0 else "converged"
