"""What a gold answer is, however its table holds it: every reader and command asks `answer_text`."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptcot.verify.answers import compare
from promptcot.verify.boxes import box_spans, last_box
from promptcot.verify.golds import answer_text, is_missing, number_text


@pytest.mark.parametrize(
    ("held", "text"),
    [
        (7, "7"), (0, "0"), (-0.5, "-0.5"), (5.0, "5.0"), (0.1, "0.1"), (2e-05, "0.00002"), (1e16, "10000000000000000"),
        (1e22, "10000000000000000000000"), (-2.5e-7, "-0.00000025"), (Decimal("1E+3"), "1000"), (Decimal("2.50"), "2.50"),
        (123456789012345678901, "123456789012345678901"), (["7"], "7"), ([3e-9], "0.000000003"), (("x",), "x"), (True, "True"),
    ],
)  # fmt: skip
def test_a_number_is_written_out(held: object, text: str) -> None:
    assert answer_text(held) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_double_keeps_its_value_and_equals_itself(number: float) -> None:
    text = number_text(number)
    assert "e" not in text.lower()
    assert float(text) == number
    assert Fraction(text) == Fraction(repr(number))


def test_a_number_of_a_table_equals_what_people_write() -> None:
    assert compare(answer_text(2e-05), "0.00002") == ("correct", "equal")
    assert compare(answer_text("0.00002"), number_text(2e-05)) == ("correct", "equal")
    assert compare(answer_text(1e22), "10^{22}") == ("correct", "equal")


@pytest.mark.parametrize(
    "held", [None, math.nan, Decimal("nan"), "", " \n", "NaN", "nan", "None", "null", "NULL", "N/A", "n/a", "<NA>", "-", [], [None], ["N/A"]]
)  # fmt: skip
def test_what_is_missing_is_none(held: object) -> None:
    assert answer_text(held) is None


@pytest.mark.parametrize("held", ["0", "none of these", "NaCl", "-1", 0, False, [0], {}, "no", "x"])
def test_what_is_there_is_not_missing(held: object) -> None:
    assert not is_missing(held)


@pytest.mark.parametrize(
    ("solution", "text"),
    [
        ("#### 42", "42"),
        ("He has 3 + 4 = 7 apples.\n#### 7", "7"),
        ("So 40 + 2.\n####42  \n", "42"),
        ("It is 1,234 in all. #### 1,234", "1,234"),
        ("First #### 3\nand then\n#### $\\frac{1}{2}$", "$\\frac{1}{2}$"),
        ("\\boxed{3} is a step.\n#### \\boxed{8}", "8"),
        # a heading of the fourth level is no ending
        ("#### Step 1\nDouble it.\nIt is \\boxed{6}", "6"),
        ("##### 5", "##### 5"),
        ("<think>Is it \\boxed{1}?</think>It is \\boxed{2}.", "2"),
    ],
)
def test_of_a_solution_the_end_is_the_answer(solution: str, text: str) -> None:
    assert answer_text(solution) == text


@pytest.mark.parametrize(
    ("boxes", "text"),
    [
        (r"\boxed{7}", "7"),
        (r"The sum is $\boxed{\frac{1}{2}}$ cm.", r"\frac{1}{2}"),
        (r"\boxed{5} and, once more, \boxed{5}", "5"),
        (r"\boxed{\fbox{4}}", "4"),
        (r"\boxed{} is where it goes: \boxed{9}", "9"),
        (r"\(\boxed{1}\) and \(\boxed{-2}\).", "1, -2"),
        (r"$\boxed{3}$ or $\boxed{-3}$", "3, -3"),
        (r"\boxed{2}, \boxed{3}, \text{ and } \boxed{5}", "2, 3, 5"),
        (r"The roots are **\boxed{2}**; **\boxed{4}**", "2, 4"),
        (r"\[\boxed{(0,1)}\quad\text{or}\quad\boxed{(1,0)}\]", "(0,1), (1,0)"),
        (r"\boxed{1}、\boxed{2}和\boxed{3}。", "1, 2, 3"),
        (r"We find $x = \boxed{1}$ and $y = \boxed{2}$.", "x = 1, y = 2"),
        (r"$x_1 = \boxed{1}$, $x_2 = \boxed{2}$", "x_1 = 1, x_2 = 2"),
        (r"$x = \boxed{1}$ or $x = \boxed{2}$", "1, 2"),
        (r"$x = \boxed{1}$ or $\boxed{2}$", "1, 2"),
    ],
)
def test_boxes_are_taken_off_and_none_is_lost(boxes: str, text: str) -> None:
    assert answer_text(boxes) == text


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (["5", "6"], "a list of 2"),
        ({"value": 5}, "a dict"),
        ([{"value": 5}], "a dict"),
        ([["5"]], "a list"),
        (b"5", "bytes"),
        (math.inf, "no finite number"),
        (r"First \boxed{3}, and from that \boxed{5}.", "2 different boxes in the answer: 3, 5"),
        (r"\boxed{3} \boxed{5} remain when \boxed{7} is gone", "3 different boxes"),
        (r"\boxed{1} and \boxed{2}, but the second is extraneous", "2 different boxes"),
        (r"$x=\boxed{1}$, $y=\boxed{2}$, $\boxed{3}$", "different names"),
        (r"\boxed{ }", "empty"),
    ],
)
def test_what_holds_no_certain_answer_is_refused_with_the_reason(held: object, why: str) -> None:
    if why == "a list":  # of one: its element is what counts
        assert isinstance(held, list)
        held = [*held, held]
    with pytest.raises(ValueError, match=why):
        answer_text(held)


def test_no_part_of_a_gold_with_two_boxes_is_right() -> None:
    gold = answer_text(r"\(\boxed{1}\) and \(\boxed{-2}\).")
    assert [compare(gold, p)[0].value for p in ("1", "-2", "1, -2", "-2, 1")] == [
        "incorrect", "incorrect", "correct", "correct",
    ]  # fmt: skip


def test_all_boxes_are_found_in_order() -> None:
    assert all_boxes(r"\boxed{a} \fbox{ b } \boxed{\boxed{c}} \boxed{\{d\}} \boxed{e") == ["a", "b", "c", r"\{d\}"]  # fmt: skip
    assert all_boxes("none") == []


def all_boxes(text: str) -> list[str]:
    return [text[box.start : box.end].strip() for box in box_spans(text)]


PIECES = st.lists(st.sampled_from(["\\boxed{", "\\fbox {", "{", "}", "\\{", "\\}", "x", "y"]), max_size=14)


@given(PIECES)
def test_the_last_box_is_the_last_that_closes_and_all_boxes_end_with_it(pieces: list[str]) -> None:
    last = next((c for i in reversed(range(len(pieces))) if (c := content(pieces, i))), "")
    assert last_box("".join(pieces)) == last  # an empty box after it takes nothing back
    boxes = all_boxes("".join(pieces))
    assert [box for box in boxes if box][-1:] == ([last] if last else [])
    assert len(boxes) <= sum(piece in ("\\boxed{", "\\fbox {") for piece in pieces)


def content(pieces: list[str], at: int) -> str | None:
    """What stands in the box that the piece at `at` opens, brace by brace; None if it is no box, never closed or around another."""
    if pieces[at] not in ("\\boxed{", "\\fbox {"):
        return None
    depth = 1
    for end in range(at + 1, len(pieces)):
        depth += {"\\boxed{": 1, "\\fbox {": 1, "{": 1, "}": -1}.get(pieces[end], 0)
        if not depth:
            inside = pieces[at + 1 : end]
            return None if {"\\boxed{", "\\fbox {"} & set(inside) else "".join(inside)
    return None
