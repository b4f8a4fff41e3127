"""The gold check: does a reference judge rightly? To be asked of a set before any model is scored by it.

A gold answer must pass its own verifier and a perturbed one must fail; a canonical program must pass its tests and
fail when an expected output is perturbed. `answer_flaw` and `suite_flaw` say what is wrong with one item,
`check_answers` and `check_suites` refuse a whole set. A gold answer on which the verifier breaks or runs out of time is
flawed, as it would judge nobody. What no item can help (a missing package, a worker that does not start, a lost program)
raises everywhere: an infrastructure failure is never a score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from promptcot.errors import UserError
from promptcot.records import UnitTest, Verdict
from promptcot.verify import answers, outputs, programs
from promptcot.verify.sandbox import Choice, Limits

_MEND = "correct the item in its file, or leave it out"
# Reasons of verdicts that no other gold answer would get past (`answers`, `workers`).
_OUTAGES = ("needs the package", "cannot start", "the worker did not start")


@dataclass(frozen=True)
class GoldSuite:
    """The tests of one problem, with a program that solves it where there is one.

    function: As for `programs.run_tests`; the tests then hold JSON.
    """

    name: str
    tests: Sequence[UnitTest]
    solution: str | None = None
    function: str = ""


def check_answers(golds: Iterable[tuple[str, str]], mode: answers.Mode = "symbolic") -> int:
    """Every gold answer passes its own verifier, and perturbed ones fail.

    Args:
        golds: (name of the item, gold answer).
        mode: The mode in which models will be judged.

    Returns:
        How many were checked.

    Raises:
        UserError: an answer that cannot judge, with its name, or an infrastructure failure.
    """
    checked = 0
    for name, gold in golds:
        if flaw := answer_flaw(name, gold, mode):
            raise UserError(
                f"the gold answer {gold!r} of {name} cannot judge: {flaw}",
                expected="an answer that can be read and equals itself, and neither itself with a 7 behind it nor with a second entry",
                do=_MEND,
            )
        checked += 1
    return checked


def answer_flaw(name: str, gold: str, mode: answers.Mode = "symbolic") -> str:
    """What is wrong with a gold answer as a judge; empty if nothing.

    Raises:
        UserError: an infrastructure failure.
    """
    letter = answers.letter_of(gold)
    spoilt = ["A" if letter != "A" else "B"] if letter else [f"{gold}7", f"{gold}, 7"]
    for given in (gold, *spoilt):
        found, reason = answers.check_answer(gold, f"\\boxed{{{given}}}", mode=mode)
        if found is Verdict.UNSCORED and reason.startswith(_OUTAGES):
            raise UserError(
                f"the gold answer of {name} could not be checked: {reason}",
                expected="a verdict",
                do="install what is missing, then type the same command again",
            )
        undecided = found is Verdict.UNSCORED and not reason.startswith(("unreadable", "open"))
        if undecided or (found is Verdict.CORRECT) != (given == gold):
            return f"{given!r} is judged {found} ({reason})"
    if mode == "symbolic" and not answers.is_read(gold):
        return "it cannot be read, so it equals only its own spelling"
    return ""


def check_suites(
    suites: Iterable[GoldSuite],
    limits: Limits | None = None,
    *,
    sandbox: Choice = "auto",
    mode: programs.Mode = "judge",
) -> int:
    """Every set of tests can fail a program, and the canonical program, where there is one, passes.

    Args:
        suites: One per problem.
        limits, sandbox, mode: Those with which models will be judged.

    Returns:
        How many were checked.

    Raises:
        UserError: tests that cannot judge, with their name, or an infrastructure failure.
    """
    checked = 0
    for suite in suites:
        if flaw := suite_flaw(suite, limits, sandbox=sandbox, mode=mode):
            raise UserError(
                f"the tests of {suite.name} cannot judge: {flaw}",
                expected="tests that their solution passes, and fails once an expected output is changed",
                do=_MEND,
            )
        checked += 1
    return checked


def suite_flaw(
    suite: GoldSuite,
    limits: Limits | None = None,
    *,
    sandbox: Choice = "auto",
    mode: programs.Mode = "judge",
) -> str:
    """What is wrong with a set of tests as a judge; empty if nothing.

    Without a solution nothing is run: outputs are compared with themselves, perturbed and not.

    Raises:
        UserError: an infrastructure failure.
    """
    if not suite.tests:
        return "there are none"
    if not any(test.output.strip() for test in suite.tests):
        return "every expected output is blank, so a program that does nothing passes"
    if flaw := programs.oversized(suite.tests, suite.function):
        return flaw
    compare = outputs.same_result if suite.function else outputs.same_output
    spoilt: list[UnitTest] = []
    for i, test in enumerate(suite.tests):
        if not compare(test.output, test.output):
            return f"the expected output of test {i} does not equal itself"
        spoilt.append(replace(test, output=_perturbed(test.output, bool(suite.function))))
        if compare(spoilt[i].output, test.output):
            return f"test {i} also accepts {spoilt[i].output[-80:]!r}"
    if suite.solution is None:
        return ""
    for tests, wanted in ((suite.tests, "passed"), (spoilt, "wrong_output")):
        ends = programs.run_tests(
            suite.solution, tests, limits, sandbox=sandbox, mode=mode, function=suite.function
        )
        if "lost" in ends:
            raise UserError(f"a test run of {suite.name} was lost", do="run again, with fewer workers")
        for i, end in enumerate(ends):
            if end != wanted:
                kind = "its solution" if wanted == "passed" else "its solution, against a perturbed output,"
                return f"test {i}: {kind} ended with {end}"
    return ""


def _perturbed(output: str, is_json: bool) -> str:
    """Another output: with a 7 behind it, or as a list of itself and 7."""
    return f"[{output}, 7]" if is_json else f"{output.rstrip()}7"
