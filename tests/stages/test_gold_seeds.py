"""No model is scored by an answer or a test that cannot judge."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from promptcot.errors import UserError
from promptcot.records import Seed, UnitTest
from promptcot.settings import Seeds
from promptcot.stages.evaluate import check_gold
from promptcot.stages.seeds import build, gold_flaw, with_own_gold


def seed(answer: str | None) -> Seed:
    return Seed("s", "math", "1", "Q?", answer=answer, source="file#3")


def test_integers_rationals_and_missing_answers_pass() -> None:
    check_gold([seed("42"), seed("-3/7"), seed("0.5"), seed("\\frac{1}{2}"), seed(None)])


def test_an_empty_gold_answer_is_named_before_scoring() -> None:
    with pytest.raises(UserError, match="file#3 s cannot judge"):
        check_gold([seed("  ")])


def test_tests_that_a_silent_program_passes_are_named_before_scoring() -> None:
    silent = Seed("s", "code", "1", "Q?", tests=[UnitTest("1", " ")], source="file#4")
    with pytest.raises(UserError, match="file#4 s cannot judge"):
        check_gold([silent])


def test_seeds_whose_gold_cannot_judge_are_rejected_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "seeds.jsonl"
    rows = [
        {"problem": "One?", "answer": "1"},
        {"problem": "Nothing?", "answer": ""},
        {"problem": "Half a fraction?", "answer": "\\frac{1"},
        {"problem": "No label?"},
        {"problem": "Tests?", "tests": [{"input": "1", "output": ""}]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    n, kept, rejects = build(Seeds(source="jsonl", path=str(path)), 1)
    assert n == 5
    assert {(s.problem, s.answer) for s in kept} == {("One?", "1"), ("Nothing?", None), ("No label?", None)}
    assert [r.reason for r in rejects] == ["bad_gold"] * 2
    for r, i in zip(rejects, (3, 5), strict=True):
        assert r.detail.startswith(f"seeds.jsonl#line-{i}: "), r.detail


def test_a_program_that_comes_with_tests_is_no_answer_to_compare() -> None:
    tests = [UnitTest("", "{")]
    assert gold_flaw(Seed("s", "code", "1", "Q?", answer="print('{')", tests=tests, source="file#5")) == ""
    assert gold_flaw(Seed("s", "math", "1", "Q?", answer="print('{')", source="file#5"))
    code = Seed("s", "code", "1", "Q?", answer="print('{')", tests=tests)
    assert with_own_gold(code) == Seed("s", "code", "1", "Q?", tests=tests)
    check_gold([with_own_gold(code)])
    math = Seed("s", "math", "1", "Q?", answer="3", tests=tests)
    assert with_own_gold(math) == Seed("s", "math", "1", "Q?", answer="3")
