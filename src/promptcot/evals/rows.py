"""From rows to tasks: the authors' evaluation files, and the shapes benchmarks are published in.

The authors' files (PromptCoT 2.0, `data/promptcot2_*_test.jsonl`) hold the prompt inside one model's chat template;
here the user's turn is taken out and goes through the template of the model that is scored.
"""

from __future__ import annotations

import json
import re
from reprlib import repr as short  # of any depth and size
from typing import Any

from promptcot.errors import UserError
from promptcot.evals.tasks import Task
from promptcot.records import UnitTest, is_text
from promptcot.verify.golds import answer_text, is_missing
from promptcot.verify.programs import pair_tests

Raw = dict[str, Any]
_TURN = re.compile(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", re.DOTALL)
_QUESTION = re.compile(
    r"\nQuestion: (.*?)\n\n(?:Read the inputs from stdin|You will use the following starter)", re.DOTALL
)
_BOX_REQUEST = re.compile(r"\n?Please reason step by step.*?\\boxed\{\}\.\s*$", re.DOTALL)
_STARTER = re.compile(r"```python\n(class Solution.*?)\n```", re.DOTALL)
_DEF = re.compile(r"def (\w+)\(self")


def math_task(benchmark: str, row: Raw, where: str) -> Task:
    """A row with `problem` and `answer`, or one of the authors' (`prompt`, `reference_solution`).

    Raises:
        UserError: neither, or the answer is none.
    """
    if "reference_solution" in row:
        request = user_turn(row, where)
        problem = _BOX_REQUEST.sub("", request)
        name, answer = _id(benchmark, row, where, "idx"), _gold(row, where, "reference_solution")
        return Task(name, "math", problem, request, answer)
    problem = _text(row, where, "problem", "question")
    name = _id(benchmark, row, where, "id", "problem_idx", "idx")
    return Task(name, "math", problem, answer=_gold(row, where, "answer"))


def codeforces_task(benchmark: str, row: Raw, where: str) -> Task:
    """A row with `problem` and `tests` ({input, output} each), or one of the authors' (`prompt`, `input_output`)."""
    name = _id(benchmark, row, where, "id", "problem_id")
    if "input_output" in row:
        request = user_turn(row, where)
        pairs = mapping(row["input_output"], where, "input_output")
        function = function_name(pairs.get("fn_name"), where)
        tests = paired(pairs.get("inputs"), pairs.get("outputs"), function, where)
        return Task(name, "code", statement(request), request, tests=tests, function=function)
    cases = _json(row.get("tests"), where, "tests")
    if not isinstance(cases, list) or not all(
        isinstance(t, dict) and {"input", "output"} <= set(t) for t in cases
    ):
        raise _lacks(where, "tests (a list of {input, output})", row)
    inputs, outputs = [t["input"] for t in cases], [t["output"] for t in cases]
    return Task(
        name, "code", _text(row, where, "problem", "question"), tests=paired(inputs, outputs, "", where)
    )


def official_lcb_task(benchmark: str, row: Raw, where: str) -> Task:
    """The authors' LiveCodeBench row: the prompt and the names of tests that their files do not hold."""
    request = user_turn(row, where)
    starter = _STARTER.search(request)
    function = _DEF.search(starter[1]) if starter else None
    return Task(
        question(benchmark, row, where), "code", statement(request), request,
        function=function[1] if function else "", starter=starter[1] if starter else "",
    )  # fmt: skip


def user_turn(row: Raw, where: str) -> str:
    """The user's text in `prompt`, without the chat template around it."""
    prompt = _text(row, where, "prompt")
    turn = _TURN.search(prompt)
    return (turn[1] if turn else prompt).strip()


def statement(request: str) -> str:
    """The problem without the instructions around it."""
    question = _QUESTION.search(request)
    return (question[1] if question else request).strip()


def question(benchmark: str, row: Raw, where: str) -> str:
    """The id of a LiveCodeBench row's task."""
    if not isinstance(name := row.get("question_id"), str | int) or name == "":
        raise _lacks(where, "question_id", row)
    return f"{benchmark}/{name}"


def function_name(value: Any, where: str) -> str:
    """The function that tests call; empty where none is named."""
    if value in (None, ""):
        return ""
    if not isinstance(value, str) or not value.isidentifier():
        raise UserError(f"{where}: its tests call {short(value)}", expected="the name of a function, or none")
    return value


def paired(inputs: Any, outputs: Any, function: str, where: str) -> list[UnitTest]:
    """Tests from two lists (`programs.pair_tests`) that a table can hold."""
    for name, values in (("inputs", inputs), ("outputs", outputs)):
        if not isinstance(values, list):
            raise UserError(f"{where}: {name} is {short(values)}", expected="a list of strings")
    try:
        tests = pair_tests(inputs, outputs, function)
    except UserError as e:
        raise UserError(f"{where}: {e.seen}", expected=e.expected) from None
    if not all(is_text(t.input) and is_text(t.output) for t in tests):
        raise UserError(f"{where}: a test holds half a surrogate pair, which is no character")
    return tests


def mapping(value: Any, where: str, column: str) -> Raw:
    """The object in a column, as such or as JSON."""
    value = _json(value, where, column)
    if not isinstance(value, dict):
        raise UserError(f"{where}: the column {column} is {short(value)}", expected="a JSON object")
    return value


def _id(benchmark: str, row: Raw, where: str, *columns: str) -> str:
    found = next((str(row[c]) for c in columns if not is_missing(row.get(c))), None)
    return f"{benchmark}/{found if found is not None else where.rpartition('-')[2]}"


def _gold(row: Raw, where: str, column: str) -> str:
    try:
        answer = answer_text(row.get(column))
    except ValueError as e:
        raise UserError(f"{where}: {e}") from None
    if answer is None:
        if column in row:
            raise UserError(f"{where}: the column {column} is {row[column]!r}, which is no answer")
        raise _lacks(where, column, row)
    return answer


def _text(row: Raw, where: str, *columns: str) -> str:
    for column in columns:
        if isinstance(value := row.get(column), str) and value.strip():
            return value.strip()
    raise _lacks(where, " or ".join(columns), row)


def _json(value: Any, where: str, column: str) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise UserError(f"{where}: the column {column} is not JSON") from None


def _lacks(where: str, column: str, row: Raw) -> UserError:
    return UserError(f"{where} has no {column}; its columns: {', '.join(sorted(row))[:200]}")
