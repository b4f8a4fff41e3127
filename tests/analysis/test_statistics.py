"""Statistics: numbers derived by hand, and intervals that cover as often as they say."""

from __future__ import annotations

import math
from math import comb
from typing import Any

import numpy as np
import pytest

from promptcot.analysis.statistics import (
    average,
    bootstrap_ci,
    mean_ci,
    paired_difference,
    pass_one,
    wilson,
)


def test_the_average_by_hand() -> None:
    # p = 1, 1/2, 0: mean 1/2; sampling: only the second has variance 1/4, so sqrt(1/4 / 3) / 3;
    # problems: sd 1/2, so 1/2 / sqrt(3); Student's t with 2 degrees of freedom is 4.303: cut to [0, 1].
    estimate = average([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]])
    assert (estimate.mean, estimate.problems, estimate.samples) == (0.5, 3, 4)
    assert estimate.sampling_se == pytest.approx(math.sqrt(0.25 / 3) / 3)
    assert estimate.problem_se == pytest.approx(0.5 / math.sqrt(3))
    assert estimate.ci95 == (0.0, 1.0)


def test_the_interval_is_students() -> None:
    # Ten problems, half solved: sd = sqrt(10/9 / 4), t(9) = 2.262.
    estimate = average([[i % 2] for i in range(10)])
    reach = 2.262 * math.sqrt(10 / 9 / 4) / math.sqrt(10)
    assert estimate.ci95 == pytest.approx((0.5 - reach, 0.5 + reach), abs=1e-3)


def test_one_sample_has_no_sampling_error_and_one_problem_no_problem_error() -> None:
    assert average([[1], [0]]).sampling_se is None
    assert average([[1, 0]]).problem_se is None
    assert average([[1, 0]]).ci95 == wilson(0.5, 1)


def test_all_or_nothing_still_has_an_interval() -> None:
    low, high = average([[0, 0]] * 30).ci95
    assert low == 0.0
    assert high == pytest.approx(0.1135, abs=1e-4)  # z^2 / (n + z^2)


def test_equal_shares_that_round_still_have_an_interval() -> None:
    assert average([[1, 0, 0]] * 30).ci95 == pytest.approx(wilson(10, 30))


@pytest.mark.parametrize("table", [[], [[]], [1, 0], [[0.5]], [[float("nan")]], [[2]], [[1, 0], []]])
def test_a_table_with_gaps_is_refused(table: list[Any]) -> None:
    with pytest.raises(ValueError, match="at least one mark"):
        average(table)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("c", [0, 1, 3, 5])
def test_pass_at_k_is_the_share_of_k_subsets_with_a_success(c: int, k: int) -> None:
    assert pass_one(5, c, k) == pytest.approx(1 - comb(5 - c, k) / comb(5, k))


