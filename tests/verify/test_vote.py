"""The vote: who may vote, what counts as one opinion, and when nobody wins."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.verify.answers import equivalent
from promptcot.verify.vote import Vote, accept, tally


def test_spellings_of_one_value_vote_together() -> None:
    vote = tally(["0.5", "1/2", "1/2", "3", None, "7", "3", ""], equivalent)
    assert vote == Vote("1/2", 3, 8, 1, False, [("1/2", 3), ("3", 2), ("7", 1)])
    assert vote.valid == 6


def test_missing_and_blank_answers_never_vote() -> None:
    vote = tally([None, None, "", " ", "5"], equivalent)
    assert (vote.winner, vote.votes, vote.samples, vote.margin) == ("5", 1, 5, 1)
    assert tally([None, ""], equivalent) == Vote(None, 0, 2, 0, False, [])
    assert tally([], equivalent) == Vote(None, 0, 0, 0, False, [])


def test_a_tie_has_no_winner_and_is_never_accepted() -> None:
    vote = tally(["1", "2", "2", "1", "3"], equivalent)
    assert (vote.winner, vote.votes, vote.margin, vote.tie) == (None, 2, 0, True)
    assert vote.histogram == [("1", 2), ("2", 2), ("3", 1)]
    assert not accept(vote, 1)


@pytest.mark.parametrize(("min_votes", "accepted"), [(4, True), (5, True), (6, False)])
def test_a_winner_needs_the_votes_asked_for(min_votes: int, accepted: bool) -> None:
    assert accept(tally(["1"] * 5 + ["2"] * 3, equivalent), min_votes) is accepted


def test_nothing_is_accepted_from_no_votes() -> None:
    assert not accept(tally([None] * 8, equivalent), 0)


def test_classes_are_closed_under_chains_whatever_comes_first() -> None:
    def near(a: str, b: str) -> bool:
        return abs(int(a) - int(b)) <= 1

    for order in (["1", "2", "3"], ["1", "3", "2"], ["3", "1", "2"]):
        assert tally(order, near).histogram == [(order[0], 3)]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["1", "1.0", "2", "2/1", "3", None, ""]), max_size=10), st.randoms())
def test_the_outcome_does_not_depend_on_the_order(answers: list[str | None], rng: object) -> None:
    shuffled = list(answers)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = tally(answers, equivalent), tally(shuffled, equivalent)
    assert (one.votes, one.margin, one.tie, one.valid) == (two.votes, two.margin, two.tie, two.valid)
    assert one.winner is None or equivalent(one.winner, two.winner)
    assert sorted(n for _, n in one.histogram) == sorted(n for _, n in two.histogram)
