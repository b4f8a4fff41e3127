"""Arms of the EM compared: means over items and seeds, bands over seeds, paired differences.

Within a seed all arms share items, cold start and random streams, so differences are paired by item; seeds differ in
all of them, so the spread of their means is what a new run would show.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from promptcot.analysis.em_curves import COMPARED, SHOWN
from promptcot.analysis.statistics import mean_ci, paired_difference
from promptcot.records import HeldOut
from promptcot.store import Step

Tables = dict[int, list[HeldOut]]  # by seed, one iteration of one arm


def summary(runs: Mapping[int, Path], arms: Mapping[str, int], seed: int) -> dict[str, Any]:
    """`arms`: per arm its curve over iterations; `contrasts`: each arm against the first one, after as many iterations.

    Args:
        runs: By seed, the folder of its EM tables.
        arms: By arm, its iterations.
    """
    tables = {arm: [read(runs, arm, t) for t in range(n + 1)] for arm, n in arms.items()}
    curves = [
        {"arm": arm, "iterations": [{"iteration": t, **point(now, some[0], seed)} for t, now in enumerate(some)]}
        for arm, some in tables.items()
    ]  # fmt: skip
    first, reference = next(iter(tables.items()))
    contrasts = []
    for arm, some in list(tables.items())[1:]:
        t = min(len(some), len(reference)) - 1
        changes = _changes(reference[t], some[t], seed)
        contrasts.append({"arm": arm, "against": first, "iteration": t, **changes})
    return {"seeds": sorted(runs), "arms": curves, "contrasts": contrasts}


def read(runs: Mapping[int, Path], arm: str, t: int) -> Tables:
    """The held-out rows of one arm after iteration t, by seed."""
    return {s: list(Step.load(p / f"{arm}.h{t}_heldout", HeldOut).rows()) for s, p in sorted(runs.items())}


def point(now: Tables, start: Tables, seed: int) -> dict[str, Any]:
    """Every measure of one iteration: mean over seeds, the seeds' own means, a 95% interval over all items; for the
    likelihoods also the change since iteration 0."""
    out: dict[str, Any] = {"items": sum(map(len, now.values()))}
    for name, field in SHOWN.items():
        means = [m for rows in now.values() if (m := _mean(rows, field)) is not None]
        pooled = [v for rows in now.values() for r in rows if not math.isnan(v := getattr(r, field))]
        out[name] = sum(means) / len(means) if means else None
        out[f"{name}_by_seed"] = means
        out[f"{name}_ci95"] = list(mean_ci(pooled, seed)) if pooled else None
    return out | _changes(start, now, seed)


def _changes(before: Tables, after: Tables, seed: int) -> dict[str, Any]:
    """`NAME_change`, its interval over the items of both (paired within each seed), and the change of every seed."""
    out: dict[str, Any] = {}
    for name in COMPARED:
        by_seed = [_pairs(before[s], after[s], SHOWN[name]) for s in before]
        pairs = [pair for seed_pairs in by_seed for pair in seed_pairs]
        if not pairs:
            out[f"{name}_change"] = out[f"{name}_change_ci95"] = None
            continue
        found = paired_difference([a for a, _ in pairs], [b for _, b in pairs], seed)
        out[f"{name}_change"], out[f"{name}_change_ci95"] = found.mean, list(found.ci95)
        out[f"{name}_change_by_seed"] = [sum(b - a for a, b in p) / len(p) for p in by_seed if p]
    return out


def _pairs(before: Sequence[HeldOut], after: Sequence[HeldOut], field: str) -> list[tuple[float, float]]:
    """A measure of the items that both tables hold: a server may have lost an item of one of them only."""
    old = {r.item_id: getattr(r, field) for r in before}
    pairs = [(old[r.item_id], getattr(r, field)) for r in after if r.item_id in old]
    return [(a, b) for a, b in pairs if not math.isnan(a + b)]


def _mean(rows: Sequence[HeldOut], field: str) -> float | None:
    values = [v for r in rows if not math.isnan(v := getattr(r, field))]
    return sum(values) / len(values) if values else None
