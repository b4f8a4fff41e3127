"""The EM against its own definition, in a world where log p(x|c), the posterior and every expectation are exact.

Nothing here is estimated unless the name says `sampled`: expectations over K draws are sums over all outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.em.toy import (
    Table,
    World,
    exact_em,
    expected,
    fit,
    law_of_choice,
    log_likelihood,
    random_tables,
    random_world,
    total_variation,
)

from promptcot.em import bounds
from promptcot.em.rewards import log_weight, rewards
from promptcot.em.select import choose

SEEDS = st.integers(0, 2**32 - 1)
ROUNDING = 1e-9


def log_weights(joint_Z: Table, q_Z: Table, zs: Sequence[int]) -> list[float]:
    """log w of draws from one proposal; `joint_Z` is p(z,x|c) of one item."""
    return [log_weight(math.log(joint_Z[z]), 0.0, math.log(q_Z[z])) for z in zs]


def mixed_weights(joint_Z: Table, now_Z: Table, cold_Z: Table, zs: Sequence[int]) -> list[float]:
    """log w under the mixture of both proposals, draws of the two in turn, as `em_heldout` lays them out."""
    return [
        math.log(joint_Z[z])
        - bounds.log_mixture(*(math.log(q_Z[z]) if q_Z[z] else -math.inf for q_Z in (now_Z, cold_Z)))
        for z in zs
    ]


def iwae_bound(joint_Z: Table, q_Z: Table, size: int) -> float:
    """E[IWAE_size]."""
    return expected(lambda zs: bounds.iwae(log_weights(joint_Z, q_Z, zs)), [q_Z] * size)


def mixed_bound(joint_Z: Table, now_Z: Table, cold_Z: Table, size: int) -> float:
    """E of the held-out bound: size/2 draws of each proposal."""
    halves = [now_Z, cold_Z] * (size // 2)
    return expected(lambda zs: bounds.iwae(mixed_weights(joint_Z, now_Z, cold_Z, zs)), halves)


def half_bound(joint_Z: Table, now_Z: Table, cold_Z: Table, size: int) -> float:
    """E of `bound_half`: size draws in groups of size/2."""

    def value(zs: Sequence[int]) -> float:
        return bounds.iwae_curve(mixed_weights(joint_Z, now_Z, cold_Z, zs), [size // 2])[size // 2]

    return expected(value, [now_Z, cold_Z] * (size // 2))


def item(seed: int, kinds: int = 3) -> tuple[Table, Table, Table, float]:
    """A random item: p(z,x|c), two proposals, log p(x|c)."""
    rng = np.random.default_rng(seed)
    joint_Z = random_tables(rng, kinds) * rng.uniform(0.01, 1)
    return joint_Z, random_tables(rng, kinds), random_tables(rng, kinds), math.log(joint_Z.sum())


def collapsed(kinds: int, on: int) -> Table:
    """A proposal that draws one rationale only."""
    return np.asarray(np.eye(kinds)[on])


# EM itself


@given(SEEDS, st.lists(st.integers(0, 9), min_size=6, max_size=6))
def test_exact_em_never_lowers_log_p_of_x_given_c(seed: int, counts: list[int]) -> None:
    items_CX = np.array(counts, float).reshape(2, 3) + 0.01
    before = random_world(seed)
    after = exact_em(before, items_CX)
    assert log_likelihood(after, items_CX) >= log_likelihood(before, items_CX) - ROUNDING


def test_the_toy_worlds_tables_are_what_they_say() -> None:
    # p(z=0|c) = 1/4, p(x=0|z) = 1/2 and 1/3: p(x=0|c) = 1/8 + 1/4 = 3/8, posterior of z=0 is 1/3.
    world = World(np.array([[1 / 4, 3 / 4]]), np.array([[1 / 2, 1 / 2], [1 / 3, 2 / 3]]))
    assert world.evidence_CX[0, 0] == pytest.approx(3 / 8)
    assert world.posterior_CXZ[0, 0] == pytest.approx([1 / 3, 2 / 3])
    # Rows (z=0,x=0) twice, (z=1,x=1) once: p(z=0) = 2/3, p(x=0|z=0) = 1.
    fitted = fit(np.array([[[2.0, 0.0], [0.0, 1.0]]]))
    assert fitted.prior_CZ[0] == pytest.approx([2 / 3, 1 / 3])
    assert fitted.likelihood_ZX.tolist() == [[1, 0], [0, 1]]
    assert expected(lambda zs: zs[0] + 2 * zs[1], [np.array([0.5, 0.5]), np.array([0.75, 0.25])]) == 1.0


# choice by importance weights


def test_resampling_by_iw_goes_from_q_at_one_candidate_to_the_posterior() -> None:
    world, q_Z = random_world(3), np.array([0.5, 0.2, 0.3])
    posterior_Z = world.posterior_CXZ[0, 0]
    laws = {k: law_of_choice(world, 0, 0, q_Z, k, "iw", "resample") for k in (1, 2, 4, 8, 16, 32, 64)}
    distances = [total_variation(law, posterior_Z) for law in laws.values()]
    assert laws[1] == pytest.approx(q_Z)
    assert distances[0] > 0.4
    assert all(a > b for a, b in pairwise(distances))
    assert distances[-1] < 0.01


@settings(max_examples=20)
@given(SEEDS)
def test_resampling_by_iw_changes_nothing_when_q_is_the_posterior(seed: int) -> None:
    world = random_world(seed)
    posterior_Z = world.posterior_CXZ[1, 2]
    assert law_of_choice(world, 1, 2, posterior_Z, 5, "iw", "resample") == pytest.approx(posterior_Z)


def test_the_best_by_joint_goes_to_the_likeliest_rationale_not_to_the_posterior() -> None:
    world, q_Z = random_world(3), np.array([0.5, 0.2, 0.3])
    posterior_Z = world.posterior_CXZ[0, 0]
    law_Z = law_of_choice(world, 0, 0, q_Z, 64, "joint", "best")
    assert law_Z.argmax() == posterior_Z.argmax()
    assert law_Z.max() > 0.99 > posterior_Z.max()


# EM by sampling


def sampled_em(
    world: World, q_CXZ: Table, items_CX: Table, size: int, rng: np.random.Generator
) -> tuple[World, Table]:
    """One iteration as the stage runs it: candidates, reward "iw", one draw, q and p by MLE on the drawn rows."""
    rows_CXZ = np.zeros_like(q_CXZ)
    for c, x in np.ndindex(*items_CX.shape):
        q_Z = q_CXZ[c, x].tolist()
        known = [world.scored(c, x, z, q_Z) if q_Z[z] else None for z in range(len(q_Z))]
        zs_NK = rng.choice(len(q_Z), (int(items_CX[c, x]), size), p=q_Z)
        for zs_K, uniform in zip(zs_NK.tolist(), rng.random(len(zs_NK)).tolist(), strict=True):
            found = rewards("iw", [row for z in zs_K if (row := known[z])])
            rows_CXZ[c, x, zs_K[choose("resample", found, uniform)]] += 1
    return fit(rows_CXZ), rows_CXZ / rows_CXZ.sum(-1, keepdims=True)


def expected_em(world: World, q_CXZ: Table, items_CX: Table, size: int) -> World:
    """Where `sampled_em` goes with ever more items: its M-step on the exact law of the choice."""
    rows_CXZ = np.zeros_like(q_CXZ)
    for c, x in np.ndindex(*items_CX.shape):
        rows_CXZ[c, x] = items_CX[c, x] * law_of_choice(world, c, x, q_CXZ[c, x], size, "iw", "resample")
    return fit(rows_CXZ)


def distance(a: World, b: World) -> float:
    """The largest difference of any entry of the two tables."""
    return max(
        float(np.abs(a.prior_CZ - b.prior_CZ).max()), float(np.abs(a.likelihood_ZX - b.likelihood_ZX).max())
    )


def sampling_errors(world: World, items_CX: Table) -> tuple[Table, Table]:
    """Standard errors of the two tables fitted to that many items (binomial; fixing each x's number of items only
    lowers them)."""
    rows_C = items_CX.sum(-1)
    rows_Z = rows_C @ world.prior_CZ
    p, x = world.prior_CZ, world.likelihood_ZX
    return np.sqrt(p * (1 - p) / rows_C[:, None]), np.sqrt(x * (1 - x) / rows_Z[:, None])


ITEMS = np.array([[5.0, 2.0, 1.0], [1.0, 3.0, 4.0]])


def start() -> tuple[World, Table]:
    """p, and a q that knows nothing of the posterior but leaves none of it out."""
    return random_world(12), (random_tables(np.random.default_rng(12), 2, 3, 3) + 1 / 3) / 2


def test_expected_sampled_em_converges_to_exact_em_as_candidates_grow() -> None:
    world, q_CXZ = start()
    goal = exact_em(world, ITEMS)
    gaps = [distance(expected_em(world, q_CXZ, ITEMS, k), goal) for k in (1, 4, 16, 32)]
    assert gaps[0] > 0.2
    assert gaps[1] < gaps[0] / 2
    assert gaps[2] == pytest.approx(gaps[1] / 4, rel=0.3)  # the bias falls as 1/K
    assert gaps[3] == pytest.approx(gaps[2] / 2, rel=0.1)
    assert gaps[-1] < 0.01


@pytest.mark.parametrize("size", [1, 8, 32])
def test_sampled_em_is_exact_em_up_to_its_bias_and_the_sampling_error(size: int) -> None:
    world, q_CXZ = start()
    items_CX = ITEMS * 400
    sampled, _ = sampled_em(world, q_CXZ, items_CX, size, np.random.default_rng(size))
    goal = expected_em(world, q_CXZ, ITEMS, size)
    prior_error, likelihood_error = sampling_errors(goal, items_CX)
    assert (np.abs(sampled.prior_CZ - goal.prior_CZ) < 4 * prior_error).all()
    assert (np.abs(sampled.likelihood_ZX - goal.likelihood_ZX) < 4 * likelihood_error).all()
    # ... and the sampling error is small enough to tell one candidate from many.
    exact = exact_em(world, ITEMS)
    assert (distance(sampled, exact) > 0.1) == (size == 1)


def test_iterated_sampled_em_follows_exact_em_closer_with_more_items() -> None:
    gaps = {}
    for repeats in (10, 1000):
        (p, q_CXZ), rng = start(), np.random.default_rng(7)
        exact, likelihoods = p, []
        for _ in range(4):
            p, q_CXZ = sampled_em(p, q_CXZ, ITEMS * repeats, 32, rng)
            exact = exact_em(exact, ITEMS)
            likelihoods.append(log_likelihood(p, ITEMS))
        gaps[repeats] = distance(p, exact)
    assert likelihoods[0] > log_likelihood(start()[0], ITEMS)
    assert likelihoods == sorted(likelihoods)
    # A hundred times as many items make the sampling error a tenth; the bias of the first choice stays.
    assert gaps[1000] < gaps[10] / 3
    assert gaps[1000] < 0.03


# The weakness of the paper's rule (PAPER section 7), without any sampling: rationale 0 is vague and common, 1 and 2
# say which x is meant. Items of c=0 are mostly x=0, those of c=1 mostly x=1.
VAGUE = World(
    prior_CZ=np.array([[0.70, 0.28, 0.02], [0.70, 0.02, 0.28]]),
    likelihood_ZX=np.array([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9]]),
)
VAGUE_ITEMS = np.array([[8.0, 2.0], [2.0, 8.0]])


@pytest.mark.parametrize(
    ("rule", "draw", "mstep", "improves"),
    [
        ("joint", "best", "greedy", False),  # the paper
        ("joint", "best", "selected", False),
        ("iw", "resample", "greedy", False),
        ("iw", "resample", "selected", True),
    ],
)
def test_only_resampling_by_iw_with_its_own_rows_raises_log_p(
    rule: str, draw: str, mstep: str, improves: bool
) -> None:
    start_Z = np.array([0.4, 0.3, 0.3])
    q_CXZ = np.array(
        [[law_of_choice(VAGUE, c, x, start_Z, 8, rule, draw) for x in range(2)] for c in range(2)]
    )
    rationales_CXZ = np.eye(3)[q_CXZ.argmax(-1)] if mstep == "greedy" else q_CXZ
    after = fit(VAGUE_ITEMS[..., None] * rationales_CXZ)
    before_now = log_likelihood(VAGUE, VAGUE_ITEMS), log_likelihood(after, VAGUE_ITEMS)
    assert (before_now[1] > before_now[0] + 0.1) == improves
    assert (before_now[1] < before_now[0] - 0.1) == (not improves)
    if rule == "joint":  # the vague rationale takes over, and p(x|c) forgets c
        assert after.prior_CZ[:, 0].min() > 0.97


# bounds


@settings(max_examples=25)
@given(SEEDS)
def test_elbo_is_at_most_iwae_which_rises_with_k_to_at_most_log_p(seed: int) -> None:
    joint_Z, q_Z, _, log_p = item(seed)
    elbo = expected(lambda zs: bounds.elbo(log_weights(joint_Z, q_Z, zs)), [q_Z] * 2)
    curve = [iwae_bound(joint_Z, q_Z, k) for k in (1, 2, 3, 4)]
    assert curve[0] == pytest.approx(elbo, abs=ROUNDING)
    assert all(a <= b + ROUNDING for a, b in zip(curve, [*curve[1:], log_p], strict=True))


@given(SEEDS)
def test_both_forms_of_the_elbo_are_the_expected_log_weight(seed: int) -> None:
    world = random_world(seed)
    q_Z = random_tables(np.random.default_rng(seed), 3)
    prior_Z, likelihood_Z = world.prior_CZ[0], world.likelihood_ZX[:, 1]
    elbo = iwae_bound(world.joint_CXZ[0, 1], q_Z, 1)
    kl = expected(
        lambda zs: bounds.kl_to_prior([math.log(q_Z[z]) for z in zs], [math.log(prior_Z[z]) for z in zs]),
        [q_Z],
    )
    entropy = -float((q_Z * np.log(q_Z)).sum())
    assert elbo == pytest.approx(float(q_Z @ np.log(likelihood_Z)) - kl)
    assert elbo == pytest.approx(float(q_Z @ np.log(prior_Z * likelihood_Z)) + entropy)


@given(SEEDS)
def test_the_posterior_makes_every_bound_tight_and_another_q_is_off_by_its_kl(seed: int) -> None:
    joint_Z, q_Z, _, log_p = item(seed)
    posterior_Z = joint_Z / joint_Z.sum()
    kl = float((q_Z * np.log(q_Z / posterior_Z)).sum())
    assert iwae_bound(joint_Z, posterior_Z, 1) == pytest.approx(log_p)
    assert iwae_bound(joint_Z, q_Z, 1) == pytest.approx(log_p - kl)
    # The estimate of that KL is too small by the gap of the bound that stands in for log p(x|c).
    estimate = expected(lambda zs: bounds.kl_to_posterior(log_weights(joint_Z, q_Z, zs)), [q_Z] * 3)
    assert estimate == pytest.approx(kl - (log_p - iwae_bound(joint_Z, q_Z, 3)))


@settings(max_examples=25)
@given(SEEDS, st.booleans())
def test_mixed_draws_estimate_p_without_bias_and_their_log_is_a_bound(seed: int, one_only: bool) -> None:
    joint_Z, now_Z, cold_Z, log_p = item(seed)
    now_Z = collapsed(3, on=seed % 3) if one_only else now_Z
    mean = expected(
        lambda zs: float(np.exp(mixed_weights(joint_Z, now_Z, cold_Z, zs)).mean()), [now_Z, cold_Z] * 2
    )
    assert mean == pytest.approx(math.exp(log_p))
    assert mixed_bound(joint_Z, now_Z, cold_Z, 4) <= log_p + ROUNDING


@settings(max_examples=25)
@given(SEEDS)
def test_half_of_the_mixed_draws_are_a_bound_too_also_when_half_is_odd(seed: int) -> None:
    joint_Z, now_Z, cold_Z, log_p = item(seed, kinds=2)
    for size in (2, 4, 6):
        half = half_bound(joint_Z, now_Z, cold_Z, size)
        whole = mixed_bound(joint_Z, now_Z, cold_Z, size)
        assert half <= whole + ROUNDING <= log_p + 2 * ROUNDING
        if size == 4:
            assert half == pytest.approx(mixed_bound(joint_Z, now_Z, cold_Z, 2))


# what a collapse of q does to the bounds


@settings(max_examples=25)
@given(SEEDS, st.integers(0, 3), st.floats(0.03, 3.0))
def test_no_q_takes_the_mixed_bound_below_the_cold_elbo_by_more_than_log_2(
    seed: int, on: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    joint_Z, _, cold_Z, _ = item(seed)
    now_Z = collapsed(3, on) if on < 3 else rng.dirichlet([spread] * 3)
    cold_elbo = iwae_bound(joint_Z, cold_Z, 1)
    for size in (2, 4):
        assert mixed_bound(joint_Z, now_Z, cold_Z, size) >= cold_elbo - math.log(2) - ROUNDING


@settings(max_examples=25)
@given(SEEDS, st.sampled_from([2, 4, 6]), st.floats(1e-6, 1.0))
def test_a_collapse_costs_the_mixed_bound_at_most_log_2_and_half_of_the_draws(
    seed: int, size: int, share: float
) -> None:
    joint_Z, _, cold_Z, _ = item(seed, kinds=2)
    joint_Z = joint_Z * [share, 1.0]
    before = iwae_bound(joint_Z, cold_Z, size)  # all draws from the cold start, as at iteration 0
    cold_half = iwae_bound(joint_Z, cold_Z, size // 2)
    after = mixed_bound(joint_Z, collapsed(2, on=0), cold_Z, size)
    assert before - after <= math.log(2) + (before - cold_half) + ROUNDING


def test_a_collapse_onto_what_q0_never_writes_costs_half_of_the_draws_and_ruins_the_own_bound() -> None:
    cold_Z, now_Z = np.array([0.0, 0.6, 0.4]), collapsed(3, on=0)
    for share in (1e-20, 1e-100, 1e-300):  # p(z,x|c) of the rationale that q collapsed onto
        joint_Z = np.array([share, 0.1, 0.2])
        assert mixed_bound(joint_Z, now_Z, cold_Z, 4) == pytest.approx(iwae_bound(joint_Z, cold_Z, 2))
        assert iwae_bound(joint_Z, now_Z, 4) == pytest.approx(math.log(share))  # no floor


def test_the_mixed_bound_orders_two_models_rightly_where_their_own_bounds_do_not() -> None:
    cold_Z = np.array([0.4, 0.3, 0.3])
    before_Z, after_Z = np.array([0.08, 0.06, 0.06]), np.array([0.06, 0.16, 0.08])
    own_before, own_after = before_Z / before_Z.sum(), collapsed(3, on=0)  # p got better and q collapsed
    assert math.log(after_Z.sum()) > math.log(before_Z.sum())
    assert iwae_bound(after_Z, own_after, 4) < iwae_bound(before_Z, own_before, 4)
    assert mixed_bound(after_Z, own_after, cold_Z, 4) > mixed_bound(before_Z, own_before, cold_Z, 4)
