"""A gate fires for a move that is large and certain, in its own direction, and for nothing else."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcot.em.gates import GATES, alarms, verdict
from promptcot.settings import Gates

LIMITS = Gates().model_dump(exclude={"action"})
CALM = {
    "tokens_sampled": 20.0, "written_coverage": 0.8, "in_domain": 0.9, "well_formed": 0.95, "duplicate": 0.1,
    "copies": 0.05,
}  # fmt: skip


def fired(now: dict[str, float], moves: dict[str, tuple[float, float]] | None = None) -> list[str]:
    """Names of the gates that fire when the measures in `now` moved, each certainly unless `moves` says otherwise."""
    after = {**CALM, **now}
    certain = {k: (after[k] - CALM[k] - 1e-6, after[k] - CALM[k] + 1e-6) for k in CALM}
    return [a.gate for a in alarms(CALM, after, {**certain, **(moves or {})}, LIMITS)]


def test_there_is_a_gate_for_every_limit_of_the_recipe_and_none_without() -> None:
    assert set(GATES) == set(LIMITS)


def test_nothing_moved_nothing_fires() -> None:
    assert fired({}) == []


@pytest.mark.parametrize(
    ("measure", "just_inside", "just_outside", "other_way", "gate"),
    [
        ("tokens_sampled", 10.2, 9.8, 20.1, "length"),  # a relative move of a half
        ("tokens_sampled", 29.8, 30.2, 20.1, "length"),  # ... either way
        ("written_coverage", 0.62, 0.58, 1.0, "concepts"),
        ("in_domain", 0.82, 0.78, 1.0, "domain"),
        ("well_formed", 0.86, 0.84, 1.0, "format"),
        ("duplicate", 0.38, 0.42, 0.0, "duplicates"),
        ("copies", 0.14, 0.16, 0.0, "copies"),
    ],
)
def test_a_gate_fires_beyond_its_limit_and_only_in_the_harmful_direction(
    measure: str, just_inside: float, just_outside: float, other_way: float, gate: str
) -> None:
    assert fired({measure: just_inside}) == []
    assert fired({measure: just_outside}) == [gate]
    assert fired({measure: other_way}) == []


def test_a_large_move_that_could_be_chance_does_not_fire() -> None:
    assert fired({"well_formed": 0.5}, {"well_formed": (-0.95, 0.05)}) == []
    assert fired({"well_formed": 0.5}, {"well_formed": (-0.8, 0.0)}) == []  # zero is in the interval
    assert fired({"well_formed": 0.5}, {"well_formed": (-0.8, -0.01)}) == ["format"]


def test_a_certain_move_that_is_small_does_not_fire() -> None:
    assert fired({"well_formed": 0.94}, {"well_formed": (-0.011, -0.009)}) == []


@given(st.sampled_from(sorted(CALM)), st.booleans())
def test_a_measure_that_is_nan_on_either_side_fires_nothing(measure: str, first: bool) -> None:
    unknown = {**CALM, measure: math.nan}
    before, now = (unknown, CALM) if first else (CALM, unknown)
    without = {k: (-1.0, -0.5) for k in CALM if k != measure}  # no interval exists for it either
    assert alarms(before, now, without, LIMITS) == []


def test_several_gates_fire_in_their_order_and_say_what_to_try() -> None:
    after = {**CALM, "duplicate": 0.9, "written_coverage": 0.1}
    moves = {k: (after[k] - CALM[k], after[k] - CALM[k]) for k in CALM}
    found = alarms(CALM, after, moves, LIMITS)
    assert [a.gate for a in found] == ["concepts", "duplicates"]
    assert str(found[0]) == (
        "gate 'concepts' fired: 0.8 at the cold start, 0.1 now (allowed: 0.2); p stops following its concepts: "
        "try em.mstep_rationale=selected, or a lower em.p_training.lr"
    )


def test_a_length_that_was_zero_fires_when_it_is_no_longer() -> None:
    before, now = {**CALM, "tokens_sampled": 0.0}, {**CALM, "tokens_sampled": 1.0}
    moves = dict.fromkeys(CALM, (0.0, 0.0)) | {"tokens_sampled": (1.0, 1.0)}
    assert [a.gate for a in alarms(before, now, moves, LIMITS)] == ["length"]


def test_verdict() -> None:
    assert verdict((0.1, 0.3)) == "better"
    assert verdict((-0.3, -0.1)) == "worse"
    assert verdict((-0.1, 0.3)) == "converged"
    assert verdict((0.0, 0.3)) == "converged"
    assert verdict((-0.3, 0.0)) == "converged"
