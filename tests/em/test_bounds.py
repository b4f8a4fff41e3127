"""The bounds' estimators on small numbers; what they estimate is in test_exact.py."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcot.em.bounds import (
    elbo,
    ess,
    iwae,
    iwae_curve,
    kl_to_posterior,
    kl_to_prior,
    log_mean_exp,
    log_mixture,
    log_sum_exp,
)

INF = math.inf
nats = st.floats(-500, 500)
draws = st.lists(nats, min_size=1, max_size=8)


def logs(*weights: float) -> list[float]:
    return [math.log(w) for w in weights]


def test_log_sum_exp_by_hand_and_where_exp_would_overflow_or_vanish() -> None:
    assert log_sum_exp(logs(1, 2, 5)) == pytest.approx(math.log(8))
    assert log_sum_exp([1000.0, 1000.0]) == pytest.approx(1000 + math.log(2))
    assert log_sum_exp([-1000.0, -1000.0]) == pytest.approx(-1000 + math.log(2))
    assert log_sum_exp([-INF, math.log(3)]) == pytest.approx(math.log(3))
    assert log_sum_exp([-INF, -INF]) == -INF


@given(draws, nats)
def test_log_mean_exp_lies_between_mean_and_maximum_and_moves_with_a_shift(
    values: list[float], by: float
) -> None:
    found = log_mean_exp(values)
    assert sum(values) / len(values) - 1e-9 <= found <= max(values) + 1e-9
    assert log_mean_exp([v + by for v in values]) == pytest.approx(found + by, abs=1e-9)


def test_elbo_is_the_mean_log_and_iwae_the_log_mean() -> None:
    assert elbo(logs(1, 2, 4)) == pytest.approx(math.log(2))
    assert iwae(logs(1, 2, 4)) == pytest.approx(math.log(7 / 3))
    assert kl_to_posterior(logs(1, 2, 4)) == pytest.approx(math.log(7 / 3) - math.log(2))


def test_iwae_curve_by_hand() -> None:
    # Weights 1 3 2 6 5: singles give the mean log; pairs (1,3) (2,6) have means 2 and 4, and 5 is left over.
    curve = iwae_curve(logs(1, 3, 2, 6, 5), [1, 2, 4, 5])
    assert curve[1] == pytest.approx(math.log(1 * 3 * 2 * 6 * 5) / 5)
    assert curve[2] == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert curve[4] == pytest.approx(math.log(3))
    assert curve[5] == pytest.approx(math.log(17 / 5))


@given(st.lists(nats, min_size=4, max_size=4))
def test_iwae_curve_rises_with_k_where_the_groups_are_nested(logw: list[float]) -> None:
    curve = iwae_curve(logw, [1, 2, 4])
    assert curve[1] <= curve[2] + 1e-9 <= curve[4] + 2e-9
    assert curve[1] == pytest.approx(elbo(logw), abs=1e-9)
    assert curve[4] == pytest.approx(iwae(logw), abs=1e-9)


def test_ess_by_hand() -> None:
    assert ess(logs(1, 1, 1, 1)) == pytest.approx(4)
    assert ess(logs(3, 1)) == pytest.approx(16 / 10)
    assert ess([0.0, -800.0, -900.0]) == pytest.approx(1)


@given(draws, nats)
def test_ess_is_between_one_and_k_and_blind_to_a_shift(logw: list[float], by: float) -> None:
    assert 1 - 1e-9 <= ess(logw) <= len(logw) + 1e-9
    assert ess([v + by for v in logw]) == pytest.approx(ess(logw))


def test_log_mixture_is_the_log_of_the_mean_of_both() -> None:
    assert log_mixture(*logs(1 / 2, 1 / 4)) == pytest.approx(math.log(3 / 8))
    assert log_mixture(-INF, math.log(1 / 4)) == pytest.approx(math.log(1 / 8))  # q[t] never writes it


@given(nats, nats)
def test_log_mixture_is_at_most_the_larger_and_at_most_log_2_below_either(now: float, cold: float) -> None:
    mixed = log_mixture(now, cold)
    assert mixed == log_mixture(cold, now)
    assert max(now, cold) - math.log(2) - 1e-9 <= mixed <= max(now, cold) + 1e-9


def test_kl_to_prior_is_the_mean_log_ratio() -> None:
    assert kl_to_prior(logs(1 / 2, 1 / 2), logs(1 / 4, 1 / 8)) == pytest.approx(math.log(math.sqrt(8)))


def test_misuse_is_an_error() -> None:
    with pytest.raises(ValueError, match="no draws"):
        log_sum_exp([])
    with pytest.raises(ValueError, match="no draws"):
        elbo([])
    with pytest.raises(ValueError, match="NaN"):
        iwae([0.0, math.nan])
    with pytest.raises(ValueError, match="IWAE_3 from 2 draws"):
        iwae_curve([0.0, 0.0], [3])
    with pytest.raises(ValueError, match="IWAE_0 from 2 draws"):
        iwae_curve([0.0, 0.0], [0])
    with pytest.raises(ValueError, match="zip"):
        kl_to_prior([0.0], [0.0, 0.0])
