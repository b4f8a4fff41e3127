"""Coverage, duplicates and the domain model on texts of a few words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcot.em.drift import DomainModel, coverage, duplicates, words


def test_words_are_lower_case_letters_and_digits() -> None:
    assert words("Add 12, then x^2 (twice)!") == ["add", "12", "then", "x", "2", "twice"]
    assert words(" .,; ") == []


def test_coverage_is_the_share_of_concepts_named() -> None:
    text = "Factoring the number, then add."
    assert coverage(["factors"], text) == 1.0  # by stem: facto
    assert coverage(["prime number"], text) == 1.0  # one of two words is half
    assert coverage(["greatest common divisor"], text) == 0.0
    assert coverage(["greatest common number"], text) == 0.0  # one of three is less than half
    assert coverage(["factors", "modular arithmetic"], text) == 0.5


def test_coverage_leaves_out_concepts_of_short_words_and_is_nan_without_any() -> None:
    assert coverage(["gcd", "factors"], "factor it") == 1.0
    assert math.isnan(coverage(["gcd", "sum of"], "gcd and sum of"))
    assert math.isnan(coverage([], "anything"))


@given(st.lists(st.text("abcdef ", min_size=4), min_size=1), st.text("abcdef "), st.text("abcdef "))
def test_a_longer_text_never_names_fewer_concepts(concepts: list[str], text: str, more: str) -> None:
    before, after = coverage(concepts, text), coverage(concepts, f"{text} {more}")
    assert math.isnan(before) == math.isnan(after)
    assert math.isnan(before) or 0 <= before <= after <= 1


def test_duplicates_ignore_case_and_spaces_and_mark_every_copy() -> None:
    assert duplicates(["Add  two.", "add two.", "add 2."]) == [True, True, False]
    assert duplicates([]) == []


@given(st.lists(st.sampled_from(["a b", "A  b", "c"])))
def test_duplicates_come_in_groups_of_two_or_more(texts: list[str]) -> None:
    assert sum(duplicates(texts)) != 1
    assert len(duplicates(texts)) == len(texts)


SEEDS = [
    ("math", "find the gcd of two numbers"),
    ("code", "print the sum of a list"),
    ("code", "read a list"),
]


def test_the_domain_model_tells_programs_from_mathematics() -> None:
    model = DomainModel(SEEDS)
    assert model.domain("find a gcd") == "math"
    assert model.domain("print what you read") == "code"


def test_the_domain_models_scores_by_hand() -> None:
    # Vocabulary of a, b, c: three words. math: a a b (3 words); code: c (1 word), twice as many documents.
    model = DomainModel([("math", "a a b"), ("code", "c"), ("code", "")])
    assert model.vocabulary == 3
    # "a": math log(1 * 3/6), code log(2 * 1/4): a tie, which goes to the first name in order.
    assert model.domain("a") == "code"
    # "a a": math 1 * (3/6)^2 = 1/4, code 2 * (1/4)^2 = 1/8.
    assert model.domain("a a") == "math"
    # Without known words the larger domain wins.
    assert model.domain("") == "code"


def test_the_order_of_the_seeds_does_not_matter() -> None:
    problems = ["a list", "find", "gcd of a sum", "unknown words only"]
    forward, backward = DomainModel(SEEDS), DomainModel(SEEDS[::-1])
    assert [forward.domain(p) for p in problems] == [backward.domain(p) for p in problems]


@pytest.mark.parametrize("seeds", [[], [("math", "one domain only")]])
def test_fewer_than_two_domains_tell_nothing(seeds: list[tuple[str, str]]) -> None:
    assert DomainModel(seeds).domain("find the gcd") is None
