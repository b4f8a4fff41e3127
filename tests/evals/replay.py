"""A scripted model that has the answer key, and keys for every benchmark that there are answers for.

The model is `tests.evals.replay:respond`; REPLAY_KEY names a JSON file {what a prompt asks: completion}. A question
without an entry gets a text without an answer.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from promptcot.evals import benchmarks
from promptcot.evals.tasks import Task
from promptcot.settings import Benchmark

MODEL = "tests.evals.replay:respond"
DATA = Path(__file__).parents[3] / "shared" / "data"
MATH = ("aime24", "aime25", "hmmt25")


@cache
def key(path: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(Path(path).read_text())
    return found


def respond(prompt: str, seed: int) -> str:
    """The completion of the question that this prompt ends with."""
    question = prompt.removeprefix("user: ").removesuffix("\n\nassistant: ")
    return key(os.environ["REPLAY_KEY"]).get(question, "I do not know.")


def official(name: str) -> Path:
    return DATA / "official" / f"promptcot2_{name}_test.jsonl"


def tasks(name: str, path: Path, **settings: Any) -> list[Task]:
    return benchmarks.read(name, Benchmark(source=[str(path)], **settings))


def math_completions(name: str) -> dict[str, str]:
    """The thinking holds another box, which must not count; the degree of AIME 2025 is left out, as models do."""
    out = {}
    for task in tasks(name, official(name)):
        answer = str(task.answer).removesuffix("^\\circ")
        out[task.request] = f"<think>Is it \\boxed{{0}}?</think>\nIt is \\boxed{{{answer}}}."
    return out


def fenced(program: str) -> str:
    return f"<think>\n```python\nprint()\n```\n</think>\n```python\n{program}\n```"


def codeforces(path: Path) -> tuple[list[str], dict[str, str]]:
    """Writes the rows that there are solutions for; returns their names and completions."""
    rows = [json.loads(line) for line in (DATA / "code" / "stdio_cases.jsonl").read_text().splitlines()]
    solutions = {r["id"].removeprefix("cf-"): r["solution"] for r in rows if r["id"].startswith("cf-")}
    names = json.loads((DATA / "elo" / "metadata_cf_408_ids.json").read_text())
    lines = official("codeforces").read_text().splitlines()
    chosen = [(n, line) for n, line in zip(names, lines, strict=True) if n in solutions]
    path.write_text("".join(line + "\n" for _, line in chosen))
    found = tasks("codeforces", path)
    asked = {t.request: fenced(solutions[n]) for (n, _), t in zip(chosen, found, strict=True)}
    return [n for n, _ in chosen], asked


def livecodebench(path: Path, limit: int = 0) -> dict[str, str]:
    """Writes LeetCode problems with their solutions' tests as rows of the official shape; returns completions."""
    rows = [
        json.loads(line)
        for line in (DATA / "code" / "leetcode_functional_cases.jsonl").read_text().splitlines()
    ]
    rows = [r for r in rows if "sortedcontainers" not in r["solution"]]
    out, lines = {}, []
    for row in rows[: limit or None]:
        function = row["entry"].partition(".")[2]
        lines.append(_lcb_row(row, function))
        task = Task("", "code", row["problem"].strip(), starter=lines[-1]["starter_code"])
        out[task.messages("promptcot2")[0][1]] = fenced(row["solution"])
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return out


def _lcb_row(row: dict[str, Any], function: str) -> dict[str, Any]:
    cases = [
        {"input": "\n".join(json.dumps(v) for v in c["kwargs"].values()), "output": json.dumps(c["expected"])}
        for c in row["cases"]
    ]  # fmt: skip
    arguments = ", ".join(row["cases"][0]["kwargs"])
    return {
        "question_id": row["id"], "question_content": row["problem"], "contest_date": "2025-02-02T00:00:00",
        "starter_code": f"class Solution:\n    def {function}(self, {arguments}):\n        ",
        "metadata": json.dumps({"func_name": function}),
        "public_test_cases": json.dumps(cases[:1]), "private_test_cases": json.dumps(cases[1:]),
    }  # fmt: skip


def shuffled(completions: dict[str, str]) -> dict[str, str]:
    """Everyone gets the next problem's completion."""
    values = list(completions.values())
    return dict(zip(completions, values[1:] + values[:1], strict=True))
