"""Before any model is scored: every gold answer and every set of tests of a benchmark judges rightly (`verify.gold`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from promptcot.errors import UserError
from promptcot.evals.livecodebench import all_tests
from promptcot.evals.tasks import Task
from promptcot.verify.answers import Mode
from promptcot.verify.gold import GoldSuite, check_answers, check_suites


def check(tasks: Sequence[Task], mode: Mode) -> None:
    """Raises UserError: an answer or tests that are missing or cannot judge, with the problem's name."""
    check_answers(((t.id, t.answer or "") for t in tasks if t.domain == "math"), mode)
    check_suites(_suites(tasks), mode="lcb")


def _suites(tasks: Sequence[Task]) -> Iterator[GoldSuite]:
    """One at a time: the tests of LiveCodeBench would not all fit into memory."""
    for task in tasks:
        if task.domain != "code":
            continue
        if not task.tests and not task.packed:
            benchmark = task.id.partition("/")[0]
            raise UserError(
                f"{task.id} has no tests, so no program can be scored by it",
                expected="a source with tests; the authors' LiveCodeBench files hold prompts only",
                do=f"add the official file to them, --source {benchmark}=test6.jsonl, from "
                "hf download livecodebench/code_generation_lite --repo-type dataset --include 'test*.jsonl'",
            )
        yield GoldSuite(task.id, all_tests(task), function=task.function)
