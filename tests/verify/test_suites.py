"""Model-written tests: reading and vetting."""

from __future__ import annotations

import json
from collections import Counter
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.records import UnitTest
from promptcot.verify.suites import (
    MAX_TEST_BYTES,
    by_separation,
    consensus,
    copies_sample,
    needs_checker,
    parse_test,
    vet,
)


def fenced(value: object) -> str:
    return f"Here:\n```json\n{json.dumps(value)}\n```\n"


def test_the_first_json_block_is_the_test() -> None:
    text = (
        "```python\nx\n```\n" + fenced({"input": "3\n", "output": "6"}) + fenced({"input": "", "output": "7"})
    )
    assert parse_test(text) == UnitTest("3\n", "6")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"input": "3", "output": "6"}', "no_json_block"),
        ("```json\n{", "no_json_block"),
        ("```json\n{\n```", "bad_json"),
        ("```json\n" + "[" * 100_000 + "\n```", "bad_json"),
        (fenced(["3", "6"]), "wrong_fields"),
        (fenced({"input": "3"}), "wrong_fields"),
        (fenced({"input": "3", "output": "6", "why": ""}), "wrong_fields"),
        (fenced({"input": 3, "output": "6"}), "wrong_fields"),
        (fenced({"input": "3", "output": None}), "wrong_fields"),
        (fenced({"input": "3", "output": " \n"}), "empty_output"),
        (fenced({"input": "x" * (MAX_TEST_BYTES + 1), "output": "6"}), "too_large"),
        (fenced({"input": "\u00e9" * (MAX_TEST_BYTES // 2 + 1), "output": "6"}), "too_large"),
        (fenced({"input": "\ud800", "output": "6"}), "not_text"),
        ("<think>" + fenced({"input": "3", "output": "6"}), "truncated"),
    ],
)
def test_anything_else_is_refused_with_a_reason(text: str, reason: str) -> None:
    assert parse_test(text) == reason


@pytest.mark.parametrize(
    ("outputs", "decision", "reason"),
    [
        (["6"] * 8, "confirmed", ""),
        (["6\n", "6.0", " 6", "7"], "confirmed", ""),
        (["7"] * 8, "relabelled", ""),
        (["6", "6", None, None], "dropped", "few_votes"),
        (["6", "6", "6", None, None, None, None], "dropped", "input_invalid"),
        (["6", "6", "6", None, None, None], "confirmed", ""),
        (["6", "6", "6", "7", "7", "7"], "dropped", "tie"),
        (["6", "6", "6", "7", "8", "9"], "dropped", "low_share"),
        (["6", "6", "6", "7", "8"], "confirmed", ""),
        (["6", "6", "6", "7", "7"], "dropped", "low_margin"),
        (["", "", "", "", "6"], "dropped", "input_invalid"),
        ([], "dropped", "few_votes"),
    ],
)
def test_independent_solutions_decide(outputs: list[str | None], decision: str, reason: str) -> None:
    (vetted,) = vet([UnitTest("3", "6")], [outputs])
    assert (vetted.decision, vetted.reason) == (decision, reason)
    assert vetted.claimed == "6"


def test_a_relabelled_test_carries_the_agreed_output_and_the_evidence() -> None:
    (vetted,) = vet([UnitTest("3", "6")], [["7", "7", "7", "7", "6", None]])
    assert vetted.test == UnitTest("3", "7")
    assert (vetted.votes, vetted.margin, vetted.valid, vetted.solutions) == (4, 3, 5, 6)


def test_tests_and_outputs_must_match_in_number() -> None:
    with pytest.raises(ValueError, match="zip"):
        vet([UnitTest("3", "6")], [])


# --- vetting, for every table of five outputs


def expected(outputs: tuple[str | None, ...], claimed: str) -> tuple[str, str, str]:
    """(decision, reason, output) by the words of the rule, with counts instead of classes."""
    counts = sorted(((outputs.count(o), o) for o in "ab" if o in outputs), reverse=True)
    sizes = [n for n, _ in counts] + [0, 0]
    valid = sum(n for n, _ in counts)
    if valid < 2.5:
        return "dropped", "input_invalid", claimed
    if sizes[0] == sizes[1]:
        return "dropped", "tie", claimed
    if sizes[0] < 3:
        return "dropped", "few_votes", claimed
    if sizes[0] / valid < 0.6:
        return "dropped", "low_share", claimed
    if sizes[0] - sizes[1] < 2:
        return "dropped", "low_margin", claimed
    winner = counts[0][1]
    return ("confirmed", "", claimed) if winner == claimed else ("relabelled", "", str(winner))


def test_every_table_of_five_outputs_is_decided_by_the_rule() -> None:
    seen = Counter[str]()
    for outputs in product(("a", "b", None), repeat=5):
        for claimed in ("a", "b", "c"):
            (got,) = vet([UnitTest("i", claimed)], [outputs])
            assert (got.decision, got.reason, got.test.output) == expected(outputs, claimed), outputs
            (strict,) = vet([UnitTest("i", claimed)], [outputs], relabel=False)
            assert strict.decision == ("dropped" if got.decision == "relabelled" else got.decision)
            assert strict.test.output == claimed
            seen[got.decision + got.reason] += 1
    # (winner, other, none) = 5-0-0, 4-1-0, 4-0-1, 3-1-1, 3-0-2: 2 + 10 + 10 + 40 + 20 = 82 tables have a winner.
    assert seen["confirmed"] + seen["relabelled"] == 82 * 3
    assert seen["confirmed"] == 82
    assert set(seen) == {"confirmed", "relabelled"} | {
        f"dropped{r}" for r in ("input_invalid", "tie", "few_votes", "low_margin")
    }


@pytest.mark.parametrize(
    ("outputs", "divided"),
    [
        (["6"] * 8, False),
        (["6"] * 6 + ["7"] * 2, False),
        (["6"] * 5 + ["7"] * 3, True),  # both have the votes that a label needs
        (["6"] * 3 + ["7"] * 3, True),
        (["1 2 3", "3 2 1", "2 1 3", "1 3 2", "2 3 1"], True),  # all agree but for the order
        (["1 2 3", "3 2 1", "1 3 3", "2 3 3", "4"], False),
        (["1 2 3"] * 6 + ["3 2 1"] * 2, False),
        (["1", "2", "3", "4"], False),
        ([None] * 5 + ["6"] * 3, False),
    ],
)
def test_outputs_that_could_all_be_right_are_told_apart(outputs: list[str | None], divided: bool) -> None:
    (vetted,) = vet([UnitTest("3", "6")], [outputs])
    assert vetted.divided is divided


# --- which tests, and whether tests can judge at all


def test_codet_keeps_what_the_leading_group_of_solutions_passes() -> None:
    tests = [UnitTest(str(i), "a") for i in range(3)]
    #          three solutions pass 0 and 1 (3 x 2 = 6), one passes all (1 x 3 = 3), two pass only 2 (2 x 1 = 2)
    solutions = [["a", "a", "b"]] * 3 + [["a", "a", "a"]] + [["b", None, "a"]] * 2
    by_test = [list(column) for column in zip(*solutions, strict=True)]
    assert consensus(tests, by_test) == [0, 1]
    assert consensus(tests, [[s[i] for s in solutions[3:]] for i in range(3)]) == [0, 1, 2]  # 3 against 2
    assert consensus([], []) == []
    assert consensus(tests, [["b"]] * 3) == []


def test_of_two_groups_with_equal_scores_the_one_with_more_tests_leads() -> None:
    tests = [UnitTest(str(i), "a") for i in range(2)]
    assert consensus(tests, [["a", "a", "a"], ["b", "b", "a"]]) == [0, 1]  # 2 x 1 against 1 x 2


def test_tests_that_separate_come_first_and_repeat_nothing() -> None:
    #     nothing, one, the two most, one of those two, a new one
    assert by_separation([set(), {1}, {1, 2}, {2}, {3}]) == [2, 4, 1, 3, 0]
    assert by_separation([]) == []


@settings(deadline=None)
@given(st.lists(st.sets(st.integers(0, 5)), max_size=6))
def test_every_prefix_of_the_order_catches_at_least_a_greedy_share(failed_by: list[set[int]]) -> None:
    order = by_separation(failed_by)
    assert sorted(order) == list(range(len(failed_by)))
    gains, caught = [], set[int]()
    for i in order:
        gains.append(len(failed_by[i] - caught))
        caught |= failed_by[i]
    assert gains == sorted(gains, reverse=True)


@pytest.mark.parametrize(
    "statement",
    [
        "Print any permutation of 1..n with no fixed point.",
        "If there are multiple answers, print any of them.",
        "If several solutions exist, you may output any of them.",
        "Find any array with this sum, or print -1.",
        "Print the primes in any order.",
        "If there are many colourings, output any valid one.",
        "If there is more than one path, print one of them.",
        "Output n integers, any suitable matrix, row by row.",
    ],
)
def test_a_statement_that_allows_several_outputs_needs_a_checker(statement: str) -> None:
    assert needs_checker(statement, []) == "statement"


@pytest.mark.parametrize(
    "statement",
    [
        "Print the largest, or 0 if there are any ties.",
        "Do not print any other text.",
        "In one move choose any two numbers and swap them, in any order. Print the fewest moves.",
        "If there are multiple answers, print the smallest.",
        "The words are given in any order. Print them sorted.",
        "You can choose any of them; print the total.",
    ],
)
def test_other_uses_of_any_do_not(statement: str) -> None:
    assert needs_checker(statement, []) == ""


def test_half_of_the_valid_tests_divided_is_several_outputs_less_is_not() -> None:
    tests = [UnitTest(str(i), "6") for i in range(4)]
    split: list[str | None] = ["6", "6", "6", "6", "7", "7", "7", "7"]
    agreed: list[str | None] = ["6"] * 8
    broken: list[str | None] = [None] * 8
    cases: list[tuple[list[list[str | None]], str]] = [
        ([split, split, agreed, agreed], "divided"),
        ([split, agreed, agreed, agreed], ""),
        ([split, agreed, broken, broken], "divided"),
        ([broken] * 4, ""),
    ]
    for rows, found in cases:
        assert needs_checker("Print it.", vet(tests, rows)) == found


@pytest.mark.parametrize(
    ("given_", "copied"),
    [
        ("3 4\n", True),
        (" 3 4", True),
        ("3 4\n5", True),
        ("4", False),
        ("3", False),
        ("", False),
        ("5\n3 4", False),
    ],
)
def test_a_test_whose_input_stands_in_the_statement_is_a_copy(given_: str, copied: bool) -> None:
    assert copies_sample(UnitTest(given_, "7"), "Add them.\nInput:\n  3 4\n5\nOutput: 4") is copied
