"""Batch plans: every row once, budgets kept, identical prompts together; dead rows replaced by few moves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from promptcot.lm.batching import sampling_batches, scoring_batches
from promptcot.lm.decode import close_ranks

LENGTHS = st.lists(st.integers(1, 60), max_size=40)
BUDGETS = st.integers(1, 500)


@given(LENGTHS, st.integers(1, 30), BUDGETS)
def test_sampling_batches_take_every_row_once_within_the_budget(
    lengths: list[int], limit: int, budget: int
) -> None:
    prompts = [(7,) * n for n in lengths]
    batches = sampling_batches(prompts, [limit] * len(prompts), budget)
    assert sorted(i for rows in batches for i in rows) == list(range(len(prompts)))
    for rows in batches:
        sizes = [lengths[i] for i in rows]
        assert len(rows) == 1 or len(rows) * (max(sizes) + limit) <= budget
        assert max(sizes) - min(sizes) <= max(8, min(sizes) // 8)


def test_copies_of_a_prompt_share_a_batch_and_near_lengths_join_it() -> None:
    prompts = [(1, 2), (3,) * 40, (1, 3), (1, 2), (4,) * 10]
    assert sampling_batches(prompts, [5] * 5, 1000) == [[0, 3, 2, 4], [1]]


@given(LENGTHS, BUDGETS)
def test_scoring_batches_take_every_row_once_within_the_padded_budget(
    lengths: list[int], budget: int
) -> None:
    batches = scoring_batches(lengths, budget)
    assert sorted(i for rows in batches for i in rows) == list(range(len(lengths)))
    assert all(len(rows) == 1 or len(rows) * max(lengths[i] for i in rows) <= budget for rows in batches)


@given(st.lists(st.booleans(), max_size=30))
def test_closing_ranks_keeps_every_living_row_and_moves_only_into_holes(alive: list[bool]) -> None:
    order = close_ranks(alive)
    assert sorted(order) == [i for i, living in enumerate(alive) if living]
    assert all(order[i] == i for i in range(len(order)) if alive[i])
