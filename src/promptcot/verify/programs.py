"""Does a program pass its tests? Extraction, comparison and verdict; the running itself is in `process`.

The comparison is LiveCodeBench's for programs that read stdin (its `testing_util.py`): lines are compared as
text, else as exact decimals. One deliberate difference: a program that prints the right output and then fails
(non-zero exit code) does not pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from promptcot.records import UnitTest, Verdict
from promptcot.verify.answers import after_thinking
from promptcot.verify.process import Limits, Run, run_program


def extract_program(text: str) -> str | None:
    """The last closed fenced code block after the thinking; None if there is none or it is blank."""
    answer = after_thinking(text)
    blocks = fenced_blocks(answer) if answer is not None else []
    code = blocks[-1][1] if blocks else ""
    return code if code.strip() else None


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """All closed fenced blocks as (language, content), in order. An opening fence restarts an unclosed block."""
    blocks: list[tuple[str, str]] = []
    language = ""
    lines: list[str] | None = None
    for line in text.split("\n"):
        info = _fence_info(line)
        if info is None:
            if lines is not None:
                lines.append(line)
        elif lines is not None and not info:
            blocks.append((language, "\n".join(lines) + "\n"))
            lines = None
        else:
            language, lines = info, []
    return blocks


def _fence_info(line: str) -> str | None:
    """The language of a fence line, empty if it names none; None if the line is no fence."""
    stripped = line.strip()
    info = stripped.lstrip("`")
    if not stripped.startswith("```") or "`" in info:
        return None
    return info.split()[0].lower() if info.split() else ""


def same_output(expected: str, actual: str) -> bool:
    """LiveCodeBench's rule: strip the whole, split into lines, strip each; as many lines; each line equal as
    text or as a list of exact decimals (0.50 is 0.5; `a  b` is not `a b`; case matters)."""
    left, right = _lines(expected), _lines(actual)
    return len(left) == len(right) and all(map(_same_line, left, right))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().split("\n")]


def _same_line(a: str, b: str) -> bool:
    if a == b:
        return True
    try:
        return [Decimal(word) for word in a.split()] == [Decimal(word) for word in b.split()]
    except (InvalidOperation, ValueError):  # not numbers, or a signalling NaN, which refuses comparison
        return False


def check_program(
    code: str | None, tests: Sequence[UnitTest], limits: Limits | None = None
) -> tuple[Verdict, str, list[bool]]:
    """Judge a program by all its tests. Expected outputs stay in this process.

    Returns:
        The verdict; the reason: `passed`, `no_program`, `no_tests` (unscored), or how the first failing test
        ended: `wrong_output`, `timeout`, `error`, `memory`, `output_limit`; and for every test if it passed.

    Raises:
        UserError: tests cannot be run here at all (see `process.run_program`).
    """
    if not tests:
        return Verdict.UNSCORED, "no_tests", []
    if code is None or not code.strip():
        return Verdict.NO_ANSWER, "no_program", [False] * len(tests)
    limits = limits or Limits()
    runs = run_program(
        code,
        [test.input for test in tests],
        wall_s=limits.wall_s,
        cpu_s=limits.cpu_s,
        memory_mb=limits.memory_mb,
        output_bytes=limits.output_bytes,
    )
    reasons = [_judge(test, run) for test, run in zip(tests, runs, strict=True)]
    failed = [reason for reason in reasons if reason != "passed"]
    verdict = Verdict.INCORRECT if failed else Verdict.CORRECT
    return verdict, failed[0] if failed else "passed", [reason == "passed" for reason in reasons]


def _judge(test: UnitTest, run: Run) -> str:
    if run.status != "ok":
        return run.status
    return "passed" if same_output(test.output, run.stdout) else "wrong_output"
