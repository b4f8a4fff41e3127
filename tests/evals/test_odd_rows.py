"""Rows of code benchmarks with anything in any column: a task that can be kept, or an error that names the row."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptcot.errors import UserError
from promptcot.evals.livecodebench import all_tests, task
from promptcot.evals.rows import codeforces_task, official_lcb_task
from promptcot.evals.tasks import Task
from promptcot.shards import rows_digest

WHERE = "'rows.jsonl', line-7"
NAMED = re.escape(WHERE)
DEEP = "[" * 900 + "]" * 900
PAIRS = {"inputs": ["1 2\n"], "outputs": ["3\n"]}
CASES = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
LCB = {
    "question_id": "abc391_a", "question_content": "Add two numbers.", "contest_date": "2025-02-01T00:00:00",
    "starter_code": "", "metadata": "{}", "private_test_cases": json.dumps(CASES), "public_test_cases": json.dumps(CASES),
}  # fmt: skip
FORCES = {"prompt": "Question: Add.", "input_output": json.dumps(PAIRS)}
PLAIN = {"problem": "Add.", "tests": CASES}
PROMPT = {"question_id": "abc391_a", "prompt": "Question: Add.", "contest_date": "2025-02-01"}


def lcb(row: dict[str, Any]) -> Task | None:
    return task("lcb_v6", "2025-02-01", "2025-06-01", row, WHERE)


def forces(row: dict[str, Any]) -> Task:
    return codeforces_task("codeforces", row, WHERE)


@pytest.mark.parametrize(
    "value",
    ["null", "[]", "5", '"x"', "true", "{", "[[[" * 50_000, DEEP, json.loads(DEEP), [], 5, True, ["a"]],
)
def test_metadata_and_test_columns_of_another_kind_name_the_row(value: Any) -> None:
    empty = value in ([], "[]")  # no metadata, no public tests: a row may lack either
    for column in ("metadata", "public_test_cases"):
        if empty and (column, value) != ("metadata", "[]"):
            continue
        with pytest.raises(UserError, match=NAMED):
            lcb({**LCB, column: value})
    with pytest.raises(UserError, match=NAMED):
        forces({**FORCES, "input_output": value})
    with pytest.raises(UserError, match=NAMED):
        forces({**PLAIN, "tests": value})


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ({}, "inputs is None"),
        ({**PAIRS, "inputs": None}, "inputs is None"),
        ({**PAIRS, "inputs": {"0": "1 2"}}, "inputs is {'0': '1 2'}"),
        ({**PAIRS, "outputs": "3"}, "outputs is '3'"),
        ({**PAIRS, "outputs": 3}, "outputs is 3"),
        ({**PAIRS, "outputs": [3]}, "a test holds 3"),
        ({"inputs": [], "outputs": []}, "no tests"),
        ({**PAIRS, "inputs": ["1", "2"]}, "2 inputs and 1 outputs"),
        ({**PAIRS, "outputs": ["\ud83d"]}, "half a surrogate pair"),
        ({**PAIRS, "fn_name": 5}, "its tests call 5"),
        ({**PAIRS, "fn_name": "a.b"}, "its tests call 'a.b'"),
        ({**PAIRS, "fn_name": ["f"]}, r"its tests call \['f'\]"),
        ({**PAIRS, "fn_name": json.loads(DEEP)}, r"its tests call \[\["),
        ({**PAIRS, "inputs": [json.loads(DEEP)]}, r"a test holds \[\["),
        ({**PAIRS, "fn_name": "f"}, "is not JSON"),
        ({"inputs": ["1"], "outputs": ["9" * 60_000], "fn_name": "f"}, "an integer of 60,000 digits"),
    ],
)
def test_what_is_wrong_with_the_pairs_of_a_codeforces_row_is_said(pairs: dict[str, Any], said: str) -> None:
    for column in (json.dumps(pairs), pairs):
        with pytest.raises(UserError, match=f"'rows.jsonl', line-7: .*{said}"):
            forces({**FORCES, "input_output": column})


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("metadata", '{"func_name": 5}', "its tests call 5"),
        ("metadata", '{"func_name": "two sum"}', "its tests call 'two sum'"),
        ("contest_date", "Feb 1, 2025", "its contest_date is 'Feb 1, 2025'"),
        ("contest_date", ["2025-02-01"], "its contest_date is"),
        ("contest_date", 20250201, "its contest_date is 20250201"),
        ("question_id", None, "has no question_id"),
        ("question_id", ["a"], "has no question_id"),
        ("question_content", None, "is no text"),
        ("question_content", " ", "is no text"),
        ("question_content", {"en": "Add."}, "is no text"),
        ("private_test_cases", 5, "is no text"),
        ("starter_code", ["class Solution"], "is no text"),
        ("public_test_cases", '["a"]', "unreadable tests"),
        ("public_test_cases", '[{"input": "1"}]', "unreadable tests"),
        ("public_test_cases", '[{"input": 1, "output": "1"}]', "a test holds 1"),
        ("public_test_cases", '[{"input": "\\ud83d", "output": "1"}]', "half a surrogate pair"),
    ],
)
def test_what_is_wrong_with_a_livecodebench_row_is_said(column: str, value: Any, said: str) -> None:
    with pytest.raises(UserError, match=f"'rows.jsonl', line-7.*{said}"):
        lcb({**LCB, column: value})


def test_usual_variants_are_read() -> None:
    variants: list[dict[str, Any]] = [
        {"metadata": None}, {"metadata": ""}, {"metadata": {}}, {"starter_code": None}, {"private_test_cases": CASES},
    ]  # fmt: skip
    for more in variants:
        read = lcb({**LCB, **more})
        assert read is not None
        assert (read.function, len(all_tests(read))) == ("", 2)
    assert forces({**FORCES, "input_output": {**PAIRS, "fn_name": None}}).tests == forces(PLAIN).tests
    assert forces({**PLAIN, "tests": json.dumps(CASES)}).tests == forces(PLAIN).tests
    assert (
        forces(
            {**FORCES, "input_output": {"inputs": ["1"], "outputs": ["9" * 9000], "fn_name": "f"}}
        ).function
        == "f"
    )


KEYS = ["input", "output", "inputs", "outputs", "fn_name", "func_name"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)


ANYTHING = st.recursive(SCALARS | st.sampled_from(["\ud800", "null", "[]"]), nested, max_leaves=6)
COLUMNS = sorted({*LCB, *FORCES, *PLAIN, "id"})


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([LCB, FORCES, PLAIN, PROMPT]), st.sampled_from(COLUMNS), ANYTHING, st.booleans())
def test_any_value_in_any_column_is_a_task_or_an_error_that_names_the_row(
    row: dict[str, Any], column: str, value: Any, as_text: bool
) -> None:
    changed = {**row, column: json.dumps(value) if as_text else value}
    read = outcome(row, changed)
    if isinstance(read, str):
        assert WHERE in read or "lcb_v6/" in read
    elif read is not None and "\ud800" not in json.dumps(
        changed, ensure_ascii=False
    ):  # which no reader lets in
        rows_digest([read])


def outcome(row: dict[str, Any], changed: dict[str, Any]) -> Task | str | None:
    """What a variant of `row` is read as, by the reader of its kind; or the error."""
    try:
        if row is PROMPT:
            read: Task | None = official_lcb_task("lcb_v6", changed, WHERE)
        else:
            read = lcb(changed) if row is LCB else forces(changed)
        if read is not None and read.packed:
            all_tests(read)
    except UserError as error:
        return error.seen
    return read
