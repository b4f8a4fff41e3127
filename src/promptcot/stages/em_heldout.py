"""What the held-out items say after an iteration: one row per item (`promptcot.records.HeldOut`).

Draws of item i at iteration t: K/2 from q[t] and K/2 from q[0], each with log p[t](z,x|c) and its log-prob under both.
At t = 0 the two are one, and all K come from it.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from promptcot.em import bounds, drift
from promptcot.em.rejects import copied
from promptcot.em.rewards import joint, log_weight
from promptcot.ids import row_id
from promptcot.records import Candidate, HeldOut, Problem, Reject, Triple
from promptcot.settings import EM
from promptcot.stages.em_steps import GREEDY

Seeds = Callable[[], list[tuple[str, str]]]


def table(
    t: int, items: Sequence[Triple], steps: Mapping[str, Sequence[Candidate]], written: Mapping[str, Problem],
    seeds: Seeds, settings: EM,
) -> tuple[int, list[HeldOut], list[Reject]]:  # fmt: skip
    """The rows of the held-out items, in order. An item is rejected when a server lost one of its draws or scores;
    `written` is by item."""
    scores: dict[str, list[Candidate]] = defaultdict(list)
    for c in steps["scores"]:
        scores[c.item_id].append(c)
    other = {c.id: c.logq for name in ("under_cold", "cold_under_now") for c in steps.get(name, [])}
    mine = {c.id for c in steps.get("under_cold", [])}
    model = drift.DomainModel(seeds())
    whole = [i for i in items if i.id in written and complete(scores[i.id], other if t else None, settings)]
    greedy = {i.id: next(c for c in scores[i.id] if c.sample == GREEDY) for i in whole}
    same = drift.duplicates([c.rationale for c in greedy.values()])
    rows = []
    for item, twin in zip(whole, same, strict=True):
        draws = [c for c in scores[item.id] if c.sample != GREEDY]
        now = [c for c in draws if not t or c.id in mine]
        found = likelihoods(greedy[item.id], now, [c for c in draws if t and c.id not in mine], other)
        found |= texts(item, greedy[item.id], written[item.id], model, settings)
        rows.append(
            HeldOut(
                id=row_id("em", 1, [item.id], "heldout", t), item_id=item.id, domain=item.domain, iteration=t,
                duplicate=float(twin), **found,
            )
        )  # fmt: skip
    lost = [Reject(i.id, "unmeasured") for i in items if i.id not in greedy]
    return len(items), rows, lost


def complete(rows: Sequence[Candidate], other: Mapping[str, float] | None, settings: EM) -> bool:
    """Whether an item has its greedy rationale and all its draws, and (after iteration 0) both log-probs of each."""
    draws = [c for c in rows if c.sample != GREEDY]
    return len(rows) == len(draws) + 1 == settings.measure_draws + 1 and (
        other is None or all(c.id in other for c in draws)
    )


def likelihoods(
    greedy: Candidate, now: Sequence[Candidate], cold: Sequence[Candidate], other: Mapping[str, float]
) -> dict[str, float]:
    """Log-probs, bounds and divergences of one item.

    Args:
        greedy: The greedy rationale of q[t], scored by p[t].
        now, cold: Draws of q[t] and of q[0] (none at t = 0), scored by p[t]; `logq` is under their own q.
        other: By draw, its log-prob under the other of the two.
    """
    own = [log_weight(c.logp_x, c.logp_z, c.logq) for c in now]
    mixed = [
        log_weight(c.logp_x, c.logp_z, bounds.log_mixture(c.logq, other[c.id]) if cold else c.logq)
        for pair in (zip(now, cold, strict=True) if cold else zip(now))
        for c in pair
    ]
    return {
        "nll_greedy": -greedy.logp_x, "joint": joint(greedy.logp_x, greedy.logp_z),
        "nll_sampled": -_mean([c.logp_x for c in now]), "logp_z": _mean([c.logp_z for c in now]),
        "logp_x": _mean([c.logp_x for c in now]), "elbo": bounds.elbo(own), "own_bound": bounds.iwae(own),
        "bound": bounds.iwae(mixed), "bound_half": bounds.iwae_curve(mixed, [len(mixed) // 2])[len(mixed) // 2],
        "ess": bounds.ess(mixed), "kl_prior": bounds.kl_to_prior([c.logq for c in now], [c.logp_z for c in now]),
        "kl_posterior": bounds.kl_to_posterior(own), "tokens_greedy": float(greedy.z_tokens),
        "tokens_sampled": _mean([float(c.z_tokens) for c in now]), "unfinished": float(greedy.finish != "stop"),
    }  # fmt: skip


def texts(
    item: Triple, greedy: Candidate, completion: Problem, model: drift.DomainModel, settings: EM
) -> dict[str, float]:
    """What the greedy rationale and p's own completion look like."""
    read_as = model.domain(completion.problem) if completion.problem else None
    return {
        "coverage": drift.coverage(item.concepts, greedy.rationale),
        "written_coverage": drift.coverage(item.concepts, f"{completion.rationale} {completion.problem}"),
        "copies": float(copied(greedy.rationale, item.problem) > settings.max_copy),
        "well_formed": float(bool(completion.problem)),
        "in_domain": math.nan if read_as is None else float(read_as == item.domain),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
