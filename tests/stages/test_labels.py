"""Labels: votes and vetted suites, with real programs in real processes."""

from __future__ import annotations

from promptcot.records import Problem, Reject, Suite, SuiteAsk, UnitTest
from promptcot.settings import Label, Model, Rules
from promptcot.stages.label import _vet_one, _with_vote, pick

MATH = Problem("p", "math", "1", ["gcd"], "plan", "What is 1/2 + 1/2?")
SETTINGS = Label(model=Model(model="m"), samples=8, min_votes=5, min_tests=2)
DOUBLE = "print(2 * int(input()))"
TRIPLE = "print(3 * int(input()))"


def test_equal_values_vote_together_and_silence_does_not_vote() -> None:
    made = _with_vote(MATH, ["1", "2/2", "1.0", "1", "1", "3", None, ""], SETTINGS)
    assert isinstance(made, Problem)
    assert (made.answer, made.label_votes, made.label_samples, made.label_margin) == ("1", 5, 8, 4)


def test_too_few_votes_and_no_answers_are_rejects() -> None:
    made = _with_vote(MATH, ["1"] * 4 + ["2"] * 4, SETTINGS)
    assert isinstance(made, Reject)
    assert made.reason == "no_majority"
    silent = _with_vote(MATH, [None] * 8, SETTINGS)
    assert isinstance(silent, Reject)
    assert silent.reason == "no_answer"


def test_a_suite_keeps_what_the_programs_agree_on_and_corrects_wrong_outputs() -> None:
    ask = SuiteAsk(
        "p", [DOUBLE] * 6 + [TRIPLE] * 2, [UnitTest("2", "4"), UnitTest("5", "11"), UnitTest("x", "1")]
    )
    made = _vet_one(ask, SETTINGS, Rules())
    assert isinstance(made, Suite)
    assert [(t.input, t.output.strip()) for t in made.tests] == [("2", "4"), ("5", "10")]
    assert (made.confirmed, made.relabelled, made.votes, made.margin) == (1, 1, 6, 4)


def test_divided_programs_give_no_suite() -> None:
    ask = SuiteAsk("p", [DOUBLE] * 4 + [TRIPLE] * 4, [UnitTest("2", "4"), UnitTest("5", "10")])
    made = _vet_one(ask, SETTINGS, Rules())
    assert isinstance(made, Reject)
    assert made.reason == "too_few_tests"


def test_no_test_and_too_few_programs_are_named() -> None:
    none = _vet_one(SuiteAsk("p", [DOUBLE] * 8, []), SETTINGS, Rules())
    few = _vet_one(SuiteAsk("p", [DOUBLE] * 4, [UnitTest("2", "4")]), SETTINGS, Rules())
    assert isinstance(none, Reject)
    assert isinstance(few, Reject)
    assert (none.reason, few.reason) == ("no_test_proposed", "too_few_programs")


def test_a_random_choice_of_problems_is_stable_and_without_repeats() -> None:
    problems = [Problem(f"p{i}", "math", "1", ["x"], "z", f"Q{i}") for i in range(50)]
    some = pick(problems, 10, 1)
    assert some == pick(list(reversed(problems)), 10, 1)
    assert len({p.id for p in some}) == 10
    assert some != pick(problems, 10, 2)
