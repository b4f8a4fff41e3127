r"""Answers as people and models write them: one file of pairs for each verdict, a gold answer and a prediction a line.

`equal.tsv` and `different.tsv` hold what must be decided; `open.tsv` what is left open, because the grammar does not
read it or because two readings differ, and is then never counted as wrong.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.records import Verdict
from promptcot.verify.answers import compare, equivalent, is_read, judge_prediction
from promptcot.verify.boxes import extract_boxed
from promptcot.verify.workers import Bounds

PATIENT = Bounds(cpu_s=30, wall_s=120)  # what is asked here is the verdict, not the time
HERE = Path(__file__).parent / "written"


def rows(name: str) -> list[tuple[str, str]]:
    lines = (HERE / f"{name}.tsv").read_text().splitlines()
    return [(gold, prediction) for gold, _, prediction in (line.partition("\t") for line in lines)]


@pytest.mark.parametrize(("gold", "prediction"), rows("equal"))
def test_ways_to_write_one_answer_are_correct(gold: str, prediction: str) -> None:
    assert judge_prediction(gold, prediction, bounds=PATIENT) == (Verdict.CORRECT, "equal")


@pytest.mark.parametrize(("gold", "prediction"), rows("different"))
def test_other_answers_are_incorrect(gold: str, prediction: str) -> None:
    assert judge_prediction(gold, prediction, bounds=PATIENT)[0] is Verdict.INCORRECT


@pytest.mark.parametrize(("gold", "prediction"), rows("open"))
def test_what_is_not_read_is_neither(gold: str, prediction: str) -> None:
    verdict, reason = judge_prediction(gold, prediction, bounds=PATIENT)
    assert verdict is Verdict.UNSCORED
    assert reason.startswith("unreadable")


# --- unreadable is not wrong


@pytest.mark.parametrize(
    ("gold", "prediction", "expected"),
    [
        ("5", "we walked for 5 weeks, or so", Verdict.UNSCORED),
        ("5", "we walked for 6 weeks, or so", Verdict.INCORRECT),
        ("5", "we walked for weeks, or so?", Verdict.INCORRECT),
        ("5", "(5", Verdict.INCORRECT),
        ("2x", "x2", Verdict.UNSCORED),  # a product
        ("x^2", "x2", Verdict.UNSCORED),  # a lost power
        ("7", "x2", Verdict.INCORRECT),  # neither
        (r"\text{Alice}", "Alice and 2 others?", Verdict.INCORRECT),
        (r"\text{Alice}", "it was Alice!", Verdict.UNSCORED),
        (r"\text{Alice}", "is it Bob?", Verdict.INCORRECT),
        (r"\sum_n^m ?", "5", Verdict.UNSCORED),
    ],
)
def test_an_unread_answer_is_wrong_only_if_it_is_no_form_of_the_gold(
    gold: str, prediction: str, expected: Verdict
) -> None:
    verdict, reason = compare(gold, prediction)
    assert verdict is expected
    assert reason.startswith("unreadable")


def test_answers_with_two_readings_each_differ_if_they_do_in_both() -> None:
    assert compare("Nf3", "Bc4")[0] is Verdict.INCORRECT
    assert compare("Nf3", "Nf3")[0] is Verdict.CORRECT
    assert compare("a1", "1a")[0] is Verdict.UNSCORED


@pytest.mark.parametrize(
    "gold", ["5", r"\frac{1}{2}", "C", "(C) 58", "no solution", r"x \in [0,1)", "3 cm", "even"]
)
def test_golds_that_are_read(gold: str) -> None:
    assert is_read(gold)


@pytest.mark.parametrize(
    "gold",
    [
        r"\frac{?}{2}",
        "Since it is even, we get 3 ways, as claimed.",
        "the function takes every value at least once on it",
    ],
)
def test_golds_that_equal_only_their_own_spelling(gold: str) -> None:
    assert not is_read(gold)


# --- an equation that says nothing is no answer to one that does

EQUATIONS = [
    "y=3x-1",
    "x^2+y^2=49",
    "|x|+|y|=3",
    "x+y=7",
    r"\sin x=\frac12",
    "x^2=16",
    r"a^2\ge b",
    "x>4",
    r"x\ne 6",
]
IDENTITIES = [
    r"\ln e=1", r"\sin(\pi)=0", "3=3", "0=0", r"\sqrt{49}=7", r"\log_3 27=3", r"\cos^2(2)+\sin^2(2)=1", r"e^0=1", "2<3",
    r"1\ne 2", r"\tan\frac{\pi}{4}=1", "7-7=0", r"\binom{4}{2}=6",
]  # fmt: skip


@pytest.mark.parametrize("gold", EQUATIONS)
@pytest.mark.parametrize("prediction", IDENTITIES)
def test_a_true_statement_about_numbers_equals_no_equation(gold: str, prediction: str) -> None:
    assert compare(gold, prediction, bounds=PATIENT)[0] is not Verdict.CORRECT
    assert not equivalent(gold, prediction)


small = st.integers(-99, 99)


@settings(deadline=None)
@given(small, small, small)
def test_an_identity_answers_with_its_value_if_it_holds(a: int, b: int, c: int) -> None:
    assert equivalent(str(c), f"{a}+({b})={c}") == (a + b == c)
    assert equivalent(str(a + b), f"{a}+({b})={a + b}")
    assert not equivalent("x+y=1", f"{a}+({b})={a + b}")


@pytest.mark.parametrize(
    ("gold", "prediction"),
    [
        ("x>3", "2x+1>7"),
        ("(-2,8)", "|x-3|<5"),
        ("[-1,6]", r"x^2-5x-6\le 0"),
        (r"\{2,5\}", r"\{x:x^2-7x+10=0\}\cup\emptyset"),
    ],
)
def test_a_condition_that_still_has_to_be_solved_is_left_open(gold: str, prediction: str) -> None:
    assert compare(gold, prediction, bounds=PATIENT) == (Verdict.UNSCORED, "open: one side is not solved")


# --- signs


def test_every_sign_is_a_choice_of_its_own() -> None:
    gold = r"\pm\sqrt{5\pm\sqrt{3}}"
    four = [rf"{s}\sqrt{{5{t}\sqrt{{3}}}}" for s in "+-" for t in "+-"]
    assert compare(gold, ",".join(four))[0] is Verdict.CORRECT
    for dropped in range(4):
        assert compare(gold, ",".join(four[:dropped] + four[dropped + 1 :]))[0] is Verdict.INCORRECT
    assert compare(gold, ",".join(four[::3]))[0] is Verdict.INCORRECT


def test_a_minus_plus_ties_the_signs() -> None:
    assert compare(r"\pm 2\mp\sqrt{3}", r"2-\sqrt{3},-2+\sqrt{3}")[0] is Verdict.CORRECT
    assert compare(r"\pm 2\mp\sqrt{3}", r"2+\sqrt{3},-2-\sqrt{3}")[0] is Verdict.INCORRECT


def test_points_whose_signs_may_go_together_are_left_open() -> None:
    assert compare(r"(\pm 4,\pm 1)", "(4,1),(-4,-1)") == (
        Verdict.UNSCORED, "open: two signs of \u00b1 may belong together or not",
    )  # fmt: skip
    assert compare(r"(\pm 4,\pm 1)", "(4,1),(-4,-1),(4,-1),(-4,1)")[0] is Verdict.CORRECT
    assert compare(r"(\pm 4,\pm 1)", "(4,1),(4,-1)")[0] is Verdict.INCORRECT


# --- doubles


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers(2, 10**4))
def test_a_fraction_equals_what_its_double_prints_and_no_neighbour(top: int, bottom: int) -> None:
    value = top / bottom
    if Fraction(value) == Fraction(top, bottom):
        return
    gold = rf"\frac{{{top}}}{{{bottom}}}"
    written = f"{value:.17f}" if value < 1e-4 else repr(value)
    digits = len(re.sub(r"\D", "", written).lstrip("0"))
    if digits < 15:  # 0.1 is no tenth of another fraction
        return
    assert compare(gold, written)[0] is Verdict.CORRECT
    if digits > 15:
        beyond = repr(math.nextafter(math.nextafter(value, math.inf), math.inf))
        assert compare(gold, beyond)[0] is Verdict.INCORRECT or len(beyond) < len(written)


# --- boxes


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed 8", "8"),
        (r"\boxed8.", "8"),
        (r"\boxed -3", "-3"),
        (r"\boxed x", "x"),
        (r"escaped twice: \\boxed{8}", "8"),
        (r"\framebox{8}", "8"),
        (r"$x=\boxed{8}$ or $x=\boxed{-8}$", r"8 \text{ or } -8"),
        (r"\boxed{8}, \boxed{9} and \boxed{10}", "8, 9, 10"),
        (r"\boxed{8} \text{ and } \boxed{9}", "8, 9"),
        (r"\boxed{8}, that is \boxed{9}", "9"),
        (r"first \boxed{8}. Then \boxed{9}", "9"),
        (r"\boxed{8} or \boxed{8}", "8"),
        (r"\boxed{8} \boxed{9}", "9"),
        (r"\boxed{a=\boxed{8}}", "8"),
    ],
)
def test_boxes_as_models_write_them(text: str, answer: str) -> None:
    assert extract_boxed(text) == answer


def test_a_gold_keeps_all_its_boxes() -> None:
    assert judge_prediction(r"\(\boxed{4}\), \(\boxed{-4}\)", "4")[0] is Verdict.INCORRECT
    assert judge_prediction(r"$\boxed{4}$ or $\boxed{-4}$", "-4")[0] is Verdict.INCORRECT
    assert judge_prediction(r"$\boxed{4}$ or $\boxed{-4}$", "-4, 4")[0] is Verdict.CORRECT
    assert judge_prediction("First add them up.\n#### 39", "39")[0] is Verdict.CORRECT
