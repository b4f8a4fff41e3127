"""The verdict on one attempt at a benchmark problem: LiveCodeBench's rules for programs, our checker for answers."""

from __future__ import annotations

from promptcot.evals.livecodebench import all_tests
from promptcot.evals.tasks import Task
from promptcot.records import Verdict
from promptcot.verify.answers import Mode, check_answer, extract_boxed
from promptcot.verify.programs import check_program, extract_program
from promptcot.verify.release import extract_release
from promptcot.verify.sandbox import Choice, Limits


def score(
    task: Task, text: str, finished: bool, answers: Mode, limits: Limits, sandbox: Choice
) -> tuple[str | None, Verdict, str]:
    """(the answer or program, verdict, reason) of a completion.

    A text cut at the token limit has no answer (`truncated`), whatever it holds. A program has to pass all tests,
    stopping at the first that fails; it is judged in LiveCodeBench's mode.

    Raises:
        UserError: programs cannot be run here; that is never a 0.
    """
    if not finished:
        return None, Verdict.NO_ANSWER, "truncated"
    if task.domain == "math":
        verdict, reason = check_answer(task.answer, text, mode=answers)
        return extract_release(text) if answers == "release" else extract_boxed(text), verdict, reason
    program = extract_program(text, "lcb")
    verdict, reason, _ = check_program(
        program, all_tests(task), limits, sandbox=sandbox, mode="lcb", function=task.function, stop=True
    )
    return program, verdict, reason
