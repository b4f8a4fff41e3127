"""The vote: who may vote, what counts as one opinion, and when nobody wins."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.verify.answers import equivalent
from promptcot.verify.vote import Vote, accept, class_of, tally, vote_early


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


@pytest.mark.parametrize(
    "answers",
    [["5", "5", "0.05", "0.05", "5\\%"], ["180", "180", "\\pi", "\\pi", "180^\\circ"], ["3,4", "3,4", "(3,4)", "(4,3)", "4,3"]],
)  # fmt: skip
def test_an_answer_with_two_readings_does_not_join_two_that_differ(answers: list[str]) -> None:
    for order in set(permutations(answers)):
        vote = tally(order, equivalent)
        assert sorted(size for _, size in vote.histogram) == [2, 3]
        assert {vote.winner} == {tally(answers, equivalent).winner}


def test_the_most_frequent_spelling_keeps_those_it_equals() -> None:
    def near(a: str, b: str) -> bool:
        return abs(int(a) - int(b)) <= 1

    # 2 equals 1 and 3, which differ: it stays with 1, of which there are as many.
    assert tally(["2", "2", "3", "1", "1"], near).histogram == [("2", 4), ("3", 1)]
    assert tally(["3", "1", "2"], near).histogram == [("1", 2), ("3", 1)]
    assert class_of(["3", "1", "2", None], near) == [0, 1, 1, None]


@settings(deadline=None)
@given(st.lists(st.sampled_from(["1", "1.0", "2", "2/1", "3", None, ""]), max_size=10), st.randoms())
def test_the_outcome_does_not_depend_on_the_order(answers: list[str | None], rng: object) -> None:
    shuffled = list(answers)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    one, two = tally(answers, equivalent), tally(shuffled, equivalent)
    assert (one.votes, one.margin, one.tie, one.valid) == (two.votes, two.margin, two.tie, two.valid)
    assert one.winner is None or equivalent(one.winner, two.winner)
    assert sorted(n for _, n in one.histogram) == sorted(n for _, n in two.histogram)


# --- early stopping


def same(a: str, b: str) -> bool:
    return a == b


def growth(n: int, silence: bool) -> Iterator[tuple[str | None, ...]]:
    """Every sequence of n answers up to renaming: a class gets the next letter when it first appears."""

    def extend(done: tuple[str | None, ...], classes: int) -> Iterator[tuple[str | None, ...]]:
        if len(done) == n:
            yield done
            return
        for k in range(classes + 1):
            yield from extend((*done, "abcdefgh"[k]), max(classes, k + 1))
        if silence:
            yield from extend((*done, None), classes)

    return extend((), 0)


@pytest.mark.parametrize(
    ("min_votes", "min_margin", "silence"), [(5, 1, True), (1, 1, False), (3, 1, False), (4, 2, False)]
)
def test_stopping_early_decides_as_all_eight_samples_do_for_every_sequence(
    min_votes: int, min_margin: int, silence: bool
) -> None:
    sequences = saved = 0
    for answers in growth(8, silence):
        full = tally(answers, same)
        early = vote_early(answers, 8, same, min_votes, min_margin)
        assert early.accepted == accept(full, min_votes, min_margin=min_margin), answers
        if early.accepted:
            assert early.vote.winner == full.winner
        assert early.saved == 8 - early.vote.samples >= 0
        sequences, saved = sequences + 1, saved + early.saved
    assert sequences == (21147 if silence else 4140)  # Bell(9): silence is one more class; Bell(8)
    assert saved > 0


def test_a_vote_stops_at_the_first_sample_that_settles_it() -> None:
    five = vote_early(["1"] * 8, 8, same, 5)
    assert (five.accepted, five.vote.samples, five.saved) == (True, 5, 3)
    split = vote_early(["1", "2", "3", "4", "5", "6", "7", "8"], 8, same, 5)
    assert (split.accepted, split.vote.samples, split.saved) == (False, 5, 3)


def test_samples_that_are_not_needed_are_never_drawn() -> None:
    def draw() -> Iterator[str]:
        for _ in range(5):
            yield "1"
        raise AssertionError("a sixth sample was drawn")

    assert vote_early(draw(), 8, same, 5).saved == 3


def test_an_answer_stream_that_ends_early_is_the_whole_vote() -> None:
    assert vote_early(["1", "1"], 8, same, 2).accepted
    assert not vote_early([], 8, same, 1).accepted


def test_share_and_margin_are_thresholds_too() -> None:
    vote = tally(["1"] * 4 + ["2"] * 3 + [None], same)
    assert vote.agreement == pytest.approx(4 / 7)
    assert accept(vote, 4, min_share=0.5)
    assert not accept(vote, 4, min_share=0.6)
    assert not accept(vote, 4, min_margin=2)
    assert tally([], same).agreement == 0.0
