"""What a solver's attempts become: sides, caps, waves, rows for SFT, the label monitor, and no label in any of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from promptcot.records import Problem, Reject, Rollout, UnitTest
from promptcot.settings import GRPO, Model, Preference, Rules, SelfPlay
from promptcot.stages import selfplay_rows as rows
from promptcot.stages.selfplay_fit import reward

PROBLEM = Problem("p", "math", "1", ["gcd"], "plan 31337", "What is 2+2?", answer="31337")
MARKS = {
    "+": ("correct", "stop", "\\boxed{31337}"),
    "-": ("incorrect", "stop", "\\boxed{5}"),
    "n": ("no_answer", "stop", "no box"),
    "x": ("no_answer", "length", "and then"),
    "?": ("unscored", "stop", "\\boxed{7}"),
    "b": ("correct", "stop", "<think> \\boxed{31337}"),  # right, and not one whole turn
}


def attempts(marks: str, problem: str = "p") -> list[Rollout]:
    made = []
    for i, m in enumerate(marks):
        verdict, finish, text = MARKS[m]
        answer = {"+": "31337", "-": "5", "?": "7"}.get(m)
        made.append(Rollout(f"r{i}", problem, "math", i, f"{text} {i}", 5, finish, answer, verdict, ""))
    return made


def settings(**changes: object) -> SelfPlay:
    base: dict[str, object] = {"model": Model(model="m"), "training": Preference(lr=1e-4), "drop_at": 0.5}
    return SelfPlay.model_validate({**base, **changes})


@pytest.mark.parametrize(
    ("wrong", "sides"),
    [
        ("answered", {"+": True, "-": False, "n": None, "x": None, "?": None, "b": None}),
        ("finished", {"+": True, "-": False, "n": False, "x": None, "?": None, "b": None}),
        ("any", {"+": True, "-": False, "n": False, "x": False, "?": None, "b": None}),
    ],
)
def test_which_attempts_are_right_and_wrong(wrong: str, sides: dict[str, bool | None]) -> None:
    s = settings(wrong=wrong)
    assert {m: rows.side(attempts(m)[0], "", s) for m in sides} == sides


@pytest.mark.parametrize(
    ("wrong", "rewards"),
    [
        ("answered", [1.0, 0.0, None, None]),
        ("finished", [1.0, 0.0, 0.0, None]),
        ("any", [1.0, 0.0, 0.0, 0.0]),
    ],
)
def test_rewards_follow_the_same_rules(wrong: str, rewards: list[float | None]) -> None:
    task = rows.task_of(PROBLEM, [], settings(), 1)
    assert isinstance(task, list)
    texts = [("\\boxed{31337}", "stop"), ("\\boxed{5}", "stop"), ("no box", "stop"), ("and", "length")]
    found = [
        reward(0, text, finish, tasks=task, settings=settings(wrong=wrong, method="grpo", training={"lr": 1e-5}),
               style="compact", rules=Rules())
        for text, finish in texts
    ]  # fmt: skip
    assert found == rewards


def test_what_cannot_be_judged_has_no_reward() -> None:
    unreadable = Problem("p", "math", "1", [], "", "?", answer="")
    task = rows.task_of(unreadable, [], settings(), 1)
    assert isinstance(task, list)
    given = reward(0, "\\boxed{5}", "stop", tasks=task, settings=settings(), style="compact", rules=Rules())
    assert given is None


@pytest.mark.parametrize(
    ("marks", "how", "caps", "expected"),
    [
        ("++------", "all", {}, 12),
        ("++------", "min", {}, 2),
        ("+++-----", "min", {"drop_at": 0.9}, 3),
        ("++------", 1, {}, 1),
        ("++------", 5, {}, 5),
        ("++------", "all", {"max_pairs": 4}, 4),
        ("+-------", "min", {"min_pairs": 2}, "few_pairs"),
        ("b-------", "all", {}, "no_right_turn"),
    ],
)
def test_how_many_pairs(marks: str, how: int | str, caps: dict[str, int], expected: int | str) -> None:
    made = rows.pairs_of(PROBLEM, attempts(marks), settings(pairs_per_problem=how, **caps), 1)
    assert (made.reason if isinstance(made, Reject) else len(made)) == expected
    if how == "min" and not isinstance(made, Reject):
        assert len({p.chosen for p in made}) == len({p.rejected for p in made}) == len(made)


def test_a_cut_off_turn_is_marked_so_that_no_end_is_put_behind_it() -> None:
    made = rows.pairs_of(PROBLEM, attempts("+x-----"), settings(wrong="any", pairs_per_problem="all"), 1)
    assert isinstance(made, list)
    assert {p.rejected: p.truncated for p in made}["and then 1"]
    assert sum(p.truncated for p in made) == 1


def test_right_turns_for_sft_are_distinct_capped_and_whole() -> None:
    twice = [*attempts("++b+-"), *attempts("+")]  # the last repeats the first
    s = settings(method="sft", traces_per_problem=2, training={"lr": 1e-5})
    made = rows.traces_of(PROBLEM, twice, s, 1)
    assert isinstance(made, list)
    assert len(made) == len({t.response for t in made}) == 2
    everything = rows.traces_of(PROBLEM, twice, s.model_copy(update={"traces_per_problem": 9}), 1)
    assert isinstance(everything, list)
    assert sorted(t.response for t in everything) == [f"\\boxed{{31337}} {i}" for i in (0, 1, 3)]


def test_no_prompt_holds_the_label_or_the_rationale() -> None:
    problem = Problem(
        "p", "code", "1", [], "plan 31337", "Add.", answer="31337", tests=[UnitTest("1", "31337")]
    )
    for made in (
        rows.pairs_of(problem, attempts("+-"), settings(), 1),
        rows.traces_of(problem, attempts("+-"), settings(), 1),
    ):
        assert isinstance(made, list)
        assert {p.prompt for p in made} == {"Add."}


@pytest.mark.parametrize("rule", ["at", "above"])
@pytest.mark.parametrize("early", ["dropped", "decided"])
def test_waves_keep_every_decision_and_what_training_needs(rule: str, early: str) -> None:
    """Every outcome of eight attempts, drawn as 4 + 2 + 2."""
    s = settings(waves=[4, 2, 2], early=early, drop_rule=rule, pairs_per_problem=2)
    drawn = planned = 0
    for outcome in product("+-", repeat=8):
        whole, at = attempts("".join(outcome)), 4
        for size in (2, 2):
            if rows.needs_more(PROBLEM, whole[:at], 8 - at, s):
                at += size
        full, part = rows.filtered(PROBLEM, whole, s), rows.filtered(PROBLEM, whole[:at], s)
        assert (full.reason if full else None) == (part.reason if part else None), outcome
        if full is None:
            a, b = (rows.pairs_of(PROBLEM, some, s, 1) for some in (whole, whole[:at]))
            assert isinstance(a, list)
            assert isinstance(b, list)
            assert len(a) == len(b) == 2
            assert early == "decided" or a == b, "the rows of a kept problem are those of all attempts"
        drawn, planned = drawn + at, planned + 8
    assert drawn < planned


def test_attempts_with_one_text_are_not_enough_for_several_pairs() -> None:
    s = settings(waves=[4, 2, 2], early="decided", pairs_per_problem=2)
    same = [replace(a, text=a.text.rpartition(" ")[0]) for a in attempts("+-----")]
    made = rows.pairs_of(PROBLEM, same, s, 1)
    assert isinstance(made, list)
    assert len(made) == 1
    assert rows.needs_more(PROBLEM, same, 2, s)
    assert not rows.needs_more(PROBLEM, attempts("+-----"), 2, s)


def test_the_monitor_counts_sure_majorities_against_the_label() -> None:
    problems = [Problem(str(i), "math", "1", [], "", f"{i}?", answer="31337") for i in range(4)]
    marks = ["---+", "+++-", "-n", "+-"]  # sure of 5; sure of the label; one voice is no majority; a tie
    played = [a for p, m in zip(problems, marks, strict=True) for a in attempts(m, p.id)]
    found = rows.figures(1, problems, played, settings(drop_at=1.0), 3, (0.5, 0.1, 0.0, 0.2), "compact")
    assert (found.voted, found.against) == (2, 1)
    assert found.solved == pytest.approx((1 / 4 + 3 / 4 + 0 + 1 / 2) / 4)
    assert (found.kept, found.never_solved, found.too_easy) == (3, 1, 0)
    assert (found.planned, found.drawn) == (32, 12)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"waves": [4, 2]}, "add up to rollouts=8"),
        ({"early": "decided", "waves": [4, 4], "pairs_per_problem": "all"}, "needs a number"),
        ({"min_pairs": 3}, "min_pairs=3 drops every problem"),
        ({"pairs_per_problem": "all", "min_pairs": 3, "max_pairs": 2}, "min_pairs=3 drops every problem"),
        ({"stop": True}, "selfplay.track of 2"),
        ({"method": "sft", "training": {"lr": 1e-5, "beta": 0.2}}, "training.beta does nothing"),
        ({"grpo": GRPO(group=4)}, "selfplay.grpo does nothing with method=dpo"),
        ({"training": {"lr": 1e-5, "packing": True}}, "packing is for SFT"),
        ({"training": {"lr": 1e-5, "batch_size": 3, "launch": {"processes": 2}}}, "shared evenly"),
    ],
)
def test_impossible_combinations_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        settings(**changes)


@pytest.mark.parametrize("method", ["dpo", "sft", "grpo"])
def test_a_saved_recipe_can_be_read_again(method: str) -> None:
    s = settings(method=method, training={"lr": 1e-5})
    assert SelfPlay.model_validate(s.model_dump(mode="json")) == s
