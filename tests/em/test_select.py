"""The E-step's choice and the early rejects, on numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcot.em.rejects import Bounds, copied, reject_reason, repetition
from promptcot.em.rewards import joint
from promptcot.em.select import best, choose, is_open, resample, weights


def test_eq_5_is_the_plain_sum_of_both_terms() -> None:
    # log p(x|z,c) = ln 1/4, log p(z|c) = ln 1/8: R = ln 1/32.
    assert joint(math.log(1 / 4), math.log(1 / 8)) == pytest.approx(math.log(1 / 32))


def test_the_largest_reward_wins_and_ties_go_to_the_first() -> None:
    assert best([-3.0, -1.0, -2.0]) == 1
    assert best([-1.0, -1.0]) == 0


def test_nothing_to_choose_from_and_nan_are_errors() -> None:
    with pytest.raises(ValueError, match="no candidate"):
        best([])
    with pytest.raises(ValueError, match="NaN"):
        best([-1.0, float("nan")])


@given(st.lists(st.floats(-1e6, 0), min_size=1, max_size=8))
def test_no_candidate_beats_the_chosen_one(rewards: list[float]) -> None:
    assert rewards[best(rewards)] == max(rewards)


rewards_lists = st.lists(st.floats(-200, 200), min_size=1, max_size=8)


def test_weights_by_hand() -> None:
    found = [math.log(1), math.log(2), math.log(5)]
    assert weights(found) == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    # A temperature of 2 takes square roots: 1, 2, 3 of 6.
    assert weights([math.log(1), math.log(4), math.log(9)], 2.0) == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    assert weights([-math.inf, -1.0]) == [0.0, 1.0]


@given(rewards_lists, st.floats(0.1, 10), st.floats(-100, 100))
def test_weights_sum_to_one_keep_the_order_and_are_blind_to_a_shift(
    rewards: list[float], temperature: float, by: float
) -> None:
    found = weights(rewards, temperature)
    assert sum(found) == pytest.approx(1)
    assert all(
        a >= b
        for ra, a in zip(rewards, found, strict=True)
        for rb, b in zip(rewards, found, strict=True)
        if ra > rb
    )
    assert weights([r + by for r in rewards], temperature) == pytest.approx(found, abs=1e-9)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8, unique=True), st.floats(0, 1, exclude_max=True))
def test_resampling_becomes_the_best_as_the_temperature_falls(rewards: list[int], uniform: float) -> None:
    values = [float(r) for r in rewards]
    cold = weights(values, 0.02)  # one nat apart is e^-50
    assert cold[best(values)] == pytest.approx(1)
    if 1e-9 < uniform < 1 - 1e-9:
        assert resample(values, uniform, 0.02) == best(values)
    hot = weights(values, 1e9)
    assert hot == pytest.approx([1 / len(values)] * len(values), abs=1e-6)


def test_resampling_inverts_the_cumulated_weights() -> None:
    found = [math.log(1), math.log(2), math.log(5)]  # cumulated: 1/8, 3/8, 1
    uniforms = [0.0, 0.124, 0.126, 0.374, 0.376, 0.999]
    assert [resample(found, u) for u in uniforms] == [0, 0, 1, 1, 2, 2]


def test_even_uniforms_draw_in_proportion_to_the_weights() -> None:
    found = [math.log(1), -math.inf, math.log(3)]
    drawn = [resample(found, (i + 0.5) / 1000) for i in range(1000)]
    assert [drawn.count(i) for i in range(3)] == [250, 0, 750]


def test_a_uniform_next_to_one_still_draws_something_of_weight() -> None:
    tenth = [0.0] * 10 + [-math.inf]  # ten tenths add up to a hair below one
    assert resample(tenth, math.nextafter(1.0, 0.0)) < 10


def test_choose_is_its_two_draws_and_no_other_word() -> None:
    found = [math.log(1), math.log(2), math.log(5)]
    assert choose("best", found, 0.0) == 2
    assert choose("resample", found, 0.0) == 0
    assert choose("resample", found, 0.3, 1e9) == 0  # nearly even: thirds
    with pytest.raises(ValueError, match="unknown draw 'top'; known: best, resample"):
        choose("top", found, 0.0)


def test_weights_refuse_what_has_no_answer() -> None:
    with pytest.raises(ValueError, match="not above 0"):
        weights([0.0], 0.0)
    with pytest.raises(ValueError, match="not above 0"):
        weights([0.0], math.nan)
    with pytest.raises(ValueError, match="positive weight"):
        weights([-math.inf, -math.inf])
    with pytest.raises(ValueError, match="NaN"):
        weights([0.0, math.nan])


def test_an_item_is_open_while_the_leader_holds_too_little() -> None:
    found = [math.log(3), math.log(1)]  # the leader holds 3/4
    assert is_open(found, 0.76)
    assert not is_open(found, 0.74)
    assert is_open(found, 0.74, temperature=10)
    assert not is_open([0.0], 1.0)  # a single candidate holds everything


def test_repetition_counts_the_most_frequent_4_gram_beyond_its_first_use() -> None:
    # 1 2 3 4 1 2 3 4 has five 4-grams; (1,2,3,4) occurs twice: one repeat of five.
    assert repetition([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)
    assert repetition([7] * 10) == pytest.approx(6 / 7)
    assert repetition([1, 2]) == 0.0


def test_copied_is_the_share_of_the_problems_word_5_grams() -> None:
    problem = "a b c d e f"  # two 5-grams
    assert copied("x a b c d e y", problem) == pytest.approx(1 / 2)
    assert copied(problem, problem) == 1.0
    assert copied("nothing", problem) == 0.0


@pytest.mark.parametrize(
    ("ids", "rationale", "finish", "reason"),
    [
        (range(20), "fine plan", "stop", None),
        (range(20), "fine plan", "length", "no_terminator"),
        (range(20), "  ", "stop", "empty"),
        (range(9), "short plan", "stop", "too_short"),
        (range(10), "short plan", "stop", None),
        (range(40), "long plan", "stop", None),
        (range(41), "long plan", "stop", "too_long"),
        ([5] * 20, "again and again", "stop", "repetition"),
        (range(20), "we ask: a b c d e f", "stop", "copies_problem"),
    ],
)
def test_reasons(ids: list[int], rationale: str, finish: str, reason: str | None) -> None:
    bounds = Bounds(repetition=0.5, copy=0.6, shortest=0.5, longest=2.0)
    assert reject_reason(list(ids), rationale, "a b c d e f", finish, bounds, 20) == reason


def test_without_bounds_only_what_is_unusable_is_rejected() -> None:
    assert reject_reason([5] * 20, "a b c d e f", "a b c d e f", "stop", Bounds(), 1) is None