def test_wilson_by_hand() -> None:
    # 8 of 10 with z = 1.96: the textbook interval (0.4902, 0.9433).
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10)[0] == pytest.approx(0.0, abs=1e-12)
    assert wilson(10, 10)[1] == pytest.approx(1.0)
    for successes, trials in ((1, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="successes in"):
            wilson(successes, trials)


def test_the_bootstrap_is_seeded_and_refuses_gaps() -> None:
    values = np.linspace(0, 1, 40)
    assert bootstrap_ci(values, seed=3) == bootstrap_ci(values, seed=3)
    assert bootstrap_ci(values, seed=3) != bootstrap_ci(values, seed=4)
    assert bootstrap_ci([2.0, 2.0], seed=0) == (2.0, 2.0)
    for bad in ([], [float("nan")], [[1.0]]):
        with pytest.raises(ValueError, match="finite"):
            bootstrap_ci(bad, seed=0)


def test_pairing_sees_a_small_change_between_very_different_problems() -> None:
    before = np.linspace(0, 0.9, 50)
    after = before + np.where(np.arange(50) % 5, 0.03, -0.02)
    difference = paired_difference(before, after, seed=1)
    assert difference.mean == pytest.approx(0.02)
    assert difference.clear
    assert difference.ci95[0] > 0.01
    assert not paired_difference(before, before, seed=1).clear
    with pytest.raises(ValueError, match="shape"):
        paired_difference([1.0], [1.0, 2.0], seed=0)


def covered(interval: tuple[float, float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def test_a_difference_of_few_problems_by_hand() -> None:
    # Changes 0.5, 0 and 0.25: mean 0.25, sd 0.25, Student's 4.303 * 0.25 / sqrt(3) = 0.6211.
    few = paired_difference([0.0, 0.5, 0.25], [0.5, 0.5, 0.5], 1, shares=True)
    assert few.ci95 == pytest.approx((0.25 - 0.62109, 0.25 + 0.62109), abs=1e-4)
    assert not few.clear
    # Two changes, 0 and 1: 12.706 * 0.7071 / sqrt(2) = 6.35, more than a share can change by.
    assert paired_difference([0.0, 0.0], [0.0, 1.0], 1, shares=True).ci95 == (-1.0, 1.0)


@pytest.mark.parametrize(("problems", "clear"), [(1, False), (5, False), (6, True)])
def test_equal_changes_are_an_accident_up_to_five(problems: int, clear: bool) -> None:
    found = paired_difference([0.25] * problems, [0.5] * problems, 1)
    assert found.clear is clear
    assert found.ci95 == ((0.25, 0.25) if clear else (0.0, 0.5))
    assert paired_difference([0.25] * problems, [0.25] * problems, 1).ci95 == (0.0, 0.0)


@pytest.mark.parametrize("problems", [1, 2, 3, 4, 5, 8, 12, 20, 40])
def test_the_same_model_twice_is_seldom_clearly_different(problems: int) -> None:
    rng = np.random.default_rng(problems)
    p_RN = rng.beta(0.6, 0.4, (1500, problems))
    before, after = (rng.binomial(8, p_RN) / 8 for _ in range(2))
    clear = sum(paired_difference(a, b, 1, shares=True).clear for a, b in zip(before, after, strict=True))
    assert clear / 1500 < 0.07


@pytest.mark.parametrize("trials", range(1, 60))
def test_wilsons_interval_holds_the_share_itself(trials: int) -> None:
    assert wilson(0, trials)[0] == 0
    assert wilson(trials, trials)[1] == 1


def test_a_mean_of_equal_shares_has_an_interval() -> None:
    assert mean_ci([0.0] * 10, 1, shares=True) == pytest.approx(wilson(0, 10))
    assert mean_ci([3.0, 5.0], 1) == pytest.approx((4 - 12.706, 4 + 12.706))


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    reps, problems, samples = 300, 40, 4
    hits = np.zeros(3)
    for rep in range(reps):
        p_N = rng.beta(1, 1, size=problems)  # true mean 1/2
        table_NK = rng.random((problems, samples)) < p_N[:, None]
        values = table_NK.mean(axis=1)
        hits[0] += covered(average(table_NK).ci95, 0.5)
        hits[1] += covered(bootstrap_ci(values, seed=rep, resamples=300), 0.5)
        hits[2] += covered(wilson(int((rng.random(problems) < 0.2).sum()), problems), 0.2)
    # 95% of 300 has a standard error of 1.3 points; the bootstrap is a little short at 40 items.
    assert (hits / reps > 0.90).all(), hits / reps
    assert (hits / reps < 0.99).all(), hits / reps


def test_the_sampling_error_is_the_spread_over_new_samples_of_the_same_problems() -> None:
    rng = np.random.default_rng(1)
    p_N = rng.random(30)
    draws = [rng.random((30, 8)) < p_N[:, None] for _ in range(400)]
    spread = np.std([draw.mean() for draw in draws], ddof=1)
    claimed = np.mean([average(draw).sampling_se for draw in draws])
    assert claimed == pytest.approx(spread, rel=0.1)
