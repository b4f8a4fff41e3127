"""The difficulty filter over every outcome of eight attempts: stopping early never changes the decision."""

from __future__ import annotations

from itertools import product

import pytest

from promptcot.verify.difficulty import decide, decide_early

RULES = [("at", 0.5), ("above", 0.5), ("at", 1.0), ("above", 0.0)]


@pytest.mark.parametrize(
    ("right", "scored", "rule", "decision"),
    [
        (4, 8, "at", "too_easy"),  # the paper: at least half
        (4, 8, "above", "kept"),  # the release: more than half
        (5, 8, "above", "too_easy"),
        (3, 8, "at", "kept"),
        (0, 8, "at", "never_solved"),
        (0, 0, "at", "unscored"),
        (3, 7, "at", "kept"),  # one unscored: 3 of 7 is below half
        (3, 6, "at", "too_easy"),
    ],
)
def test_both_readings(right: int, scored: int, rule: str, decision: str) -> None:
    assert decide(right, scored, 0.5, rule) == decision


@pytest.mark.parametrize(("rule", "limit"), RULES)
def test_an_early_decision_is_the_late_one_for_every_outcome_of_eight(rule: str, limit: float) -> None:
    for outcome in product("+-?", repeat=8):
        last = decide(outcome.count("+"), 8 - outcome.count("?"), limit, rule)
        for n in range(9):
            seen = outcome[:n]
            early = decide_early(seen.count("+"), n - seen.count("?"), 8 - n, limit, rule)
            assert early in (None, last), (outcome, n)
        assert early == last


@pytest.mark.parametrize("rule", ["at", "above"])
def test_it_stops_as_soon_as_nothing_can_change_it(rule: str) -> None:
    """Without unscored attempts: a decision stays open exactly as long as two ways to go on end differently."""
    for outcome in product("+-", repeat=6):
        for n in range(7):
            right, left = outcome[:n].count("+"), 6 - n
            ends = {decide(right + more, 6, 0.5, rule) for more in range(left + 1)}
            early = decide_early(right, n, left, 0.5, rule)
            assert (early is None) == (len(ends) > 1), (outcome, n)


def test_how_many_attempts_it_takes() -> None:
    # Drop at one half of 8: four right ones suffice; five wrong ones and a right one settle the other side.
    def taken(outcome: str) -> int:
        return next(
            n for n in range(9) if decide_early(outcome[:n].count("+"), n, 8 - n, 0.5, "at") is not None
        )

    assert [taken(o) for o in ("++++++++", "+-----++", "-----+++", "--------", "+-+-+-+-")] == [4, 6, 6, 8, 7]
