"""Self-play pairs: both readings of the difficulty filter, and what makes a pair."""

from __future__ import annotations

import pytest

from promptcot.records import Pair, Problem, Rollout
from promptcot.settings import Model, Preference, SelfPlay
from promptcot.stages.selfplay_rows import pairs_of, table

PROBLEM = Problem("p", "math", "1", ["gcd"], "plan", "What is 2+2?", answer="4")


def attempts(marks: str) -> list[Rollout]:
    """+ right, - wrong, n no answer, x cut off."""
    verdicts = {"+": "correct", "-": "incorrect", "n": "no_answer", "x": "no_answer"}
    return [
        Rollout(
            f"r{i}",
            "p",
            "math",
            i,
            f"text {i} {m}",
            5,
            "length" if m == "x" else "stop",
            "4",
            verdicts[m],
            "",
        )
        for i, m in enumerate(marks)
    ]


def settings(**changes: object) -> SelfPlay:
    base: dict[str, object] = {"model": Model(model="m"), "training": Preference(lr=1e-4), "drop_at": 0.5}
    return SelfPlay.model_validate({**base, **changes})


@pytest.mark.parametrize(
    ("marks", "rule", "reason"),
    [
        ("++++----", "at", "too_easy"),  # the paper: dropped when solved in at least half
        ("++++----", "above", None),  # the release: only above half
        ("+++++---", "above", "too_easy"),
        ("+++-----", "at", None),
        ("--------", "at", "never_solved"),
        ("+xx", "at", "no_wrong_attempt"),  # cut-off attempts are no negatives
        ("+nnn", "at", None),
    ],
)
def test_the_difficulty_filter(marks: str, rule: str, reason: str | None) -> None:
    n, pairs, rejects = table([PROBLEM], attempts(marks), settings(drop_rule=rule), 1, pairs_of)
    assert [r.reason for r in rejects] == ([reason] if reason else [])
    assert n == len(pairs) + len(rejects)


def test_pairs_are_right_over_wrong_distinct_and_capped() -> None:
    made = pairs_of(PROBLEM, attempts("+--++---------"), settings(pairs_per_problem=3), 1)
    assert isinstance(made, list)
    assert len(made) == 3
    assert all(p.chosen.endswith("+") and p.rejected.endswith("-") for p in made)
    assert len({(p.chosen, p.rejected) for p in made}) == 3
    assert len({p.chosen for p in made}) == 3  # every right attempt is used before one repeats
    assert len({p.id for p in made}) == 3


def test_the_pairs_depend_on_the_run_seed_and_on_nothing_else() -> None:
    def texts(seed: int) -> list[tuple[str, str]]:
        made = pairs_of(PROBLEM, attempts("++++------------"), settings(pairs_per_problem=2), seed)
        assert isinstance(made, list)
        return [(p.chosen, p.rejected) for p in made]

    assert texts(1) == texts(1)
    assert len({tuple(texts(s)) for s in range(8)}) > 1


def test_the_prompt_of_a_pair_holds_no_label() -> None:
    made = pairs_of(PROBLEM, attempts("+---"), settings(), 1)
    assert isinstance(made, list)
    assert isinstance(made[0], Pair)
    assert made[0].prompt == PROBLEM.problem
