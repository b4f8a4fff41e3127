"""Does a program pass its tests? Extraction and verdict; comparing is in `outputs`, the running itself in `sandbox`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from reprlib import repr as short
from typing import Literal

from promptcot.errors import UserError
from promptcot.records import UnitTest, Verdict
from promptcot.verify.answers import after_thinking
from promptcot.verify.fences import fenced_blocks
from promptcot.verify.outputs import read_json, same_output, same_result
from promptcot.verify.sandbox import TESTS_PER_JOB, Choice, Limits, Run, run_program

Mode = Literal["judge", "lcb"]
# LiveCodeBench's result codes.
CODES: dict[str, bool | int] = {
    "passed": True, "wrong_output": -2, "timeout": -3, "error": -4, "memory": -4, "output_limit": -4, "lost": -5,
}  # fmt: skip


def extract_program(text: str, mode: Mode = "judge") -> str | None:
    """The program in an answer, after the thinking: the last fenced block that says it is Python, or else the last
    one; a closed one rather than one that the text ends in. None if there is none, or only blank ones.

    With `lcb`, what stands between the last two lines that hold a fence, as LiveCodeBench takes it: an odd number
    of fences gives it the wrong block.
    """
    answer = after_thinking(text)
    if answer is None:
        return None
    if mode == "lcb":
        code = _between_last_fences(answer)
        return code if code.strip() else None
    blocks = [block for block in fenced_blocks(answer) if block.content.strip()]
    best = max(reversed(blocks), key=lambda block: (block.is_python, block.closed), default=None)
    return best.content if best else None


def _between_last_fences(text: str) -> str:
    lines = text.split("\n")
    fences = [i for i, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else ""


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
            raise UserError(f"a test holds {short(text)}", expected="inputs and outputs that are strings")
    if function:
        for given, output in zip(inputs, outputs, strict=True):
            for line in (*given.split("\n"), output):
                if line.strip():
                    _need_json(line)
            _need_json(output)
    tests = [UnitTest(given, output) for given, output in zip(inputs, outputs, strict=True)]
    if flaw := oversized(tests, function):
        raise UserError(flaw, expected="outputs of which a program can print as much")
    return tests


def _need_json(text: str) -> None:
    try:
        read_json(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{text[:80]!r} is not JSON ({error})", expected="JSON in the tests of a called function"
        ) from None


# How much a program may print: as much as is asked for, and more where its test expects more. A right program may put
# blanks around what is expected; the JSON of a call's result may be longer than that of the test (", ", "\u00e9").
MAX_OUTPUT_BYTES = 32 << 20
_HELD_BYTES = 4 * MAX_OUTPUT_BYTES  # of stdout and stderr, by the tests of one job


def oversized(tests: Sequence[UnitTest], function: str = "") -> str:
    """Which test expects more output than is ever compared, so that no program could pass; empty if none does."""
    most = MAX_OUTPUT_BYTES // _room(function)
    for i, test in enumerate(tests):
        if (size := _bytes(test.output)) > most:
            return f"test {i} expects an output of {size:,} bytes; at most {most:,} are compared"
    return ""


def room_for(tests: Sequence[UnitTest], limits: Limits, function: str = "") -> Limits:
    """The limits with room for the largest expected output. It is doubled until it suffices, so that it says little of
    what is expected to a program that asks for its limits."""
    needed = _room(function) * max(_bytes(test.output) for test in tests)
    size = limits.output_bytes
    while size < min(needed, MAX_OUTPUT_BYTES):
        size *= 2
    return (
        limits if size == limits.output_bytes else replace(limits, output_bytes=min(size, MAX_OUTPUT_BYTES))
    )


def _room(function: str) -> int:
    return 4 if function else 2


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


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
        The verdict; the reason: `passed`, `no_program`, `no_tests`, `output_too_large` (of a test; see `oversized`) or
        `lost` (these three unscored), or how the first failing test ended: `wrong_output`, `timeout`, `error`, `memory`, `output_limit`; and for every test if it
        passed.

    Raises:
        UserError: tests cannot be run here at all (see `sandbox.run_program`).
    """
    if not tests:
        return Verdict.UNSCORED, "no_tests", []
    if oversized(tests, function):
        return Verdict.UNSCORED, "output_too_large", []
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
    if not tests:
        return outcomes
    compare = same_result if function else same_output
    limits = room_for(tests, limits or Limits(), function)
    at_once = max(1, min(TESTS_PER_JOB, _HELD_BYTES // (2 * limits.output_bytes)))
    for at in range(0, len(tests), at_once):
        batch = tests[at : at + at_once]
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
