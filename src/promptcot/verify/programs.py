"""Does a program pass its tests? Extraction, comparison and verdict; the running itself is in `sandbox`.

The comparison is LiveCodeBench's (its `testing_util.py`) for programs that read stdin and for functions that are
called. Where its verdicts differ from these, and why: docs/verification-programs.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Literal

from promptcot.errors import UserError
from promptcot.records import UnitTest, Verdict
from promptcot.verify.answers import after_thinking
from promptcot.verify.sandbox import TESTS_PER_JOB, Choice, Limits, Run, run_program

Mode = Literal["judge", "lcb"]
# LiveCodeBench's result codes.
CODES: dict[str, bool | int] = {
    "passed": True, "wrong_output": -2, "timeout": -3, "error": -4, "memory": -4, "output_limit": -4, "lost": -5,
}  # fmt: skip


def extract_program(text: str, mode: Mode = "judge") -> str | None:
    """The last closed fenced code block after the thinking; None if there is none or it is blank.

    With `lcb`, what stands between the last two lines that hold a fence, as LiveCodeBench takes it: an odd number
    of fences gives it the wrong block.
    """
    answer = after_thinking(text)
    if answer is None:
        return None
    if mode == "lcb":
        code = _between_last_fences(answer)
    else:
        blocks = fenced_blocks(answer)
        code = blocks[-1][1] if blocks else ""
    return code if code.strip() else None


def _between_last_fences(text: str) -> str:
    lines = text.split("\n")
    fences = [i for i, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else ""


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


def same_result(expected: str, actual: str) -> bool:
    """LiveCodeBench's rule for calls: the values are equal in Python (1 is 1.0 is true). Both texts are JSON; a text
    that is not, such as the result of a program that returned none, equals nothing."""
    try:
        return bool(json.loads(expected) == json.loads(actual))
    except (ValueError, RecursionError):
        return False


def pair_tests(inputs: Sequence[str], outputs: Sequence[str], function: str = "") -> list[UnitTest]:
    """Tests from two lists; those of a call (`function`) hold JSON, one argument per line of the input.

    Raises:
        UserError: no tests, more inputs than outputs or the reverse, something that is not text or not JSON.
    """
    if len(inputs) != len(outputs):
        raise UserError(
            f"{len(inputs)} inputs and {len(outputs)} outputs", expected="one output for each input"
        )
    if not inputs:
        raise UserError("no tests", expected="at least one input with its output")
    for text in (*inputs, *outputs):
        if not isinstance(text, str):
            raise UserError(f"a test holds {text!r}"[:200], expected="inputs and outputs that are strings")
    if function:
        for given, output in zip(inputs, outputs, strict=True):
            for line in (*given.split("\n"), output):
                if line.strip():
                    _need_json(line)
            _need_json(output)
    return [UnitTest(given, output) for given, output in zip(inputs, outputs, strict=True)]


def _need_json(text: str) -> None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{text[:80]!r} is not JSON ({error})", expected="JSON in the tests of a called function"
        ) from None


def check_program(
    code: str | None,
    tests: Sequence[UnitTest],
    limits: Limits | None = None,
    *,
    sandbox: Choice = "auto",
    mode: Mode = "judge",
    function: str = "",
    stop: bool = False,
) -> tuple[Verdict, str, list[bool]]:
    """Judge a program by all its tests. Expected outputs stay in this process.

    Args: as of `run_tests`.

    Returns:
        The verdict; the reason: `passed`, `no_program`, `no_tests` or `lost` (both unscored), or how the first
        failing test ended: `wrong_output`, `timeout`, `error`, `memory`, `output_limit`; and for every test if it
        passed.

    Raises:
        UserError: tests cannot be run here at all (see `sandbox.run_program`).
    """
    if not tests:
        return Verdict.UNSCORED, "no_tests", []
    if code is None or not code.strip():
        return Verdict.NO_ANSWER, "no_program", [False] * len(tests)
    outcomes = run_tests(code, tests, limits, sandbox=sandbox, mode=mode, function=function, stop=stop)
    passed = [outcome == "passed" for outcome in outcomes]
    passed += [False] * (len(tests) - len(passed))
    failed = [outcome for outcome in outcomes if outcome != "passed"]
    if not failed:
        return Verdict.CORRECT, "passed", passed
    return Verdict.UNSCORED if failed[0] == "lost" else Verdict.INCORRECT, failed[0], passed


def run_tests(
    code: str,
    tests: Sequence[UnitTest],
    limits: Limits | None = None,
    *,
    sandbox: Choice = "auto",
    mode: Mode = "judge",
    function: str = "",
    stop: bool = False,
) -> list[str]:
    """How each test ended: `passed`, `wrong_output`, `timeout`, `error`, `memory`, `output_limit`, `lost`.

    Args:
        mode: `judge`: a program must end with exit code 0. `lcb`: LiveCodeBench's prelude in front of it, and
            leaving by `sys.exit` with any code is as good as ending.
        function: The name of the function to call with the input's values; empty for programs that read stdin.
        stop: Stop at the first test that fails, as LiveCodeBench does; the list ends with it.

    Raises:
        UserError: see `sandbox.run_program`.
    """
    outcomes: list[str] = []
    compare = same_result if function else same_output
    for at in range(0, len(tests), TESTS_PER_JOB):
        batch = tests[at : at + TESTS_PER_JOB]
        inputs = [test.input for test in batch]
        runs = run_program(
            code, inputs, limits, sandbox=sandbox, function=function, lcb=mode == "lcb", stop=stop
        )
        for test, run in zip(batch, runs, strict=False):  # with `stop` there may be fewer runs
            outcomes.append(_outcome(test, run, compare))
            if stop and outcomes[-1] != "passed":
                return outcomes
    return outcomes


def _outcome(test: UnitTest, run: Run, compare: Callable[[str, str], bool]) -> str:
    if run.status != "ok":
        return run.status
    return "passed" if compare(test.output, run.stdout) else "wrong_output"
