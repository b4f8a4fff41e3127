"""Batch plans: every row once, budgets kept; dead rows replaced by few moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptcot.lm.batching import joining, round_up, scoring_batches
from promptcot.lm.decode import close_ranks

LENGTHS = st.lists(st.integers(1, 60), max_size=40)
BUDGETS = st.integers(1, 500)


@given(LENGTHS, LENGTHS, BUDGETS)
def test_as_many_rows_join_as_fit_and_never_fewer_than_are_worth_it(
    waiting: list[int], alive: list[int], budget: int
) -> None:
    count = joining(waiting, alive, budget)
    sizes = alive + waiting[:count]
    assert count == 0 or len(sizes) == 1 or len(sizes) * max(sizes) <= budget
    assert count == 0 or 4 * count >= len(alive)
    if not alive and waiting:
        assert count >= 1


def test_joining_waits_until_a_quarter_can() -> None:
    assert joining([10] * 9, [10] * 10, 129) == 0  # two would fit
    assert joining([10] * 9, [10] * 10, 130) == 3
    assert joining([10, 10, 50], [], 140) == 2  # the long one would make three rows of 50
    assert joining([500, 1], [], 140) == 1


@given(LENGTHS, BUDGETS, st.integers(1, 20))
def test_scoring_batches_take_every_row_once_with_rows_of_its_padded_length(
    lengths: list[int], budget: int, step: int
) -> None:
    batches = scoring_batches(lengths, budget, step)
    assert sorted(i for rows in batches for i in rows) == list(range(len(lengths)))
    for rows in batches:
        (padded,) = {round_up(lengths[i], step) for i in rows}
        assert len(rows) == 1 or len(rows) * padded <= budget


def test_lengths_are_rounded_up_to_the_step() -> None:
    assert [round_up(n, 16) for n in (0, 1, 16, 17)] == [0, 16, 16, 32]


@given(st.lists(st.booleans(), max_size=30))
def test_closing_ranks_keeps_every_living_row_and_moves_only_into_holes(alive: list[bool]) -> None:
    order = close_ranks(alive)
    assert sorted(order) == [i for i, living in enumerate(alive) if living]
    assert all(order[i] == i for i in range(len(order)) if alive[i])
