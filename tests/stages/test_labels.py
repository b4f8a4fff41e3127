"""Labels: votes and vetted suites, with real programs in real processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from promptcot.records import Problem, Reject, Suite, SuiteAsk, UnitTest
from promptcot.settings import Label, Model, Rules, Vetting
from promptcot.stages.label import ballots, pick, with_suite, with_vote
from promptcot.stages.suites import vet_one
from promptcot.verify.answers import equivalent
from promptcot.verify.mutants import Mutant, caught_by
from promptcot.verify.sandbox import Limits

MATH = Problem("p", "math", "1", ["gcd"], "plan", "What is 1/2 + 1/2?")
SETTINGS = Label(model=Model(model="m"), samples=8, min_votes=5, min_tests=2)
DOUBLE = "print(2 * int(input()))"
TRIPLE = "print(3 * int(input()))"


def test_equal_values_vote_together_and_silence_does_not_vote() -> None:
    made = with_vote(MATH, ["1", "2/2", "1.0", "1", "1", "3", None, ""], SETTINGS, equivalent)
    assert isinstance(made, Problem)
    assert (made.answer, made.label_votes, made.label_samples, made.label_margin) == ("1", 5, 8, 4)


def test_too_few_votes_and_no_answers_are_rejects() -> None:
    made = with_vote(MATH, ["1"] * 4 + ["2"] * 4, SETTINGS, equivalent)
    assert isinstance(made, Reject)
    assert made.reason == "no_majority"
    silent = with_vote(MATH, [None] * 8, SETTINGS, equivalent)
    assert isinstance(silent, Reject)
    assert silent.reason == "no_answer"


def ask(programs: list[str], *tests: UnitTest, problem: str = "Print twice the number.") -> SuiteAsk:
    return SuiteAsk("p", problem, programs, list(tests))


def vetted(row: SuiteAsk, settings: Label = SETTINGS) -> Suite:
    made = vet_one(row, settings, Rules(), 1)
    assert isinstance(made, Suite)
    return made


def test_a_suite_keeps_what_the_programs_agree_on_and_corrects_wrong_outputs() -> None:
    made = vetted(
        ask([DOUBLE] * 6 + [TRIPLE] * 2, UnitTest("2", "4"), UnitTest("5", "11"), UnitTest("x", "1"))
    )
    assert [(t.input, t.output.strip()) for t in made.tests] == [("2", "4"), ("5", "10")]
    assert (made.proposed, made.confirmed, made.relabelled) == (3, 1, 1)
    assert json.loads(made.dropped) == {"input_invalid": 1}
    assert (made.programs, made.votes, made.margin, made.agreement) == (8, 6, 4, 0.75)
    assert (made.failing, made.flags) == (1, [])


def test_without_relabelling_a_test_with_another_output_goes() -> None:
    strict = SETTINGS.model_copy(update={"vetting": Vetting(relabel=False), "min_tests": 1})
    made = vetted(ask([DOUBLE] * 8, UnitTest("2", "4"), UnitTest("5", "11")), strict)
    assert [t.input for t in made.tests] == ["2"]
    assert json.loads(made.dropped) == {"output_differs": 1}


def test_divided_programs_give_no_suite() -> None:
    made = vetted(ask([DOUBLE] * 4 + [TRIPLE] * 4, UnitTest("2", "4"), UnitTest("5", "10")))
    assert made.tests == []
    assert made.flags == ["needs_checker", "too_few_tests"]  # a shared mistake and a second answer look alike
    assert json.loads(made.dropped) == {"tie": 2}


def test_no_test_and_too_few_programs_are_named() -> None:
    none = vet_one(ask([DOUBLE] * 8), SETTINGS, Rules(), 1)
    few = vet_one(ask([DOUBLE] * 2, UnitTest("2", "4")), SETTINGS, Rules(), 1)
    assert isinstance(none, Reject)
    assert isinstance(few, Reject)
    assert (none.reason, few.reason) == ("no_test_proposed", "too_few_programs")


RANDOM = "import random\nprint(random.random())"
UNORDERED = "print(*set(input().split()))"


def test_programs_that_change_their_output_from_run_to_run_do_not_vote() -> None:
    for program in (RANDOM, UNORDERED):
        made = vetted(ask([program] * 8, UnitTest("a b c d e f", "a")))
        assert (made.tests, json.loads(made.dropped)) == ([], {"input_invalid": 1})


SHUFFLES = [
    "n = int(input())\nprint(*range(1, n + 1))",
    "n = int(input())\nprint(*range(n, 0, -1))",
    "n = int(input())\nprint(n, *range(1, n))",
    "n = int(input())\nprint(*range(2, n + 1), 1)",
]
ANY = "Given n, print any permutation of the numbers from 1 to n."


def test_a_problem_with_several_right_outputs_needs_a_checker() -> None:
    tests = (UnitTest("4", "1 2 3 4"), UnitTest("5", "1 2 3 4 5"), UnitTest("1", "1"))
    by_words = vetted(ask(SHUFFLES[:1] * 8, *tests, problem=ANY))
    by_votes = vetted(ask(SHUFFLES * 2, *tests, problem="Given n, shuffle the numbers from 1 to n."))
    for made in (by_words, by_votes):
        assert "needs_checker" in made.flags
        assert made.mutants == 0  # nothing is tried on tests that cannot judge
        dropped = with_suite(MATH, made, SETTINGS)
        assert isinstance(dropped, Reject)
        assert dropped.reason == "needs_checker"
    keep = SETTINGS.model_copy(update={"vetting": Vetting(needs_checker="flag")})
    kept = with_suite(MATH, by_words, keep)
    assert isinstance(kept, Problem)
    assert (len(kept.tests), kept.label_flags) == (3, ["needs_checker"])


def test_tests_that_catch_nothing_make_a_weak_suite() -> None:
    absolute = "n = int(input())\nif n < 0:\n    n = -n\nprint(n)"
    blind = vetted(ask([absolute] * 8, UnitTest("0", "0"), UnitTest("-0", "0")))
    # At 0 only the mutant that prints nothing shows itself (test_mutants has all nine by hand).
    assert (blind.mutants, blind.mutants_killed, blind.flags) == (9, 1, ["weak"])
    dropping = SETTINGS.model_copy(update={"vetting": Vetting(weak="drop")})
    dropped = with_suite(MATH, blind, dropping)
    assert isinstance(dropped, Reject)
    assert dropped.reason == "weak"
    kept = with_suite(MATH, blind, SETTINGS)
    assert isinstance(kept, Problem)
    assert (kept.label_flags, kept.mutants, kept.mutants_killed) == (["weak"], 9, 1)
    assert vetted(ask([absolute] * 8, UnitTest("-3", "3"), UnitTest("4", "4"))).flags == []


def test_without_mutants_a_suite_is_weak_unless_a_program_of_the_labeller_fails() -> None:
    none = SETTINGS.model_copy(update={"vetting": Vetting(mutants=0)})
    tests = UnitTest("2", "4"), UnitTest("5", "10")
    assert vetted(ask([DOUBLE] * 8, *tests), none).flags == ["weak"]
    assert vetted(ask([DOUBLE] * 7 + ["raise SystemExit(1)"], *tests), none).flags == [
        "weak"
    ]  # anything catches that
    assert vetted(ask([DOUBLE] * 7 + [TRIPLE], *tests), none).flags == []


def test_the_tests_that_separate_come_first_and_one_that_catches_nothing_goes() -> None:
    good, bad = "print(abs(int(input())))", "print(int(input()))"
    tests = [UnitTest("4", "4"), UnitTest("0", "0"), UnitTest("-3", "3"), UnitTest("7", "7")]
    one = SETTINGS.model_copy(update={"min_tests": 1, "vetting": Vetting(mutants=0)})
    made = vetted(ask([good] * 6 + [bad] * 2, *tests), one)
    assert [t.input for t in made.tests] == ["-3"]
    assert json.loads(made.dropped) == {"adds_nothing": 3}
    three = one.model_copy(update={"min_tests": 3})
    assert [t.input for t in vetted(ask([good] * 6 + [bad] * 2, *tests), three).tests] == ["-3", "4", "0"]


def test_a_mutant_that_never_ends_is_caught_and_costs_seconds_of_cpu_at_most() -> None:
    loop = "n = int(input())\ns = 0\nwhile n > 0:\n    s += n\n    n -= 1\nprint(s)"
    (run,) = caught_by(
        [Mutant(loop.replace("n -= 1", "pass"), "statement")], [UnitTest("3", "6")], Limits(cpu_s=1)
    )
    assert run == 0


def test_a_random_choice_of_problems_is_stable_and_without_repeats() -> None:
    problems = [Problem(f"p{i}", "math", "1", ["x"], "z", f"Q{i}") for i in range(50)]
    some = pick(problems, 10, 1)
    assert some == pick(list(reversed(problems)), 10, 1)
    assert len({p.id for p in some}) == 10
    assert some != pick(problems, 10, 2)


def attempts(*answers: tuple[str, Sequence[str | None]]) -> Any:
    rows = [SimpleNamespace(problem_id=i, answer=a, verdict="") for i, given in answers for a in given]
    return SimpleNamespace(rows=lambda: iter(rows))


def test_ballots_say_which_votes_no_further_sample_can_change() -> None:
    first = attempts(
        ("agreed", ["1"] * 5), ("near", ["1"] * 4 + ["2"]), ("split", ["1", "2", "3", "4", "5"]), ("silent", [None] * 5)
    )  # fmt: skip
    voting = [replace(MATH, id=i) for i in ("agreed", "near", "split", "silent")]
    n, rows, _ = ballots(voting, [first], 1, SETTINGS, "compact")
    assert n == 4
    # silent: 3 more answers cannot make 5 votes, nor can 1 + 3 for split; near has 4 and may get a fifth.
    assert {b.id: b.decision for b in rows} == {
        "agreed": "accepted", "near": "open", "split": "refused", "silent": "refused"
    }  # fmt: skip
    later = attempts(("near", ["1.0", "2"]))
    _, (second,), _ = ballots([voting[1]], [first, later], 2, SETTINGS, "compact")
    assert (second.samples, second.votes, second.margin, second.decision) == (7, 5, 3, "accepted")
