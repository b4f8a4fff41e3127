"""Answers: what is read from a text, what counts as equal, and what never does."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.records import Verdict
from promptcot.verify.answers import check_answer, compare, equivalent, extract_boxed, letter_of, normalize

DATA = Path(__file__).parents[3] / "shared" / "data"


def rows_of(relative: str) -> list[dict[str, Any]]:
    path = DATA / relative
    if not path.exists():
        pytest.skip(f"needs {relative}, which is not part of the repository")
    return [json.loads(line) for line in path.read_text().splitlines()]


# --- the box


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{5}", "5"),
        (r"\boxed{4}, no: \boxed{5}", "5"),
        (r"\fbox{7}", "7"),
        (r"\boxed {\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{\left\{ x \right.}", r"\left\{ x \right."),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed{4} and then \boxed{\frac{1}{2}", "4"),
        (r"<think>\boxed{3}</think> \boxed{5}", "5"),
        (r"<think>a</think><think>b</think>\boxed{5}", "5"),
        (r"\boxed{3}</think>\boxed{5}", "5"),
    ],
)
def test_the_last_balanced_box_after_the_thinking_is_read(text: str, answer: str) -> None:
    assert extract_boxed(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "the answer is 5",
        r"\boxed{}",
        r"\boxed{  }",
        r"\boxed{5",
        r"boxed{5}",
        r"<think>\boxed{5}</think> so it is 5",
        r"<think>\boxed{5}",
        r"<think>a</think>\boxed{5}<think>wait",
        "",
    ],
)
def test_without_a_final_box_there_is_no_answer(text: str) -> None:
    assert extract_boxed(text) is None


# --- equality


@pytest.mark.parametrize(
    ("gold", "prediction"),
    [
        ("0.50", "1/2"),
        ("5", "5."),
        ("5", "005"),
        (".3", "0.30"),
        ("-1/2", r"-\frac{1}{2}"),
        ("-1/2", r"\frac{-1}{2}"),
        ("1/2", r"-\frac{-1}{2}"),
        ("1/2", r"\dfrac12"),
        ("10/3", r"\tfrac{10}3"),
        (r"\frac{448}{3}", r"149\frac{1}{3}"),
        ("12345", "12,345"),
        ("12345", r"12\,345"),
        ("1000000", r"1{,}000{,}000"),
        ("1234.5", "1,234.5"),
        ("336", r"336^\circ"),
        ("18", r"\$18"),
        ("18", "$18$"),
        ("5", "x = 5"),
        ("5", r"5\text{ cm}"),
        ("25", r"25\text{ cm}^2"),
        (r"28\%", "28 percent"),
        (r"\text{no solution}", "no  solution"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac\pi2)".replace(r"\frac\pi2", r"\frac{\pi}{2}")),
        ("-5", "\u22125"),
    ],
)
def test_spellings_of_one_value_are_equal_both_ways(gold: str, prediction: str) -> None:
    assert equivalent(gold, prediction)
    assert equivalent(prediction, gold)


@pytest.mark.parametrize(
    ("gold", "prediction"),
    [
        ("12345", "12346"),
        ("1" + "0" * 40, "1" + "0" * 39 + "1"),
        ("0.3", "0.30000001"),
        ("1/3", "0.3333"),
        ("5", "-5"),
        ("5", "500"),
        ("100", "1"),
        ("12", "1 2"),
        ("12345", "12, 345"),
        ("15", r"1{,}5"),
        ("333", r"0{,}333"),
        ("0.333", "0.333..."),
        ("10", "10\u00b2"),
        ("5", r"5\text{ million}"),
        (r"5\text{ cm}", r"5\text{ m}"),
        (r"5\text{ cm}^2", r"5\text{ cm}^3"),
        ("2", r"2\text{e}"),
        ("5", r"5\text{ R 2}"),
        ("x=5", "y=5"),
        ("7=11a+c", "11a+c"),
        ("a+3z=0", "0"),
        ("7/2", r"3 \cdot \frac12"),
        ("7/2", r"3\frac{-1}{2}"),
        ("(1,2)", "[1,2]"),
        ("1011_2", "1011"),
        ("1/0", "0"),
        ("", ""),
        ("  ", "  "),
    ],
)
def test_different_values_are_different_both_ways(gold: str, prediction: str) -> None:
    assert not equivalent(gold, prediction)
    assert not equivalent(prediction, gold)


def test_a_missing_answer_equals_nothing() -> None:
    assert not equivalent(None, None)
    assert not equivalent("5", None)
    assert not equivalent(None, "5")


integers = st.integers(-(10**30), 10**30)


@settings(deadline=None)
@given(integers, integers)
def test_integers_are_equal_exactly_when_they_are_the_same(a: int, b: int) -> None:
    assert equivalent(str(a), str(b)) == (a == b)
    assert equivalent(f"{a:,}", str(a))
    assert not equivalent(str(a), str(a + 1))


@settings(deadline=None)
@given(st.integers(-99, 99), st.integers(1, 99), st.integers(-99, 99), st.integers(1, 99))
def test_fractions_are_equal_exactly_when_their_values_are(a: int, b: int, c: int, d: int) -> None:
    same = Fraction(a, b) == Fraction(c, d)
    assert equivalent(f"{a}/{b}", rf"\frac{{{c}}}{{{d}}}") == same


latex = st.text(alphabet=r"\{}frac123,.-/ =^_$%()[]x" + "\u2212", max_size=40) | st.text(max_size=30)


@settings(deadline=None)
@given(latex, latex)
def test_any_two_texts_can_be_compared_and_order_does_not_matter(a: str, b: str) -> None:
    assert equivalent(a, b) == equivalent(b, a)
    assert equivalent(a, a) == (normalize(a) != "")
    extract_boxed(a)


# --- verdict


@pytest.mark.parametrize(
    ("gold", "text", "finished", "expected"),
    [
        ("5", r"\boxed{5}", True, (Verdict.CORRECT, "equal")),
        ("5", r"\boxed{6}", True, (Verdict.INCORRECT, "different")),
        ("5", "it is 5", True, (Verdict.NO_ANSWER, "no_box")),
        ("5", r"\boxed{5} but wait", False, (Verdict.NO_ANSWER, "truncated")),
        ("5", r"<think>\boxed{5}", True, (Verdict.NO_ANSWER, "truncated")),
        (None, r"\boxed{5}", True, (Verdict.UNSCORED, "unreadable_gold")),
        (" ", r"\boxed{ }", True, (Verdict.UNSCORED, "unreadable_gold")),
        (r"\frac{1}{2", r"\boxed{5}", True, (Verdict.UNSCORED, "unreadable_gold")),
    ],
)
def test_every_attempt_ends_in_one_of_four_verdicts(
    gold: str | None, text: str, finished: bool, expected: tuple[Verdict, str]
) -> None:
    assert check_answer(gold, text, finished) == expected


# --- against the suites of other checkers


def judged(rows: list[dict[str, Any]], gold: str, prediction: str) -> list[tuple[dict[str, Any], bool]]:
    return [(row, compare(row[gold], row[prediction])[0] is Verdict.CORRECT) for row in rows]


# Its suite tells a relation from a set by their order, and has its backslashes escaped twice; both sides say the same.
ONE_ANSWER = (r"x \in [-2,7]", r"-2 \\le x \\le 7")


def test_undisputed_rows_of_peer_suites_have_no_false_positive_and_at_most_two_false_negatives() -> None:
    rows = [r for r in rows_of("equiv/peer_suites.jsonl") if r["answer_level"] and not r.get("dispute")]
    rows = [r for r in rows if (r["gold_answer"], r["pred_answer"]) != ONE_ANSWER]
    unique = judged([r for r in rows if r.get("duplicate_of") is None], "gold_answer", "pred_answer")
    assert len(unique) > 50
    assert not [row for row, correct in unique if correct and not row["expected"]]
    assert len([row for row, correct in unique if not correct and row["expected"]]) <= 2


def test_every_adversarial_row_is_judged_as_its_author_says() -> None:
    rows = judged(rows_of("equiv/authored_adversarial.jsonl"), "gold", "prediction")
    assert not [row for row, correct in rows if correct != row["expected"]]


def test_gsm8k_model_solutions_are_judged_as_their_authors_did() -> None:
    agree = []
    for row in rows_of("math/gsm8k_model_solutions_200.jsonl"):
        gold = row["ground_truth"].rpartition("A: ")[2]
        for solution in (value for value in row.values() if isinstance(value, dict)):
            _, found, answer = solution["solution"].rpartition("\nA: ")
            agree.append(equivalent(gold, answer if found else None) == solution["is_correct"])
    assert sum(agree) >= 0.995 * len(agree) > 0


@pytest.mark.parametrize("name", ["aime_2024", "aime_2025", "hmmt_feb_2025", "math500"])
def test_every_gold_answer_passes_its_own_check_and_fails_when_perturbed(name: str) -> None:
    for row in rows_of(f"math/{name}.jsonl"):
        gold = str(row["answer"])
        assert check_answer(gold, rf"\boxed{{{gold}}}") == (Verdict.CORRECT, "equal")
        if letter := letter_of(gold):  # with a value behind it, it is the same option
            assert check_answer(gold, rf"\boxed{{{'A' if letter != 'A' else 'B'}}}")[0] is Verdict.INCORRECT
            continue
        for spoilt in (f"{gold}1", f"{gold}+1", f"2{gold}", f"({gold},1)"):
            if gold != "0" or spoilt != "20":
                assert check_answer(gold, rf"\boxed{{{spoilt}}}")[0] is Verdict.INCORRECT, (gold, spoilt)
