"""Concept coverage and co-occurrence, counted by hand."""

from __future__ import annotations

import math

import pytest

from promptcot.analysis.coverage import summary

SEEDS = [["Gcd", "parity"], ["gcd", "primes"], ["gcd"], []]
MADE = [["gcd", "parity", "parity"], ["parity", "primes"], ["gcd ", "PARITY"], ["sums"]]


def test_concepts_and_pairs_are_counted_once_per_problem_whatever_their_case() -> None:
    found = summary({"seeds": SEEDS, "empty": [[]], "made": MADE})
    assert found is not None
    assert (found["from"], found["of"]) == ("seeds", "made")
    seeds, made = found["sets"]
    assert (seeds["problems"], seeds["concepts"], seeds["pairs"], seeds["novel_share"]) == (3, 3, 2, 0.0)
    assert (made["problems"], made["concepts"], made["pairs"]) == (4, 4, 2)
    assert made["covered"] == 1.0  # gcd, parity, primes
    assert made["pairs_covered"] == 0.5  # gcd + parity, not gcd + primes
    assert made["novel_share"] == 0.25  # parity + primes
    shares = [3 / 5, 1 / 5, 1 / 5]
    assert seeds["effective"] == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))


def test_pairs_carry_both_counts_and_their_lift() -> None:
    found = summary({"seeds": SEEDS, "made": MADE})
    assert found is not None
    first = found["pairs"][0]
    assert first == {"a": "gcd", "b": "parity", "problems": 2, "before": 1, "lift": 2 * 4 / (2 * 3)}
    order = found["matrix"]["concepts"]
    gcd, parity = order.index("gcd"), order.index("parity")
    counts = found["matrix"]["counts"]
    assert (counts[gcd][gcd], counts[parity][parity], counts[gcd][parity], counts[parity][gcd]) == (
        2,
        3,
        2,
        2,
    )
    shares = {row["concept"]: row["shares"] for row in found["concepts"]}
    assert shares["gcd"] == {"seeds": 1.0, "made": 0.5}


def test_only_the_most_frequent_are_shown_and_nothing_is_made_of_nothing() -> None:
    found = summary({"seeds": SEEDS, "made": MADE}, top=2)
    assert found is not None
    assert [row["concept"] for row in found["concepts"]] == ["gcd", "parity"]
    assert summary({"seeds": [[]], "made": []}) is None
