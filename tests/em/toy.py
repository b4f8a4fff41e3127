"""A world so small that every sum over rationales can be written out: c, z and x are indices into tables.

p(x|z,c) is one table for all c, as if x were written from z alone. With a free table per c the M-step would reach
the maximum of log p(x|c) in one step, whatever rationales it is given, and there would be nothing to compare.

Legend: C concepts, Z rationales, X problems, K draws of one item; natural logs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from promptcot.em.rewards import Scored, rewards
from promptcot.em.select import best, weights

Table = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """p(z,x|c): `prior_CZ` = p(z|c), `likelihood_ZX` = p(x|z)."""

    prior_CZ: Table
    likelihood_ZX: Table

    @property
    def joint_CXZ(self) -> Table:
        """p(z,x|c)."""
        return self.prior_CZ[:, None, :] * self.likelihood_ZX.T[None]

    @property
    def evidence_CX(self) -> Table:
        """p(x|c)."""
        return np.asarray(self.joint_CXZ.sum(-1))

    @property
    def posterior_CXZ(self) -> Table:
        """p(z|c,x)."""
        return np.asarray(self.joint_CXZ / self.evidence_CX[..., None])

    def scored(self, c: int, x: int, z: int, q_Z: Sequence[float]) -> Scored:
        """What the E-step knows of the rationale z, drawn from `q_Z`."""
        return Scored(
            logq=math.log(q_Z[z]), logp_z=math.log(self.prior_CZ[c, z]), logp_x=math.log(self.likelihood_ZX[z, x]),
            z_tokens=1, x_tokens=1,
        )  # fmt: skip


def random_tables(rng: np.random.Generator, *shape: int) -> Table:
    """Random distributions over the last axis, none of whose entries is tiny."""
    table = rng.dirichlet(np.ones(shape[-1]), shape[:-1]) + 0.05
    return np.asarray(table / table.sum(-1, keepdims=True))


def random_world(seed: int, c: int = 2, z: int = 3, x: int = 3) -> World:
    rng = np.random.default_rng(seed)
    return World(random_tables(rng, c, z), random_tables(rng, z, x))


def log_likelihood(world: World, items_CX: Table) -> float:
    """Sum of log p(x|c) over the items, of which there are `items_CX` of each kind."""
    return float((items_CX * np.log(world.evidence_CX)).sum())


def fit(rows_CXZ: Table) -> World:
    """The M-step: p by maximum likelihood from the numbers of rows (c, z, x). A rationale without rows keeps an
    even p(x|z), which nothing uses."""
    by_CZ, by_ZX = rows_CXZ.sum(1), rows_CXZ.sum(0).T
    total_Z = by_ZX.sum(-1, keepdims=True)
    even = np.full_like(by_ZX, 1 / by_ZX.shape[1])
    return World(
        by_CZ / by_CZ.sum(-1, keepdims=True), np.where(total_Z > 0, by_ZX / np.maximum(total_Z, 1e-300), even)
    )


def exact_em(world: World, items_CX: Table) -> World:
    """One iteration of EM with the true posterior."""
    return fit(items_CX[..., None] * world.posterior_CXZ)


def expected(value: Callable[[tuple[int, ...]], float], proposals: Sequence[Table]) -> float:
    """E[value(z_1..z_K)] with z_k ~ proposals[k], independent: the sum over all tuples of positive probability."""
    total = 0.0
    for zs in product(*(np.flatnonzero(q_Z).tolist() for q_Z in proposals)):
        total += math.prod(float(q_Z[z]) for q_Z, z in zip(proposals, zs, strict=True)) * value(zs)
    return total


def multisets(size: int, kinds: int) -> list[tuple[int, ...]]:
    """All ways to split `size` draws over `kinds` rationales: how often each is drawn."""
    if kinds == 1:
        return [(size,)]
    return [(n, *rest) for n in range(size + 1) for rest in multisets(size - n, kinds - 1)]


def law_of_choice(world: World, c: int, x: int, q_Z: Table, size: int, rule: str, draw: str) -> Table:
    """P(the E-step chooses z) with `size` candidates from `q_Z`, exactly: candidates are exchangeable, so the sum
    runs over how often each rationale is drawn instead of over all Z^K tuples."""
    law_Z = np.zeros(len(q_Z))
    known = [world.scored(c, x, z, q_Z.tolist()) for z in range(len(q_Z))]
    for drawn in multisets(size, len(q_Z)):
        zs = [z for z, n in enumerate(drawn) for _ in range(n)]
        log_p = math.lgamma(size + 1) - sum(map(math.lgamma, (n + 1 for n in drawn)))
        log_p += sum(n * math.log(q_Z[z]) for z, n in enumerate(drawn) if n)
        found = rewards(rule, [known[z] for z in zs])
        shares = weights(found) if draw == "resample" else np.eye(size)[best(found)].tolist()
        np.add.at(law_Z, zs, math.exp(log_p) * np.array(shares))
    return law_Z


def total_variation(a: Any, b: Any) -> float:
    """Half the sum of absolute differences: the largest difference of any event's probability."""
    return float(np.abs(np.asarray(a) - np.asarray(b)).sum() / 2)
