"""The E-step's choice and the early rejects, on numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcot.em.rejects import copied, reject_reason, repetition
from promptcot.em.rewards import joint
from promptcot.em.select import best


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
        ([5] * 20, "again and again", "stop", "repetition"),
        (range(20), "we ask: a b c d e f", "stop", "copies_problem"),
    ],
)
def test_reasons(ids: list[int], rationale: str, finish: str, reason: str | None) -> None:
    assert reject_reason(list(ids), rationale, "a b c d e f", finish, 0.5, 0.6) == reason
