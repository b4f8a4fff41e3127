"""GSM8K (arXiv 2110.14168) as annotated seeds: concepts and a design plan from each row's own calculator marks.

A solution of that dataset carries marks like `<<48/2=24>>`. Which operations occur, and how many, are the
concepts; the chain of marks, in order, is the rationale a designer would have had; no model is asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from promptcot.readers.files import Raw
from promptcot.readers.rows import own_id
from promptcot.records import Seed
from promptcot.verify.golds import answer_text

_MARK = re.compile(r"<<([^<>=]+)=([^<>]+)>>")
_NUMBER = re.compile(r"\d+(?:\.\d+)?|\.\d+")
_OPERATIONS = (
    ("+", "adding quantities"),
    ("-", "taking one quantity from another"),
    ("*", "multiplying a rate by a count"),
    ("/", "dividing a quantity into equal parts"),
    ("%", "percentages"),
    (".", "decimal amounts"),
)


def gsm8k_seed(row: Raw, where: str) -> Seed | tuple[str, str]:
    """A seed from one row (`question`/`answer` as published, or `problem`/`solution`/`answer`)."""
    problem = row.get("question") or row.get("problem")
    solution = row.get("solution") or row.get("answer")
    if not isinstance(problem, str) or not problem.strip():
        return "no_problem", f"{where}: no text in the column question or problem"
    if not isinstance(solution, str):
        return "no_solution", f"{where}: no text in the column answer or solution"
    marks = [(a.replace(" ", ""), b.strip()) for a, b in _MARK.findall(solution)]
    if not marks:
        return "no_annotations", f"{where}: the solution has no calculator marks"
    _, _, final = solution.rpartition("####") if "####" in solution else ("", "", "")
    try:
        answer = answer_text(final) or answer_text(row.get("answer") if row.get("solution") else None)
    except ValueError as e:
        return "bad_answer", f"{where}: {e}"
    if answer is None:
        return "no_answer", f"{where}: no #### in the solution, and no column answer beside it"
    return Seed(
        id=own_id(row.get("id"), where),
        domain="math",
        level=str(min(len(marks), 8)),
        problem=problem.strip(),
        answer=answer.replace(",", ""),
        concepts=concepts(marks),
        rationale=plan(marks),
    )


def concepts(marks: Sequence[tuple[str, str]]) -> list[str]:
    """The operations in order of first use, and their number."""
    used: list[str] = []
    for expression, _ in marks:
        for symbol, name in _OPERATIONS:
            if symbol in expression and name not in used:
                used.append(name)
    steps = "one computation" if len(marks) == 1 else f"a chain of {len(marks)} computations"
    return [*used, steps]


def plan(marks: Sequence[tuple[str, str]]) -> str:
    """The design plan: which numbers are given, what each step makes of them, what is asked."""
    known: set[str] = set()
    given: list[str] = []
    steps: list[str] = []
    for expression, result in marks:
        for number in _NUMBER.findall(expression):
            if number not in known and number not in given:
                given.append(number)
        known.add(result)
        steps.append(f"{expression}={result}")
    return f"Give {', '.join(given)}. Then {'; '.join(steps)}. Ask for {marks[-1][1]}."
