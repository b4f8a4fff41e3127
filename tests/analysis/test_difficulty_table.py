"""The difficulty table: references, cut solutions, and means at one mix of levels."""

from __future__ import annotations

import pytest

from promptcot.analysis.difficulty import Asked, table

EASY, HARD = ("math", "1"), ("math", "2")


def asked(group: tuple[str, str], solved: bool | None, tokens: int = 10, truncated: bool = False) -> Asked:
    return Asked(group, solved, tokens, truncated)


def test_the_same_problems_at_other_shares_are_as_hard_at_the_same_mix() -> None:
    """Level 1 is solved in 3 of 4 cases and level 2 in 1 of 4, in both sets; the second asks for more of level 2."""

    def level(group: tuple[str, str], right: int, of: int, tokens: int) -> list[Asked]:
        return [asked(group, n < right, tokens) for n in range(of)]

    seeds = level(EASY, 9, 12, 10) + level(HARD, 1, 4, 30)
    made = level(EASY, 3, 4, 10) + level(HARD, 3, 12, 30)
    first, second = table({"seeds": seeds, "made": made}, seed=1)
    assert first["accuracy"] == pytest.approx(10 / 16)
    assert second["accuracy"] == pytest.approx(6 / 16)
    assert (
        first["accuracy_same_mix"] == second["accuracy_same_mix"] == pytest.approx(0.75 * 0.75 + 0.25 * 0.25)
    )
    assert (first["tokens"], second["tokens"]) == (15.0, 25.0)
    assert second["tokens_same_mix"] == pytest.approx(15.0)
    low, high = second["accuracy_same_mix_ci95"]
    assert low < 0.625 < high
    assert second["tokens_same_mix_ci95"] == pytest.approx([15.0, 15.0])  # no spread within a level


def test_problems_without_a_reference_are_counted_and_not_scored() -> None:
    rows = [
        asked(EASY, True),
        asked(EASY, None, 500),
        asked(EASY, None, 90, truncated=True),
        asked(EASY, False),
    ]
    (row,) = table({"made": rows, "nothing": []}, seed=1)
    assert (row["problems"], row["without_reference"], row["truncated"]) == (4, 2, 1)
    assert row["accuracy"] == 0.5
    assert row["tokens"] == pytest.approx((10 + 90 + 10) / 3)  # the refusal's 500 are no solution


def test_sets_without_a_level_in_common_have_no_common_mix() -> None:
    first, second = table({"a": [asked(EASY, True)], "b": [asked(HARD, False)]}, seed=1)
    assert first["accuracy_same_mix"] is second["accuracy_same_mix"] is None
    (alone,) = table({"a": [asked(EASY, None)]}, seed=1)
    assert alone["accuracy"] is alone["accuracy_ci95"] is None
