"""The EM curves: what the held-out items say after each iteration, with intervals over items."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from promptcot.analysis.statistics import mean_ci, paired_difference
from promptcot.records import Candidate, HeldOut

# name in report.json -> field of HeldOut
SHOWN = {
    "nll_x_given_z": "nll_greedy", "nll_sampled": "nll_sampled", "joint": "joint", "logp_z": "logp_z",
    "logp_x": "logp_x", "elbo": "elbo", "bound": "bound", "bound_half": "bound_half", "own_bound": "own_bound",
    "ess": "ess", "kl_prior": "kl_prior", "kl_posterior": "kl_posterior", "rationale_tokens": "tokens_greedy",
    "sampled_tokens": "tokens_sampled", "coverage": "coverage", "written_coverage": "written_coverage",
    "unfinished": "unfinished", "copies": "copies", "duplicates": "duplicate", "well_formed": "well_formed",
    "in_domain": "in_domain",
}  # fmt: skip
COMPARED = ("nll_x_given_z", "nll_sampled", "joint", "elbo", "bound")


def iterations(heldout: Mapping[int, Sequence[HeldOut]], seed: int) -> list[dict[str, Any]]:
    """One row per iteration, 0 = cold start: `NAME`, `NAME_ci95`, and for the likelihoods `NAME_change` (and its
    interval), paired by item against iteration 0. A measure nobody could take is None."""
    out = []
    for t, rows in sorted(heldout.items()):
        row: dict[str, Any] = {"iteration": t, "items": len(rows)}
        for name, field in SHOWN.items():
            row[name], row[f"{name}_ci95"] = estimate([getattr(r, field) for r in rows], seed)
        for name in COMPARED:
            row[f"{name}_change"], row[f"{name}_change_ci95"] = None, None
            if t and 0 in heldout:
                row[f"{name}_change"], row[f"{name}_change_ci95"] = change(
                    heldout[0], rows, SHOWN[name], seed
                )
        out.append(row)
    return out


def estimate(values: Sequence[float], seed: int) -> tuple[float | None, list[float] | None]:
    """Mean of the numbers among `values` and its 95% interval; (None, None) without any."""
    known = [v for v in values if not math.isnan(v)]
    return (sum(known) / len(known), list(mean_ci(known, seed))) if known else (None, None)


def change(
    before: Sequence[HeldOut], after: Sequence[HeldOut], field: str, seed: int
) -> tuple[float | None, list[float] | None]:
    """Mean change of a measure over the same items, with its interval."""
    old = {r.item_id: getattr(r, field) for r in before}
    pairs = [(old[r.item_id], getattr(r, field)) for r in after if r.item_id in old]
    known = [(a, b) for a, b in pairs if not math.isnan(a + b)]
    if not known:
        return None, None
    found = paired_difference([a for a, _ in known], [b for _, b in known], seed)
    return found.mean, list(found.ci95)


def e_step(
    t: int, candidates: Sequence[Candidate], selected: Sequence[Candidate], rejected: int
) -> dict[str, Any]:
    """What the E-step of iteration t had to choose from, and what it chose."""
    return {
        "iteration": t,
        "candidates": len(candidates) + rejected,
        "rejected": rejected,
        "reward_mean": _mean([c.logp_x + c.logp_z for c in candidates]),
        "reward_best": _mean([c.logp_x + c.logp_z for c in selected]),
        "logp_z": _mean([c.logp_z for c in selected]),
        "logp_x": _mean([c.logp_x for c in selected]),
        "candidate_tokens": _mean([float(c.z_tokens) for c in candidates]),
        "selected_tokens": _mean([float(c.z_tokens) for c in selected]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
