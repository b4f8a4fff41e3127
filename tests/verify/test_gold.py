"""The gold check: references that judge rightly pass, every kind of bad one is named, failures of the machine raise."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from promptcot.errors import UserError
from promptcot.records import UnitTest, Verdict
from promptcot.verify import answers, outputs, programs
from promptcot.verify.gold import GoldSuite, answer_flaw, check_answers, check_suites, suite_flaw
from promptcot.verify.workers import POOL

DOUBLE = "print(2 * int(input()))"


@pytest.mark.parametrize(
    "gold", ["42", "-3/7", "0", "0.5", r"\frac{1}{2}", "(1,2]", r"1,\sqrt{2}", "Yes", r"336^\circ", r"x^2+7"]
)
def test_answers_that_judge_rightly_pass(gold: str) -> None:
    assert answer_flaw("a", gold) == ""


@pytest.mark.parametrize("gold", ["", "  ", "\\frac{1", "\\boxed{5}}"])
def test_an_answer_that_cannot_judge_is_named(gold: str) -> None:
    with pytest.raises(UserError, match=r"of file#3 cannot judge"):
        check_answers([("fine", "1"), ("file#3", gold)])


def test_a_verifier_that_accepts_everything_or_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    for verdict in (Verdict.CORRECT, Verdict.INCORRECT):
        monkeypatch.setattr(answers, "check_answer", lambda *_a, _v=verdict, **_k: (_v, "broken"))
        with pytest.raises(UserError, match="cannot judge"):
            check_answers([("a", "1")])


def test_an_answer_that_the_verifier_breaks_on_is_flawed_and_the_next_one_is_checked() -> None:
    assert "unscored" in answer_flaw("a", "x > i")
    assert answer_flaw("b", "12") == ""


@pytest.mark.parametrize("reason", ["crashed", "timeout (4 s)", "memory", "sympy failed: TypeError: no"])
def test_a_time_limit_or_a_crash_is_a_flaw_of_the_answer(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "check_answer", lambda *_a, **_k: (Verdict.UNSCORED, reason))
    assert answer_flaw("a", "1") == f"'1' is judged unscored ({reason})"


def test_a_verifier_that_cannot_run_is_no_flaw_of_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    POOL.shut()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/python")
        with pytest.raises(UserError, match="could not be checked: cannot start /no/such/python"):
            answer_flaw("a", "1", "math-verify")
    (tmp_path / "math_verify.py").write_text("raise ImportError(name='math_verify')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="could not be checked: needs the package 'math-verify'"):
        answer_flaw("a", "1", "math-verify")
    monkeypatch.setattr(
        answers, "check_answer", lambda *_a, **_k: (Verdict.UNSCORED, "the worker did not start (60 s)")
    )
    with pytest.raises(UserError, match="could not be checked: the worker did not start"):
        answer_flaw("a", "1")


def test_the_number_of_checked_items_is_returned() -> None:
    assert check_answers((str(i), str(i)) for i in range(5)) == 5
    assert check_suites([]) == 0


@pytest.mark.parametrize(
    ("suite", "flaw"),
    [
        (GoldSuite("s", []), "there are none"),
        (GoldSuite("s", [UnitTest("1", "\n"), UnitTest("2", "")]), "blank"),
        (GoldSuite("s", [UnitTest("1", "NaN")], function="f"), "does not equal itself"),
        (GoldSuite("s", [UnitTest("1", "no JSON")], function="f"), "does not equal itself"),
        (GoldSuite("s", [UnitTest("1", "1"), UnitTest("2", "")]), ""),
        (GoldSuite("s", [UnitTest("1", "[1, 7]")], function="f"), ""),
        (GoldSuite("s", [UnitTest("3", "6"), UnitTest("4", "9")], DOUBLE), "test 1: its solution ended with wrong_output"),
        (GoldSuite("s", [UnitTest("x", "6")], DOUBLE), "test 0: its solution ended with error"),
        (GoldSuite("s", [UnitTest("3", "6"), UnitTest("4", " 8 \n")], DOUBLE), ""),
        (GoldSuite("s", [UnitTest("3", "6")], "def f(x):\n    return 2 * x", "f"), ""),
        (GoldSuite("s", [UnitTest("3", "7")], "def f(x):\n    return 2 * x", "f"), "wrong_output"),
    ],
)  # fmt: skip
def test_tests_are_judged_by_their_own_solution(suite: GoldSuite, flaw: str) -> None:
    found = suite_flaw(suite)
    assert (flaw in found) if flaw else found == ""


def test_a_judge_that_passes_everything_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    suite = GoldSuite("file#9", [UnitTest("3", "6")], DOUBLE)
    monkeypatch.setattr(programs, "run_tests", lambda *_a, **_k: ["passed"])
    with pytest.raises(UserError, match=r"file#9.*against a perturbed output"):
        check_suites([suite])
    monkeypatch.setattr(outputs, "same_output", lambda *_: True)
    with pytest.raises(UserError, match="also accepts"):
        check_suites([suite])


def test_a_lost_run_raises_and_is_no_flaw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run_tests", lambda *_a, **_k: ["lost"])
    with pytest.raises(UserError, match="was lost"):
        suite_flaw(GoldSuite("s", [UnitTest("3", "6")], DOUBLE))
