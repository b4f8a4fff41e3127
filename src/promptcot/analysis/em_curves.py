"""The EM curves: held-out NLL(x|z,c) and log p(z,x|c) of greedy rationales, per iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from promptcot.analysis.statistics import bootstrap_ci, paired_difference
from promptcot.records import Candidate


def iterations(heldout: Mapping[int, Sequence[Candidate]], seed: int) -> list[dict[str, Any]]:
    """One row per iteration, 0 = cold start; `change` is paired by item against iteration 0."""
    base = {c.item_id: c for c in heldout.get(0, [])}
    rows = []
    for t, candidates in sorted(heldout.items()):
        nll = [-c.logp_x for c in candidates]
        joint = [c.logp_x + c.logp_z for c in candidates]
        row: dict[str, Any] = {
            "iteration": t, "items": len(candidates),
            "nll_x_given_z": _mean(nll), "nll_ci95": list(bootstrap_ci(nll, seed)),
            "joint": _mean(joint), "joint_ci95": list(bootstrap_ci(joint, seed)),
            "rationale_tokens": _mean([float(c.z_tokens) for c in candidates]),
            "problem_tokens": _mean([float(c.x_tokens) for c in candidates]),
            "unfinished": sum(c.finish != "stop" for c in candidates), "change": None, "change_ci95": None,
        }  # fmt: skip
        if t and base:
            before = [-base[c.item_id].logp_x for c in candidates]
            change = paired_difference(before, nll, seed)
            row["change"], row["change_ci95"] = change.mean, list(change.ci95)
        rows.append(row)
    return rows


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


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")
