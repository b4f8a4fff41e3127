"""Model-written tests: reading and vetting."""

from __future__ import annotations

import json

import pytest

from promptcot.records import UnitTest
from promptcot.verify.suites import MAX_TEST_BYTES, parse_test, vet


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
