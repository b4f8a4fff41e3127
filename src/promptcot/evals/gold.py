"""Before any model is scored: every gold answer and every set of tests of a benchmark judges rightly (`verify.gold`)."""

from __future__ import annotations

from collections.abc import Sequence

from promptcot.errors import UserError
from promptcot.evals.livecodebench import all_tests
from promptcot.evals.tasks import Task
from promptcot.records import Reject
from promptcot.verify.answers import Mode
from promptcot.verify.gold import GoldSuite, answer_flaw, suite_flaw


def flaws(tasks: Sequence[Task], mode: Mode) -> list[Reject]:
    """The tasks whose answer or tests can judge nobody, with the reason.

    Raises:
        UserError: a program without tests, whose source is another kind of file; or an infrastructure failure.
    """
    found = ((task, _answer(task, mode) if task.domain == "math" else _tests(task)) for task in tasks)
    return [Reject(task.id, "bad_gold", f"{task.id} {flaw}") for task, flaw in found if flaw]


def _answer(task: Task, mode: Mode) -> str:
    flaw = answer_flaw(task.id, task.answer or "", mode)
    return flaw and f"has the gold answer {task.answer!r}, which cannot judge: {flaw}"


def _tests(task: Task) -> str:
    """Opened here and dropped again: the tests of LiveCodeBench would not all fit into memory."""
    if not task.tests and not task.packed:
        benchmark = task.id.partition("/")[0]
        raise UserError(
            f"{task.id} has no tests, so no program can be scored by it",
            expected="a source with tests; the authors' LiveCodeBench files hold prompts only",
            do=f"add the official file to them, --source {benchmark}=test6.jsonl, from "
            "hf download livecodebench/code_generation_lite --repo-type dataset --include 'test*.jsonl'",
        )
    try:
        suite = GoldSuite(task.id, all_tests(task), function=task.function)
    except UserError as e:
        return f"has tests that cannot be read: {e.seen}"
    flaw = suite_flaw(suite, mode="lcb")
    return flaw and f"has tests that cannot judge: {flaw}"
